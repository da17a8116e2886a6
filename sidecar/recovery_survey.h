// SPDX-License-Identifier: Apache-2.0
/*
 * What there is to recover from in the regions that a repository was opened in: its backups, its
 * WAL, by the names of the objects, and the histories of its timelines; and so its windows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/recovery_windows.h"

struct cancel;
struct manifest;
struct repo;
struct timeline;

struct recovery_survey {
    struct repo *repo;           /* lent */
    const struct cancel *cancel; /* lent */
    uint32_t segment_bytes;      /* 0: there is no backup, and so no window */
    struct recovery_windows windows;
    const struct manifest **backups;
    size_t backup_count;
    struct manifest *loaded; /* those of recovery_survey_load */
    size_t loaded_count;
    struct wal_span *spans;
    size_t span_count;
    struct wal_line *lines;     /* ascending */
    struct timeline *histories; /* of each line; where none is known the timeline alone */
    size_t line_count;
};

/* Of these backups, which it lends. TRANSIENT, PERMANENT: the WAL cannot be listed, or a history
 * not be fetched; CANCELED. A history that is damaged or contradicted is logged and passed over. */
MUST_CHECK int recovery_survey_make(struct recovery_survey *ret_survey, struct repo *repo,
                                    const struct manifest *const *backups, size_t count,
                                    const struct cancel *cancel, struct error *err);
/* Of all backups that are there; a manifest that cannot be read is logged and passed over. */
MUST_CHECK int recovery_survey_load(struct recovery_survey *ret_survey, struct repo *repo,
                                    const struct cancel *cancel, struct error *err);
void recovery_survey_done(struct recovery_survey *survey);

/* Of a timeline of a window. */
const struct timeline *recovery_survey_history(const struct recovery_survey *survey,
                                               uint32_t timeline);
/* Reads, for each window, when the last transaction in it ended. Where the WAL cannot be read that
 * is logged and the time stays that of a backup. CANCELED. */
MUST_CHECK int recovery_survey_find_ends(struct recovery_survey *survey, struct error *err);
