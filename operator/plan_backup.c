// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_backup.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "operator/backup_result.h"
#include "operator/lookup.h"

enum {
    LOOK_MS = 10000,        /* at a run under way, if nothing is heard */
    ANSWER_MS = 30000,      /* after so long without an answer, ask again */
    BEGIN_MS = 5000,        /* a sidecar tells of a new run by itself within that */
    UNSURE_MS = 5 * 60000,  /* then it does not matter any more whether a bucket has it */
    ERROR_SHOWN_BYTES = 300 /* of a sidecar's error in a condition */
};

static const struct run_attempt *current(const struct backup_facts *facts)
{
    return run_current(&facts->backup->run);
}

/* The deadline covers all attempts, not the wait for other runs. */
static int64_t deadline_ms(const struct backup_facts *facts)
{
    const struct run *run = &facts->backup->run;
    int64_t from = run->attempt_count > 0 ? run->attempts[0].started_ms : facts->turn_ms;
    return from + facts->deadline_seconds * 1000;
}

static void fail(const struct backup_facts *facts, struct backup_plan *plan, const char *reason,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void fail(const struct backup_facts *facts, struct backup_plan *plan, const char *reason,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_fail_args(&plan->verdict, &facts->backup->run, reason, format, args);
    va_end(args);
    plan->again_ms = 0;
}

static void wait(struct backup_plan *plan, int64_t again_ms, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void wait(struct backup_plan *plan, int64_t again_ms, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_set_args(&plan->verdict, RUN_OPEN, "Pending", format, args);
    va_end(args);
    plan->again_ms = again_ms;
}

static void go_on(struct backup_plan *plan, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void go_on(struct backup_plan *plan, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    verdict_set_args(&plan->verdict, RUN_OPEN, "Running", format, args);
    va_end(args);
    plan->again_ms = LOOK_MS;
}

static void time_out(const struct backup_facts *facts, struct backup_plan *plan, const char *how)
{
    fail(facts, plan, "DeadlineExceeded",
         "took longer than the policy's deadlineSeconds: %" PRId64 "; %s", facts->deadline_seconds,
         how);
}

/* The attempt did not succeed, in a way that another one may. */
static void try_again(const struct backup_facts *facts, struct backup_plan *plan,
                      const char *reason, const char *error)
{
    const struct run *run = &facts->backup->run;
    const char *pod = current(facts)->pod;
    if (facts->now_ms >= deadline_ms(facts))
        return time_out(facts, plan, error);
    if (run->attempt_count >= RUN_ATTEMPTS_MAX)
        return fail(facts, plan, reason, "attempt %zu of %d on pod '%s': %s", run->attempt_count,
                    RUN_ATTEMPTS_MAX, pod, error);
    wait(plan, 1000, "attempt %zu of %d on pod '%s' ended: %.*s; another one follows",
         run->attempt_count, RUN_ATTEMPTS_MAX, pod, ERROR_SHOWN_BYTES, error);
    verdict_end_attempt(&plan->verdict, run, reason, error);
}

static void succeed(const struct backup_facts *facts, struct backup_plan *plan, json_t *backup)
{
    const char *id = current(facts)->id;
    json_int_t page_errors = json_integer_value(json_object_get(backup, "pageErrors"));
    const char *because = lookup_text(backup, "missingBecause");
    char regions[BACKUP_RESULT_NAMES_BYTES], missing[BACKUP_RESULT_NAMES_BYTES];
    backup_result_names(json_object_get(backup, "regions"), regions);
    backup_result_names(json_object_get(backup, "missingRegions"), missing);
    if (page_errors > 0)
        verdict_set(&plan->verdict, RUN_SUCCEEDED, "PageErrors",
                    "'%s' is committed, but %" JSON_INTEGER_FORMAT
                    " pages of the database had wrong checksums: run pg_amcheck, and keep older "
                    "backups",
                    id, page_errors);
    else if (missing[0])
        verdict_set(&plan->verdict, RUN_SUCCEEDED, "PartlyCommitted",
                    "'%s' is in %s, but not in %s: %.*s", id, regions, missing, ERROR_SHOWN_BYTES,
                    because ? because : "see the regions of the policy's status");
    else
        verdict_set(&plan->verdict, RUN_SUCCEEDED, "Committed", "'%s' is in %s", id, regions);
    plan->verdict.attempt_ends = true;
    plan->committed = backup;
}

/* What the error's kind says: whether it can be any better next time. */
static void plan_ended(const struct backup_facts *facts, struct backup_plan *plan)
{
    const struct message_done *done = facts->standing.done;
    if (done->ok)
        return succeed(facts, plan, done->backup);
    const char *kind = done->error_kind;
    bool canceled = strcmp(kind, "canceled") == 0;
    if (canceled || strcmp(kind, "transient") == 0)
        try_again(facts, plan, canceled ? "Canceled" : "Failed", done->error);
    else
        fail(facts, plan, "Failed", "%s", done->error);
}

static void ask(struct backup_plan *plan, const char *uid, const struct standing *standing)
{
    if (standing->asked_ms >= 0 && standing->asked_ms < ANSWER_MS)
        return;
    plan->step = BACKUP_STEP_ASK;
    plan->uid = uid;
}

static void cancel(const struct backup_facts *facts, struct backup_plan *plan)
{
    plan->step = BACKUP_STEP_CANCEL;
    plan->uid = current(facts)->pod_uid;
}

static void plan_running(const struct backup_facts *facts, struct backup_plan *plan)
{
    int64_t over_ms = facts->now_ms - deadline_ms(facts);
    go_on(plan, "runs on pod '%s'", current(facts)->pod);
    plan->progress = &facts->standing.progress;
    if (over_ms >= 0)
        cancel(facts, plan);
    if (over_ms >= RUN_CANCEL_GRACE_MS)
        time_out(facts, plan, "and its sidecar does not stop");
}

/* It does not run; whether a bucket has it is not known, as not all of them answer. A second backup
 * does no harm, and a region that is down must not keep the others from being made. */
static void try_in_doubt(const struct backup_facts *facts, struct backup_plan *plan,
                         const char *reason, const char *trouble)
{
    char error[RUN_MESSAGE_BYTES];
    snprintf(error, sizeof(error), "the run was lost, and whether a bucket has it is not known: %s",
             trouble);
    plan->step = BACKUP_STEP_REST;
    try_again(facts, plan, reason, error);
}

static void plan_untold(const struct backup_facts *facts, struct backup_plan *plan)
{
    const struct run_attempt *attempt = current(facts);
    const char *trouble = facts->standing.trouble;
    if (facts->now_ms >= deadline_ms(facts) + RUN_CANCEL_GRACE_MS)
        return time_out(facts, plan, trouble ? trouble : "and its sidecar does not say how it is");
    if (trouble && facts->standing.joined_ms >= UNSURE_MS)
        return try_in_doubt(facts, plan, "SidecarLost", trouble);
    go_on(plan, "pod '%s' is asked about the run%s%s", attempt->pod,
          trouble ? "; it could not tell: " : "", trouble ? trouble : "");
    if (facts->now_ms - attempt->started_ms < BEGIN_MS)
        plan->again_ms = BEGIN_MS;
    else
        ask(plan, attempt->pod_uid, &facts->standing);
}

/* Nobody hears of it from its own pod. Whether a bucket has it can be told by any other. true: that
 * one said what it knows. */
static bool ask_other(const struct backup_facts *facts, struct backup_plan *plan)
{
    if (!facts->other_uid)
        return false;
    if (facts->other.kind == STANDING_COMMITTED)
        succeed(facts, plan, facts->other.backup);
    else if (facts->other.kind == STANDING_UNTOLD)
        ask(plan, facts->other_uid, &facts->other);
    return facts->other.kind == STANDING_COMMITTED || facts->other.kind == STANDING_ABSENT;
}

static void plan_gone(const struct backup_facts *facts, struct backup_plan *plan)
{
    const char *pod = current(facts)->pod;
    go_on(plan, "pod '%s' is gone; %s", pod,
          facts->other_uid
              ? "another one is asked whether a bucket has the backup"
              : "no other is connected that could say whether a bucket has the backup");
    if (ask_other(facts, plan)) {
        if (facts->other.kind == STANDING_ABSENT)
            try_again(facts, plan, "PodGone", "the pod is gone, and no bucket has the backup");
    } else if (facts->other.trouble && facts->standing.silent_ms >= UNSURE_MS) {
        try_in_doubt(facts, plan, "PodGone", facts->other.trouble);
    } else if (facts->now_ms >= deadline_ms(facts) + RUN_CANCEL_GRACE_MS) {
        fail(facts, plan, "PodGone", "pod '%s' is gone, and nobody can say if a bucket has '%s'",
             pod, current(facts)->id);
    }
}

/* A sidecar that nobody hears may well be running the backup: no other is started. It is given up
 * when it is silent for long, and what it does then is ended when it comes back. */
static void plan_silent(const struct backup_facts *facts, struct backup_plan *plan)
{
    const char *pod = current(facts)->pod;
    int64_t silent_ms = facts->standing.silent_ms;
    bool over = facts->now_ms >= deadline_ms(facts);
    go_on(plan,
          silent_ms < RUN_SILENCE_MS ? "runs on pod '%s'; its sidecar reconnects"
                                     : "ran on pod '%s' when its sidecar was heard last",
          pod);
    if (silent_ms < RUN_SILENCE_MS || (silent_ms < RUN_LOST_MS && !over))
        return;
    if (ask_other(facts, plan) && facts->other.kind == STANDING_COMMITTED)
        return;
    bool answered = !facts->other_uid || facts->other.kind == STANDING_ABSENT;
    if (answered || silent_ms >= RUN_LOST_MS + RUN_CANCEL_GRACE_MS)
        fail(facts, plan, over ? "DeadlineExceeded" : "SidecarLost",
             "the sidecar of pod '%s' is silent for %" PRId64 " minutes, and no bucket is known to "
             "have '%s': look at its log",
             pod, silent_ms / 60000, current(facts)->id);
}

static void plan_attempt(const struct backup_facts *facts, struct backup_plan *plan)
{
    switch (facts->standing.kind) {
    case STANDING_ENDED:
        return plan_ended(facts, plan);
    case STANDING_COMMITTED:
        return succeed(facts, plan, facts->standing.backup);
    case STANDING_RUNNING:
        return plan_running(facts, plan);
    case STANDING_UNTOLD:
        return plan_untold(facts, plan);
    case STANDING_ABSENT:
        return try_again(facts, plan, "SidecarLost",
                         "the sidecar was restarted and lost the run, and no bucket has it");
    case STANDING_SILENT:
        return facts->pod_gone ? plan_gone(facts, plan) : plan_silent(facts, plan);
    }
}

static void start(const struct backup_facts *facts, struct backup_plan *plan)
{
    plan->step = BACKUP_STEP_START;
    go_on(plan, "attempt %zu %s", facts->backup->run.attempt_count + 1, facts->choice->message);
}

/* Its turn has come, or another attempt is due. */
static void plan_next(const struct backup_facts *facts, struct backup_plan *plan)
{
    const struct run *run = &facts->backup->run;
    const struct source_choice *choice = facts->choice;
    const struct run_attempt *last = run_last(run);
    if (facts->now_ms >= deadline_ms(facts))
        return time_out(facts, plan, last && last->error ? last->error : choice->message);
    if (facts->now_ms < run_retry_ms(run))
        return wait(plan, run_retry_ms(run) - facts->now_ms,
                    "attempt %zu of %d on pod '%s' ended: %.*s; another one follows",
                    run->attempt_count, RUN_ATTEMPTS_MAX, last->pod, ERROR_SHOWN_BYTES,
                    last->error ? last->error : "no reason given");
    if (choice->verdict == SOURCE_CHOSEN)
        return start(facts, plan);
    if (choice->verdict == SOURCE_GIVE_UP)
        return fail(facts, plan, choice->reason, "%s", choice->message);
    wait(plan, LOOK_MS, "%s", choice->message);
}

static void plan_without_policy(const struct backup_facts *facts, struct backup_plan *plan)
{
    const struct backup_object *backup = facts->backup;
    int64_t left_ms = backup->run.created_ms + RUN_POLICY_GRACE_MS - facts->now_ms;
    if (backup->run.attempt_count > 0) {
        if (current(facts))
            cancel(facts, plan);
        return fail(facts, plan, "PolicyDeleted", "policy '%s' was deleted during the run",
                    backup->policy);
    }
    if (left_ms > 0)
        return wait(plan, left_ms, "there is no BackupPolicy '%s' in this namespace yet",
                    backup->policy);
    fail(facts, plan, "PolicyNotFound",
         "spec.policyRef.name: there is no BackupPolicy '%s' in this namespace; make another "
         "Backup once there is",
         backup->policy);
}

/* Somebody's finalizer keeps it; most are just gone (see orphans). */
static void plan_deleted(const struct backup_facts *facts, struct backup_plan *plan)
{
    if (current(facts))
        cancel(facts, plan);
    fail(facts, plan, "Canceled", "the Backup is being deleted");
}

static void plan_pending(const struct backup_facts *facts, struct backup_plan *plan)
{
    const struct backup_object *backup = facts->backup;
    bool begun = backup->run.attempt_count > 0;
    if (backup->unsupported && !begun)
        return fail(facts, plan, "Unsupported",
                    "%s: this version removes no backups, so it cannot promise when one is; leave "
                    "it out",
                    backup->unsupported);
    if (facts->policy_problem)
        return fail(facts, plan, "PolicyNotReady", "policy '%s': %s", backup->policy,
                    facts->policy_problem);
    if (facts->start_by_ms > 0 && facts->now_ms > facts->start_by_ms && !begun)
        return fail(facts, plan, "Missed",
                    "was not started within its schedule's startingDeadlineSeconds%s%s",
                    facts->ahead ? ", as it waited for Backup " : "",
                    facts->ahead ? facts->ahead : "");
    if (facts->ahead)
        return wait(plan, LOOK_MS, "waits for Backup '%s' of the same policy", facts->ahead);
    plan_next(facts, plan);
}

void backup_plan(const struct backup_facts *facts, struct backup_plan *ret_plan)
{
    *ret_plan = (struct backup_plan){.step = BACKUP_STEP_REST};
    if (facts->backup->run.outcome != RUN_OPEN)
        ret_plan->verdict.outcome = facts->backup->run.outcome;
    else if (facts->backup->run.deleted)
        plan_deleted(facts, ret_plan);
    else if (!facts->policy_found)
        plan_without_policy(facts, ret_plan);
    else if (current(facts))
        plan_attempt(facts, ret_plan);
    else
        plan_pending(facts, ret_plan);
}
