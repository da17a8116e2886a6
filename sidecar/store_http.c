// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_http.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/store.h"

enum { WISH_MAX_MS = 24 * 60 * 60 * 1000 };

static void swap_memory(struct buf *a, struct buf *b)
{
    struct buf held = *a;
    size_t a_limit = a->limit, b_limit = b->limit;
    *a = *b;
    *b = held;
    a->limit = a_limit;
    b->limit = b_limit;
}

/* Reads digits and what follows them; NULL: another follows, or they say too much. */
static const char *read_number(const char *text, char follows, uint64_t *ret_number)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return NULL;
    *ret_number = strtoull(text, &end, 10);
    return *end == follows && *ret_number < INT64_MAX ? end + 1 : NULL;
}

bool store_http_parse_range(const char *text, struct store_http_range *ret_range)
{
    struct store_http_range range = {0};
    if (!text_starts_with(text, "bytes "))
        return false;
    text = read_number(text + strlen("bytes "), '-', &range.first);
    text = text ? read_number(text, '/', &range.last) : NULL;
    if (!text || range.first > range.last)
        return false;
    if (strcmp(text, "*") != 0 &&
        (!read_number(text, '\0', &range.length) || range.last >= range.length))
        return false;
    *ret_range = range;
    return true;
}

/* As Azurite says, in place of 416, that the object ends right before the part: "bytes 10-9/10". */
static bool is_end(const char *text, const struct store_http_part *part)
{
    char end[96];
    snprintf(end, sizeof(end), "bytes %" PRIu64 "-%" PRId64 "/%" PRIu64, part->offset,
             (int64_t)part->offset - 1, part->offset);
    return strcmp(text, end) == 0;
}

/* Leaves in body what was asked for. */
static int cut_body(const struct http_response *response, const struct store_http_part *part,
                    struct buf *body, struct error *err)
{
    char text[96];
    struct store_http_range range;
    if (response->status == 200) { /* the range was not heeded: this is the whole object */
        size_t skipped = part->offset < body->size ? (size_t)part->offset : body->size;
        memmove(body->data, body->data + skipped, body->size - skipped);
        body->size -= skipped;
        body->size = body->size < part->size ? body->size : (size_t)part->size;
        return 0;
    }
    if (!http_header(response, "content-range", text, sizeof(text)))
        text[0] = '\0';
    if (body->size == 0 && is_end(text, part))
        return 0;
    bool good = store_http_parse_range(text, &range) && range.first == part->offset &&
                range.last - range.first + 1 == body->size && body->size <= part->size &&
                (body->size == part->size || range.length == 0 || range.last + 1 == range.length);
    return good ? 0
                : error_set(err, ERROR_PERMANENT,
                            "the store answered with another range than asked");
}

/* The response has only what was asked for, or nothing. */
static int get_part(struct store *store, store_http_ask ask, const struct store_http_part *part,
                    struct http_response *response, struct error *err)
{
    int result = ask(store, part, response, err);
    if (result < 0 && response->status == 416) { /* nothing from there on */
        buf_clear(&response->body);
        return 0;
    }
    return result < 0 ? -1 : cut_body(response, part, &response->body, err);
}

void store_http_note_clock(struct store *store, const struct http_response *response)
{
    char date[64];
    int64_t theirs;
    if (http_header(response, "date", date, sizeof(date)) && clock_parse_http(date, &theirs))
        store->clock_skew_ms = theirs - clock_now_ms();
}

void store_http_note_move(void *arg, size_t bytes)
{
    struct store *store = arg;
    (void)bytes;
    store->moved_ms = clock_monotonic_ms();
}

bool store_http_parse_wish(const char *text, int64_t now_ms, int64_t *ret_delay_ms)
{
    int64_t date_ms;
    char *end;
    if (isdigit((unsigned char)text[0])) {
        const unsigned long seconds = strtoul(text, &end, 10);
        *ret_delay_ms =
            seconds < WISH_MAX_MS / 1000 ? INT64_C(1000) * (int64_t)seconds : WISH_MAX_MS;
        return *end == '\0';
    }
    if (!clock_parse_http(text, &date_ms))
        return false;
    const int64_t delay_ms = date_ms - now_ms;
    *ret_delay_ms = delay_ms < 0 ? 0 : delay_ms < WISH_MAX_MS ? delay_ms : WISH_MAX_MS;
    return true;
}

void store_http_note_wish(struct store *store, const struct http_response *response)
{
    char text[64];
    int64_t delay_ms;
    if (http_header(response, "retry-after", text, sizeof(text)) &&
        store_http_parse_wish(text, clock_now_ms() + store->clock_skew_ms, &delay_ms))
        store->retry_at_ms = clock_monotonic_ms() + delay_ms;
}

int store_http_get(struct store *store, store_http_ask ask, struct store_http_part *part,
                   struct buf *data, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    uint64_t last =
        part->size <= INT64_MAX - part->offset ? part->offset + part->size - 1 : INT64_MAX - 1;
    snprintf(part->range, sizeof(part->range), "bytes=%" PRIu64 "-%" PRIu64, part->offset, last);
    bool lend = data->size == 0; /* then the answer comes straight into the memory of data */
    if (lend)
        swap_memory(&response.body, data);
    int result = get_part(store, ask, part, &response, err);
    if (result == 0 && response.body.size > data->limit - data->size)
        result = error_set(err, ERROR_PERMANENT, "larger than %zu bytes", data->limit);
    if (result < 0)
        buf_clear(&response.body);
    if (lend) {
        swap_memory(&response.body, data);
        return result;
    }
    return result < 0 ? -1 : buf_append(data, response.body.data, response.body.size, err);
}
