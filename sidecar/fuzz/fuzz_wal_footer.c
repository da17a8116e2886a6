// SPDX-License-Identifier: Apache-2.0
/* Footers of WAL and of histories that somebody with the key made. What is accepted is of a part of
 * a segment that can be, has a name, and is the same when written. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/wal_archive.h"

enum { FOOTER_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static bool same(const struct wal_piece *a, const struct wal_piece *b)
{
    return a->timeline == b->timeline && a->segment_lsn == b->segment_lsn &&
           a->segment_bytes == b->segment_bytes && a->from == b->from && a->to == b->to;
}

static void check_segment(const uint8_t *data, size_t size)
{
    struct wal_piece piece, again;
    struct error err;
    char name[WAL_ARCHIVE_NAME_MAX];
    CLEANUP(buf_done) struct buf written = BUF(FOOTER_MAX);
    if (wal_archive_parse_footer(data, size, &piece, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return;
    }
    expect(wal_segment_bytes_valid(piece.segment_bytes) && piece.from < piece.to);
    expect(piece.to <= piece.segment_bytes && piece.segment_lsn % piece.segment_bytes == 0);
    wal_archive_format_footer(&piece, &written);
    expect(wal_archive_parse_footer(written.data, written.size, &again, &err) == 0);
    expect(same(&piece, &again));
    wal_archive_format_name(&piece, "0123456789abcdef", name);
    expect(wal_archive_parse_name(name, piece.segment_bytes, &again) == 0 && same(&piece, &again));
}

static void check_history(const uint8_t *data, size_t size)
{
    uint32_t timeline, again;
    struct error err;
    CLEANUP(buf_done) struct buf written = BUF(FOOTER_MAX);
    if (wal_archive_parse_history_footer(data, size, &timeline, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return;
    }
    bytes_put_varint(&written, timeline);
    expect(wal_archive_parse_history_footer(written.data, written.size, &again, &err) == 0);
    expect(timeline == again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_segment(data, size);
    check_history(data, size);
    return 0;
}
