// SPDX-License-Identifier: Apache-2.0
/*
 * Drives a RestoreJob to its end: a claim, an attempt in the status, its pod, the run. Each is made
 * only when the one before is seen to be there, and by a name that can be made once, so it does not
 * matter who looks, or how often.
 */
#include "operator/reconcile.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/kube_status.h"
#include "operator/restore_scene.h"
#include "operator/run_apply.h"
#include "operator/run_status.h"
#include "operator/runs.h"

static const struct restore_object *job_of(const struct restore_scene *scene)
{
    return &scene->restore;
}

static struct kube_ref ref_of(const struct restore_scene *scene,
                              const struct kube_resource *resource, const char *name)
{
    return (struct kube_ref){
        .resource = resource, .namespace = job_of(scene)->run.namespace, .name = name};
}

static int make_claim(const struct reconcile *reconcile, const struct restore_scene *scene,
                      struct error *err)
{
    char id[RESTORE_OBJECT_ID_BYTES];
    const struct kube_ref claims = ref_of(scene, &kube_claims, NULL);
    restore_object_next_id(job_of(scene), id);
    json_auto_t *claim = restore_pod_format_claim(job_of(scene), id);
    if (kube_create(reconcile->kube, &claims, claim, NULL, err) < 0)
        return error_wrap(err, "make claim '%s'", job_of(scene)->claim.name);
    return 0;
}

static int make_pod(const struct reconcile *reconcile, const struct restore_scene *scene,
                    json_t *status, struct error *err)
{
    const char *id = run_current(&job_of(scene)->run)->id;
    const struct kube_ref pods = ref_of(scene, &kube_pods, NULL);
    json_auto_t *pod = restore_pod_format(&scene->pod, id);
    json_auto_t *made = NULL;
    if (kube_create(reconcile->kube, &pods, pod, &made, err) < 0)
        return error_wrap(err, "make pod '%s'", id);
    json_decref(cache_put(reconcile->restore_pods, made));
    run_status_set_pod(
        status, id, json_string_value(json_object_get(json_object_get(made, "metadata"), "uid")));
    return 0;
}

static void begin(const struct restore_scene *scene, json_t *status)
{
    char id[RESTORE_OBJECT_ID_BYTES];
    restore_object_next_id(job_of(scene), id);
    const struct run_attempt attempt = {.id = id, .started_ms = scene->facts.now_ms};
    run_status_add_attempt(status, "id", &attempt);
    if (strcmp(job_of(scene)->backup, "Latest") != 0) /* which that is comes to light later */
        run_status_set_text(status, "backup", job_of(scene)->backup);
    run_status_set_text(status, "claim", job_of(scene)->claim.name);
    run_status_set_text(status, "claimUID", scene->facts.claim.uid);
    if (!json_object_get(status, "started"))
        run_status_set_time(status, "started", scene->facts.now_ms);
}

static unsigned seconds_left(const struct restore_scene *scene)
{
    int64_t end_ms = job_of(scene)->run.created_ms + job_of(scene)->deadline_seconds * 1000;
    int64_t left = (end_ms - scene->facts.now_ms) / 1000;
    return left > 1 ? (unsigned)left : 1;
}

/* It may not arrive; then the sidecar goes on saying that it is idle, and is told again. */
static void send_run(const struct reconcile *reconcile, const struct restore_scene *scene)
{
    struct error err;
    const struct restore_object *restore = job_of(scene);
    const struct run_attempt *attempt = run_current(&restore->run);
    const char *closest = *scene->closest ? scene->closest : NULL;
    struct message message = {
        .type = MESSAGE_RUN,
        .run = {.id = attempt->id,
                .kind = MESSAGE_KIND_RESTORE,
                .generation = scene->facts.generation,
                .deadline_seconds = seconds_left(scene),
                .restore = {.backup = restore->backup,
                            .region = restore->region ? restore->region : closest,
                            .exclude_count = restore->exclude_count,
                            .to = RESTORE_POD_DATA,
                            .workers = restore->workers}},
    };
    memcpy(message.run.restore.exclude_regions, restore->exclude_regions,
           sizeof(restore->exclude_regions));
    if (agents_send(reconcile->agents, attempt->pod_uid, &message, &err) < 0)
        log_warn("Failed to send to a sidecar", S("pod", attempt->id), S("error", err.text));
}

static int keep_claim(const struct reconcile *reconcile, const struct restore_scene *scene,
                      struct error *err)
{
    const struct kube_ref claim = ref_of(scene, &kube_claims, job_of(scene)->claim.name);
    json_auto_t *patch = restore_pod_format_keep(scene->claim_object);
    if (kube_merge_patch(reconcile->kube, &claim, patch, NULL, err) < 0)
        return error_wrap(err, "keep claim '%s'", claim.name);
    return 0;
}

