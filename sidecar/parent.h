// SPDX-License-Identifier: Apache-2.0
/*
 * Which earlier backup a differential or incremental one builds on. Pure: from facts to a choice
 * and the reason for it. A parent may serve only if everything that it holds is in the child's
 * past, and whatever changed since the parent's start can be told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidecar/backup_id.h"

struct manifest_wal_range;
struct timeline;

enum {
    PARENT_REASON_BYTES = 320,
    /* A child of a parent that refers to more rows of packs might not fit into its manifest. */
    PARENT_PACKS_MAX = 8192,
};

/* A backup of the repository. */
struct parent_candidate {
    char id[BACKUP_ID_BYTES];
    enum backup_type type;
    char refused[PARENT_REASON_BYTES]; /* not "": what was found to be wrong with it (parent_search)
                                        */
    uint64_t system_identifier;
    bool checksums;
    bool retired;
    uint32_t regions;               /* where it is committed, a bit each */
    struct manifest_wal_range *wal; /* from start to stop */
    size_t wal_count;
    size_t pack_ranges;
};

/* The backup to be made. */
struct parent_child {
    enum backup_type type; /* that is wanted */
    uint64_t system_identifier;
    bool checksums;
    uint64_t start_lsn;
    uint64_t stop_lsn;               /* its stop will be no less */
    uint32_t regions;                /* that it is put to */
    const struct timeline *timeline; /* the server's */
};

struct parent_choice {
    size_t index;                     /* of the candidate; SIZE_MAX: none, a full backup it is */
    char reason[PARENT_REASON_BYTES]; /* why it is not a newer one; "" if it is the newest */
};

/* Why a candidate may not serve, into ret_reason; false if it may. */
bool parent_refuse(const struct parent_child *child, const struct parent_candidate *candidate,
                   char ret_reason[PARENT_REASON_BYTES]);
/* A full backup needs none; a differential takes the newest eligible full, an incremental the
 * newest eligible one. Newest is by timeline and LSN, never by clock. */
struct parent_choice parent_choose(const struct parent_child *child,
                                   const struct parent_candidate *candidates, size_t count);
