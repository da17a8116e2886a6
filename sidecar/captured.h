// SPDX-License-Identifier: Apache-2.0
/*
 * A file's entry in the form in which it is kept while a backup runs: there may be hundreds of
 * thousands. Its path is the source's; its map is coded, with places in the backup's one table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct captured_rarity;
struct entry;
struct reader;

enum { CAPTURED_MAP_BYTES = 16 }; /* holds the coded map of nearly all small files */

struct captured {
    uint64_t size, inode, birth_ns;
    int64_t mtime_s;
    uint32_t uid, gid;
    uint16_t mode;
    bool exists;        /* false: there is no such file */
    uint32_t map_bytes; /* coded; 0 with map_refs, and of an empty file */
    union {
        uint8_t here[CAPTURED_MAP_BYTES];
        uint8_t *there; /* when longer */
    } map;
    struct captured_rarity *rarity; /* map_refs, bad blocks; NULL for nearly all */
};

/* Copies what is kept of an entry, whose map is at most ENTRY_MAP_INLINE_MAX coded. */
void captured_keep(const struct entry *entry, struct captured *ret_captured);
void captured_done(struct captured *captured);
/* The entry (without a path), lent as long as captured is; only the map becomes the caller's. */
void captured_entry(const struct captured *captured, struct entry *ret_entry);
uint32_t captured_bad_blocks(const struct captured *captured, const uint32_t **ret_blocks);

/* Appends a coding for this process alone, at most ENTRY_BYTES_MAX, short where it is much like the
 * one before (zeroed: none); and back, with the same one before. */
void captured_format(const struct captured *captured, const struct captured *before,
                     struct buf *buf);
void captured_parse(struct reader *reader, const struct captured *before,
                    struct captured *ret_captured);
