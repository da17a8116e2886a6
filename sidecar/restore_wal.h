// SPDX-License-Identifier: Apache-2.0
/* The WAL that a restored data directory needs to become consistent: its segments, full size, and
 * the histories of its timelines, put into pg_wal as if they had been archived already. */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct buf;
struct manifest;
struct repo;
struct target;

struct restore_wal {
    struct repo *repo;
    const struct manifest *manifest;
    struct target *target;
};

/* CORRUPT: a range that is empty, no range at all, or more WAL than can be. */
MUST_CHECK int restore_wal_check(const struct manifest *manifest, struct error *err);
uint64_t restore_wal_count(const struct manifest *manifest); /* segments in all ranges */
/* Writes one of them; segment is scratch space for it. NOT_FOUND, CORRUPT as wal_archive_get. */
MUST_CHECK int restore_wal_segment(const struct restore_wal *wal, uint64_t index,
                                   struct buf *segment, struct error *err);
/* Writes the history of every timeline above 1. */
MUST_CHECK int restore_wal_histories(const struct restore_wal *wal, struct error *err);
/*
 * For a recovery from the backup along a timeline: writes the segments in which the timelines
 * before it were left, up to there. A timeline begins with a copy of such a segment, which
 * PostgreSQL replays instead; but what transactions prepared there it reads of the original as long
 * as it has not come to the fork (XLogReadDetermineTimeline in access/transam/xlogutils.c), and
 * fails without. What the repository has not, in neither of them, is left out.
 */
MUST_CHECK int restore_wal_forks(const struct restore_wal *wal, uint32_t timeline,
                                 struct error *err);
