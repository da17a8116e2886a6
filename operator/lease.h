// SPDX-License-Identifier: Apache-2.0
/*
 * Leader election by a coordination.k8s.io/v1 Lease, as client-go's leaderelection: 15 s lease, 10
 * s renew deadline, 2 s retry. The holder's clock is never compared with ours: a lease has expired
 * when it did not change for its duration by our monotonic clock. The holder stops before that: no
 * request of its outlives the renew deadline, which is counted from before the last renewal was
 * sent. Released on exit.
 *
 * The epoch of a leader is the lease's leaseTransitions; it grows with every leader, also with a
 * process that takes over from its own former life. A lease that is made anew starts with the
 * minutes since 1970, so that the epochs of a lease that somebody deleted do not come again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct kube_config;
struct lease;

struct lease_options {
    struct kube_config *config; /* lent for the life of the lease, which has a client of its own */
    const char *namespace, *name, *identity;
    unsigned duration_seconds;       /* 0: 15 */
    int renew_deadline_ms, retry_ms; /* 0: 10 s, 2 s */
};

MUST_CHECK int lease_new(struct lease **ret_lease, const struct lease_options *options,
                         struct error *err);
void lease_freep(struct lease **lease);
/* Waits until we are the leader: 0; CANCELED. What goes wrong meanwhile is logged. */
MUST_CHECK int lease_acquire(struct lease *lease, const struct cancel *cancel, int64_t *ret_epoch,
                             struct error *err);
/* Renews until cancelled (0, lease released within seconds or left to expire) or lost (TRANSIENT:
 * the process must stop leading at once). Once for each lease_acquire. */
MUST_CHECK int lease_hold(struct lease *lease, const struct cancel *cancel, struct error *err);
/* From any thread: nobody else can be the leader at this moment. */
bool lease_held(const struct lease *lease);
