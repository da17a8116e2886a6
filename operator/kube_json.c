// SPDX-License-Identifier: Apache-2.0
#include "operator/kube_json.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* What is read as something else has the same length: all is done in place. */
static const char nul[] = "\\u0000", replacement[] = "\\ufffd", thousand[] = "e03", null[] = "null";

enum {
    ESCAPE_BYTES = sizeof(nul) - 1,
    THOUSAND_BYTES = sizeof(thousand) - 1,
    NULL_BYTES = sizeof(null) - 1,
};

/* at is behind the opening quote; gives what follows the closing one. */
static char *tame_string(char *at, const char *end)
{
    while (at < end && *at != '"') {
        if (*at == '\\' && end - at >= ESCAPE_BYTES && memcmp(at, nul, ESCAPE_BYTES) == 0)
            memcpy(at, replacement, ESCAPE_BYTES);
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    }
    return at < end ? at + 1 : at;
}

static bool is_too_large(const char *digits, size_t count)
{
    static const char largest[] = "9223372036854775807";
    const size_t most = sizeof(largest) - 1;
    return count > most || (count == most && memcmp(digits, largest, most) > 0);
}

/* at is at its first digit. */
static char *tame_number(char *at, const char *end)
{
    char *digits = at;
    while (at < end && isdigit((unsigned char)*at))
        at++;
    bool integer = at == end || !strchr(".eE", *at);
    if (integer && is_too_large(digits, (size_t)(at - digits)))
        memcpy(at - THOUSAND_BYTES, thousand, THOUSAND_BYTES);
    while (at < end && *at && strchr(".eE+-0123456789", *at))
        at++;
    return at;
}

static void blank(char *from, const char *end)
{
    if (end - from < NULL_BYTES)
        return; /* has nothing in it that could be deeper */
    memset(from, ' ', (size_t)(end - from));
    memcpy(from, null, NULL_BYTES);
}

static void tame(char *text, const char *end)
{
    char *too_deep = NULL;
    size_t depth = 0;
    for (char *at = text; at < end;) {
        if (*at == '"') {
            at = tame_string(at + 1, end);
            continue;
        }
        if (isdigit((unsigned char)*at)) {
            at = tame_number(at, end);
            continue;
        }
        if ((*at == '{' || *at == '[') && depth++ == KUBE_JSON_DEPTH_MAX)
            too_deep = at;
        if ((*at == '}' || *at == ']') && depth > 0 && --depth == KUBE_JSON_DEPTH_MAX)
            blank(too_deep, at + 1);
        at++;
    }
}

int kube_json_parse(char *text, size_t size, json_t **ret_value, struct error *err)
{
    json_error_t problem;
    tame(text, text + size);
    json_t *value = json_loadb(text, size, 0, &problem);
    if (!value)
        return error_set(err, ERROR_CORRUPT, "not JSON: %s", problem.text);
    *ret_value = value;
    return 0;
}
