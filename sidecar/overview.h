// SPDX-License-Identifier: Apache-2.0
/*
 * What each region of a policy holds, as its store lists it: needs no key, and no memory for
 * however many objects. With windows, what can be recovered from each region alone: needs keys, and
 * the names of all WAL. A region that cannot be reached is named and holds the others up no longer
 * than a few attempts take.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/policy.h"
#include "sidecar/recovery_windows.h"

struct cancel;
struct secrets;

enum { OVERVIEW_WINDOWS_MAX = 4 };

struct overview_region {
    const char *name; /* lent from the policy */
    bool reachable;
    struct error error;                /* unless reachable */
    uint64_t backups, bytes;           /* committed here; all objects, also what nobody refers to */
    char last_backup[BACKUP_ID_BYTES]; /* the newest here; "" for none */
    bool windows_known;
    int64_t from_us, to_us; /* the earliest and the latest moment of all windows, if there is one */
    struct recovery_window windows[OVERVIEW_WINDOWS_MAX]; /* the last; without their backups */
    size_t window_count;
};

struct overview {
    struct overview_region regions[POLICY_REGIONS_MAX]; /* in the policy's order */
    size_t count;
};

struct overview_options {
    const struct policy *policy;
    const struct secrets *secrets;
    const char *region;         /* NULL: all */
    uint64_t system_identifier; /* 0: all database systems under the policy */
    bool windows;               /* wanted as well, of the database system of the newest backup */
    struct cancel *cancel;      /* triggered also when it fails */
};

/* PERMANENT: unknown region; CANCELED. */
MUST_CHECK int overview_run(const struct overview_options *options, struct overview *ret_overview,
                            struct error *err);
