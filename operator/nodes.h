// SPDX-License-Identifier: Apache-2.0
/*
 * In which region a node is (its label topology.kubernetes.io/region). Asked from the API server
 * when somebody wants to know and remembered for ten minutes (a failure for half a minute): nodes
 * change often and their labels almost never, so they are not watched. From any thread.
 */
#pragma once

#include "common/error.h"

enum { NODES_REGION_BYTES = 64 };

struct kube;
struct nodes;

struct nodes *nodes_new(struct kube *kube); /* lends kube for its life */
void nodes_freep(struct nodes **nodes);

/* "" if the node has no such label or is gone. TRANSIENT, PERMANENT: it could not be asked. */
MUST_CHECK int nodes_region(struct nodes *nodes, const char *node,
                            char ret_region[NODES_REGION_BYTES], struct error *err);
