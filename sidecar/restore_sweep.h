// SPDX-License-Identifier: Apache-2.0
/*
 * What a target has that the backup has not. PostgreSQL's own files go; what is neither
 * PostgreSQL's nor in the backup is somebody's, and the restore is refused before it changes
 * anything.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "sidecar/target.h"

struct restore_plan;

struct restore_sweep {
    struct restore_sweep_item {
        char *path;
        enum target_kind kind;
    } * items; /* what is below a directory comes before it */
    size_t count;
};

/* Looks only; to be called once all tablespaces are placed. CONFLICT: foreign files (names one), or
 * something is mounted there. */
MUST_CHECK int restore_sweep_survey(struct restore_sweep *ret_sweep, struct target *target,
                                    const struct restore_plan *plan, struct error *err);
MUST_CHECK int restore_sweep_remove(const struct restore_sweep *sweep, struct target *target,
                                    struct error *err);
void restore_sweep_done(struct restore_sweep *sweep);
