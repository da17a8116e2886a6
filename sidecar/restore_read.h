// SPDX-License-Identifier: Apache-2.0
/*
 * What a backup says about itself, read from its packs into a restore_plan: its index, its long
 * maps, its pg_control. One call reads one frame, so that whoever verifies can go on after an
 * error.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"
#include "sidecar/pg_control.h"

struct manifest;
struct pack_reader;
struct restore_plan;
struct restore_sizes;

struct restore_read { /* all lent */
    struct pack_reader *reader;
    const struct manifest *manifest;
    struct restore_plan *plan;
    const struct restore_sizes *sizes; /* to fetch parts of packs only; NULL: whole ones */
};

/* Adds the entries of the manifest's index frame to the plan; frames must come in order. Errors
 * name the frame; CORRUPT also for an entry that the plan refuses. */
MUST_CHECK int restore_read_index(const struct restore_read *read, size_t index, struct error *err);
/* Adds the runs of plan->maps[index]; likewise. Best once they are sorted. */
MUST_CHECK int restore_read_map(const struct restore_read *read, size_t index, struct error *err);
/* pg_control, once the index was read; CORRUPT also if it is that of another database. */
MUST_CHECK int restore_read_control(const struct restore_read *read,
                                    uint8_t ret_bytes[PG_CONTROL_BYTES],
                                    struct pg_control *ret_control, struct error *err);
