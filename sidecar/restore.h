// SPDX-License-Identifier: Apache-2.0
/*
 * A restore: restore_run reads as the specification. Planned by pack, so that every pack is fetched
 * once; workers write in parallel; pg_control is written last but for backup_manifest, so that a
 * half restore never starts. The directory is empty, or was left by the same restore half-way, or,
 * with delta, is a data directory of the same database: then only what differs is fetched and
 * written, and what the backup has not is removed. With a target, the backup is the newest from
 * which it can be reached; what cannot is refused before anything is written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"
#include "sidecar/regions.h"

struct cancel;
struct policy;
struct progress;
struct recovery_target;
struct secrets;
struct target_tablespace;

struct restore_options {
    const struct policy *policy;
    const struct secrets *secrets;
    const char *to;
    bool delta;                  /* also over a data directory of the same database */
    const char *backup;          /* id; NULL or "Latest": the newest, or that of a restore which was
                                    left half-way and goes on */
    const char *region;          /* NULL: all, in the policy's order */
    const char *first;           /* the region that is read from before the others; NULL: any */
    const char *const *excluded; /* regions that are not read from */
    size_t excluded_count;
    uint64_t system_identifier; /* 0: the only one */
    const struct target_tablespace *tablespaces;
    size_t tablespace_count;
    const struct recovery_target *target; /* where recovery ends; NULL: with the backup */
    struct {                              /* absolute paths: with a target the copy gets its WAL by
                                             these programs and files, see struct recovery_command */
        const char *program, *asker, *policy, *secrets;
    } fetch;
    size_t workers;        /* 0: the policy's */
    struct cancel *cancel; /* triggered also when the restore fails */
    struct progress *progress;
};

struct restore_result {
    char backup[BACKUP_ID_BYTES];
    uint32_t timeline; /* that recovery follows to its target; 0: there is none */
    struct {
        const char *name; /* lent from the policy */
        uint64_t fetched_bytes;
    } regions[REGIONS_MAX]; /* those that something came from, most of it from the first */
    size_t region_count;
    uint64_t files, bytes;  /* without those that restore adds, and without WAL */
    uint64_t kept_bytes;    /* of files: they were there already */
    uint64_t fetched_bytes; /* of packs */
    int64_t duration_ms;
};

MUST_CHECK int restore_run(const struct restore_options *options, struct restore_result *ret_result,
                           struct error *err);
