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

struct buf;
struct reader;

/* Where a piece lies. */
struct place {
    uint32_t backup; /* index into the table of backup ids that goes with the map */
    uint32_t pack, frame;
    uint32_t piece; /* within the frame */
};

struct map_run {
    uint64_t offset; /* in the file, bytes */
    uint32_t length; /* bytes; ≤ FRAME_PLAIN_MAX for data; a multiple of PIECE_BYTES but for the
                        file's last run */
    bool zero;
    struct place place; /* unless zero */
};

struct map {
    struct map_run *runs;
    size_t count, capacity;
    uint64_t size; /* bytes covered */
};

void map_done(struct map *map);
/* Appends length bytes; joins them to the last run where they continue it. Zero runs longer than 1
 * GiB are split. */
void map_add_zero(struct map *map, uint64_t length);
void map_add(struct map *map, uint32_t length, const struct place *place);
/* Appends all runs of other. */
void map_append(struct map *map, const struct map *other);
/* Cuts the map at size bytes, or fills it up with zeros. */
void map_resize(struct map *map, uint64_t size);

void map_format(const struct map *map, struct buf *buf);
/* Reads runs until they cover exactly size bytes; makes the reader bad when they do not, when a run
 * leaves its frame, when a backup index is not below backup_count, or when there are more than
 * MAP_RUNS_MAX. */
enum { MAP_RUNS_MAX = 1 << 18 };
void map_parse(struct reader *reader, uint64_t size, uint32_t backup_count, struct map *ret_map);
