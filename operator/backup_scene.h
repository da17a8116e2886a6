// SPDX-License-Identifier: Apache-2.0
/*
 * All that a Backup's plan is made of, gathered at a moment: its policy, the Backups beside it, the
 * policy's pods and what their sidecars say.
 */
#pragma once

#include "operator/agents.h"
#include "operator/backup_queue.h"
#include "operator/member.h"
#include "operator/plan_backup.h"
#include "operator/policy_spec.h"

struct reconcile;

struct backup_scene {
    json_t *object, *policy_object, *backups; /* references of its own */
    struct backup_object backup;
    struct policy_spec policy; /* if facts.policy_found and there is no policy_problem */
    char problem[RUN_MESSAGE_BYTES];
    struct backup_queue queue;
    struct members members;
    struct agent_view *views;            /* of the member with the same index */
    struct source_candidate *candidates; /* the same */
    struct agent_view current;           /* of the attempt under way */
    struct source_choice choice;
    struct backup_facts facts; /* lent from all of that */
};

/* object is the Backup. ret_scene must stay where it is; the caller's (backup_scene_done),
 * also on failure. */
MUST_CHECK int backup_scene_gather(struct backup_scene *ret_scene,
                                   const struct reconcile *reconcile, json_t *object,
                                   struct error *err);
void backup_scene_done(struct backup_scene *scene); /* for CLEANUP; zeroed is empty */
