// SPDX-License-Identifier: Apache-2.0
/* Reads any bytes as varints and byte strings; what was read well means the same when written. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void expect_same_when_written(uint64_t value)
{
    CLEANUP(buf_done) struct buf buf = BUF(32);
    bytes_put_varint(&buf, value);
    bytes_put_zigzag(&buf, (int64_t)value);
    struct reader reader = READER(buf.data, buf.size);
    struct error err;
    expect(reader_varint(&reader) == value);
    expect(reader_zigzag(&reader) == (int64_t)value);
    expect(reader_end(&reader, "varints", &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader = READER(data, size);
    volatile uint8_t sum = 0; /* so that the reads stay */
    while (reader_left(&reader) > 0) {
        uint64_t length = reader_varint(&reader);
        if (!reader.bad)
            expect_same_when_written(length);
        const uint8_t *bytes = reader_bytes(&reader, (size_t)length);
        for (size_t i = 0; bytes && i < length; i++)
            sum = sum ^ bytes[i];
    }
    struct error err = {0};
    if (reader_end(&reader, "input", &err) < 0)
        expect(err.kind == ERROR_CORRUPT);
    return 0;
}
