// SPDX-License-Identifier: Apache-2.0
/*
 * Gathers the scene of prune_plan from all regions of a repository, in the order that prune_plan.h
 * asks for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/prune_plan.h"
#include "sidecar/repo.h"

struct manifest;
struct timeline;

struct prune_facts {
    struct repo *repo; /* lent */
    struct prune_scene scene;
    struct repo_names objects;
    struct manifest **manifests; /* all that were ever read, in no order */
    size_t manifest_count;
    struct prune_backup *backups;
    struct prune_running *running;
    struct retention_line *lines;
    struct timeline *histories; /* the same index */
    uint32_t unlisted; /* regions that could not be listed at some time: lost, with their errors */
};

/* -1: no region could be listed, or CANCELED. Manifests, heartbeats and histories that cannot be
 * read are facts too. */
MUST_CHECK int prune_facts_load(struct prune_facts *ret_facts, struct repo *repo,
                                const struct retention_rules *rules, struct error *err);
/* Looks again at running backups, manifests and markers, but not at other objects. */
MUST_CHECK int prune_facts_refresh(struct prune_facts *facts, struct error *err);
void prune_facts_done(struct prune_facts *facts);
