// SPDX-License-Identifier: Apache-2.0
/* The rest of a record whose checksum was right: read the same in whatever pieces it comes, or
 * CORRUPT. First come resource manager, info and the low byte of the page's magic. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "sidecar/wal_record.h"

enum { PREFIX = 3, PIECE = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static int read_record(const uint8_t *data, size_t size, size_t piece, struct wal_record *record)
{
    struct wal_record_reader reader;
    struct error err;
    uint8_t header[WAL_RECORD_HEADER_BYTES] = {0};
    bytes_store32(header, (uint32_t)(sizeof(header) + size - PREFIX));
    header[17] = data[0];
    header[16] = data[1];
    wal_record_begin(&reader, header, (uint16_t)(0xd100 | data[2]));
    for (size_t at = PREFIX; at < size; at += piece)
        wal_record_feed(&reader, data + at, size - at < piece ? size - at : piece);
    int result = wal_record_end(&reader, record, &err);
    expect(result == 0 || err.kind == ERROR_CORRUPT);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_record whole = {0}, pieces = {0};
    if (size < PREFIX)
        return 0;
    int result = read_record(data, size, size, &whole);
    expect(read_record(data, size, PIECE, &pieces) == result);
    expect(whole.kind == pieces.kind && whole.xid == pieces.xid);
    expect(whole.time_us == pieces.time_us &&
           memcmp(whole.name, pieces.name, sizeof(whole.name)) == 0);
    expect(memcmp(&whole.demands, &pieces.demands, sizeof(whole.demands)) == 0);
    if (result == 0)
        expect(whole.kind != WAL_RECORD_NONE && memchr(whole.name, 0, sizeof(whole.name)));
    return 0;
}
