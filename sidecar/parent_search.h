// SPDX-License-Identifier: Apache-2.0
/*
 * The facts about the backups of a repository from which the parent of a new one is chosen
 * (parent.h), and what must be looked at once one is chosen: whether it is still there, and whether
 * the WAL since contradicts itself.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/parent.h"

struct repo;

struct parent_search {
    struct repo *repo; /* lent */
    struct parent_candidate *candidates;
    size_t count;
};

/* Reads the manifests of all backups; one that cannot be read is a candidate that is refused. */
MUST_CHECK int parent_search_load(struct parent_search *ret_search, struct repo *repo,
                                  struct error *err);
void parent_search_done(struct parent_search *search);
/* The chosen one cannot serve: the next choice will be another. */
void parent_search_refuse(struct parent_search *search, size_t index, const struct error *reason);

/* The regions that a backup made now is put to, a bit each. */
uint32_t parent_search_regions(const struct repo *repo);
/* CONFLICT: the backup is retired, or not committed in each of these regions. */
MUST_CHECK int parent_search_check(struct repo *repo, const char *id, uint32_t regions,
                                   struct error *err);
/* CONFLICT: two WAL objects between the parent's start and the child's say different things of the
 * same bytes (two primaries): what changed since then cannot be told. */
MUST_CHECK int parent_search_check_wal(struct repo *repo, const struct parent_candidate *parent,
                                       const struct parent_child *child, uint32_t segment_bytes,
                                       struct error *err);
