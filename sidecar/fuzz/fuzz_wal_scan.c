// SPDX-License-Identifier: Apache-2.0
/* Pages of WAL, as anybody may have put them into a bucket whose keys he has: the same records in
 * whatever pieces they come, in their order, up to an end or CORRUPT. The first page says where it
 * belongs; checksums of records that a change made wrong are mended, so that what is behind them is
 * reached. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/wal_scan.h"

enum { MIB = 1 << 20, PIECE = 13, PAGE_HEADER = 24, FLAG_LONG = 2, RECORDS_MAX = 4096 };

struct findings {
    size_t count;
    uint64_t lsns[RECORDS_MAX];
    bool corrupt, ended;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void check(const struct wal_record *record, const struct wal_record *before)
{
    expect(record->kind != WAL_RECORD_NONE && record->size >= WAL_RECORD_HEADER_BYTES);
    expect(record->end_lsn >= record->lsn + record->size && record->end_lsn % 8 == 0);
    expect(record->lsn >= before->end_lsn && record->lsn % 8 == 0);
}

static void scan(const uint8_t *data, size_t size, size_t piece, struct findings *findings)
{
    struct wal_record record, before = {.kind = WAL_RECORD_NONE};
    struct error err;
    int found = 0;
    uint64_t lsn = bytes_load64(data + 8) % (UINT64_C(1) << 60);
    struct wal_scan scan = wal_scan_from(lsn - lsn % WAL_SCAN_PAGE_BYTES, MIB, 0);
    for (size_t at = 0; at < size && found == 0; at += piece) {
        struct reader wal = READER(data + at, size - at < piece ? size - at : piece);
        while ((found = wal_scan_next(&scan, &wal, &record, &err)) > 0) {
            check(&record, &before);
            expect(findings->count < RECORDS_MAX);
            findings->lsns[findings->count++] = record.lsn;
            before = record;
        }
        expect(found < 0 ? err.kind == ERROR_CORRUPT : reader_left(&wal) == 0);
    }
    findings->corrupt = found < 0;
    findings->ended = wal_scan_ended(&scan);
}

/* Of records that lie on one page, which are found by their sizes as long as these make sense. */
static void mend(uint8_t *data, size_t size)
{
    const size_t end = size < WAL_SCAN_PAGE_BYTES ? size : WAL_SCAN_PAGE_BYTES;
    size_t at = bytes_load16(data + 2) & FLAG_LONG ? 40 : PAGE_HEADER;
    at += (size_t)bytes_load32(data + 16) + 7;
    for (at -= at % 8; at + WAL_RECORD_HEADER_BYTES <= end;) {
        const uint32_t bytes = bytes_load32(data + at);
        if (bytes < WAL_RECORD_HEADER_BYTES || bytes > end - at)
            return;
        uint32_t crc =
            crc32c_extend(0, data + at + WAL_RECORD_HEADER_BYTES, bytes - WAL_RECORD_HEADER_BYTES);
        bytes_store32(data + at + 20, crc32c_extend(crc, data + at, 20));
        at += (bytes + 7) / 8 * 8;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct findings whole, pieces;
    if (size < PAGE_HEADER || size > 8 * WAL_SCAN_PAGE_BYTES)
        return 0;
    CLEANUP(own_freep) uint8_t *mended = own_alloc(size);
    memcpy(mended, data, size);
    mend(mended, size);
    memset(&whole, 0, sizeof(whole));
    memset(&pieces, 0, sizeof(pieces));
    scan(mended, size, size, &whole);
    scan(mended, size, PIECE, &pieces);
    expect(memcmp(&whole, &pieces, sizeof(whole)) == 0);
    return 0;
}
