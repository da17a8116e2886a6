// SPDX-License-Identifier: Apache-2.0
/*
 * What is to be done about a Backup next, by how it and the world stand. Every path ends: each wait
 * has a limit, and a run that ended is never touched again. Pure. Reference: docs/resources.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "operator/backup_object.h"
#include "operator/plan_source.h"
#include "operator/standing.h"
#include "operator/verdict.h"

struct backup_facts {
    int64_t now_ms;
    const struct backup_object *backup;
    bool policy_found;          /* and not being deleted */
    const char *policy_problem; /* why it cannot be obeyed; NULL: it can */
    int64_t deadline_seconds;   /* the policy's */
    int64_t turn_ms;            /* since when nothing of ours kept it from running */
    int64_t start_by_ms;        /* of its schedule's slot; 0: any time */
    const char *ahead;          /* the Backup that comes first; NULL: it is this one's turn */
    const struct source_choice *choice; /* if there is no attempt under way */
    /* of the attempt under way: */
    bool pod_gone;
    struct standing standing; /* what the sidecar of its pod said */
    const char *other_uid;    /* another pod whose sidecar can be asked; NULL: none */
    struct standing other;    /* what that one said of it */
};

enum backup_step {
    BACKUP_STEP_REST,   /* say how it stands */
    BACKUP_STEP_START,  /* begin an attempt on the chosen pod */
    BACKUP_STEP_ASK,    /* ask the sidecar of that pod about the attempt */
    BACKUP_STEP_CANCEL, /* tell the sidecar of that pod to end it */
};

/* Texts and pointers are lent from the facts. */
struct backup_plan {
    enum backup_step step;
    const char *uid; /* of the pod to ask, or to tell */
    struct verdict verdict;
    json_t *committed;                       /* the summary of its manifest, if it succeeded */
    const struct message_progress *progress; /* while it runs */
    int64_t again_ms; /* look again after so long; 0: when something changes */
};

void backup_plan(const struct backup_facts *facts, struct backup_plan *ret_plan);
