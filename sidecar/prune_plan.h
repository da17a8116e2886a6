// SPDX-License-Identifier: Apache-2.0
/*
 * What prune removes from one region: a pure function from what lies in the regions to a verdict on
 * every backup and the objects that may go. The order in which facts are gathered is part of the
 * contract: objects first, then running backups, then manifests; so a pack that is listed belongs
 * to a backup that runs, or has its manifest, or died. In doubt an object stays.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/backup_id.h"
#include "sidecar/repo.h"
#include "sidecar/retention.h"

struct manifest;

/* A backup is dead, and what nobody refers to is an orphan, when it is so old. A backup that could
 * write no heartbeat for an hour ends by itself; one whose machine slept longer finds at its commit
 * that its heartbeats are gone (heartbeat_check). */
#define PRUNE_GRACE_MS (INT64_C(24) * 60 * 60 * 1000)

struct prune_backup { /* in any region; by ids */
    char id[BACKUP_ID_BYTES];
    int64_t started_ms;              /* as the id says */
    uint32_t regions;                /* bit masks: its manifest is there … */
    uint32_t retired, held, locked;  /* … and markers; locked: the manifest cannot be removed */
    const struct manifest *manifest; /* lent; NULL: it cannot be read in any region */
};

struct prune_running { /* a backup with heartbeats, also from the dead */
    char id[BACKUP_ID_BYTES];
    char parent[BACKUP_ID_BYTES]; /* "": none */
    uint32_t timeline;            /* 0: what it needs of the WAL is unknown */
    uint64_t start_lsn;
    int64_t newest_ms; /* its last heartbeat */
    bool readable;     /* what it says could be read; else nobody knows what it needs */
};

struct prune_scene {
    struct retention_rules rules;
    int64_t now_ms;    /* by the clocks of the stores: the earliest */
    bool complete;     /* all regions of the policy could be looked at */
    bool retired_only; /* nothing is planned for removal with a backup that is not retired */
    const struct repo_names *objects;
    const struct prune_backup *backups;
    size_t backup_count;
    const struct prune_running *running;
    size_t running_count;
    const struct retention_line *lines; /* every timeline with WAL or a backup */
    size_t line_count;
};

struct prune_objects {
    const struct repo_name **names; /* lent */
    size_t count;
    uint64_t bytes;
};

/* In the order of their removal. */
enum prune_step {
    PRUNE_HEARTBEATS, /* of the dead */
    PRUNE_MANIFESTS,
    PRUNE_PACKS,
    PRUNE_WAL,
    PRUNE_MARKERS, /* retired/… that nobody asks for any more */
    PRUNE_STEPS
};
extern const char *const prune_step_names[]; /* "heartbeats" … */

enum { PRUNE_NOTE_BYTES = 160 };

struct prune_plan {
    struct retention_verdict *verdicts; /* of all backups of the scene; of those that are not in
                                           the region they say nothing */
    struct prune_objects objects[PRUNE_STEPS];
    char packs_kept[PRUNE_NOTE_BYTES]; /* why no pack is removed; "" */
    char wal_kept[PRUNE_NOTE_BYTES];   /* why no WAL is removed; "" */
};

/* region: its bit. The plan lends what the scene lends. Manifests are planned for removal whether
 * the backup is retired yet or not; all else as if they were gone. */
void prune_plan_make(const struct prune_scene *scene, uint32_t region, struct prune_plan *ret_plan);
void prune_plan_done(struct prune_plan *plan);
