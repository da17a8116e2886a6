// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the status of a Backup or RestoreJob, if it differs, and tells what changed: an Event when
 * the reason of its conditions is another one. What was written stands in the cache afterwards, so
 * that whoever reads it next sees it.
 */
#pragma once

#include <jansson.h>

#include "common/error.h"

struct cache;
struct kube_resource;
struct reconcile;
struct run;

struct run_target {
    const struct kube_resource *resource;
    struct cache *cache;
    const char *action; /* of Events: "Backup", "Restore" */
};

/* CONFLICT: the object is not what the status was made from (look again); NOT_FOUND: it is gone. */
MUST_CHECK int run_apply(const struct reconcile *reconcile, const struct run_target *target,
                         const struct run *run, const json_t *status, struct error *err);
