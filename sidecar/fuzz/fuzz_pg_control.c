// SPDX-License-Identifier: Apache-2.0
/* Any bytes are a control file with sane values, of an unknown version, or CORRUPT; also when their
 * CRC is right. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/bytes.h"
#include "sidecar/crc32c.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const uint8_t *data, size_t size)
{
    struct pg_control control;
    struct error err;
    if (pg_control_parse(data, size, &control, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return;
    }
    assert(control.state <= PG_CONTROL_IN_PRODUCTION && control.segment_blocks > 0);
    assert(wal_segment_bytes_valid(control.wal_segment_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    if (size < 296)
        return 0;
    uint8_t mended[296];
    memcpy(mended, data, sizeof(mended));
    size_t end = bytes_load32(mended + 8) == 1800 ? 292 : 288;
    bytes_store32(mended + end, crc32c_extend(0, mended, end));
    parse(mended, sizeof(mended));
    return 0;
}
