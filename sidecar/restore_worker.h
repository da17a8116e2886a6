// SPDX-License-Identifier: Apache-2.0
/*
 * The workers of a restore: they take packs, one after the other, and write what the plan wants
 * from each; then the WAL segments. There are as many threads more as may fetch a pack while all
 * workers open frames and write. Each holds one pack, one frame and one open file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct manifest;
struct progress;
struct repo;
struct restore_plan;
struct target;

struct restore_worker_options {
    struct repo *repo;
    const struct manifest *manifest;
    struct restore_plan *plan; /* grouped; the workers count its spans down and set their CRCs */
    struct target *target;     /* with all directories made */
    size_t workers, fetchers;
    struct cancel *cancel;     /* triggered also when a worker fails */
    struct progress *progress; /* may be NULL */
};

/* Writes every file but global/pg_control, and the WAL; returns when all is written. The first
 * error of a worker. */
MUST_CHECK int restore_worker_run(const struct restore_worker_options *options,
                                  uint64_t *ret_fetched_bytes, struct error *err);
