// SPDX-License-Identifier: Apache-2.0
#include "operator/backup_scene.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/reconcile.h"
#include "operator/schedule.h"

/* The default of deadlineSeconds, for a run that began before the policy became what it is. */
enum { UNREADABLE_DEADLINE_SECONDS = 24 * 60 * 60 };

static void gather_policy(struct backup_scene *scene, const struct reconcile *reconcile)
{
    struct error err;
    const struct run *run = &scene->backup.run;
    struct backup_facts *facts = &scene->facts;
    scene->policy_object = cache_get(reconcile->policies, run->namespace, scene->backup.policy);
    if (!scene->policy_object)
        return;
    facts->policy_found = true;
    facts->deadline_seconds = UNREADABLE_DEADLINE_SECONDS;
    if (policy_spec_read(&scene->policy, scene->policy_object, &err) < 0) {
        snprintf(scene->problem, sizeof(scene->problem), "%s", err.text);
        facts->policy_problem = scene->problem;
        return;
    }
    const struct policy_spec_gap *gap = policy_spec_refused(&scene->policy);
    if (gap) {
        snprintf(scene->problem, sizeof(scene->problem), "%s: %s", gap->field, gap->means);
        facts->policy_problem = scene->problem;
    }
    facts->policy_found = !scene->policy.deleted;
    facts->deadline_seconds = scene->policy.deadline_seconds;
}

static const char *metadata_text(const json_t *object, const char *map, const char *name)
{
    const json_t *metadata = json_object_get(object, "metadata");
    return json_string_value(json_object_get(json_object_get(metadata, map), name));
}

/* Until when the run of its slot has to begin; 0: any time. */
static int64_t start_by_ms(const struct backup_scene *scene)
{
    int64_t slot_ms;
    const json_t *object = scene->backup.run.object;
    const char *name = metadata_text(object, "labels", "lifeboat.dev/schedule");
    const char *slot = metadata_text(object, "annotations", "lifeboat.dev/slot");
    if (!name || !slot || !clock_parse(slot, &slot_ms))
        return 0;
    for (size_t i = 0; i < scene->policy.schedule_count; i++) {
        const struct policy_spec_schedule *schedule = &scene->policy.schedules[i];
        if (strcmp(schedule->name, name) != 0 || schedule->starting_deadline_seconds == 0)
            continue;
        return slot_ms + schedule_jitter_ms(scene->policy.uid, name, schedule->jitter_seconds) +
               schedule->starting_deadline_seconds * 1000;
    }
    return 0;
}

/* A wait counts from when this Backup could have run: not while another one did, and not while
 * sidecars look for a new leader. */
static int64_t turn_ms(const struct backup_scene *scene, const struct reconcile *reconcile)
{
    const struct run_attempt *last = run_last(&scene->backup.run);
    int64_t leading_ms = clock_monotonic_ms() - reconcile->started_ms;
    const int64_t moments[] = {scene->backup.run.created_ms, scene->queue.ended_ms,
                               scene->facts.now_ms - leading_ms, last ? last->finished_ms : 0};
    int64_t turn = 0;
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++)
        turn = moments[i] > turn ? moments[i] : turn;
    return turn;
}

static void gather_queue(struct backup_scene *scene, const struct reconcile *reconcile)
{
    const struct run *run = &scene->backup.run;
    scene->backups = cache_list(reconcile->backups, run->namespace, scene->backup.policy);
    scene->queue = backup_queue_read(scene->backups);
    const char *first = scene->queue.first;
    scene->facts.ahead = first && strcmp(first, run->name) != 0 ? first : NULL;
    scene->facts.turn_ms = turn_ms(scene, reconcile);
    scene->facts.start_by_ms = start_by_ms(scene);
}

static const char *unusable(const struct backup_scene *scene, const struct member *member,
                            bool connected)
{
    if (member->terminating)
        return "is being deleted or has ended";
    if (!member->has_sidecar)
        return "has no container 'lifeboat'";
    if (!connected && member->sidecar_note[0])
        return member->sidecar_note;
    if (member->config_map &&
        strcmp(member->config_map + strlen("lifeboat-"), scene->backup.policy) != 0)
        return "has the configuration of another policy";
    return NULL;
}

static struct source_candidate candidate(const struct backup_scene *scene,
                                         const struct member *member, const struct agent_view *view)
{
    const struct message_state *state = &view->state.state;
    return (struct source_candidate){
        .pod = member->name,
        .uid = member->uid,
        .region = member->region,
        .unusable = unusable(scene, member, view->connected),
        .connected = view->connected,
        .fresh = view->fresh,
        .config_error = state->config_error,
        .generation = message_state_generation(state, scene->policy.uid ? scene->policy.uid : ""),
        .reachable = state->database.reachable,
        .standby = state->database.standby,
        .database_error = state->database.error,
        .lag_seconds = state->database.lag_seconds,
        .busy = state->busy ? state->job.id : NULL,
    };
}

