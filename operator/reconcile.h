// SPDX-License-Identifier: Apache-2.0
/*
 * What every reconciler has at hand, and how one looks: it gathers facts (caches, agents), calls
 * its pure planner, and applies the plan (API server, agents, events). It looks at the state
 * only, never at what changed; running it twice does no harm. Runs only on the leader.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "operator/workqueue.h"

struct agents;
struct cache;
struct certificate;
struct kube;
struct metrics;
struct nodes;
struct policy_memory;
struct recorder;
struct runs;
struct workqueue;

struct reconcile {
    struct kube *kube;
    struct cache *policies, *backups, *restore_jobs; /* backups by spec.policyRef.name */
    struct cache *pods;                              /* with label lifeboat.dev/policy, by it */
    struct cache *restore_pods;                      /* with label lifeboat.dev/restorejob, by it */
    struct cache *config_maps; /* managed by us, by label lifeboat.dev/policy */
    struct nodes *nodes;
    struct policy_memory *policy_memory;
    struct agents *agents;
    struct recorder *recorder;
    struct metrics *metrics;
    struct workqueue *queue;
    struct certificate *certificate;
    struct runs *runs;         /* of the reconcilers of Backup and RestoreJob */
    int64_t epoch;             /* leaseTransitions of the lease that we hold */
    int64_t started_ms;        /* when we became leader (clock_monotonic_ms): silence before that is
                                  not the sidecar's */
    const char *namespace;     /* the operator's own */
    const char *cluster_uid;   /* of the namespace kube-system: who writes to the repositories */
    const char *sidecar_image; /* of restore pods where neither policy nor members name one; or NULL
                                */
};

/* 0: done; ret_again_ms > 0: look again after so long (at the latest). -1: again with back-off, and
 * the error is logged by the controller. An object that is gone is 0. */
typedef int (*reconcile_function)(const struct reconcile *reconcile, const char *namespace,
                                  const char *name, int64_t *ret_again_ms, struct error *err);

int reconcile_policy(const struct reconcile *reconcile, const char *namespace, const char *name,
                     int64_t *ret_again_ms, struct error *err);
int reconcile_backup(const struct reconcile *reconcile, const char *namespace, const char *name,
                     int64_t *ret_again_ms, struct error *err);
int reconcile_restore(const struct reconcile *reconcile, const char *namespace, const char *name,
                      int64_t *ret_again_ms, struct error *err);
