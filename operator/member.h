// SPDX-License-Identifier: Apache-2.0
/*
 * A pod that belongs to a policy by its label lifeboat.dev/policy: what the API server says of it
 * (what its sidecar says is in agents). Its region is its annotation lifeboat.dev/region, else its
 * node's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "common/error.h"
#include "operator/nodes.h"

struct cache;

enum { MEMBER_NOTE_BYTES = 256 };

/* Texts are lent from the pod. */
struct member {
    const char *namespace, *name, *uid;
    const char *node;                     /* NULL: not scheduled yet */
    char region[NODES_REGION_BYTES];      /* "": not known */
    char region_error[MEMBER_NOTE_BYTES]; /* why it is not known; else "" */
    bool terminating;                     /* is being deleted, or has ended */
    bool ready;                           /* condition Ready: its database serves */
    bool has_sidecar;                     /* a container named lifeboat */
    bool sidecar_runs;
    char sidecar_note[MEMBER_NOTE_BYTES]; /* why it does not run (ImagePullBackOff …); else "" */
    const char *config_map;               /* lifeboat-… that the sidecar mounts; NULL: none */
};

struct members { /* sorted by name */
    struct member *items;
    size_t count;
    json_t *pods; /* owns all texts */
};

/* Pure; region only from the annotation. PERMANENT: not a pod. */
MUST_CHECK int member_read(struct member *ret_member, const json_t *pod, struct error *err);
/* Sets region, where no annotation did, or region_error. */
void member_find_region(struct member *member, struct nodes *nodes);
/* All members of a policy, with their regions. pods: the cache by label lifeboat.dev/policy. */
void members_load(struct members *ret_members, struct cache *pods, struct nodes *nodes,
                  const char *namespace, const char *policy);
void members_done(struct members *members); /* for CLEANUP; zeroed is empty */
