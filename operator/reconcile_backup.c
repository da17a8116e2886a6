// SPDX-License-Identifier: Apache-2.0
/*
 * Drives a Backup to its end. The order that nothing may change: an attempt is written to the
 * status, and that is acknowledged, before the run is sent; so whoever looks next, this process or
 * another, knows whom to ask. A run is sent once and never again under the same id.
 */
#include "operator/reconcile.h"

#include <string.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/backup_result.h"
#include "operator/backup_scene.h"
#include "operator/cache.h"
#include "operator/kube_path.h"
#include "operator/orphans.h"
#include "operator/run_apply.h"
#include "operator/run_status.h"
#include "operator/runs.h"

enum { TURN_MS = 500 };

static int apply_status(const struct reconcile *reconcile, const struct backup_scene *scene,
                        const json_t *status, struct error *err)
{
    const struct run_target target = {
        .resource = &kube_backups, .cache = reconcile->backups, .action = "Backup"};
    return run_apply(reconcile, &target, &scene->backup.run, status, err);
}

static json_t *status_new(const struct backup_scene *scene, const struct backup_plan *plan)
{
    const struct run *run = &scene->backup.run;
    int64_t now_ms = scene->facts.now_ms;
    json_t *status = run_status_copy(run);
    run_status_set_verdict(status, run, &plan->verdict, now_ms);
    if (!json_object_get(status, "type")) /* until it became something */
        run_status_set_text(status, "type",
                            backup_object_type_name(backup_object_type_word(scene->backup.type)));
    if (plan->verdict.attempt_ends)
        run_status_end_attempt(status, plan->verdict.attempt_reason, plan->verdict.attempt_error,
                               now_ms);
    else if (plan->progress)
        run_status_set_progress(status, plan->progress, now_ms);
    if (plan->committed)
        backup_result_put(status, plan->committed);
    else if (plan->verdict.outcome == RUN_FAILED && !plan->verdict.attempt_ends)
        run_status_set_text(status, "error", plan->verdict.message);
    return status;
}

/* Whoever may make Backups can name any policy; metrics have only those that are there. */
static const char *counted_policy(const struct backup_scene *scene)
{
    return scene->facts.policy_found ? scene->backup.policy : "";
}

static void tell_end(const struct reconcile *reconcile, const struct backup_scene *scene,
                     const struct backup_plan *plan)
{
    const struct run *run = &scene->backup.run;
    const json_t *bytes = json_object_get(plan->committed, "bytesRead");
    const json_t *stored = json_object_get(plan->committed, "bytesStored");
    int64_t begun_ms = run->attempt_count > 0 ? run->attempts[0].started_ms : -1;
    const char *word = backup_object_type_word(scene->backup.type);
    const struct runs_end end = {
        .namespace = run->namespace,
        .policy = counted_policy(scene),
        .type = backup_object_type_name(word),
        .reason = plan->verdict.reason,
        .ok = plan->verdict.outcome == RUN_SUCCEEDED,
        .seconds = begun_ms < 0 ? -1 : (double)(scene->facts.now_ms - begun_ms) / 1000,
        .bytes = (uint64_t)json_integer_value(bytes),
        .bytes_stored = (uint64_t)json_integer_value(stored),
    };
    struct error err;
    runs_count_end(reconcile->runs, &end);
    if (end.ok) {
        log_info("Ended backup", S("namespace", run->namespace), S("name", run->name),
                 S("policy", scene->backup.policy), S("reason", end.reason),
                 S("detail", plan->verdict.message));
        return;
    }
    error_set(&err, ERROR_PERMANENT, "%s", plan->verdict.message);
    log_error(&err, "Failed backup", S("namespace", run->namespace), S("name", run->name),
              S("policy", scene->backup.policy), S("reason", end.reason));
}

static void tell_attempt(const struct reconcile *reconcile, const struct backup_scene *scene,
                         const struct backup_plan *plan)
{
    const struct run *run = &scene->backup.run;
    const struct run_attempt *attempt = run_current(run);
    if (!plan->verdict.attempt_ends || !plan->verdict.attempt_reason)
        return;
    runs_count_failed_attempt(reconcile->runs, RUNS_BACKUP, run->namespace, counted_policy(scene));
    if (plan->verdict.outcome == RUN_OPEN)
        log_warn("Failed an attempt of a backup", S("namespace", run->namespace),
                 S("name", run->name), S("policy", scene->backup.policy), S("pod", attempt->pod),
                 S("backup", attempt->id), S("reason", plan->verdict.attempt_reason),
                 S("detail", plan->verdict.attempt_error));
}

/* What is sent may not arrive; the state that comes back, or does not, tells. */
static void send(const struct reconcile *reconcile, const char *pod_uid,
                 const struct message *message)
{
    struct error err;
    if (agents_send(reconcile->agents, pod_uid, message, &err) < 0)
        log_warn("Failed to send to a sidecar", S("uid", pod_uid), S("error", err.text));
}

static void send_run(const struct reconcile *reconcile, const struct backup_scene *scene,
                     const struct run_attempt *attempt)
{
    const struct backup_object *backup = &scene->backup;
    const struct run *run = &backup->run;
    int64_t begun_ms = run->attempt_count > 0 ? run->attempts[0].started_ms : attempt->started_ms;
    int64_t left = scene->facts.deadline_seconds - (scene->facts.now_ms - begun_ms) / 1000;
    const struct message message = {
        .type = MESSAGE_RUN,
        .run = {.id = attempt->id,
                .kind = MESSAGE_KIND_BACKUP,
                .generation = scene->policy.generation,
                .deadline_seconds = (unsigned)(left > 1 ? left : 1),
                .backup = {.name = run->name,
                           .uid = run->uid,
                           .type = backup_object_type_word(backup->type)}},
    };
    send(reconcile, attempt->pod_uid, &message);
}

