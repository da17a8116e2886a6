// SPDX-License-Identifier: Apache-2.0
/*
 * What a policy's pods and regions look like at a moment, put together from what the API server and
 * the sidecars say, which may be late, missing or contradict each other. A sidecar that lost its
 * connection a moment ago still counts as connected, so that a hiccup changes no status. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "operator/condition.h"
#include "operator/policy_spec.h"

struct agent_view;
struct member;

enum {
    POLICY_VIEW_HICCUP_MS = 30 * 1000,   /* a sidecar that comes back within is not missed */
    POLICY_VIEW_SETTLING_MS = 60 * 1000, /* for sidecars to find a new leader */
};

struct policy_view_facts {
    const struct policy_spec *spec;
    const struct member *members;
    const struct agent_view *agents; /* of the member with the same index */
    size_t member_count;
    int64_t monotonic_ms;
    int64_t leading_ms; /* monotonic; since when we lead */
};

struct policy_view_pod {
    const struct member *member;
    const struct message_state *state; /* NULL: not told, or silent for too long */
    bool connected;
    bool hiccup;                           /* … only as it was a moment ago */
    int64_t generation;                    /* of this policy that its sidecar has; 0: none */
    bool foreign;                          /* carries the configuration of another policy */
    bool waits;                            /* for the kubelet to bring the policy */
    bool loaded;                           /* has this generation of the policy, without error */
    bool candidate;                        /* of all this, could make a backup: see source.region */
    const char *slot;                      /* that it was last heard to keep for WAL, or NULL */
    char message[CONDITION_MESSAGE_BYTES]; /* what is wrong with it; else "" */
};

struct policy_view_region {
    const struct policy_spec_region *region;
    bool told;         /* a sidecar tried; what follows is valid */
    bool reachable;    /* all who tried could use it */
    const char *error; /* may be NULL */
    uint64_t backups, bytes;
    const char *last_backup;              /* may be NULL */
    bool listed;                          /* one could: backups, bytes and last_backup are valid */
    const struct message_region *listing; /* the whole of what that one said; else NULL */
};

struct policy_view {
    const struct policy_spec *spec;
    struct policy_view_pod *pods;
    size_t pod_count;
    size_t living; /* pods that are not being deleted */
    size_t connected;
    struct policy_view_region regions[POLICY_SPEC_REGIONS_MAX];
    bool settling;    /* we lead since a moment ago, and some sidecar was not heard of yet */
    int64_t again_ms; /* so much later it looks different without news; 0: it does not */
};

/* Lends all of facts. */
void policy_view_init(struct policy_view *ret_view, const struct policy_view_facts *facts);
void policy_view_done(struct policy_view *view); /* for CLEANUP; zeroed is empty */

bool policy_view_writable(const struct policy_view *view, size_t region);
/* Two pods with different system identifiers; false if there are none. */
bool policy_view_strangers(const struct policy_view *view, const struct policy_view_pod **ret_one,
                           const struct policy_view_pod **ret_other);
/* Regions with ReadWrite that this pod's sidecar can use. */
size_t policy_view_usable(const struct policy_view *view, const struct policy_view_pod *pod);
