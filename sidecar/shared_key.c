// SPDX-License-Identifier: Apache-2.0
#include "sidecar/shared_key.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"

enum { TEXT_BYTES_MAX = 64 * 1024 }; /* of what is signed: all of it is ours */

/* Headers or parameters in the order in which they are signed; lent. */
struct parts {
    const char *items[SHARED_KEY_PARTS_MAX];
    size_t count;
};

static void put_text(struct buf *buf, const char *text)
{
    bytes_put(buf, text, strlen(text));
}

static void put_lower(struct buf *buf, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes_put8(buf, (uint8_t)tolower((unsigned char)text[i]));
}

/* By the names, which the delimiter ends. */
static bool precedes(const char *a, const char *b, char delimiter)
{
    for (; *a != delimiter && *b != delimiter; a++, b++) {
        int difference = tolower((unsigned char)*a) - tolower((unsigned char)*b);
        if (difference != 0)
            return difference < 0;
    }
    return *a == delimiter;
}

static void insert(struct parts *parts, const char *part, char delimiter)
{
    assert(parts->count < SHARED_KEY_PARTS_MAX && strchr(part, delimiter));
    size_t at = parts->count++;
    for (; at > 0 && precedes(part, parts->items[at - 1], delimiter); at--)
        parts->items[at] = parts->items[at - 1];
    parts->items[at] = part;
}

static const char *value_of(const char *part, char delimiter)
{
    const char *value = strchr(part, delimiter) + 1;
    return value + strspn(value, " ");
}

static const char *find_header(const struct shared_key_request *request, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *header = request->headers; *header; header++)
        if (strncasecmp(*header, name, size) == 0 && (*header)[size] == ':')
            return value_of(*header, ':');
    return "";
}

/* The method and the values of these headers, a line each; no length where there is no body. */
static void put_standard_headers(struct buf *buf, const struct shared_key_request *request)
{
    static const char *const before[] = {"Content-Encoding", "Content-Language"};
    static const char *const after[] = {"Content-MD5",         "Content-Type", "Date",
                                        "If-Modified-Since",   "If-Match",     "If-None-Match",
                                        "If-Unmodified-Since", "Range"};
    char length[24] = "";
    if (request->body_size > 0)
        snprintf(length, sizeof(length), "%zu", request->body_size);
    put_text(buf, request->method);
    put_text(buf, "\n");
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        put_text(buf, find_header(request, before[i]));
        put_text(buf, "\n");
    }
    put_text(buf, length);
    put_text(buf, "\n");
    for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
        put_text(buf, find_header(request, after[i]));
        put_text(buf, "\n");
    }
}

/* "x-ms-name:value\n" each */
static void put_own_headers(struct buf *buf, const struct shared_key_request *request)
{
    struct parts parts = {0};
    for (const char *const *header = request->headers; *header; header++)
        if (strncasecmp(*header, "x-ms-", 5) == 0)
            insert(&parts, *header, ':');
    for (size_t i = 0; i < parts.count; i++) {
        put_lower(buf, parts.items[i], strcspn(parts.items[i], ":"));
        put_text(buf, ":");
        put_text(buf, value_of(parts.items[i], ':'));
        put_text(buf, "\n");
    }
}

/* "/account/path", then "\nname:value" each */
static void put_resource(struct buf *buf, const char *account,
                         const struct shared_key_request *request)
{
    struct parts parts = {0};
    const char *const *parameter = request->parameters;
    for (; parameter && *parameter; parameter++)
        insert(&parts, *parameter, '=');
    put_text(buf, "/");
    put_text(buf, account);
    put_text(buf, request->path);
    for (size_t i = 0; i < parts.count; i++) {
        const char *value = strchr(parts.items[i], '=') + 1;
        put_text(buf, "\n");
        put_lower(buf, parts.items[i], (size_t)(value - 1 - parts.items[i]));
        put_text(buf, ":");
        put_text(buf, value);
    }
}

char *shared_key_string_to_sign(const char *account, const struct shared_key_request *request)
{
    CLEANUP(buf_done) struct buf text = BUF(TEXT_BYTES_MAX);
    put_standard_headers(&text, request);
    put_own_headers(&text, request);
    put_resource(&text, account, request);
    return buf_string(&text);
}

char *shared_key_authorization(const struct shared_key_signer *signer,
                               const struct shared_key_request *request)
{
    uint8_t mac[DIGEST_BYTES];
    CLEANUP(own_freep) char *text = shared_key_string_to_sign(signer->account, request);
    digest_hmac_sha256(signer->key, signer->key_size, text, strlen(text), mac);
    CLEANUP(own_freep) char *signature = text_base64(mac, sizeof(mac));
    return own_format("SharedKey %s:%s", signer->account, signature);
}
