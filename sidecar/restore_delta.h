// SPDX-License-Identifier: Apache-2.0
/*
 * What a target has already of a backup: its files are brought to their sizes, zeros where they
 * belong, and every piece is read and compared with its hash in the backup's packs. What is equal
 * is taken off the plan with its CRC, so that the workers fetch and write the rest. Nothing else is
 * evidence: neither sizes nor times.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct progress;
struct repo;
struct restore_plan;
struct restore_sizes;
struct target;

struct restore_delta_options {
    struct repo *repo;
    struct restore_plan *plan; /* grouped, before and after */
    const struct restore_sizes *sizes;
    struct target *target; /* swept, with all directories made */
    size_t workers;
    struct cancel *cancel;     /* triggered also when a worker fails */
    struct progress *progress; /* may be NULL */
};

/* Fetches the hashes of the packs that the target may have something of. */
MUST_CHECK int restore_delta_run(const struct restore_delta_options *options,
                                 uint64_t *ret_fetched_bytes, struct error *err);
