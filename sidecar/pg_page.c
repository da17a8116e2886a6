// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_page.h"

#include <string.h>

#include "common/bytes.h"

/* Offsets in the page's header; LSNs are two 32-bit halves, the high one first. */
enum { LSN_HIGH = 0, LSN_LOW = 4, CHECKSUM = 8, UPPER = 14 };

/* The checksum is FNV-1a with one more shift, over 32 interleaved columns of 32-bit words. */
enum { LANES = 32, ROWS = PG_PAGE_BYTES / (LANES * 4), FNV_PRIME = 16777619 };

static const uint32_t lane_offsets[LANES] = {
    0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c,
    0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb,
    0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4,
    0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
};

/* As many lanes as fit into a register of every machine; eight of them stay in registers. */
typedef uint32_t vector __attribute__((vector_size(16)));

enum { VECTORS = LANES * 4 / sizeof(vector) };

/* Inlined, so that it is compiled for the machine of whoever calls it. */
#define FOR_MACHINE static inline __attribute__((always_inline))

FOR_MACHINE void mix(vector sums[VECTORS], const vector row[VECTORS])
{
    for (int i = 0; i < VECTORS; i++) {
        vector mixed = sums[i] ^ row[i];
        sums[i] = (mixed * FNV_PRIME) ^ (mixed >> 17);
    }
}

FOR_MACHINE uint32_t hash_page(const uint8_t *page)
{
    vector sums[VECTORS], row[VECTORS];
    memcpy(sums, lane_offsets, sizeof(sums));
    memcpy(row, page, sizeof(row));
    row[0][CHECKSUM / 4] &= 0xffff0000; /* the stored checksum counts as zero */
    mix(sums, row);
    for (int i = 1; i < ROWS; i++) {
        memcpy(row, page + (size_t)i * sizeof(row), sizeof(row));
        mix(sums, row);
    }
    memset(row, 0, sizeof(row));
    mix(sums, row);
    mix(sums, row);

    vector hash = {0};
    for (int i = 0; i < VECTORS; i++)
        hash ^= sums[i];
    return hash[0] ^ hash[1] ^ hash[2] ^ hash[3];
}

static uint32_t hash_page_plain(const uint8_t *page)
{
    return hash_page(page);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint32_t hash_page_avx2(const uint8_t *page)
{
    return hash_page(page);
}
#endif

uint64_t pg_page_lsn(const uint8_t *page)
{
    return (uint64_t)bytes_load32(page + LSN_HIGH) << 32 | bytes_load32(page + LSN_LOW);
}

bool pg_page_is_zero(const uint8_t *page)
{
    /* data differs in the first bytes; the rest then equals itself shifted by them */
    static const uint8_t zeros[16];
    return memcmp(page, zeros, sizeof(zeros)) == 0 &&
           memcmp(page, page + sizeof(zeros), PG_PAGE_BYTES - sizeof(zeros)) == 0;
}

bool pg_page_is_new(const uint8_t *page)
{
    return bytes_load16(page + UPPER) == 0;
}

uint16_t pg_page_checksum(const uint8_t *page, uint32_t block)
{
#ifdef __x86_64__
    uint32_t hash = __builtin_cpu_supports("avx2") ? hash_page_avx2(page) : hash_page_plain(page);
#else
    uint32_t hash = hash_page_plain(page);
#endif
    return (uint16_t)((hash ^ block) % 65535 + 1);
}

bool pg_page_is_sound(const uint8_t *page, uint32_t block, uint64_t start_lsn)
{
    return pg_page_is_new(page) || pg_page_lsn(page) >= start_lsn ||
           pg_page_checksum(page, block) == bytes_load16(page + CHECKSUM);
}
