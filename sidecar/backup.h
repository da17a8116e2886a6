// SPDX-License-Identifier: Apache-2.0
/*
 * A backup, from the first connection to the commit; backup_run reads as the specification. No
 * commit before every pack and all WAL from start to stop is in the bucket; a backup that fails
 * leaves only orphans, which prune removes.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/manifest.h"
#include "sidecar/regions.h"

struct cancel;
struct pg_options;
struct policy;
struct progress;
struct secrets;

/* What the backup is told of itself, all lent, any of it NULL. */
struct backup_origin {
    const char *id;                       /* of the type that is asked for; NULL: a new one */
    const char *backup_name, *backup_uid; /* of the Backup, both or neither */
    const char *pod, *region;
};

struct backup_options {
    const struct policy *policy;
    const struct secrets *secrets;
    const struct pg_options *pg;
    const char *pgdata; /* NULL: what the server says */
    enum backup_type type;
    struct backup_origin origin;
    struct cancel *cancel;     /* triggered also when the backup fails */
    struct progress *progress; /* may be NULL */
};

struct backup_loss {
    struct error error; /* why the region was lost … */
    int64_t at_ms;      /* … and when */
};

struct backup_result {
    struct manifest manifest; /* as committed; the caller's (manifest_done) */
    uint32_t regions,
        lost_regions; /* bit masks over spec.regions: where it is, where it should be */
    struct backup_loss losses[REGIONS_MAX]; /* of lost_regions, by index */
};

/* 0 once a quorum of regions has it; those that it lacks are in the result and were logged. */
MUST_CHECK int backup_run(const struct backup_options *options, struct backup_result *ret_result,
                          struct error *err);
