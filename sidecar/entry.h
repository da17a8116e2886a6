// SPDX-License-Identifier: Apache-2.0
/*
 * The entry of a file, directory or tablespace link in a backup, and index frames, which hold
 * entries sorted by path. Pure. Coding: docs/repository-format.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/map.h"

struct buf;

enum entry_type { ENTRY_FILE = 1, ENTRY_DIRECTORY = 2, ENTRY_LINK = 3 };

enum {
    ENTRY_PATH_MAX = 1024,
    ENTRY_BAD_BLOCKS_MAX = 1024, /* block numbers kept per file; the count goes on */
    ENTRY_MAP_INLINE_MAX =
        2048, /* bytes of coded map that stand in the entry; longer ones go into map frames */
    INDEX_BACKUPS_MAX = 4096,
};

/* A part of a long map, in a map frame of its own. */
struct entry_map_ref {
    struct place place; /* piece is unused */
    uint64_t covers;    /* bytes of the file */
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
    uint32_t *bad_blocks;     /* sorted */
    size_t bad_block_count;
    struct map map; /* inline, or empty when map_refs is used */
    struct entry_map_ref *map_refs;
    size_t map_ref_count;
};

void entry_done(struct entry *entry);
/* The rules for a path in a backup: relative, no empty, "." or ".." part, no NUL, not too long. */
bool entry_path_valid(const char *path);

/* The table of backups that the places in a frame refer to. */
struct backup_table {
    char (*ids)[BACKUP_ID_BYTES];
    uint32_t count;
};
void backup_table_done(struct backup_table *table);
uint32_t backup_table_add(struct backup_table *table,
                          const char *id); /* the index, also if it is there already */

/* Coding of one entry, without the path's shared prefix: what the index builder keeps and sorts. */
void entry_format(const struct entry *entry, struct buf *buf);

/* Index frames: entries must come sorted by path (memcmp). Gives a frame's plaintext when it is
 * full. */
struct index_writer;
struct index_writer *index_writer_new(const struct backup_table *table); /* lends */
void index_writer_freep(struct index_writer **writer);
/* 1 if the frame now takes no more: call index_writer_take, then add again; 0 added. */
int index_writer_add(struct index_writer *writer, const struct entry *entry);
/* The frame's plaintext (≤ FRAME_PLAIN_MAX) into buf; 0 entries give an empty buf. The writer
 * starts anew. */
void index_writer_take(struct index_writer *writer, struct buf *ret_plain);

/* Parses an index frame; entries come in order, valid during the call (it may TAKE members).
 * CORRUPT: any broken rule, also paths that are not valid or not ascending. */
typedef int (*entry_each)(void *arg, const struct backup_table *table, struct entry *entry,
                          struct error *err);
MUST_CHECK int index_parse(const void *plain, size_t size, entry_each each, void *arg,
                           struct error *err);

/* Map frames: a table and the runs for covers bytes of one file. */
void map_frame_format(const struct backup_table *table, const struct map *map, struct buf *buf);
MUST_CHECK int map_frame_parse(const void *plain, size_t size, uint64_t covers,
                               struct backup_table *ret_table, struct map *ret_map,
                               struct error *err);
