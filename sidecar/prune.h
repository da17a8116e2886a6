// SPDX-License-Identifier: Apache-2.0
/*
 * Prune: removes what spec.retention does not keep, and what crashes left behind, from every
 * writable region, each by itself; prune_run reads as the specification. It may be ended at any
 * point, even by a crash, and run again: what is kept is whole at all times.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/prune_plan.h"
#include "sidecar/prune_remove.h"
#include "sidecar/regions.h"

struct cancel;
struct policy;
struct secrets;

struct prune_options {
    const struct policy *policy;
    const struct secrets *secrets;
    const char *region;         /* NULL: all that are writable */
    uint64_t system_identifier; /* 0: the only one */
    bool dry_run;
    struct cancel *cancel;
};

struct prune_decision {
    char id[BACKUP_ID_BYTES];
    enum backup_type type;
    struct retention_verdict verdict;
    bool retired;     /* had been, before this run or by it */
    const char *lock; /* lent from the region's locked: until when its manifest stays; NULL */
};

struct prune_region {
    const char *name;                 /* lent from the policy */
    struct error error;               /* why it could not be pruned, or not wholly; NONE */
    struct prune_decision *decisions; /* newest first */
    size_t decision_count;
    struct {
        uint64_t count, bytes;
    } removed[PRUNE_STEPS];      /* or would be */
    struct prune_locked *locked; /* what retention of the store kept from removal */
    size_t locked_count;
    char packs_kept[PRUNE_NOTE_BYTES], wal_kept[PRUNE_NOTE_BYTES]; /* see prune_plan */
};

struct prune_result {
    struct prune_region regions[REGIONS_MAX];
    size_t count;
};
void prune_result_done(struct prune_result *result);

/* 0 also where regions failed: see their errors. -1: nothing could be done, or it was stopped. */
MUST_CHECK int prune_run(const struct prune_options *options, struct prune_result *ret_result,
                         struct error *err);
