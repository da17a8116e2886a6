// SPDX-License-Identifier: Apache-2.0
/*
 * All that a RestoreJob's plan is made of, gathered at a moment: its policy and that one's members,
 * its claim, its pods and what its sidecar says.
 */
#pragma once

#include "operator/agents.h"
#include "operator/nodes.h"
#include "operator/plan_restore.h"
#include "operator/policy_spec.h"
#include "operator/restore_pod.h"

struct reconcile;

enum { RESTORE_SCENE_NOTE_BYTES = 480 };

struct restore_scene {
    json_t *object, *policy_object, *members, *pods, *pod_object, *claim_object; /* references */
    struct restore_object restore;
    struct policy_spec policy;
    struct restore_pod pod; /* unless facts.pod_problem */
    char policy_problem[RUN_MESSAGE_BYTES], region_problem[RUN_MESSAGE_BYTES];
    struct error pod_error;
    char pod_note[RESTORE_SCENE_NOTE_BYTES];
    char closest[NODES_REGION_BYTES]; /* of the policy's regions that may be read, the pod's; or ""
                                       */
    struct agent_view view;
    struct restore_facts facts; /* lent from all of that */
};

/* object is the RestoreJob. ret_scene must stay where it is; the caller's (restore_scene_done),
 * also on failure. */
MUST_CHECK int restore_scene_gather(struct restore_scene *ret_scene,
                                    const struct reconcile *reconcile, json_t *object,
                                    struct error *err);
void restore_scene_done(struct restore_scene *scene); /* for CLEANUP; zeroed is empty */
