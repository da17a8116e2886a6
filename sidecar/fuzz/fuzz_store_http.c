// SPDX-License-Identifier: Apache-2.0
/* What a store, or a proxy before it, answers to a get of a part: a byte chooses the status,
 * varints are the offset and size asked for, a line is the value of Content-Range and of
 * Retry-After, the rest is the body. What comes of it is what was asked for, or an error that
 * leaves nothing. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/http.h"
#include "common/own.h"
#include "sidecar/store.h"
#include "sidecar/store_http.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, DATA_MAX = 64, ANSWER_MAX = 1 << 20 };

static const int64_t now_ms = INT64_C(784111777000); /* 6 November 1994 08:49:37 */
static const char held[] = "held before";

struct answer {
    int status;
    const char *line;
    const uint8_t *body;
    size_t size;
};
static struct answer answer; /* that ask gives */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool met)
{
    if (!met)
        abort();
}

static void check_range(const char *text)
{
    struct store_http_range range, again;
    char written[96], length[24] = "*";
    if (!store_http_parse_range(text, &range))
        return;
    expect(range.first <= range.last && (range.length == 0 || range.last < range.length));
    if (range.length > 0)
        snprintf(length, sizeof(length), "%" PRIu64, range.length);
    snprintf(written, sizeof(written), "bytes %" PRIu64 "-%" PRIu64 "/%s", range.first, range.last,
             length);
    expect(store_http_parse_range(written, &again));
    expect(again.first == range.first && again.last == range.last && again.length == range.length);
}

static void check_wish(const char *text)
{
    int64_t delay_ms, again_ms;
    char written[24];
    if (!store_http_parse_wish(text, now_ms, &delay_ms))
        return;
    expect(delay_ms >= 0 && delay_ms <= DAY_MS && delay_ms % 1000 == 0);
    snprintf(written, sizeof(written), "%" PRId64, delay_ms / 1000);
    expect(store_http_parse_wish(written, now_ms, &again_ms) && again_ms == delay_ms);
}

static int ask(struct store *store, const struct store_http_part *part,
               struct http_response *response, struct error *err)
{
    (void)store;
    (void)part;
    response->status = answer.status;
    response->headers.limit = response->body.limit = ANSWER_MAX;
    if (buf_format(&response->headers, err, "content-range: %s\n", answer.line) < 0 ||
        buf_append(&response->body, answer.body, answer.size, err) < 0)
        return -1;
    return answer.status / 100 == 2 ? 0 : error_set(err, ERROR_PERMANENT, "a failure");
}

/* What a get of [offset, offset + size) adds is that part of the object, which is the body if the
 * range was not heeded, or else the part itself. */
static void check_added(const struct store_http_part *part, const uint8_t *added, size_t size)
{
    const uint64_t skipped = answer.status != 200         ? 0
                             : part->offset < answer.size ? part->offset
                                                          : answer.size;
    expect(size <= part->size && size <= answer.size - skipped);
    expect(size == 0 || memcmp(added, answer.body + skipped, size) == 0);
    if (answer.status == 200)
        expect(size == part->size || size == answer.size - skipped);
    else
        expect(size == 0 || size == answer.size);
}

static void check_get(const struct store_http_part *asked, const char *before)
{
    struct store store = {0};
    struct store_http_part part = *asked;
    struct error err;
    CLEANUP(buf_done) struct buf data = BUF(DATA_MAX);
    const size_t start = strlen(before);
    expect(buf_append(&data, before, start, &err) == 0);
    const int result = store_http_get(&store, ask, &part, &data, &err);
    expect(data.size >= start && data.size <= DATA_MAX);
    expect(start == 0 || memcmp(data.data, before, start) == 0);
    if (result == 0)
        check_added(asked, data.data + start, data.size - start);
    else
        expect(data.size == start && err.kind == ERROR_PERMANENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 206, 416, 503};
    struct reader reader = READER(data, size);
    const uint8_t *status = reader_bytes(&reader, 1);
    struct store_http_part part = {.name = "a"};
    part.offset = reader_varint_max(&reader, INT64_MAX - 1);
    part.size = reader_varint_max(&reader, INT64_MAX - 1) + 1;
    if (reader.bad)
        return 0;
    const size_t left = reader_left(&reader);
    const uint8_t *newline = left > 0 ? memchr(reader.at, '\n', left) : NULL;
    const size_t length = newline ? (size_t)(newline - reader.at) : left;
    CLEANUP(own_freep) char *line = own_alloc(length + 1);
    if (length > 0)
        memcpy(line, reader.at, length);
    check_range(line);
    check_wish(line);
    answer = (struct answer){.status = statuses[status[0] % 4], .line = line};
    answer.body = newline ? newline + 1 : reader.end;
    answer.size = (size_t)(reader.end - answer.body);
    check_get(&part, "");
    check_get(&part, held);
    return 0;
}
