// SPDX-License-Identifier: Apache-2.0
#include "sidecar/captured.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/entry.h"

struct captured_rarity {
    struct entry_map_ref *map_refs;
    size_t map_ref_count;
    uint32_t *bad_blocks; /* ascending; the first ENTRY_BAD_BLOCKS_MAX */
    uint32_t bad_block_count;
};

static void *copy_of(const void *data, size_t size)
{
    void *copy = own_alloc(size);
    memcpy(copy, data, size);
    return copy;
}

static void keep_map(const struct map *map, struct captured *captured)
{
    CLEANUP(buf_done) struct buf coded = BUF(ENTRY_MAP_INLINE_MAX);
    map_format(map, &coded);
    captured->map_bytes = (uint32_t)coded.size;
    if (coded.size > CAPTURED_MAP_BYTES)
        captured->map.there = copy_of(coded.data, coded.size);
    else if (coded.size > 0)
        memcpy(captured->map.here, coded.data, coded.size);
}

static struct captured_rarity *keep_rarity(const struct entry *entry)
{
    if (entry->map_ref_count == 0 && entry->bad_block_count == 0)
        return NULL;
    struct captured_rarity *rarity = own_alloc(sizeof(*rarity));
    uint32_t listed = entry->bad_block_count < ENTRY_BAD_BLOCKS_MAX ? entry->bad_block_count
                                                                    : ENTRY_BAD_BLOCKS_MAX;
    rarity->map_ref_count = entry->map_ref_count;
    if (entry->map_ref_count > 0)
        rarity->map_refs =
            copy_of(entry->map_refs, entry->map_ref_count * sizeof(entry->map_refs[0]));
    rarity->bad_block_count = entry->bad_block_count;
    if (listed > 0)
        rarity->bad_blocks = copy_of(entry->bad_blocks, listed * sizeof(entry->bad_blocks[0]));
    return rarity;
}

uint32_t captured_bad_blocks(const struct captured *captured, const uint32_t **ret_blocks)
{
    *ret_blocks = captured->rarity ? captured->rarity->bad_blocks : NULL;
    return captured->rarity ? captured->rarity->bad_block_count : 0;
}

void captured_entry(const struct captured *captured, struct entry *ret_entry)
{
    const struct captured_rarity *rarity = captured->rarity;
    *ret_entry = (struct entry){
        .type = ENTRY_FILE,
        .mode = captured->mode,
        .uid = captured->uid,
        .gid = captured->gid,
        .mtime_s = captured->mtime_s,
        .size = captured->size,
        .inode = captured->inode,
        .birth_ns = captured->birth_ns,
        .bad_blocks = rarity ? rarity->bad_blocks : NULL,
        .bad_block_count = rarity ? rarity->bad_block_count : 0,
        .map_refs = rarity ? rarity->map_refs : NULL,
        .map_ref_count = rarity ? rarity->map_ref_count : 0,
    };
    if (captured->map_bytes == 0)
        return;
    bool is_here = captured->map_bytes <= CAPTURED_MAP_BYTES;
    struct reader reader =
        READER(is_here ? captured->map.here : captured->map.there, captured->map_bytes);
    map_parse(&reader, captured->size, BACKUP_TABLE_MAX, &ret_entry->map);
    assert(!reader.bad && reader_left(&reader) == 0);
}

void captured_done(struct captured *captured)
{
    if (captured->map_bytes > CAPTURED_MAP_BYTES)
        free(captured->map.there);
    if (captured->rarity) {
        free(captured->rarity->map_refs);
        free(captured->rarity->bad_blocks);
        free(captured->rarity);
    }
    *captured = (struct captured){0};
}

void captured_keep(const struct entry *entry, struct captured *ret_captured)
{
    *ret_captured = (struct captured){
        .size = entry->size,
        .inode = entry->inode,
        .birth_ns = entry->birth_ns,
        .mtime_s = entry->mtime_s,
        .uid = entry->uid,
        .gid = entry->gid,
        .mode = (uint16_t)entry->mode,
        .exists = true,
        .rarity = keep_rarity(entry),
    };
    if (entry->map_ref_count == 0)
        keep_map(&entry->map, ret_captured);
}
