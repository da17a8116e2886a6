// SPDX-License-Identifier: Apache-2.0
/*
 * WAL that is in a region already for the bytes that are about to be put there, and says something
 * else: of another server on the same timeline, or of a past that this one left. Putting ours
 * beside it would leave neither restorable. It is looked for right before each put, by the very
 * request that asks whether the object is there already, so that no region waits for another. Two
 * servers that put the same segment at the same moment see nothing of each other.
 *
 * Only objects for exactly the same bytes are looked for: a complete segment is held against other
 * complete ones, and not against somebody's tails. Those are compared by a stream: with what comes
 * first, in the block where it goes on, and by its wal_lookout while a segment is being written.
 * What a backup puts, or a stream so fast that no look falls into the segment, is held against no
 * tails.
 */
#pragma once

#include <stdint.h>

#include "sidecar/regions.h"

struct repo;

/* Why there is other WAL in a place, and what to do: the end of what is said of it. */
#define WAL_RIVALS_REMEDY                                                                          \
    "another server wrote on this timeline, or this one went back in time; give the policy "       \
    "another prefix, or move away the WAL whose history you do not want"

struct wal_rivals {
    struct region_guard guard; /* for puts of segments, or parts of them, by names of the archive */
    struct repo *repo;         /* lent */
    uint32_t segment_bytes;
};

/* The guard's CONFLICT names the intact object that contradicts what is put; a damaged one is
 * passed over, as restores do. */
struct wal_rivals wal_rivals_new(struct repo *repo, uint32_t segment_bytes);
/* CONFLICT, -1: the object of this name says something else of the same WAL. */
int wal_rivals_refuse(const char *name, struct error *err);
