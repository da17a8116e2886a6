// SPDX-License-Identifier: Apache-2.0
#include "sidecar/block_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"

enum { CHUNK_SHIFT = 16, WORD_BITS = 64, BITMAP_WORDS = (1 << CHUNK_SHIFT) / WORD_BITS };
enum { LIST_MAX = 4096 }; /* as large as the bitmap */

struct block_chunk {
    uint16_t high;  /* of its blocks */
    uint32_t count; /* LIST_MAX + 1: it is a bitmap */
    union {
        uint16_t *list; /* of low halves, sorted */
        uint64_t *bits;
    } blocks;
};

/* Where the chunk is, or belongs. */
static size_t find_chunk(const struct block_set *set, uint16_t high)
{
    size_t low = 0, end = set->count;
    if (end > 0 && set->chunks[end - 1].high < high) /* blocks come in order, mostly */
        return end;
    while (low < end) {
        size_t middle = low + (end - low) / 2;
        if (set->chunks[middle].high < high)
            low = middle + 1;
        else
            end = middle;
    }
    return low;
}

static size_t find_low(const struct block_chunk *chunk, uint16_t block)
{
    size_t low = 0, end = chunk->count;
    if (end > 0 && chunk->blocks.list[end - 1] < block)
        return end;
    while (low < end) {
        size_t middle = low + (end - low) / 2;
        if (chunk->blocks.list[middle] < block)
            low = middle + 1;
        else
            end = middle;
    }
    return low;
}

static void set_bit(uint64_t *bits, uint16_t block)
{
    bits[block / WORD_BITS] |= UINT64_C(1) << block % WORD_BITS;
}

static void become_bitmap(struct block_chunk *chunk)
{
    uint64_t *bits = own_alloc(BITMAP_WORDS * sizeof(bits[0]));
    for (uint32_t i = 0; i < chunk->count; i++)
        set_bit(bits, chunk->blocks.list[i]);
    free(chunk->blocks.list);
    chunk->blocks.bits = bits;
    chunk->count = LIST_MAX + 1;
}

static void insert(struct block_chunk *chunk, uint16_t block)
{
    size_t at = find_low(chunk, block);
    if (at < chunk->count && chunk->blocks.list[at] == block)
        return;
    if ((chunk->count & (chunk->count - 1)) == 0) /* full: powers of two, and 0 */
        chunk->blocks.list = own_resize(chunk->blocks.list, chunk->count ? 2 * chunk->count : 1,
                                        sizeof(chunk->blocks.list[0]));
    memmove(chunk->blocks.list + at + 1, chunk->blocks.list + at,
            (chunk->count - at) * sizeof(chunk->blocks.list[0]));
    chunk->blocks.list[at] = block;
    chunk->count++;
}

static struct block_chunk *chunk_for(struct block_set *set, uint16_t high)
{
    size_t at = find_chunk(set, high);
    if (at < set->count && set->chunks[at].high == high)
        return &set->chunks[at];
    set->chunks = own_resize(set->chunks, set->count + 1, sizeof(set->chunks[0]));
    memmove(set->chunks + at + 1, set->chunks + at, (set->count - at) * sizeof(set->chunks[0]));
    set->chunks[at] = (struct block_chunk){.high = high};
    set->count++;
    return &set->chunks[at];
}

bool block_set_has(const struct block_set *set, uint32_t block)
{
    uint16_t high = (uint16_t)(block >> CHUNK_SHIFT), low = (uint16_t)block;
    size_t at = find_chunk(set, high);
    if (at == set->count || set->chunks[at].high != high)
        return false;
    const struct block_chunk *chunk = &set->chunks[at];
    if (chunk->count > LIST_MAX)
        return (chunk->blocks.bits[low / WORD_BITS] >> low % WORD_BITS & 1) != 0;
    size_t found = find_low(chunk, low);
    return found < chunk->count && chunk->blocks.list[found] == low;
}

void block_set_add(struct block_set *set, uint32_t block)
{
    struct block_chunk *chunk = chunk_for(set, (uint16_t)(block >> CHUNK_SHIFT));
    if (chunk->count == LIST_MAX)
        become_bitmap(chunk);
    if (chunk->count > LIST_MAX)
        set_bit(chunk->blocks.bits, (uint16_t)block);
    else
        insert(chunk, (uint16_t)block);
}

void block_set_done(struct block_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->chunks[i].count > LIST_MAX)
            free(set->chunks[i].blocks.bits);
        else
            free(set->chunks[i].blocks.list);
    free(set->chunks);
    *set = (struct block_set){0};
}