static int start(const struct reconcile *reconcile, const struct backup_scene *scene,
                 const struct backup_plan *plan, struct error *err)
{
    char id[BACKUP_OBJECT_ID_BYTES];
    const struct source_candidate *pod = &scene->candidates[scene->choice.index];
    backup_object_new_id(scene->backup.type, scene->facts.now_ms, backoff_random(), id);
    const struct run_attempt attempt = {
        .id = id,
        .pod = pod->pod,
        .pod_uid = pod->uid,
        .region = pod->region[0] ? pod->region : NULL,
        .started_ms = scene->facts.now_ms,
    };
    json_auto_t *status = status_new(scene, plan);
    run_status_add_attempt(status, "backupID", &attempt);
    if (apply_status(reconcile, scene, status, err) < 0)
        return -1;
    send_run(reconcile, scene, &attempt);
    log_info("Started backup", S("namespace", scene->backup.run.namespace),
             S("name", scene->backup.run.name), S("policy", scene->backup.policy),
             S("pod", attempt.pod), S("backup", id));
    return 0;
}

static void speak(const struct reconcile *reconcile, const struct backup_scene *scene,
                  const struct backup_plan *plan)
{
    const struct run_attempt *attempt = run_current(&scene->backup.run);
    struct message message = {.type = MESSAGE_QUESTION};
    if (plan->step == BACKUP_STEP_CANCEL) {
        message.type = MESSAGE_CANCEL;
        message.cancel.id = attempt->id;
        message.cancel.reason =
            plan->verdict.outcome == RUN_FAILED ? plan->verdict.message : "its deadline has passed";
    } else {
        message.question.lookup[0] = attempt->id;
        message.question.lookup_count = 1;
    }
    send(reconcile, plan->uid, &message);
}

static int apply(const struct reconcile *reconcile, const struct backup_scene *scene,
                 const struct backup_plan *plan, struct error *err)
{
    if (plan->step == BACKUP_STEP_START)
        return start(reconcile, scene, plan, err);
    if (plan->step != BACKUP_STEP_REST)
        speak(reconcile, scene, plan);
    json_auto_t *status = status_new(scene, plan);
    if (apply_status(reconcile, scene, status, err) < 0)
        return -1;
    tell_attempt(reconcile, scene, plan);
    if (plan->verdict.outcome != RUN_OPEN)
        tell_end(reconcile, scene, plan);
    return 0;
}

/* Counts what runs now, and wakes the Backup whose turn is next. */
static void look_around(const struct reconcile *reconcile, const struct backup_scene *scene,
                        bool ended)
{
    const char *namespace = scene->backup.run.namespace;
    json_auto_t *backups = cache_list(reconcile->backups, namespace, scene->backup.policy);
    struct backup_queue queue = backup_queue_read(backups);
    if (scene->facts.policy_found)
        runs_count_running(reconcile->runs, namespace, scene->backup.policy, queue.running);
    if (!ended || !queue.first)
        return;
    struct work_key key = work_key(WORK_BACKUP, namespace, queue.first);
    workqueue_add(reconcile->queue, &key);
}

static int run_step(const struct reconcile *reconcile, json_t *object, int64_t *ret_again_ms,
                    struct error *err)
{
    struct backup_plan plan;
    CLEANUP(backup_scene_done) struct backup_scene scene;
    if (backup_scene_gather(&scene, reconcile, object, err) < 0)
        return -1;
    backup_plan(&scene.facts, &plan);
    if (apply(reconcile, &scene, &plan, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    look_around(reconcile, &scene, plan.verdict.outcome != RUN_OPEN);
    *ret_again_ms = plan.again_ms;
    return 0;
}

/* One Backup of a policy at a time decides whether it begins. */
static int take_turn(const struct reconcile *reconcile, const struct backup_object *backup,
                     int64_t *ret_again_ms, struct error *err)
{
    if (!runs_take_turn(reconcile->runs, backup->run.namespace, backup->policy)) {
        *ret_again_ms = TURN_MS;
        return 0;
    }
    int result = run_step(reconcile, backup->run.object, ret_again_ms, err);
    runs_give_turn(reconcile->runs, backup->run.namespace, backup->policy);
    return result;
}

int reconcile_backup(const struct reconcile *reconcile, const char *namespace, const char *name,
                     int64_t *ret_again_ms, struct error *err)
{
    struct backup_object backup;
    json_auto_t *object = cache_get(reconcile->backups, namespace, name);
    *ret_again_ms = 0;
    if (!object) {
        *ret_again_ms = orphans_cancel(reconcile, namespace, NULL);
        return 0;
    }
    if (backup_object_read(&backup, object, err) < 0)
        return error_wrap(err, "read Backup '%s'", name);
    if (backup.run.outcome != RUN_OPEN)
        return 0;
    if (run_current(&backup.run))
        return run_step(reconcile, object, ret_again_ms, err);
    return take_turn(reconcile, &backup, ret_again_ms, err);
}
