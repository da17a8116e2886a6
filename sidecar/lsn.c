// SPDX-License-Identifier: Apache-2.0
#include "sidecar/lsn.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Reads 1 to 8 digits; gives how many, 0 if there is none or a ninth. */
static size_t parse_half(const char *text, uint32_t *ret_half)
{
    uint32_t half = 0;
    size_t digits = 0;
    for (; hex_digit(text[digits]) >= 0; digits++) {
        if (digits == 8)
            return 0;
        half = half << 4 | (uint32_t)hex_digit(text[digits]);
    }
    *ret_half = half;
    return digits;
}

void lsn_format(uint64_t lsn, char ret_text[LSN_TEXT_BYTES])
{
    snprintf(ret_text, LSN_TEXT_BYTES, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32),
             (uint32_t)lsn);
}

bool lsn_parse(const char *text, uint64_t *ret_lsn)
{
    uint32_t high, low;
    size_t digits = parse_half(text, &high);
    if (digits == 0 || text[digits] != '/')
        return false;
    text += digits + 1;
    digits = parse_half(text, &low);
    if (digits == 0 || text[digits] != '\0')
        return false;
    *ret_lsn = (uint64_t)high << 32 | low;
    return true;
}

bool wal_segment_bytes_valid(uint64_t segment_bytes)
{
    return segment_bytes >= 1 << 20 && segment_bytes <= 1 << 30 &&
           (segment_bytes & (segment_bytes - 1)) == 0;
}

void wal_segment_name(uint32_t timeline, uint64_t lsn, uint32_t segment_bytes,
                      char ret_name[WAL_SEGMENT_NAME_BYTES])
{
    assert(wal_segment_bytes_valid(segment_bytes));
    snprintf(ret_name, WAL_SEGMENT_NAME_BYTES, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32, timeline,
             (uint32_t)(lsn >> 32), (uint32_t)lsn / segment_bytes);
}

bool wal_segment_parse(const char *name, uint32_t segment_bytes, uint32_t *ret_timeline,
                       uint64_t *ret_lsn)
{
    assert(wal_segment_bytes_valid(segment_bytes));
    if (strspn(name, "0123456789ABCDEF") != 24 || name[24] != '\0')
        return false;
    uint32_t part[3] = {0};
    for (int i = 0; i < 24; i++)
        part[i / 8] = part[i / 8] << 4 | (uint32_t)hex_digit(name[i]);
    if (part[0] == 0 || part[2] >= (UINT64_C(1) << 32) / segment_bytes)
        return false;
    *ret_timeline = part[0];
    *ret_lsn = (uint64_t)part[1] << 32 | (uint64_t)part[2] * segment_bytes;
    return true;
}

uint64_t wal_segment_start(uint64_t lsn, uint32_t segment_bytes)
{
    return lsn & ~(uint64_t)(segment_bytes - 1);
}
