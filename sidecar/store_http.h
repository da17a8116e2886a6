// SPDX-License-Identifier: Apache-2.0
/*
 * What drivers of stores that are asked by HTTP have in common: the clock and the wishes of a
 * service, and getting a part of an object straight into the memory where it is wanted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct http_response;
struct store;

/* Sets clock_skew_ms by the answer's Date. */
void store_http_note_clock(struct store *store, const struct http_response *response);
/* Sets retry_at_ms by Retry-After (RFC 9110, 10.2.3): seconds, or a date of the store's clock. */
void store_http_note_wish(struct store *store, const struct http_response *response);

/* The progress of a request, of struct http_request: arg is the store. */
void store_http_note_move(void *arg, size_t bytes);

/* Pure: the value of a Retry-After at now_ms of the store's clock, from 0 to a day; false: it is
 * none. */
bool store_http_parse_wish(const char *text, int64_t now_ms, int64_t *ret_delay_ms);

/* "bytes 0-9/443" (RFC 9110, 14.4) */
struct store_http_range {
    uint64_t first, last;
    uint64_t length; /* of the object; 0: unknown ('*') */
};
/* Pure: the value of a Content-Range; false: it is none of a part, or contradicts itself. */
bool store_http_parse_range(const char *text, struct store_http_range *ret_range);

/* Whether objects of a bucket may be under retention of their own. */
enum store_http_locks {
    STORE_HTTP_LOCKS_UNKNOWN,
    STORE_HTTP_LOCKS_NONE,
    STORE_HTTP_LOCKS_POSSIBLE
};

struct store_http_part {
    const char *name;
    uint64_t offset, size;
    char range[64]; /* of store_http_get for ask: the value of the header Range */
};

/* A driver's: asks for that part of an object; 0 with an answer of success. With 416 as status of
 * the response an error means that the object ends before the part. */
typedef int (*store_http_ask)(struct store *store, const struct store_http_part *part,
                              struct http_response *response, struct error *err);

/* The get of struct store_driver. PERMANENT: another range than the one asked for came, or more
 * than fits; and the errors of ask. */
MUST_CHECK int store_http_get(struct store *store, store_http_ask ask, struct store_http_part *part,
                              struct buf *data, struct error *err);