static void gather_members(struct backup_scene *scene, const struct reconcile *reconcile)
{
    members_load(&scene->members, reconcile->pods, reconcile->nodes, scene->backup.run.namespace,
                 scene->backup.policy);
    size_t count = scene->members.count;
    scene->views = own_alloc((count + 1) * sizeof(scene->views[0]));
    scene->candidates = own_alloc((count + 1) * sizeof(scene->candidates[0]));
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &scene->members.items[i];
        agents_view(reconcile->agents, member->uid, &scene->views[i]);
        scene->candidates[i] = candidate(scene, member, &scene->views[i]);
    }
}

static void choose(struct backup_scene *scene)
{
    const struct policy_spec *policy = &scene->policy;
    const struct run_attempt *last = run_last(&scene->backup.run);
    const struct source_facts facts = {
        .prefer_primary = policy->source.prefer_primary,
        .fallback = policy->source.fallback,
        .region = policy->source.region,
        .generation = policy->generation,
        .waited_ms = scene->facts.now_ms - scene->facts.turn_ms,
        .avoid = last ? last->pod_uid : NULL,
        .candidates = scene->candidates,
        .count = scene->members.count,
    };
    source_choose(&facts, &scene->choice);
    scene->facts.choice = &scene->choice;
}

static bool has_ended(const json_t *pod)
{
    const char *phase = json_string_value(json_object_get(json_object_get(pod, "status"), "phase"));
    return phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
}

/* Whether nothing can run in that pod any more. One that is in no cache may just have lost its
 * label. */
static int find_gone(struct backup_scene *scene, const struct reconcile *reconcile,
                     const struct run_attempt *attempt, struct error *err)
{
    const struct kube_ref ref = {
        .resource = &kube_pods, .namespace = scene->backup.run.namespace, .name = attempt->pod};
    json_auto_t *pod = cache_get(reconcile->pods, ref.namespace, ref.name);
    scene->facts.pod_gone = true;
    if (!pod && kube_get(reconcile->kube, &ref, &pod, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : error_wrap(err, "look for pod '%s'", ref.name);
    const char *uid = json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid"));
    scene->facts.pod_gone = !uid || strcmp(uid, attempt->pod_uid) != 0 || has_ended(pod);
    return 0;
}

static bool tells_more(const struct standing *a, const struct standing *b)
{
    static const int worth[] = {
        [STANDING_SILENT] = 0, [STANDING_UNTOLD] = 1, [STANDING_RUNNING] = 1,
        [STANDING_ENDED] = 1,  [STANDING_ABSENT] = 2, [STANDING_COMMITTED] = 3};
    return worth[a->kind] > worth[b->kind];
}

static void gather_others(struct backup_scene *scene, const struct run_attempt *attempt,
                          const struct standing_clock *clock)
{
    struct backup_facts *facts = &scene->facts;
    for (size_t i = 0; i < scene->members.count; i++) {
        const char *uid = scene->members.items[i].uid;
        const struct agent_view *view = &scene->views[i];
        if (!view->connected || !view->fresh || strcmp(uid, attempt->pod_uid) == 0)
            continue;
        struct standing standing = standing_read(view, attempt->id, clock);
        if (facts->other_uid && !tells_more(&standing, &facts->other))
            continue;
        facts->other_uid = uid;
        facts->other = standing;
    }
}

static int gather_attempt(struct backup_scene *scene, const struct reconcile *reconcile,
                          const struct run_attempt *attempt, struct error *err)
{
    const struct standing_clock clock = {.now_ms = clock_monotonic_ms(),
                                         .leading_ms = reconcile->started_ms};
    if (!attempt->id || !attempt->pod || !attempt->pod_uid)
        return error_set(err, ERROR_PERMANENT,
                         "status.attempts: expected backupID, pod and podUID in the last one");
    agents_view(reconcile->agents, attempt->pod_uid, &scene->current);
    scene->facts.standing = standing_read(&scene->current, attempt->id, &clock);
    gather_others(scene, attempt, &clock);
    if (scene->facts.standing.kind != STANDING_SILENT)
        return 0;
    return find_gone(scene, reconcile, attempt, err);
}

int backup_scene_gather(struct backup_scene *ret_scene, const struct reconcile *reconcile,
                        json_t *object, struct error *err)
{
    struct backup_scene *scene = ret_scene;
    *scene = (struct backup_scene){.object = json_incref(object), .facts.now_ms = clock_now_ms()};
    if (backup_object_read(&scene->backup, object, err) < 0)
        return -1;
    scene->facts.backup = &scene->backup;
    gather_policy(scene, reconcile);
    gather_queue(scene, reconcile);
    gather_members(scene, reconcile);
    choose(scene);
    const struct run_attempt *attempt = run_current(&scene->backup.run);
    return attempt ? gather_attempt(scene, reconcile, attempt, err) : 0;
}

void backup_scene_done(struct backup_scene *scene)
{
    for (size_t i = 0; scene->views && i < scene->members.count; i++)
        agent_view_done(&scene->views[i]);
    agent_view_done(&scene->current);
    own_freep(&scene->views);
    own_freep(&scene->candidates);
    members_done(&scene->members);
    json_decref(scene->backups);
    json_decref(scene->policy_object);
    json_decref(scene->object);
    *scene = (struct backup_scene){0};
}