static int delete_object(const struct reconcile *reconcile, const struct kube_ref *ref,
                         const json_t *object, struct error *err)
{
    const char *uid =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "uid"));
    if (kube_delete(reconcile->kube, ref, uid, err) == 0 || err->kind == ERROR_NOT_FOUND ||
        err->kind == ERROR_CONFLICT)
        return 0;
    return error_wrap(err, "delete %s '%s'", ref->resource->kind, ref->name);
}

static int delete_pod(const struct reconcile *reconcile, const struct restore_scene *scene,
                      struct error *err)
{
    const struct kube_ref ref = ref_of(scene, &kube_pods, scene->facts.old_pod);
    json_auto_t *pod = cache_get(reconcile->restore_pods, ref.namespace, ref.name);
    return pod ? delete_object(reconcile, &ref, pod, err) : 0;
}

/* status is changed where the step tells something that it has to say. */
static int take_step(const struct reconcile *reconcile, const struct restore_scene *scene,
                     const struct restore_plan *plan, json_t *status, struct error *err)
{
    const struct kube_ref claim = ref_of(scene, &kube_claims, job_of(scene)->claim.name);
    const struct kube_ref job = ref_of(scene, &kube_restore_jobs, job_of(scene)->run.name);
    switch (plan->step) {
    case RESTORE_STEP_MAKE_CLAIM:
        return make_claim(reconcile, scene, err);
    case RESTORE_STEP_BEGIN:
        begin(scene, status);
        return 0;
    case RESTORE_STEP_MAKE_POD:
        return make_pod(reconcile, scene, status, err);
    case RESTORE_STEP_ADOPT_POD:
        run_status_set_pod(status, run_current(&job_of(scene)->run)->id, scene->facts.pod.uid);
        return 0;
    case RESTORE_STEP_SEND:
        send_run(reconcile, scene);
        return 0;
    case RESTORE_STEP_KEEP_CLAIM:
        return keep_claim(reconcile, scene, err);
    case RESTORE_STEP_DELETE_POD:
        return delete_pod(reconcile, scene, err);
    case RESTORE_STEP_DELETE_CLAIM:
        return delete_object(reconcile, &claim, scene->claim_object, err);
    case RESTORE_STEP_DELETE_JOB:
        return delete_object(reconcile, &job, scene->object, err);
    case RESTORE_STEP_REST:
        return 0;
    }
    return 0;
}

static void put_result(json_t *status, const json_t *restored)
{
    static const char *const numbers[] = {"bytes", "files", "fetchedBytes", NULL};
    const char *backup = json_string_value(json_object_get(restored, "backup"));
    json_int_t bytes = json_integer_value(json_object_get(restored, "bytes"));
    if (backup && strlen(backup) < 32) /* as the schema has it */
        run_status_set_text(status, "backup", backup);
    run_status_set_text(status, "region", json_string_value(json_object_get(restored, "region")));
    run_status_take_over(status, restored, numbers);
    run_status_set_size(status, "size", bytes > 0 ? (uint64_t)bytes : 0);
    json_t *seconds = json_object_get(restored, "seconds");
    if (seconds)
        json_object_set(status, "restoreSeconds", seconds);
}

static void put_end(const struct restore_scene *scene, json_t *status)
{
    int64_t started_ms, now_ms = scene->facts.now_ms;
    const char *started = json_string_value(json_object_get(status, "started"));
    run_status_set_time(status, "finished", now_ms);
    if (started && clock_parse(started, &started_ms))
        run_status_set_duration(status, "duration", now_ms - started_ms);
}

static void put_plan(const struct restore_scene *scene, const struct restore_plan *plan,
                     json_t *status)
{
    int64_t now_ms = scene->facts.now_ms;
    run_status_set_verdict(status, &job_of(scene)->run, &plan->verdict, now_ms);
    if (plan->verdict.attempt_ends)
        run_status_end_attempt(status, plan->verdict.attempt_reason, plan->verdict.attempt_error,
                               now_ms);
    else if (plan->progress)
        run_status_set_progress(status, plan->progress, now_ms);
    else if (plan->verdict.outcome == RUN_FAILED)
        run_status_set_text(status, "error", plan->verdict.message);
    if (plan->restored)
        put_result(status, plan->restored);
    if (plan->verdict.outcome != RUN_OPEN)
        put_end(scene, status);
}

/* Whoever may make RestoreJobs can name any policy; metrics have only those that are there. */
static const char *counted_policy(const struct restore_scene *scene)
{
    return scene->facts.policy_found ? job_of(scene)->policy : "";
}

