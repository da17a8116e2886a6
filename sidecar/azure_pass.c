// SPDX-License-Identifier: Apache-2.0
#include "sidecar/azure_pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/bytes.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

enum { LIFETIME_MAX_S = 7 * 24 * 60 * 60 };

static bool is_visible(const uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}

static int set_value(struct azure_pass *pass, enum azure_pass_kind kind, const void *value,
                     size_t size, struct error *err)
{
    CLEANUP(azure_pass_done)
    struct azure_pass made = {.kind = kind, .value = BUF_SECRET(AZURE_PASS_TEXT_MAX + 1)};
    if (size > AZURE_PASS_TEXT_MAX)
        return error_set(err, ERROR_CORRUPT, "larger than %d bytes", AZURE_PASS_TEXT_MAX);
    bytes_put(&made.value, value, size);
    bytes_put8(&made.value, '\0');
    made.value.size--;
    *pass = made;
    made = (struct azure_pass){0};
    return 0;
}

void azure_pass_done(struct azure_pass *pass)
{
    buf_done(&pass->value);
    *pass = (struct azure_pass){0};
}

void azure_pass_copy(struct azure_pass *pass, const struct azure_pass *from)
{
    struct error none;
    azure_pass_done(pass);
    if (from->kind != AZURE_PASS_NONE &&
        set_value(pass, from->kind, from->value.data, from->value.size, &none) < 0)
        abort(); /* it was no larger before */
    pass->expires_ms = from->expires_ms;
}

bool azure_pass_is_same(const struct azure_pass *a, const struct azure_pass *b)
{
    return a->kind == b->kind && a->value.size == b->value.size &&
           (a->value.size == 0 || memcmp(a->value.data, b->value.data, a->value.size) == 0);
}

int azure_pass_of_key(struct azure_pass *ret_pass, const void *text, size_t size, struct error *err)
{
    uint8_t key[256];
    size_t key_size = 0;
    int result = -1;
    if (text_parse_base64(text, size, key, sizeof(key), &key_size) && key_size > 0)
        result = set_value(ret_pass, AZURE_PASS_KEY, key, key_size, err);
    else
        error_set(err, ERROR_CORRUPT, "not the key of a storage account, which is base64");
    buf_wipe(key, sizeof(key));
    return result;
}

int azure_pass_of_signature(struct azure_pass *ret_pass, const void *text, size_t size,
                            struct error *err)
{
    const char *start = text;
    if (size > 0 && *start == '?') {
        start++;
        size--;
    }
    if (!is_visible((const uint8_t *)start, size) || memchr(start, '#', size) ||
        !memmem(start, size, "sig=", 4))
        return error_set(err, ERROR_CORRUPT,
                         "not a shared access signature, which looks like 'sv=…&sig=…'");
    return set_value(ret_pass, AZURE_PASS_SIGNATURE, start, size, err);
}

/* In seconds, a number or the text of one; -1: neither. */
static int64_t lifetime_of(const json_t *root)
{
    const json_t *value = json_object_get(root, "expires_in");
    const char *text = json_string_value(value);
    uint64_t seconds = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        seconds = (uint64_t)json_integer_value(value);
    else if (!text || !store_page_parse_size(text, &seconds))
        return -1;
    return (int64_t)(seconds < LIFETIME_MAX_S ? seconds : LIFETIME_MAX_S);
}

int azure_pass_parse_token(struct azure_pass *ret_pass, const void *data, size_t size,
                           int64_t now_ms, struct error *err)
{
    json_auto_t *root = json_loadb(size > 0 ? data : "", size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *token = json_object_get(root, "access_token");
    const char *text = json_string_value(token);
    size_t text_size = json_string_length(token);
    int64_t lifetime_s = lifetime_of(root);
    if (!root)
        return error_set(err, ERROR_CORRUPT, "not JSON");
    if (!text || text_size == 0 || !is_visible((const uint8_t *)text, text_size))
        return error_set(err, ERROR_CORRUPT, "it has no access_token that a header can hold");
    if (lifetime_s < 0)
        return error_set(err, ERROR_CORRUPT, "it has no expires_in, in seconds");
    if (set_value(ret_pass, AZURE_PASS_TOKEN, text, text_size, err) < 0)
        return error_wrap(err, "access_token");
    ret_pass->expires_ms = now_ms + 1000 * lifetime_s;
    return 0;
}

void azure_pass_parse_error(char ret_text[256], const void *data, size_t size)
{
    json_auto_t *root = json_loadb(size > 0 ? data : "", size, 0, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    const char *description = json_string_value(json_object_get(root, "error_description"));
    ret_text[0] = '\0';
    if (!error)
        return;
    CLEANUP(own_freep)
    char *text =
        own_format("%s%s%s", error, description ? ": " : "", description ? description : "");
    text[strcspn(text, "\r\n")] = '\0'; /* what follows are ids of the request */
    xml_document_copy(ret_text, 256, text);
}
