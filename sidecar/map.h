// SPDX-License-Identifier: Apache-2.0
/*
 * The map of a file: runs that cover it from its first byte to its last, in order, each either zero
 * or lying in one frame of one pack. That runs cover each byte exactly once holds by construction:
 * offsets are not stored but summed up. Pure. Coding: docs/repository-format.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct backup_table;
struct buf;
struct reader;

/* Where a piece lies. */
struct place {
    uint32_t backup; /* index into the table of backup ids that goes with the map */
    uint32_t pack, frame;
    uint32_t piece; /* within the frame */
};

enum {
    MAP_ZERO_MAX = 1 << 30,   /* bytes of a zero run */
    MAP_RUNS_MAX = 1 << 18,   /* that are parsed */
    MAP_PART_RUNS = 48 << 10, /* so many runs and the largest table always fit into one map frame */
};

struct map_run {
    uint64_t offset; /* in the file, bytes */
    uint32_t length; /* bytes; ≤ FRAME_PLAIN_MAX for data, ≤ MAP_ZERO_MAX for zeros; a multiple of
                        PIECE_BYTES but for the file's last run */
    bool zero;
    struct place place; /* unless zero */
};

struct map {
    struct map_run *runs;
    size_t count, capacity;
    uint64_t size; /* bytes covered */
};

void map_done(struct map *map);
/* Appends length bytes (not 0); joins them to the last run where they continue it, and splits them
 * where one run cannot hold them. What is there already must end at a piece. */
void map_add_zero(struct map *map, uint64_t length);
void map_add(struct map *map, uint32_t length, const struct place *place);
/* Appends all runs of other. */
void map_append(struct map *map, const struct map *other);
/* Cuts the map at size bytes, or fills it up with zeros; the rest of a file's last piece is zero
 * already. A map that was cut within a piece must not be filled up: what was cut off would be back.
 */
void map_resize(struct map *map, uint64_t size);

void map_format(const struct map *map, struct buf *buf);
/* Reads runs until they cover exactly size bytes; makes the reader bad when they do not, when a run
 * leaves its frame, when a place cannot be, when a backup is not below backup_count, or when there
 * are more than MAP_RUNS_MAX. ret_map can be given to map_done then, too. */
void map_parse(struct reader *reader, uint64_t size, uint32_t backup_count, struct map *ret_map);

/* Map frames: a table of backups and the runs for a part of one file. A long map is cut with
 * map_part: at most MAP_PART_RUNS runs from run first on into ret_part; gives where the next part
 * begins, map->count after the last. map_append puts parts together again. */
size_t map_part(const struct map *map, size_t first, struct map *ret_part);
void map_frame_format(const struct backup_table *table, const struct map *part, struct buf *buf);
/* covers: the bytes that the entry says the part covers. CORRUPT. */
MUST_CHECK int map_frame_parse(const void *plain, size_t size, uint64_t covers,
                               struct backup_table *ret_table, struct map *ret_part,
                               struct error *err);
