// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_restore.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum {
    LOOK_MS = 10000, /* at what is watched as well */
    SOON_MS = 2000,  /* at what nobody tells us of: a claim */
    REFUSED_MS = 30000,
    ERROR_SHOWN_BYTES = 300,
};

static const struct run *run_of(const struct restore_facts *facts)
{
    return &facts->restore->run;
}

static const struct run_attempt *current(const struct restore_facts *facts)
{
    return run_current(run_of(facts));
}

/* It covers all of it, from the moment that somebody asked for the restore. */
static bool is_over(const struct restore_facts *facts)
{
    return facts->now_ms >= run_of(facts)->created_ms + facts->restore->deadline_seconds * 1000;
}

static void fail(const struct restore_facts *facts, struct restore_plan *plan, const char *reason,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void fail(const struct restore_facts *facts, struct restore_plan *plan, const char *reason,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_fail_args(&plan->verdict, run_of(facts), reason, format, args);
    va_end(args);
    plan->again_ms = LOOK_MS; /* to clean up */
}

static void go_on(struct restore_plan *plan, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void go_on(struct restore_plan *plan, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_set_args(&plan->verdict, RUN_OPEN, reason, format, args);
    va_end(args);
    plan->again_ms = LOOK_MS;
}

static void time_out(const struct restore_facts *facts, struct restore_plan *plan, const char *how)
{
    fail(facts, plan, "DeadlineExceeded", "took longer than spec.deadlineSeconds: %" PRId64 "%s%s",
         facts->restore->deadline_seconds, how ? "; " : "", how ? how : "");
}

static void try_again(const struct restore_facts *facts, struct restore_plan *plan,
                      const char *reason, const char *error)
{
    size_t count = run_of(facts)->attempt_count;
    if (is_over(facts))
        return time_out(facts, plan, error);
    if (count >= RUN_ATTEMPTS_MAX)
        return fail(facts, plan, reason, "attempt %zu of %d: %s", count, RUN_ATTEMPTS_MAX, error);
    go_on(plan, "Pending", "attempt %zu of %d ended: %.*s; another one follows", count,
          RUN_ATTEMPTS_MAX, ERROR_SHOWN_BYTES, error);
    verdict_end_attempt(&plan->verdict, run_of(facts), reason, error);
    plan->again_ms = 1000;
}

static bool has_claim(const struct restore_facts *facts)
{
    const char *uid = facts->restore->claim_uid;
    return facts->claim.owner == RESTORE_OURS && !facts->claim.deleted &&
           (!uid || strcmp(uid, facts->claim.uid) == 0);
}

void restore_plan_forbidden(const struct restore_facts *facts, struct restore_plan *plan)
{
    fail(facts, plan, "RestoreNotPermitted",
         "the operator may not make pods and volume claims in namespace '%s': add it to the value "
         "restore.namespaces of its chart, and make another RestoreJob",
         run_of(facts)->namespace);
}

void restore_plan_invalid(const struct restore_facts *facts, struct restore_plan *plan,
                          const char *error)
{
    fail(facts, plan, "Invalid", "%s", error);
}

/* As long as the claim is not set free, it goes when the RestoreJob does: that is no success. */
void restore_plan_refused(const struct restore_facts *facts, struct restore_plan *plan,
                          const char *error)
{
    bool restored = plan->step == RESTORE_STEP_KEEP_CLAIM;
    plan->restored = NULL;
    plan->verdict.attempt_ends = false;
    if (is_over(facts))
        return time_out(facts, plan, error);
    go_on(plan, "Waiting", "%s%s",
          restored ? "the data is restored, but the claim is not free: " : "", error);
    plan->again_ms = REFUSED_MS;
}

static void plan_done(const struct restore_facts *facts, struct restore_plan *plan)
{
    const struct message_done *done = facts->standing.done;
    const char *kind = done->error_kind;
    if (done->ok && !has_claim(facts)) {
        fail(facts, plan, "Failed", "claim '%s' was deleted under way", facts->restore->claim.name);
    } else if (done->ok) {
        plan->step = RESTORE_STEP_KEEP_CLAIM;
        plan->restored = done->restore;
        verdict_set(&plan->verdict, RUN_SUCCEEDED, "Restored",
                    "the data is in the directory 'pgdata' of claim '%s'",
                    facts->restore->claim.name);
        plan->verdict.attempt_ends = true;
        plan->again_ms = LOOK_MS; /* to clean up */
    } else if (strcmp(kind, "transient") == 0 || strcmp(kind, "canceled") == 0) {
        try_again(facts, plan, "Failed", done->error);
    } else if (strcmp(kind, "not-found") == 0) {
        fail(facts, plan, "BackupNotFound", "spec.source.backup: '%s': %s", facts->restore->backup,
             done->error);
    } else {
        fail(facts, plan, "Failed", "%s", done->error);
    }
}

/* What takes a moment in any start is nothing to worry about yet. */
static const char *not_started(const struct restore_facts *facts)
{
    return facts->now_ms - current(facts)->started_ms < RUN_SILENCE_MS ? "Starting" : "Waiting";
}

/* A sidecar that is connected, and idle. */
static void plan_idle(const struct restore_facts *facts, struct restore_plan *plan)
{
    const char *pod = current(facts)->id;
    if (!facts->fresh)
        return go_on(plan, facts->restore->began ? "Running" : "Starting",
                     "the sidecar of pod '%s' has connected", pod);
    if (facts->restore->began)
        return try_again(facts, plan, "SidecarLost",
                         "the sidecar was restarted and lost the restore");
    if (facts->config_error)
        return go_on(plan, not_started(facts), "the sidecar of pod '%s' refuses the policy: %s",
                     pod, facts->config_error);
    if (facts->config_generation < facts->generation)
        return go_on(plan, not_started(facts),
                     "the sidecar of pod '%s' has generation %" PRId64
                     " of the policy, not %" PRId64 " yet",
                     pod, facts->config_generation, facts->generation);
    plan->step = RESTORE_STEP_SEND;
    go_on(plan, "Starting", "the sidecar of pod '%s' is told to restore", pod);
}

static void plan_silent(const struct restore_facts *facts, struct restore_plan *plan)
{
    const struct run_attempt *attempt = current(facts);
    int64_t age_ms = facts->now_ms - attempt->started_ms;
    int64_t silent_ms = facts->standing.silent_ms < age_ms ? facts->standing.silent_ms : age_ms;
    if (facts->restore->began && silent_ms >= RUN_LOST_MS)
        return try_again(facts, plan, "SidecarLost", "the sidecar was silent for too long");
    if (facts->restore->began)
        return go_on(plan, "Running", "pod '%s' restores; its sidecar reconnects", attempt->id);
    const char *note = facts->pod.note ? facts->pod.note : facts->claim.note;
    if (facts->pod.replaceable)
        return try_again(facts, plan, "PodFailed", note);
    go_on(plan, not_started(facts), "pod '%s': %s", attempt->id,
          note ? note : "its sidecar is not connected yet");
}

static void plan_pod(const struct restore_facts *facts, struct restore_plan *plan)
{
    const struct run_attempt *attempt = current(facts);
    if (facts->pod.owner == RESTORE_FOREIGN && facts->pod.leftover)
        return go_on(plan, "Starting", "pod '%s' of a RestoreJob before has to be gone first",
                     attempt->id);
    if (facts->pod.owner == RESTORE_FOREIGN)
        return fail(facts, plan, "Invalid",
                    "there is a pod '%s' that is not of this RestoreJob: remove it, or give the "
                    "RestoreJob another name",
                    attempt->id);
    if (facts->pod.owner == RESTORE_NONE && attempt->pod_uid)
        return try_again(facts, plan, "PodFailed", "the pod was deleted");
    if (facts->pod.owner == RESTORE_NONE && facts->pod_problem)
        return fail(facts, plan, "Invalid", "%s", facts->pod_problem);
    if (facts->pod.owner == RESTORE_NONE) {
        plan->step = RESTORE_STEP_MAKE_POD;
        return go_on(plan, "Starting", "pod '%s' is made", attempt->id);
    }
    if (facts->pod.deleted || facts->pod.ended)
        return try_again(facts, plan, "PodFailed",
                         facts->pod.note ? facts->pod.note : "the pod was deleted");
    if (!attempt->pod_uid) {
        plan->step = RESTORE_STEP_ADOPT_POD;
        return go_on(plan, "Starting", "pod '%s' was made", attempt->id);
    }
    if (facts->standing.kind == STANDING_SILENT)
        return plan_silent(facts, plan);
    if (facts->standing.kind != STANDING_RUNNING)
        return plan_idle(facts, plan);
    go_on(plan, "Running", "pod '%s' restores into claim '%s'", attempt->id,
          facts->restore->claim.name);
    plan->progress = &facts->standing.progress;
}

static void plan_attempt(const struct restore_facts *facts, struct restore_plan *plan)
{
    if (facts->standing.kind == STANDING_ENDED)
        return plan_done(facts, plan);
    if (is_over(facts))
        return time_out(facts, plan, facts->pod.note);
    if (!has_claim(facts))
        return fail(facts, plan, "Failed", "claim '%s' was deleted under way",
                    facts->restore->claim.name);
    if (!facts->policy_found && !facts->restore->began && facts->standing.kind != STANDING_RUNNING)
        return fail(facts, plan, "PolicyNotFound",
                    "policy '%s' was deleted before the restore began", facts->restore->policy);
    plan_pod(facts, plan);
}

/* What can be refused before anything is made. */
static bool refuse(const struct restore_facts *facts, struct restore_plan *plan)
{
    const struct restore_object *restore = facts->restore;
    int64_t left_ms = run_of(facts)->created_ms + RUN_POLICY_GRACE_MS - facts->now_ms;
    if (restore->unsupported[0]) {
        fail(facts, plan, "Unsupported", "%s: this version does not support it: leave it out",
             restore->unsupported);
    } else if (!facts->policy_found && left_ms > 0 && run_of(facts)->attempt_count == 0) {
        go_on(plan, "Pending", "there is no BackupPolicy '%s' in this namespace yet",
              restore->policy);
        plan->again_ms = left_ms;
    } else if (!facts->policy_found) {
        fail(facts, plan, "PolicyNotFound",
             "spec.source.policyRef.name: there is no BackupPolicy '%s' in this namespace",
             restore->policy);
    } else if (facts->policy_problem) {
        fail(facts, plan, "PolicyNotReady", "policy '%s': %s", restore->policy,
             facts->policy_problem);
    } else if (facts->region_problem) {
        fail(facts, plan, "RegionNotFound", "%s", facts->region_problem);
    } else if (facts->pod_problem) {
        fail(facts, plan, "Invalid", "%s", facts->pod_problem);
    } else if (facts->forbidden) {
        restore_plan_forbidden(facts, plan);
    } else if (facts->claim.owner == RESTORE_FOREIGN && !facts->claim.leftover) {
        fail(facts, plan, "ClaimExists",
             "spec.destination.newVolumeClaim.name: there is a claim '%s' already, and nothing is "
             "overwritten: give another name",
             restore->claim.name);
    } else {
        return false;
    }
    return true;
}

/* What an attempt before left. */
static bool clean_up(const struct restore_facts *facts, struct restore_plan *plan, const char *id)
{
    if (facts->old_pod) {
        go_on(plan, "Pending", "pod '%s' has to be gone first", facts->old_pod);
        plan->step = facts->old_pod_deleted ? RESTORE_STEP_REST : RESTORE_STEP_DELETE_POD;
        return true;
    }
    if (facts->claim.owner == RESTORE_FOREIGN) {
        go_on(plan, "Pending", "claim '%s' of a RestoreJob before has to be gone first",
              facts->restore->claim.name);
        plan->again_ms = SOON_MS;
        return true;
    }
    if (facts->claim.owner == RESTORE_NONE ||
        (facts->claim.attempt && strcmp(facts->claim.attempt, id) == 0 && !facts->claim.deleted))
        return false;
    go_on(plan, "Pending", "claim '%s' of the attempt before has to be gone first",
          facts->restore->claim.name);
    plan->step = facts->claim.deleted ? RESTORE_STEP_REST : RESTORE_STEP_DELETE_CLAIM;
    plan->again_ms = SOON_MS;
    return true;
}

static void plan_next(const struct restore_facts *facts, struct restore_plan *plan)
{
    char id[RESTORE_OBJECT_ID_BYTES];
    const struct run *run = run_of(facts);
    const struct run_attempt *last = run_last(run);
    restore_object_next_id(facts->restore, id);
    if (refuse(facts, plan))
        return;
    if (is_over(facts))
        return time_out(facts, plan, last ? last->error : NULL);
    if (clean_up(facts, plan, id))
        return;
    go_on(plan, "Pending", "claim '%s' is made", facts->restore->claim.name);
    if (facts->now_ms < run_retry_ms(run)) {
        go_on(plan, "Pending", "attempt %zu of %d ended: %.*s; another one follows",
              run->attempt_count, RUN_ATTEMPTS_MAX, ERROR_SHOWN_BYTES,
              last->error ? last->error : "no reason given");
        plan->again_ms = run_retry_ms(run) - facts->now_ms;
    } else if (facts->claim.owner == RESTORE_NONE) {
        plan->step = RESTORE_STEP_MAKE_CLAIM;
        plan->again_ms = 1;
    } else {
        plan->step = RESTORE_STEP_BEGIN;
        go_on(plan, "Starting", "pod '%s' is made", id);
        plan->again_ms = 1;
    }
}

/* Nothing of it changes any more; its pod goes, and then itself. */
static void plan_ended(const struct restore_facts *facts, struct restore_plan *plan)
{
    const struct restore_object *restore = facts->restore;
    plan->verdict.outcome = restore->run.outcome;
    if (facts->old_pod) {
        plan->step = facts->old_pod_deleted ? RESTORE_STEP_REST : RESTORE_STEP_DELETE_POD;
        plan->again_ms = LOOK_MS;
    } else if (restore->ttl_seconds >= 0) {
        int64_t left_ms = restore->run.ended_ms + restore->ttl_seconds * 1000 - facts->now_ms;
        plan->step = left_ms <= 0 ? RESTORE_STEP_DELETE_JOB : RESTORE_STEP_REST;
        plan->again_ms = left_ms > 0 ? left_ms : 0;
    }
}

void restore_plan(const struct restore_facts *facts, struct restore_plan *ret_plan)
{
    *ret_plan = (struct restore_plan){.step = RESTORE_STEP_REST};
    if (run_of(facts)->outcome != RUN_OPEN)
        plan_ended(facts, ret_plan);
    else if (run_of(facts)->deleted)
        fail(facts, ret_plan, "Canceled", "the RestoreJob is being deleted");
    else if (current(facts))
        plan_attempt(facts, ret_plan);
    else
        plan_next(facts, ret_plan);
}
