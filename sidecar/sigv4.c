// SPDX-License-Identifier: Apache-2.0
#include "sidecar/sigv4.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"

enum {
    REQUEST_BYTES_MAX = 1 << 20, /* of a canonical request: all of it is ours */
    DATE_BYTES = 8,              /* "20130524" */
    HEX_BYTES = 2 * DIGEST_BYTES + 1,
};

/* A header or a parameter of a query. */
struct part {
    char *name, *value;
};

struct parts {
    struct part items[SIGV4_PARTS_MAX];
    size_t count;
};

static void done_parts(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        free(parts->items[i].name);
        free(parts->items[i].value);
    }
}

static char *copy_text(const char *text, size_t size)
{
    char *copy = own_alloc(size + 1);
    memcpy(copy, text, size);
    return copy;
}

static bool precedes(const struct part *a, const struct part *b, bool by_value)
{
    int order = strcmp(a->name, b->name);
    if (order == 0 && by_value)
        order = strcmp(a->value, b->value);
    return order < 0;
}

/* Keeps parts sorted; equal ones stay in the order in which they came. */
static void insert_part(struct parts *parts, struct part part, bool by_value)
{
    assert(parts->count < SIGV4_PARTS_MAX);
    size_t at = parts->count++;
    for (; at > 0 && precedes(&part, &parts->items[at - 1], by_value); at--)
        parts->items[at] = parts->items[at - 1];
    parts->items[at] = part;
}

/* Lower case, as names of headers are compared. */
static char *header_name(const char *header, size_t size)
{
    char *name = copy_text(header, size);
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

/* Without white space around, and with one space for each run of it inside. */
static char *header_value(const char *text)
{
    char *value = own_alloc(strlen(text) + 1), *to = value;
    for (const char *from = text; *from; from++) {
        bool space = *from == ' ' || *from == '\t';
        if (!space)
            *to++ = *from;
        else if (to > value && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > value && to[-1] == ' ')
        to[-1] = '\0';
    return value;
}

static void split_headers(const char *const *headers, struct parts *parts)
{
    for (; *headers; headers++) {
        const char *colon = strchr(*headers, ':');
        assert(colon);
        insert_part(parts,
                    (struct part){header_name(*headers, (size_t)(colon - *headers)),
                                  header_value(colon + 1)},
                    false);
    }
}

/* Sorted by name, then by value; a parameter without value has an empty one. */
static void split_query(const char *query, struct parts *parts)
{
    while (*query) {
        size_t size = strcspn(query, "&"), name_size = strcspn(query, "=&");
        size_t value_at = name_size < size ? name_size + 1 : size;
        insert_part(parts,
                    (struct part){copy_text(query, name_size),
                                  copy_text(query + value_at, size - value_at)},
                    true);
        query += size;
        query += *query == '&';
    }
}

static void put_text(struct buf *buf, const char *text)
{
    bytes_put(buf, text, strlen(text));
}

static void put_query(struct buf *buf, const char *query)
{
    CLEANUP(done_parts) struct parts parts = {0};
    split_query(query, &parts);
    for (size_t i = 0; i < parts.count; i++) {
        put_text(buf, i > 0 ? "&" : "");
        put_text(buf, parts.items[i].name);
        put_text(buf, "=");
        put_text(buf, parts.items[i].value);
    }
}

/* "name:value\n" each; those of one name in one line, joined by commas. */
static void put_headers(struct buf *buf, const struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        bool again = i > 0 && strcmp(part->name, part[-1].name) == 0;
        if (!again) {
            put_text(buf, i > 0 ? "\n" : "");
            put_text(buf, part->name);
        }
        put_text(buf, again ? "," : ":");
        put_text(buf, part->value);
    }
    put_text(buf, "\n");
}

static void put_names(struct buf *buf, const struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        if (i > 0 && strcmp(part->name, part[-1].name) == 0)
            continue;
        put_text(buf, i > 0 ? ";" : "");
        put_text(buf, part->name);
    }
}

static void put_request(struct buf *buf, const struct sigv4_request *request,
                        const struct parts *headers)
{
    put_text(buf, request->method);
    put_text(buf, "\n");
    put_text(buf, request->path);
    put_text(buf, "\n");
    put_query(buf, request->query);
    put_text(buf, "\n");
    put_headers(buf, headers);
    put_text(buf, "\n");
    put_names(buf, headers);
    put_text(buf, "\n");
    put_text(buf, request->payload_hash);
}

/* The key is derived from the secret in four steps, one for each part of the scope. */
static void sign(const struct sigv4_signer *signer, const char *time, const char *text,
                 uint8_t ret_signature[DIGEST_BYTES])
{
    CLEANUP(buf_done) struct buf secret = BUF_SECRET(REQUEST_BYTES_MAX);
    uint8_t key[DIGEST_BYTES];
    const char *const steps[] = {signer->region, signer->service, "aws4_request"};
    put_text(&secret, "AWS4");
    put_text(&secret, signer->secret_access_key);
    digest_hmac_sha256(secret.data, secret.size, time, DATE_BYTES, key);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        digest_hmac_sha256(key, sizeof(key), steps[i], strlen(steps[i]), key);
    digest_hmac_sha256(key, sizeof(key), text, strlen(text), ret_signature);
    buf_wipe(key, sizeof(key));
}

char *sigv4_canonical_request(const struct sigv4_request *request)
{
    CLEANUP(buf_done) struct buf text = BUF(REQUEST_BYTES_MAX);
    CLEANUP(done_parts) struct parts headers = {0};
    split_headers(request->headers, &headers);
    put_request(&text, request, &headers);
    return buf_string(&text);
}

char *sigv4_authorization(const struct sigv4_signer *signer, const struct sigv4_request *request)
{
    CLEANUP(buf_done) struct buf text = BUF(REQUEST_BYTES_MAX), names = BUF(REQUEST_BYTES_MAX);
    CLEANUP(done_parts) struct parts headers = {0};
    uint8_t hash[DIGEST_BYTES];
    char hex[HEX_BYTES];

    split_headers(request->headers, &headers);
    put_request(&text, request, &headers);
    digest_sha256(text.data, text.size, hash);
    text_hex(hash, sizeof(hash), hex);
    CLEANUP(own_freep)
    char *scope = own_format("%.*s/%s/%s/aws4_request", DATE_BYTES, request->time, signer->region,
                             signer->service);
    CLEANUP(own_freep)
    char *to_sign = own_format("AWS4-HMAC-SHA256\n%s\n%s\n%s", request->time, scope, hex);

    sign(signer, request->time, to_sign, hash);
    text_hex(hash, sizeof(hash), hex);
    put_names(&names, &headers);
    CLEANUP(own_freep) char *signed_headers = buf_string(&names);
    return own_format("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                      signer->access_key_id, scope, signed_headers, hex);
}
