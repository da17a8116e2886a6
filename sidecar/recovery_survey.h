// SPDX-License-Identifier: Apache-2.0
/*
 * What there is to recover from in the regions that a repository was opened in: its backups, its
 * WAL, by the names of the objects (near a change of the size of segments also by what they say
 * themselves), and the histories of its timelines; and so its windows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/recovery_windows.h"

struct cancel;
struct manifest;
struct repo;
struct repo_names;
struct timeline;

struct recovery_survey_options { /* all lent, until recovery_survey_done, but the names */
    struct repo *repo;
    const struct manifest *const *backups; /* NULL: all that are there */
    size_t backup_count;
    /* At least of all manifests and all WAL that there is, sorted; NULL: they are listed. */
    const struct repo_names *names;
    const struct cancel *cancel;
};

struct recovery_survey {
    struct recovery_survey_options options;
    struct recovery_windows windows;
    const struct manifest **backups;
    size_t backup_count;
    bool incomplete;             /* a region may have more, which could not be listed … */
    struct error unlisted_error; /* … because of this */
    struct manifest *loaded;     /* those that were not given */
    size_t loaded_count;
    struct wal_span *spans;
    size_t span_count;
    struct wal_line *lines;     /* ascending */
    struct timeline *histories; /* of each line; where none is known the timeline alone */
    size_t line_count;
};

/* A manifest that is not given and cannot be read, and a history that is damaged or contradicted,
 * are logged and passed over. TRANSIENT, PERMANENT: something cannot be listed, or a history not be
 * fetched; CANCELED. */
MUST_CHECK int recovery_survey_make(struct recovery_survey *ret_survey,
                                    const struct recovery_survey_options *options,
                                    struct error *err);
void recovery_survey_done(struct recovery_survey *survey);

/* Of a timeline of a window. */
const struct timeline *recovery_survey_history(const struct recovery_survey *survey,
                                               uint32_t timeline);
/* Reads, for each of the last so many windows, when the last transaction in it ended. Where the WAL
 * cannot be read that is logged and the time stays that of a backup. CANCELED. */
MUST_CHECK int recovery_survey_find_ends(struct recovery_survey *survey, size_t last,
                                         struct error *err);
