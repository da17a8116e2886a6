// SPDX-License-Identifier: Apache-2.0
/*
 * The entry of a file, directory or tablespace link in a backup. Pure. Coding:
 * docs/repository-format.md. Entries are stored in index frames (index.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/map.h"

struct buf;
struct reader;

enum entry_type { ENTRY_FILE = 1, ENTRY_DIRECTORY = 2, ENTRY_LINK = 3 };

enum {
    ENTRY_PATH_MAX = 1024,       /* bytes of a path or of a link's target */
    ENTRY_BAD_BLOCKS_MAX = 1024, /* block numbers kept per file; the count goes on */
    ENTRY_MAP_INLINE_MAX = 2048, /* bytes of coded map that stand in the entry; longer ones go into
                                    map frames */
    ENTRY_MAP_REFS_MAX = 4096,
    ENTRY_BYTES_MAX = 128 << 10, /* a coded entry, at most */
};

/* A part of a long map, in a map frame of its own. */
struct entry_map_ref {
    struct place place; /* piece is unused */
    uint64_t covers;    /* bytes of the file; a multiple of PIECE_BYTES but in the last part */
};

struct entry {
    char *path; /* relative to PGDATA: "base/5/1259", "pg_tblspc/16385/PG_17_202406281/5/16390" */
    enum entry_type type;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
    int64_t mtime_s;
    /* ENTRY_LINK */
    char *target;
    /* ENTRY_FILE */
    uint64_t size;
    uint64_t inode, birth_ns; /* identity at the source; birth 0 where unknown */
    uint32_t *bad_blocks;     /* ascending; the first ENTRY_BAD_BLOCKS_MAX of them */
    uint32_t bad_block_count; /* all */
    struct map map; /* inline, at most ENTRY_MAP_INLINE_MAX coded, or empty when map_refs is used */
    struct entry_map_ref *map_refs;
    size_t map_ref_count;
};

void entry_done(struct entry *entry);
/* The rules for a path in a backup: relative, no empty, "." or ".." part, not too long. */
bool entry_path_valid(const char *path);
/* Whether it is where the link of a tablespace is: "pg_tblspc/16385". No other path is a link. */
bool entry_is_tablespace(const char *path);

/* Appends the coding of an entry whose path shares its first bytes with the path before it; 0
 * makes a coding that needs no other. */
void entry_format(const struct entry *entry, size_t shared, struct buf *buf);
/* Reads one; previous is the path before it ("" for none). Makes the reader bad when a rule is
 * broken, also when the path is not behind the previous one; ret_entry can be given to entry_done
 * then, too. */
void entry_parse(struct reader *reader, const char *previous, uint32_t backup_count,
                 struct entry *ret_entry);
