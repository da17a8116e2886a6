// SPDX-License-Identifier: Apache-2.0
/*
 * How large the packs are that a manifest lists, from listings: whoever knows can read a part of
 * one in two requests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct manifest;
struct repo;
struct restore_plan;

struct restore_sizes {
    struct restore_size {
        uint32_t pack; /* position, as in a restore_plan */
        uint32_t bytes;
    } * sizes; /* sorted by pack */
    size_t count;
};

/* Of the plan's ranges; lists each backup among them once. */
MUST_CHECK int restore_sizes_list(struct restore_sizes *ret_sizes, const struct restore_plan *plan,
                                  struct repo *repo, struct error *err);
void restore_sizes_done(struct restore_sizes *sizes);
/* 0: in no listing. */
uint32_t restore_sizes_find(const struct restore_sizes *sizes, uint32_t pack);
/* Sets the sizes of the plan's packs of which a part may be wanted: those of earlier backups, and
 * those of the manifest's own that end in its index, which was read; with all, each. */
void restore_sizes_give(const struct restore_sizes *sizes, const struct manifest *manifest,
                        bool all, struct restore_plan *plan);
