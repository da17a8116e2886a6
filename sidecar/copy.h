// SPDX-License-Identifier: Apache-2.0
/*
 * The copy of a repository into a region that lacks some of it: keys, packs, WAL, then the
 * manifest, the oldest backup first, all sealed as they are. A manifest is put only when a listing
 * of the region shows all that it refers to. It may be stopped at any point and run again; what is
 * there is not read again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"

struct cancel;
struct findings;
struct policy;
struct progress;
struct secrets;

struct copy_options { /* all lent */
    const struct policy *policy;
    const struct secrets *secrets;
    const char *from, *to;      /* regions */
    uint64_t system_identifier; /* 0: the only one */
    size_t workers;             /* 0: the policy's uploads */
    bool dry_run;               /* says what would be copied */
    struct cancel *cancel;
    struct progress *progress; /* may be NULL */
};

/* A backup that the region lacks, or something of it. */
struct copy_backup {
    char id[BACKUP_ID_BYTES];
    uint64_t objects, bytes; /* that it takes, without those of the backups before it */
    bool was_there;          /* its manifest is there already: only what it refers to is missing */
    bool copied;             /* all is there now (dry_run: will be) */
};

struct copy_result {
    bool dry_run;
    const char *from, *to;
    struct copy_backup *backups; /* oldest first */
    size_t backup_count;
    uint64_t objects, bytes; /* that were put (dry_run: would be), other WAL included */
    int64_t duration_ms;
};

void copy_result_done(struct copy_result *result);

/* What cannot be copied is told in findings and left out, all else is copied. Errors: either region
 * cannot be used or fails; PERMANENT: it is ReadOnly. */
MUST_CHECK int copy_run(const struct copy_options *options, struct findings *findings,
                        struct copy_result *ret_result, struct error *err);
