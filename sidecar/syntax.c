// SPDX-License-Identifier: Apache-2.0
#include "sidecar/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/text.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define ALNUM LOWER UPPER DIGITS

enum {
    LABEL_MAX = 63,
    SECRET_KEY_MAX = 253,
    SECRET_PREFIX_MAX = 230, /* ".secret-access-key" follows */
    IDENTIFIER_MAX = 63,
    S3_WORD_MAX = 64,
    KMS_KEY_MAX = 512,
    PREFIX_MAX = 256, /* leaves room for the repository's names below STORE_NAME_MAX */
    ENDPOINT_MAX = 300,
    DIRECTORY_MAX = 1024,
    ZONE_MAX = 64,
    IMAGE_MAX = 512,
};

/* 1 to max characters, all of them in characters. */
static bool is_made_of(const char *text, const char *characters, size_t max)
{
    size_t size = strlen(text);
    return size > 0 && size <= max && strspn(text, characters) == size;
}

static bool is_dns_label(const char *text, size_t max)
{
    return is_made_of(text, LOWER DIGITS "-", max) && text[0] != '-' &&
           text[strlen(text) - 1] != '-';
}

static bool has_control_character(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

static bool is_dots(const char *part, size_t size)
{
    return (size == 1 || size == 2) && strncmp(part, "..", size) == 0;
}

const char *syntax_label(const char *text)
{
    return is_dns_label(text, LABEL_MAX)
               ? NULL
               : "a DNS label of at most 63 characters (a-z, 0-9 and '-' within)";
}

const char *syntax_policy_name(const char *text)
{
    return is_dns_label(text, 40)
               ? NULL
               : "a DNS label of at most 40 characters (a-z, 0-9 and '-' within)";
}

const char *syntax_short_name(const char *text)
{
    return is_dns_label(text, 20)
               ? NULL
               : "a DNS label of at most 20 characters (a-z, 0-9 and '-' within)";
}

static bool is_secret_key(const char *text, size_t max)
{
    return is_made_of(text, ALNUM "._-", max) && !text_starts_with(text, "..") &&
           strcmp(text, ".") != 0;
}

const char *syntax_secret_key(const char *text)
{
    return is_secret_key(text, SECRET_KEY_MAX)
               ? NULL
               : "a key of the policy's Secret (at most 253 of A-Z, a-z, 0-9, '.', '_' and '-')";
}

const char *syntax_secret_prefix(const char *text)
{
    return is_secret_key(text, SECRET_PREFIX_MAX)
               ? NULL
               : "the start of keys of the policy's Secret (at most 230 of A-Z, a-z, 0-9, '.', '_' "
                 "and '-')";
}

const char *syntax_identifier(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= IDENTIFIER_MAX && !has_control_character(text)
               ? NULL
               : "a name of 1 to 63 bytes";
}

const char *syntax_bucket(const char *text)
{
    size_t size = strlen(text);
    bool good = size >= 3 && is_made_of(text, LOWER DIGITS ".-", 63) && !strstr(text, "..") &&
                !strchr(".-", text[0]) && !strchr(".-", text[size - 1]);
    return good ? NULL : "a bucket's name (3 to 63 of a-z, 0-9, '.' and '-')";
}

const char *syntax_storage_class(const char *text)
{
    return is_made_of(text, UPPER DIGITS "_", S3_WORD_MAX) ? NULL
                                                           : "a storage class such as STANDARD_IA";
}

const char *syntax_s3_region(const char *text)
{
    return is_made_of(text, ALNUM "_-", S3_WORD_MAX) ? NULL : "a region such as eu-central-1";
}

const char *syntax_kms_key(const char *text)
{
    return is_made_of(text, ALNUM ":/_-", KMS_KEY_MAX) ? NULL
                                                       : "the ARN or the id of a key of AWS KMS";
}

const char *syntax_container(const char *text)
{
    size_t size = strlen(text);
    bool good = size >= 3 && is_made_of(text, LOWER DIGITS "-", 63) && !strstr(text, "--") &&
                text[0] != '-' && text[size - 1] != '-';
    return good ? NULL : "a container's name (3 to 63 of a-z, 0-9 and single '-' within)";
}

const char *syntax_account(const char *text)
{
    return strlen(text) >= 3 && is_made_of(text, LOWER DIGITS, 24)
               ? NULL
               : "a storage account's name (3 to 24 of a-z and 0-9)";
}

static bool is_port(const char *text)
{
    return is_made_of(text, DIGITS, 5) && text[0] != '0' && strtoul(text, NULL, 10) <= 65535;
}

const char *syntax_endpoint(const char *text)
{
    static const char expected[] = "an endpoint such as https://s3.example.com:9000";
    if (strlen(text) > ENDPOINT_MAX)
        return expected;
    const char *host = text_starts_with(text, "https://")  ? text + strlen("https://")
                       : text_starts_with(text, "http://") ? text + strlen("http://")
                                                           : "";
    bool literal = host[0] == '['; /* an IPv6 address */
    size_t size =
        literal ? 1 + strspn(host + 1, "0123456789abcdefABCDEF:.") : strspn(host, ALNUM ".-");
    if (size <= (literal ? 1U : 0U) || (literal && host[size++] != ']'))
        return expected;
    return !host[size] || (host[size] == ':' && is_port(host + size + 1)) ? NULL : expected;
}

const char *syntax_prefix(const char *text)
{
    static const char expected[] =
        "parts of A-Z, a-z, 0-9, '.', '_' and '-' between single slashes, none at either end";
    if (!*text)
        return NULL;
    if (!is_made_of(text, ALNUM "._-/", PREFIX_MAX))
        return expected;
    for (const char *part = text;;) {
        size_t size = strcspn(part, "/");
        if (size == 0 || is_dots(part, size))
            return expected;
        if (!part[size])
            return NULL;
        part += size + 1;
    }
}

const char *syntax_directory(const char *text)
{
    static const char expected[] = "the absolute path of a directory, without '..'";
    if (text[0] != '/' || strlen(text) > DIRECTORY_MAX || has_control_character(text))
        return expected;
    for (const char *part = text; *part; part += strcspn(part, "/")) {
        part += strspn(part, "/");
        if (strcspn(part, "/") == 2 && text_starts_with(part, ".."))
            return expected;
    }
    return NULL;
}

const char *syntax_time_zone(const char *text)
{
    return is_made_of(text, ALNUM "_+-/", ZONE_MAX) && strspn(text, LOWER UPPER) > 0 &&
                   text[strlen(text) - 1] != '/'
               ? NULL
               : "a time zone such as Europe/Berlin";
}

const char *syntax_image(const char *text)
{
    return is_made_of(text, ALNUM "._-/:@", IMAGE_MAX) ? NULL : "a container image";
}

bool syntax_is_among(const char *text, const char *const *texts, size_t count)
{
    for (size_t i = 0; text && i < count; i++)
        if (texts[i] && strcmp(texts[i], text) == 0)
            return true;
    return false;
}

const char *syntax_string(struct fields *fields, const char *name, const char *fallback,
                          syntax_rule rule)
{
    const char *text = fields_string(fields, name, fallback);
    const char *expected = text ? rule(text) : NULL;
    if (expected)
        fields_refuse(fields, name, expected);
    return expected ? fallback : text;
}
