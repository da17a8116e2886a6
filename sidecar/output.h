// SPDX-License-Identifier: Apache-2.0
/* What commands print on stdout: tables for people, JSON for programs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "common/error.h"
#include "sidecar/manifest.h"
#include "sidecar/recovery_time.h"

struct cli_options;
struct copy_result;
struct findings;
struct key_rotation_result;
struct overview;
struct prune_result;
struct recovery_window;
struct recovery_windows;
struct restore_result;
struct retention_rules;
struct table;
struct verify_result;

/* A backup in a list. */
struct output_row {
    const char *id;           /* lent */
    json_t *regions;          /* the names of those that have it */
    char *error;              /* why its manifest could not be read; NULL if it could */
    struct manifest manifest; /* unless error */
};

/* One backup, and the names of the regions that have it and of those that should. */
struct output_backup {
    const struct manifest *manifest;
    json_t *regions, *missing_regions;
    json_t
        *losses; /* right after the backup: {region, since, error} of the missing ones; or NULL */
};

/* What prune decided, and by which rules. */
struct output_prune {
    const struct retention_rules *rules;
    const struct prune_result *result;
    bool dry_run;
};

/* All fail only if stdout cannot be written. */

/* Takes json. */
MUST_CHECK int output_json(json_t *json, struct error *err);
MUST_CHECK int output_error(const struct error *failure, struct error *err); /* {"error": …} */
MUST_CHECK int output_text(const char *text, struct error *err);
/* As wide as the terminal allows. */
MUST_CHECK int output_table(const struct table *table, struct error *err);
MUST_CHECK int output_list(const struct output_row *rows, size_t count, bool json,
                           struct error *err);
/* JSON is the document of the manifest, with the SHA-256 of its object and the regions; a list has
 * the same of each backup. */
MUST_CHECK int output_show(const struct output_backup *backup, bool json, struct error *err);
MUST_CHECK int output_overview(const struct overview *overview, const struct cli_options *options,
                               struct error *err);
/* In output_recovery.c: the windows, and the gaps between them. */
MUST_CHECK int output_windows(const struct recovery_windows *windows, bool json, struct error *err);
/* "2026-11-21 16:14:20Z" */
void output_second(int64_t us, char ret_text[RECOVERY_TIME_BYTES]);
/* Without "backups" if the window comes without them. */
json_t *output_window_to_json(const struct recovery_window *window);
MUST_CHECK int output_backup_done(const struct output_backup *backup, bool json, struct error *err);
MUST_CHECK int output_restore_done(const struct restore_result *result,
                                   const struct cli_options *options, struct error *err);
MUST_CHECK int output_rotation_done(const struct key_rotation_result *result, bool json,
                                    struct error *err);
MUST_CHECK int output_copy_done(const struct copy_result *result, const struct findings *findings,
                                bool json, struct error *err);
/* The findings, in output_verify.c: those that are wrong, then the notes. */
MUST_CHECK int output_findings(const struct findings *findings, struct error *err);
/* {"count": all, "first": [those that were kept]} */
json_t *output_findings_to_json(const struct findings *findings, bool notes);
MUST_CHECK int output_verify_done(const struct verify_result *result,
                                  const struct findings *findings, bool json, struct error *err);
/* In output_prune.c. */
MUST_CHECK int output_prune_done(const struct output_prune *prune, bool json, struct error *err);
