// SPDX-License-Identifier: Apache-2.0
/*
 * To which moments the backups and the WAL of a repository can be recovered. A window follows one
 * timeline, over the forks of its history: from the end of its first backup to the end of the WAL
 * that goes on from there without a gap; every moment between can be reached from one of its
 * backups. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/wal_course.h"
#include "sidecar/wal_gap.h"

struct manifest;

/* All lent. */
struct recovery_facts {
    const struct manifest *const *backups;
    size_t backup_count;
    const struct wal_span *spans; /* the WAL that is there, sorted by wal_gap_sort */
    size_t span_count;
    const struct wal_line *lines; /* of each timeline once, ascending; at least of those above */
    size_t line_count;
};

struct recovery_point {
    uint32_t timeline;
    uint64_t lsn;
    int64_t time_us; /* since 1970; 0: not known */
};

struct recovery_window {
    uint32_t timeline;          /* that recovery follows; its points may be on earlier ones */
    struct recovery_point from; /* the stop of its first backup, and when that was finished */
    struct recovery_point to;   /* the end of its WAL; the time is that of … */
    bool to_is_transaction;     /* … the last transaction's end before; else of a backup's end */
    bool ended;                 /* a gap follows: WAL that comes does not make it longer */
    const struct manifest **backups; /* that serve it, by their stop LSN; at least one. All have
                                        segments of one size: whoever changes that leaves a gap */
    size_t backup_count;
};

struct recovery_windows {
    struct recovery_window *windows; /* by timeline, then by their LSNs */
    size_t count;
    struct wal_span *gaps; /* WAL that is missing between a window and WAL that there is behind it;
                              by timeline, then by their LSNs */
    size_t gap_count;
};

void recovery_windows_done(struct recovery_windows *windows);
/* Lends the manifests. */
void recovery_windows_plan(const struct recovery_facts *facts,
                           struct recovery_windows *ret_windows);

/* The WAL that is missing behind one of the windows; NULL: none is, or there is no more behind it.
 */
const struct wal_span *recovery_windows_gap(const struct recovery_windows *windows,
                                            const struct recovery_window *window);

/* The timeline that a backup stops on, and so the one that recovery from it is on at first. */
uint32_t recovery_windows_timeline(const struct manifest *backup);
