// SPDX-License-Identifier: Apache-2.0
/*
 * What is to be done about a RestoreJob next, by how it, its pod, its claim and its sidecar stand.
 * One thing at a time, and the next one only when that is seen to be done. A failed attempt leaves
 * a half restore, so each attempt has a claim of its own; the pod of one is gone before the next
 * begins. Every path ends. Pure. Reference: docs/resources.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "operator/restore_object.h"
#include "operator/standing.h"
#include "operator/verdict.h"

enum restore_owner { RESTORE_NONE /* no such object */, RESTORE_OURS, RESTORE_FOREIGN };

struct restore_facts {
    int64_t now_ms;
    const struct restore_object *restore;
    bool policy_found;          /* and not being deleted */
    const char *policy_problem; /* why it cannot be obeyed; NULL: it can */
    const char *region_problem; /* why source's regions are impossible; NULL: they are not */
    const char *pod_problem;    /* why no pod can be made; NULL: one can */
    int64_t generation;         /* of the policy */
    const char *old_pod;        /* a pod of ours that is not the current attempt's; NULL: none */
    bool old_pod_deleted;       /* it is on its way */
    bool forbidden;             /* we have no right to look at claims there */
    struct {
        enum restore_owner owner;
        const char *attempt, *uid;
        bool deleted;     /* is being deleted */
        bool leftover;    /* of a RestoreJob of this name that is gone: Kubernetes removes it */
        const char *note; /* why it is not bound; NULL */
    } claim;
    struct { /* of the attempt under way */
        enum restore_owner owner;
        const char *uid;
        bool deleted, ended;
        bool leftover;    /* as that of a claim */
        bool replaceable; /* its image cannot be pulled, and would be another one by now */
        const char *note; /* what scheduler and kubelet say of it, or how it ended; may be NULL */
    } pod;
    bool fresh; /* its sidecar has said how it is, as follows */
    const char *config_error;
    int64_t config_generation;
    struct standing standing;
};

enum restore_step {
    RESTORE_STEP_REST,         /* say how it stands */
    RESTORE_STEP_MAKE_CLAIM,   /* for the next attempt */
    RESTORE_STEP_BEGIN,        /* write the next attempt to the status */
    RESTORE_STEP_MAKE_POD,     /* of the attempt under way */
    RESTORE_STEP_ADOPT_POD,    /* write its uid to the status */
    RESTORE_STEP_SEND,         /* the run */
    RESTORE_STEP_KEEP_CLAIM,   /* nobody owns it any more; then say that it succeeded */
    RESTORE_STEP_DELETE_POD,   /* that of the attempt, or the old one */
    RESTORE_STEP_DELETE_CLAIM, /* of an attempt before */
    RESTORE_STEP_DELETE_JOB,   /* ttlSecondsAfterFinished */
};

/* Texts and pointers are lent from the facts. */
struct restore_plan {
    enum restore_step step;
    struct verdict verdict;
    json_t *restored;                        /* the sidecar's summary, if it succeeded */
    const struct message_progress *progress; /* while it runs */
    int64_t again_ms; /* look again after so long; 0: when something changes */
};

/* What becomes of a plan whose step the API server refuses: RestoreNotPermitted, Invalid; or
 * Waiting, where it may be had later (a quota). */
void restore_plan_forbidden(const struct restore_facts *facts, struct restore_plan *plan);
void restore_plan_invalid(const struct restore_facts *facts, struct restore_plan *plan,
                          const char *error);
void restore_plan_refused(const struct restore_facts *facts, struct restore_plan *plan,
                          const char *error);

void restore_plan(const struct restore_facts *facts, struct restore_plan *ret_plan);
