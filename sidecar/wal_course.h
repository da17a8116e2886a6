// SPDX-License-Identifier: Apache-2.0
/*
 * The way of recovery from the backups of a region to its newest WAL, over the forks of its
 * timelines: what WAL each timeline must have for that, and where it has not. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/wal_gap.h"

struct timeline;

struct wal_line {
    uint32_t timeline;
    const struct timeline *history; /* NULL: not known, so neither is where it comes from */
};

/* All lent. */
struct wal_course {
    const struct wal_span *spans; /* the WAL that is there, sorted by wal_gap_sort */
    size_t span_count;
    const struct wal_span *backups; /* that each needs: from its start to its stop */
    size_t backup_count;
    const struct wal_line *lines; /* of each timeline once; at least of those above */
    size_t line_count;
};

/* The WAL of a timeline between what the first backup needs that leads there (on it, or on a
 * timeline that it comes from) and the newest there is, or the fork of a timeline that goes on. If
 * no backup leads there, it is all between the first and the last that there is. */
struct wal_span wal_course_wanted(const struct wal_course *course, const struct wal_line *line);
/* The first part of wanted that is missing: also in the segment that another timeline begins with,
 * which has the end of the one before as well. false: none. */
bool wal_course_gap(const struct wal_course *course, const struct wal_span *wanted,
                    struct wal_span *ret_gap);
