// SPDX-License-Identifier: Apache-2.0
#include "common/bytes.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

enum { VARINT_BYTES_MAX = 10 };

uint16_t bytes_load16(const void *p)
{
    uint16_t value;
    memcpy(&value, p, sizeof(value));
    return le16toh(value);
}

uint32_t bytes_load32(const void *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return le32toh(value);
}

uint64_t bytes_load64(const void *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return le64toh(value);
}

void bytes_store16(void *p, uint16_t value)
{
    value = htole16(value);
    memcpy(p, &value, sizeof(value));
}

void bytes_store32(void *p, uint32_t value)
{
    value = htole32(value);
    memcpy(p, &value, sizeof(value));
}

void bytes_store64(void *p, uint64_t value)
{
    value = htole64(value);
    memcpy(p, &value, sizeof(value));
}

static uint64_t turn_bad(struct reader *reader)
{
    reader->bad = true;
    return 0;
}

struct reader reader_over(const void *data, size_t size)
{
    const uint8_t *at = data;
    return (struct reader){.at = at, .end = size > 0 ? at + size : at};
}

uint64_t reader_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; !reader->bad && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1)
            return turn_bad(reader); /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
    return turn_bad(reader);
}

uint64_t reader_varint_max(struct reader *reader, uint64_t max)
{
    uint64_t value = reader_varint(reader);
    return value <= max ? value : turn_bad(reader);
}

int64_t reader_zigzag(struct reader *reader)
{
    uint64_t value = reader_varint(reader);
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

const uint8_t *reader_bytes(struct reader *reader, size_t size)
{
    if (reader->bad || size > reader_left(reader)) {
        reader->bad = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    if (size > 0)
        reader->at += size;
    return bytes;
}

size_t reader_left(const struct reader *reader)
{
    return reader->bad ? 0 : (size_t)(reader->end - reader->at);
}

int reader_end(const struct reader *reader, const char *what, struct error *err)
{
    if (reader->bad)
        return error_set(err, ERROR_CORRUPT, "%s: cut short, or a number out of range", what);
    if (reader_left(reader) > 0)
        return error_set(err, ERROR_CORRUPT, "%s: %zu bytes too many", what, reader_left(reader));
    return 0;
}

void bytes_put(struct buf *buf, const void *data, size_t size)
{
    struct error err;
    if (buf_append(buf, data, size, &err) < 0)
        abort();
}

void bytes_put8(struct buf *buf, uint8_t value)
{
    bytes_put(buf, &value, sizeof(value));
}

void bytes_put_varint(struct buf *buf, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t count = 0;
    while (value >= 0x80) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    bytes_put(buf, bytes, count);
}

void bytes_put_zigzag(struct buf *buf, int64_t value)
{
    bytes_put_varint(buf, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}