static void tell_end(const struct reconcile *reconcile, const struct restore_scene *scene,
                     const struct restore_plan *plan)
{
    const struct restore_object *restore = job_of(scene);
    const struct run *run = &restore->run;
    const char *policy = restore->policy ? restore->policy : "";
    int64_t begun_ms = run->attempt_count > 0 ? run->attempts[0].started_ms : -1;
    const struct runs_end end = {
        .namespace = run->namespace,
        .policy = counted_policy(scene),
        .reason = plan->verdict.reason,
        .ok = plan->verdict.outcome == RUN_SUCCEEDED,
        .seconds = begun_ms < 0 ? -1 : (double)(scene->facts.now_ms - begun_ms) / 1000,
        .bytes = (uint64_t)json_integer_value(json_object_get(plan->restored, "bytes")),
    };
    struct error err;
    runs_count_end(reconcile->runs, &end);
    if (end.ok) {
        log_info("Ended restore", S("namespace", run->namespace), S("name", run->name),
                 S("policy", policy), S("reason", end.reason), S("detail", plan->verdict.message));
        return;
    }
    error_set(&err, ERROR_PERMANENT, "%s", plan->verdict.message);
    log_error(&err, "Failed restore", S("namespace", run->namespace), S("name", run->name),
              S("policy", policy), S("reason", end.reason));
}

static void tell_attempt(const struct reconcile *reconcile, const struct restore_scene *scene,
                         const struct restore_plan *plan)
{
    const struct run *run = &job_of(scene)->run;
    const char *policy = job_of(scene)->policy ? job_of(scene)->policy : "";
    if (!plan->verdict.attempt_ends || !plan->verdict.attempt_reason)
        return;
    runs_count_failed_attempt(reconcile->runs, RUNS_RESTORE, run->namespace, counted_policy(scene));
    if (plan->verdict.outcome == RUN_OPEN)
        log_warn("Failed an attempt of a restore", S("namespace", run->namespace),
                 S("name", run->name), S("policy", policy), S("pod", run_current(run)->id),
                 S("reason", plan->verdict.attempt_reason),
                 S("detail", plan->verdict.attempt_error));
}

/* Turns what the API server will not have into an end or a wait; -1: neither, look again. */
static int explain(const struct restore_scene *scene, struct restore_plan *plan, struct error *err)
{
    bool restored = plan->step == RESTORE_STEP_KEEP_CLAIM;
    if (err->kind != ERROR_PERMANENT)
        return -1;
    if (restored || (strstr(err->text, "403 ") && !kube_status_forbids(err)))
        restore_plan_refused(&scene->facts, plan, err->text);
    else if (kube_status_forbids(err))
        restore_plan_forbidden(&scene->facts, plan);
    else
        restore_plan_invalid(&scene->facts, plan, err->text);
    log_warn("Was refused a step of a restore", S("namespace", job_of(scene)->run.namespace),
             S("name", job_of(scene)->run.name), S("error", err->text));
    return 0;
}

static int apply(const struct reconcile *reconcile, const struct restore_scene *scene,
                 struct restore_plan *plan, struct error *err)
{
    const struct run *run = &job_of(scene)->run;
    const struct run_target target = {
        .resource = &kube_restore_jobs, .cache = reconcile->restore_jobs, .action = "Restore"};
    json_auto_t *status = run_status_copy(run);
    bool is_open = run->outcome == RUN_OPEN;
    if (take_step(reconcile, scene, plan, status, err) < 0 &&
        (!is_open || explain(scene, plan, err) < 0))
        return -1;
    if (!is_open)
        return 0;
    put_plan(scene, plan, status);
    if (run_apply(reconcile, &target, run, status, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    tell_attempt(reconcile, scene, plan);
    if (plan->verdict.outcome != RUN_OPEN)
        tell_end(reconcile, scene, plan);
    return 0;
}

int reconcile_restore(const struct reconcile *reconcile, const char *namespace, const char *name,
                      int64_t *ret_again_ms, struct error *err)
{
    struct restore_plan plan;
    CLEANUP(restore_scene_done) struct restore_scene scene = {0};
    json_auto_t *object = cache_get(reconcile->restore_jobs, namespace, name);
    *ret_again_ms = 0;
    if (!object) /* Kubernetes removes what it owns */
        return 0;
    if (restore_scene_gather(&scene, reconcile, object, err) < 0)
        return error_wrap(err, "look at RestoreJob '%s'", name);
    restore_plan(&scene.facts, &plan);
    if (apply(reconcile, &scene, &plan, err) < 0)
        return -1;
    *ret_again_ms = plan.again_ms;
    return 0;
}
