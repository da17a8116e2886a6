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

/* In the first byte of a coding. */
enum { EXISTS = 1, SAME_OWNER = 2, RARITY = 4 };

struct captured_rarity {
    struct entry_map_ref *map_refs;
    size_t map_ref_count;
    uint32_t *bad_blocks; /* ascending; the first ENTRY_BAD_BLOCKS_MAX */
    uint32_t bad_block_count;
};

static uint32_t listed_blocks(uint32_t bad_block_count)
{
    return bad_block_count < ENTRY_BAD_BLOCKS_MAX ? bad_block_count : ENTRY_BAD_BLOCKS_MAX;
}

static void *copy_of(const void *data, size_t size)
{
    void *copy = own_alloc(size);
    memcpy(copy, data, size);
    return copy;
}

static void keep_map(const void *coded, size_t size, struct captured *captured)
{
    captured->map_bytes = (uint32_t)size;
    if (size > CAPTURED_MAP_BYTES)
        captured->map.there = copy_of(coded, size);
    else if (size > 0)
        memcpy(captured->map.here, coded, size);
}

/* The map as it is coded. */
static const uint8_t *map_of(const struct captured *captured)
{
    return captured->map_bytes > CAPTURED_MAP_BYTES ? captured->map.there : captured->map.here;
}

static struct captured_rarity *keep_rarity(const struct entry *entry)
{
    if (entry->map_ref_count == 0 && entry->bad_block_count == 0)
        return NULL;
    struct captured_rarity *rarity = own_alloc(sizeof(*rarity));
    uint32_t listed = listed_blocks(entry->bad_block_count);
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
    struct reader reader = READER(map_of(captured), captured->map_bytes);
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
    if (entry->map_ref_count > 0)
        return;
    CLEANUP(buf_done) struct buf coded = BUF(ENTRY_MAP_INLINE_MAX);
    map_format(&entry->map, &coded);
    keep_map(coded.data, coded.size, ret_captured);
}

/* Coding */

static bool has_owner_of(const struct captured *captured, const struct captured *before)
{
    return captured->uid == before->uid && captured->gid == before->gid &&
           captured->mode == before->mode;
}

static void format_rarity(const struct captured_rarity *rarity, struct buf *buf)
{
    bytes_put_varint(buf, rarity->map_ref_count);
    if (rarity->map_ref_count > 0)
        bytes_put(buf, rarity->map_refs, rarity->map_ref_count * sizeof(rarity->map_refs[0]));
    bytes_put_varint(buf, rarity->bad_block_count);
    if (rarity->bad_block_count > 0)
        bytes_put(buf, rarity->bad_blocks,
                  listed_blocks(rarity->bad_block_count) * sizeof(rarity->bad_blocks[0]));
}

static struct captured_rarity *parse_rarity(struct reader *reader)
{
    struct captured_rarity *rarity = own_alloc(sizeof(*rarity));
    rarity->map_ref_count = reader_varint_max(reader, ENTRY_MAP_REFS_MAX);
    if (rarity->map_ref_count > 0) {
        size_t size = rarity->map_ref_count * sizeof(rarity->map_refs[0]);
        rarity->map_refs = copy_of(reader_bytes(reader, size), size);
    }
    rarity->bad_block_count = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    if (rarity->bad_block_count > 0) {
        size_t size = listed_blocks(rarity->bad_block_count) * sizeof(rarity->bad_blocks[0]);
        rarity->bad_blocks = copy_of(reader_bytes(reader, size), size);
    }
    return rarity;
}

/* What files that were made one after the other have in common takes no room. */
void captured_format(const struct captured *captured, const struct captured *before,
                     struct buf *buf)
{
    bool same_owner = has_owner_of(captured, before);
    bytes_put8(buf, !captured->exists ? 0
                                      : (uint8_t)(EXISTS | (same_owner ? SAME_OWNER : 0) |
                                                  (captured->rarity ? RARITY : 0)));
    if (!captured->exists)
        return;
    if (!same_owner) {
        bytes_put_varint(buf, captured->uid);
        bytes_put_varint(buf, captured->gid);
        bytes_put_varint(buf, captured->mode);
    }
    bytes_put_varint(buf, captured->size);
    bytes_put_zigzag(buf, (int64_t)(captured->inode - before->inode));
    bytes_put_zigzag(buf, (int64_t)(captured->birth_ns - before->birth_ns));
    bytes_put_zigzag(buf, captured->mtime_s - before->mtime_s);
    bytes_put_varint(buf, captured->map_bytes);
    if (captured->map_bytes > 0)
        bytes_put(buf, map_of(captured), captured->map_bytes);
    if (captured->rarity)
        format_rarity(captured->rarity, buf);
}

void captured_parse(struct reader *reader, const struct captured *before,
                    struct captured *ret_captured)
{
    const uint8_t *flags = reader_bytes(reader, 1);
    *ret_captured = (struct captured){0};
    if (!flags || *flags == 0)
        return;
    bool same_owner = (*flags & SAME_OWNER) != 0;
    ret_captured->exists = true;
    ret_captured->uid = same_owner ? before->uid : (uint32_t)reader_varint(reader);
    ret_captured->gid = same_owner ? before->gid : (uint32_t)reader_varint(reader);
    ret_captured->mode = same_owner ? before->mode : (uint16_t)reader_varint(reader);
    ret_captured->size = reader_varint(reader);
    ret_captured->inode = before->inode + (uint64_t)reader_zigzag(reader);
    ret_captured->birth_ns = before->birth_ns + (uint64_t)reader_zigzag(reader);
    ret_captured->mtime_s = before->mtime_s + reader_zigzag(reader);
    size_t map_bytes = reader_varint_max(reader, ENTRY_MAP_INLINE_MAX);
    keep_map(reader_bytes(reader, map_bytes), map_bytes, ret_captured);
    if (*flags & RARITY)
        ret_captured->rarity = parse_rarity(reader);
}
