// SPDX-License-Identifier: Apache-2.0
/*
 * What we watch of Kubernetes, and what to look at again when something changes: the caches of all
 * reconcilers, one watch a resource (and namespace), and the way from a change to the keys of the
 * work queue. A change is never carried along, only what may be affected by it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct agent_identity;
struct agents;
struct cancel;
struct crew;
struct informers;
struct kube;
struct reconcile;
struct workqueue;

struct informers_options { /* all lent for the life of the informers */
    struct kube *kube;
    const char *const *namespaces;
    size_t namespace_count; /* 0: all */
    struct workqueue *queue;
    struct agents *agents; /* told of pods that are gone */
    const struct cancel *cancel;
};

struct informers *informers_new(const struct informers_options *options);
void informers_freep(struct informers **informers);
/* The caches, empty until started, into their members. */
void informers_lend(const struct informers *informers, struct reconcile *reconcile);

MUST_CHECK int informers_start(struct informers *informers, struct crew *crew, struct error *err);
bool informers_synced(const struct informers *informers);

/* A sidecar has news: what its pod belongs to. From any thread. */
void informers_wake_agent(const struct informers *informers, const struct agent_identity *who);
/* All policies: what every ConfigMap holds has changed. */
void informers_wake_policies(const struct informers *informers);
/* All that is not at its end, spread over a minute: against whatever was missed. */
void informers_wake_all(const struct informers *informers);
