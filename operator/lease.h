// SPDX-License-Identifier: Apache-2.0
/*
 * Leader election by a coordination.k8s.io/v1 Lease: as client-go's leaderelection (15 s lease, 10
 * s renew deadline, 2 s retry; the holder's clock is never compared with ours: a lease has expired
 * when it did not change for its duration by our monotonic clock). The epoch of a leader is the
 * lease's leaseTransitions. Released on exit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct kube;
struct lease;

struct lease_options {
    struct kube *kube;
    const char *namespace, *name, *identity;
};

struct lease *lease_new(const struct lease_options *options);
void lease_freep(struct lease **lease);
/* Waits until we are the leader: 0; CANCELED. */
MUST_CHECK int lease_acquire(struct lease *lease, const struct cancel *cancel, int64_t *ret_epoch,
                             struct error *err);
/* Renews until cancelled (0, lease released) or lost (TRANSIENT: the process must stop leading at
 * once). */
MUST_CHECK int lease_hold(struct lease *lease, const struct cancel *cancel, struct error *err);
bool lease_held(const struct lease *lease);
