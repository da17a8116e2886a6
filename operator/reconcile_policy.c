// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/backup_queue.h"
#include "operator/cache.h"
#include "operator/certificate.h"
#include "operator/gap_backup.h"
#include "operator/kube.h"
#include "operator/member.h"
#include "operator/orphans.h"
#include "operator/plan_policy.h"
#include "operator/plan_streamer.h"
#include "operator/policy_archiving.h"
#include "operator/policy_assign.h"
#include "operator/policy_farewell.h"
#include "operator/policy_gap.h"
#include "operator/policy_memory.h"
#include "operator/policy_objects.h"
#include "operator/policy_view.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"
#include "operator/runs.h"
#include "operator/slot_backup.h"
#include "operator/zone.h"

enum { SOON_MS = 1000 };

/* All that is known of one policy while it is looked at. */
struct scene {
    const struct reconcile *reconcile;
    json_t *object;
    struct policy_spec spec;
    bool readable;                                        /* spec is valid */
    char invalid[sizeof(((struct error *)0)->text) + 64]; /* "": nothing is */
    char config_map_error[sizeof(((struct error *)0)->text) + 64];
    char not_created[sizeof(((struct error *)0)->text) + 64];
    struct policy_schedule_facts schedules[POLICY_SPEC_SCHEDULES_MAX];
    struct zone *zones[POLICY_SPEC_SCHEDULES_MAX];
    struct members members;
    struct agent_view *agents; /* one a member */
    struct policy_view view;
    json_t *backups;
    bool gap_refused; /* the Backup for a gap could not be made */
};

static void scene_done(struct scene *scene)
{
    for (size_t i = 0; i < POLICY_SPEC_SCHEDULES_MAX; i++)
        zone_freep(&scene->zones[i]);
    for (size_t i = 0; i < scene->members.count; i++)
        agent_view_done(&scene->agents[i]);
    own_freep(&scene->agents);
    policy_view_done(&scene->view);
    members_done(&scene->members);
    json_decref(scene->backups);
    json_decref(scene->object);
}

/* The first mistake is the one that is told. */
static void find_invalid(struct scene *scene, size_t schedule, const char *field, const char *text)
{
    if (!*scene->invalid)
        snprintf(scene->invalid, sizeof(scene->invalid), "spec.schedules[%zu].%s: %s", schedule,
                 field, text);
}

static void read_schedule(struct scene *scene, size_t index)
{
    const struct policy_spec_schedule *schedule = &scene->spec.schedules[index];
    struct policy_schedule_facts *facts = &scene->schedules[index];
    struct civil_minute next;
    struct error err;
    if (cron_parse(&facts->cron, schedule->cron, &err) < 0) {
        find_invalid(scene, index, "cron", err.text);
        return;
    }
    if (zone_open(&scene->zones[index], schedule->time_zone, &err) < 0) {
        find_invalid(scene, index, "timeZone", err.text);
        return;
    }
    facts->zone = scene->zones[index];
    facts->valid = cron_next(&facts->cron, zone_civil(facts->zone, clock_now_ms()), &next);
    if (!facts->valid) {
        error_set(&err, ERROR_PERMANENT, "'%s' never comes: correct day and month", schedule->cron);
        find_invalid(scene, index, "cron", err.text);
    }
}

static void read_members(struct scene *scene, const char *namespace, const char *name)
{
    const struct reconcile *reconcile = scene->reconcile;
    members_load(&scene->members, reconcile->pods, reconcile->nodes, namespace, name);
    scene->agents = own_alloc((scene->members.count + 1) * sizeof(*scene->agents));
    for (size_t i = 0; i < scene->members.count; i++)
        agents_view(reconcile->agents, scene->members.items[i].uid, &scene->agents[i]);
    const struct policy_view_facts facts = {
        .spec = &scene->spec,
        .members = scene->members.items,
        .agents = scene->agents,
        .member_count = scene->members.count,
        .monotonic_ms = clock_monotonic_ms(),
        .leading_ms = reconcile->started_ms,
    };
    policy_view_init(&scene->view, &facts);
}

static void gather(struct scene *scene, const char *namespace, const char *name)
{
    struct error err;
    scene->backups = cache_list(scene->reconcile->backups, namespace, name);
    runs_expect(scene->reconcile->runs, namespace, name);
    runs_count_running(scene->reconcile->runs, namespace, name,
                       backup_queue_read(scene->backups).running);
    if (policy_spec_read(&scene->spec, scene->object, &err) < 0) {
        snprintf(scene->invalid, sizeof(scene->invalid), "%s", err.text);
        return;
    }
    scene->readable = true;
    for (size_t i = 0; i < scene->spec.schedule_count; i++)
        read_schedule(scene, i);
    read_members(scene, namespace, name);
}

/* Makes the ConfigMap if there is none of that name. CONFLICT: there is one that is not ours. */
static int create_config_map(const struct scene *scene, const struct kube_ref *ref,
                             const json_t *wanted, json_t **ret_made, struct error *err)
{
    struct kube *kube = scene->reconcile->kube;
    const struct kube_ref collection = {.resource = ref->resource, .namespace = ref->namespace};
    json_auto_t *there = NULL;
    if (kube_create(kube, &collection, wanted, ret_made, err) == 0)
        return 0;
    if (err->kind != ERROR_CONFLICT || kube_get(kube, ref, &there, err) < 0)
        return -1;
    const json_t *metadata = json_object_get(scene->object, "metadata");
    const char *policy = json_string_value(json_object_get(metadata, "name"));
    if (!policy_config_map_is_ours(there, policy))
        return error_set(err, ERROR_CONFLICT,
                         "the ConfigMap '%s' is there and was not made by Lifeboat (no label "
                         "app.kubernetes.io/managed-by: lifeboat): remove it, or give the policy "
                         "another name",
                         ref->name);
    return kube_apply(kube, ref, wanted, ret_made, err);
}

static int write_config_map(const struct scene *scene, const json_t *wanted, struct error *err)
{
    const struct reconcile *reconcile = scene->reconcile;
    const json_t *metadata = json_object_get(wanted, "metadata");
    const struct kube_ref ref = {
        .resource = &kube_config_maps,
        .namespace = json_string_value(json_object_get(metadata, "namespace")),
        .name = json_string_value(json_object_get(metadata, "name")),
    };
    json_auto_t *there = cache_get(reconcile->config_maps, ref.namespace, ref.name);
    json_t *made = NULL;
    if (there && policy_config_map_is_current(there, wanted))
        return 0;
    int result = there ? kube_apply(reconcile->kube, &ref, wanted, &made, err)
                       : create_config_map(scene, &ref, wanted, &made, err);
    if (result == 0) {
        json_decref(cache_put(reconcile->config_maps, made));
        log_info("Wrote configuration", S("namespace", ref.namespace), S("configMap", ref.name));
    }
    json_decref(made);
    return result;
}

/* What a person has to put right becomes a condition; what may pass by itself is an error. */
static int ensure_config_map(struct scene *scene, struct error *err)
{
    const struct reconcile *reconcile = scene->reconcile;
    CLEANUP(own_freep) char *bundle = certificate_bundle(reconcile->certificate);
    if (!bundle)
        return error_set(err, ERROR_TRANSIENT, "the channel's certificate is not there yet");
    const struct policy_config_map_facts facts = {
        .bundle = bundle, .namespace = reconcile->namespace, .cluster_uid = reconcile->cluster_uid};
    json_auto_t *wanted = policy_config_map(scene->object, &facts);
    if (write_config_map(scene, wanted, err) == 0)
        return 0;
    if (err->kind != ERROR_CONFLICT && err->kind != ERROR_PERMANENT)
        return -1;
    snprintf(scene->config_map_error, sizeof(scene->config_map_error), "%s", err->text);
    return 0;
}

/* What the API server will not have holds up neither the other schedules nor the status. */
static void note_refusal(struct scene *scene, const struct policy_slot *slot,
                         const struct error *err)
{
    size_t index = (size_t)(slot->schedule - scene->spec.schedules);
    scene->schedules[index].refused = true;
    if (!*scene->not_created)
        snprintf(scene->not_created, sizeof(scene->not_created), "spec.schedules[%zu] '%s': %s",
                 index, slot->schedule->name, err->text);
}

static int create_gap_backup(struct scene *scene, const struct policy_plan *plan, struct error *err)
{
    if (!plan->gap ||
        gap_backup_create(scene->reconcile, scene->object, &scene->spec, plan->gap, err) == 0)
        return 0;
    if (err->kind != ERROR_PERMANENT && err->kind != ERROR_CONFLICT)
        return -1;
    scene->gap_refused = true;
    if (!*scene->not_created)
        snprintf(scene->not_created, sizeof(scene->not_created), "%s", err->text);
    return 0;
}

static int create_backups(struct scene *scene, const struct policy_plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->slot_count; i++) {
        const struct policy_slot *slot = &plan->slots[i];
        if (!slot->due ||
            slot_backup_create(scene->reconcile, scene->object, &scene->spec, slot, err) == 0)
            continue;
        if (err->kind != ERROR_PERMANENT && err->kind != ERROR_CONFLICT)
            return -1;
        note_refusal(scene, slot, err);
    }
    return create_gap_backup(scene, plan, err);
}

/* Tells a sidecar which policy it serves and what to do about WAL, when that is news to it. false:
 * it could not be told now. */
static bool assign(const struct scene *scene, const struct policy_view_pod *streamer, size_t index)
{
    const struct reconcile *reconcile = scene->reconcile;
    const struct member *member = &scene->members.items[index];
    const struct agent_view *agent = &scene->agents[index];
    const struct policy_told told = {
        .namespace = scene->spec.namespace,
        .policy = scene->spec.name,
        .pod_uid = member->uid,
        .region = *member->region ? member->region : NULL,
        .generation = scene->spec.generation,
        .connected_ms = agent->connected_ms,
        .wal = scene->readable ? streamer_word(&scene->view, streamer, index) : MESSAGE_WAL_UNSAID,
    };
    struct error err;
    if (!agent->connected || member->terminating || policy_assign(reconcile, &told, &err) == 0)
        return true;
    return err.kind == ERROR_NOT_FOUND; /* its next connection brings us here again */
}

static bool assign_all(const struct scene *scene, const struct policy_view_pod *streamer)
{
    size_t count = scene->members.count;
    CLEANUP(own_freep) const char **uids = own_alloc((count + 1) * sizeof(*uids));
    bool told = true;
    for (size_t i = 0; i < count; i++) {
        uids[i] = scene->members.items[i].uid;
        told &= assign(scene, streamer, i);
    }
    if (scene->readable)
        policy_memory_keep(scene->reconcile->policy_memory, scene->spec.namespace, scene->spec.name,
                           uids, count);
    return told;
}

static int write_status(const struct scene *scene, const json_t *status, struct error *err)
{
    const struct reconcile *reconcile = scene->reconcile;
    const json_t *metadata = json_object_get(scene->object, "metadata");
    const struct kube_ref ref = {
        .resource = &kube_policies,
        .namespace = json_string_value(json_object_get(metadata, "namespace")),
        .name = json_string_value(json_object_get(metadata, "name")),
        .subresource = "status",
    };
    json_auto_t *made = NULL;
    /* with the version, so that a leader that was one too long takes no slot back */
    json_auto_t *applied = json_pack(
        "{s:O, s:O, s:{s:O, s:O, s:O, s:O}, s:O}", "apiVersion",
        json_object_get(scene->object, "apiVersion"), "kind",
        json_object_get(scene->object, "kind"), "metadata", "name",
        json_object_get(metadata, "name"), "namespace", json_object_get(metadata, "namespace"),
        "uid", json_object_get(metadata, "uid"), "resourceVersion",
        json_object_get(metadata, "resourceVersion"), "status", status);
    if (json_equal(json_object_get(scene->object, "status"), status))
        return 0;
    if (kube_apply(reconcile->kube, &ref, applied, &made, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : error_wrap(err, "write the policy's status");
    json_decref(cache_put(reconcile->policies, made));
    return 0;
}

static const char *member_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* What is on its way needs nobody to look. */
static bool is_warning(const char *status, const char *reason)
{
    static const char *const quiet[] = {"NoBackup", "NoConfiguration", "BackupOnly"};
    for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
        if (strcmp(reason, quiet[i]) == 0)
            return false;
    return strcmp(status, "False") == 0 || strcmp(reason, "Degraded") == 0;
}

static void tell_condition(const struct scene *scene, const json_t *condition)
{
    const char *status = member_text(condition, "status");
    const char *reason = member_text(condition, "reason");
    const json_t *before = condition_find(scene->object, member_text(condition, "type"));
    bool same = before && strcmp(member_text(before, "status"), status) == 0 &&
                strcmp(member_text(before, "reason"), reason) == 0;
    if (same || (!before && strcmp(status, "Unknown") == 0))
        return;
    recorder_event(scene->reconcile->recorder, scene->object,
                   is_warning(status, reason) ? EVENT_WARNING : EVENT_NORMAL, reason, "Check",
                   "%s is %s: %s", member_text(condition, "type"), status,
                   member_text(condition, "message"));
}

static void tell_missed(const struct scene *scene, const struct policy_slot *slot)
{
    char last[CLOCK_TEXT_BYTES];
    clock_format(slot->slot_ms, last);
    policy_memory_missed(scene->reconcile->policy_memory, scene->spec.namespace, scene->spec.name,
                         slot->schedule->name, slot->missed);
    recorder_event(scene->reconcile->recorder, scene->object, EVENT_WARNING, "SlotsDropped",
                   "Schedule",
                   slot->due ? "%u slots of schedule '%s' went by before %s without a backup, "
                               "because nobody was there to make them; the last one is made up for"
                             : "%u slots of schedule '%s' until %s went by without a backup: it "
                               "was later than startingDeadlineSeconds allow",
                   slot->missed, slot->schedule->name, last);
}

/* Its own Event, as Archiving may be False for it already. */
static void tell_gap(const struct scene *scene, const struct policy_plan *plan)
{
    char text[POLICY_GAP_TEXT_BYTES];
    const json_t *gap = json_object_get(plan->status, "gap");
    if (!plan->gap_found)
        return;
    policy_gap_text(gap, text);
    log_warn("Heard of a gap in the WAL", S("namespace", scene->spec.namespace),
             S("policy", scene->spec.name), S("gap", text));
    recorder_event(scene->reconcile->recorder, scene->object, EVENT_WARNING, "GapFound", "Archive",
                   "no region has the WAL from %s, and the server has it no more: what was "
                   "committed in between can be recovered from backups that start behind it only",
                   text);
}

static void show_pod(const struct scene *scene, size_t index)
{
    const struct message_state *state = scene->view.pods[index].state;
    bool standby = state && state->database.reachable && state->database.standby;
    bool archives = state && state->archiving.mode != MESSAGE_WAL_UNSAID;
    const struct policy_memory_pod pod = {
        .namespace = scene->spec.namespace,
        .policy = scene->spec.name,
        .pod = scene->members.items[index].name,
        .lag_seconds = standby ? state->database.lag_seconds : -1,
        .archiving = archives ? &state->archiving : NULL,
    };
    policy_memory_show_pod(scene->reconcile->policy_memory, &pod);
}

static void show_wal(const struct scene *scene, const struct policy_view_pod *streamer)
{
    struct policy_memory *memory = scene->reconcile->policy_memory;
    const struct policy_spec *spec = &scene->spec;
    if (!scene->readable)
        return;
    const struct message_archiving *archiving = policy_archiving_told(&scene->view, streamer);
    policy_memory_wal_lag(memory, spec->namespace, spec->name,
                          archiving && spec->wal_stream ? archiving->lag_seconds : -1);
    for (size_t i = 0; i < spec->region_count; i++)
        if (scene->view.regions[i].listing && spec->wal_stream)
            policy_memory_recoverable(memory, spec->namespace, spec->name,
                                      scene->view.regions[i].listing);
}

static void tell(const struct scene *scene, const struct policy_plan *plan)
{
    struct policy_memory *memory = scene->reconcile->policy_memory;
    size_t index;
    const json_t *condition;
    json_array_foreach(json_object_get(plan->status, "conditions"), index, condition)
        tell_condition(scene, condition);
    for (size_t i = 0; i < plan->slot_count; i++)
        if (plan->slots[i].missed > 0)
            tell_missed(scene, &plan->slots[i]);
    tell_gap(scene, plan);
    policy_memory_show(memory, scene->object, plan->status, scene->backups);
    for (size_t i = 0; i < scene->view.pod_count; i++)
        show_pod(scene, i);
    show_wal(scene, plan->streamer);
}

/* What is to be done, done as far as it comes before the status; ret_plan is the caller's. */
static int plan_and_create(struct scene *scene, struct policy_plan *ret_plan, struct error *err)
{
    struct policy_facts facts = {
        .object = scene->object,
        .spec = scene->readable ? &scene->spec : NULL,
        .schedules = scene->schedules,
        .view = scene->readable ? &scene->view : NULL,
        .invalid = *scene->invalid ? scene->invalid : NULL,
        .config_map_error = *scene->config_map_error ? scene->config_map_error : NULL,
        .backups = scene->backups,
        .now_ms = clock_now_ms(),
    };
    plan_policy(&facts, ret_plan);
    if (create_backups(scene, ret_plan, err) < 0)
        return -1;
    if (!*scene->not_created)
        return 0;
    facts.not_created = scene->not_created;
    facts.gap_refused = scene->gap_refused;
    policy_plan_done(ret_plan);
    plan_policy(&facts, ret_plan);
    return 0;
}

/* In this order: a slot whose Backup was made and not written down is made again, and is there
 * already; the other way round it would be lost. */
static int obey(struct scene *scene, int64_t *ret_again_ms, struct error *err)
{
    CLEANUP(policy_plan_done) struct policy_plan plan = {.status = NULL};
    if (ensure_config_map(scene, err) < 0 || plan_and_create(scene, &plan, err) < 0)
        return -1;
    bool told = assign_all(scene, plan.streamer);
    if (write_status(scene, plan.status, err) < 0)
        return -1;
    tell(scene, &plan);
    *ret_again_ms = told || plan.again_ms < SOON_MS ? plan.again_ms : SOON_MS;
    if (*scene->not_created)
        return error_set(err, ERROR_PERMANENT, "%s", scene->not_created);
    return 0;
}

static int part(const struct reconcile *reconcile, const char *namespace, const char *name,
                struct error *err)
{
    policy_memory_forget(reconcile->policy_memory, namespace, name);
    runs_forget(reconcile->runs, namespace, name);
    return policy_farewell(reconcile, namespace, name, err);
}

int reconcile_policy(const struct reconcile *reconcile, const char *namespace, const char *name,
                     int64_t *ret_again_ms, struct error *err)
{
    CLEANUP(scene_done) struct scene scene = {.reconcile = reconcile};
    scene.object = cache_get(reconcile->policies, namespace, name);
    const json_t *metadata = json_object_get(scene.object, "metadata");
    *ret_again_ms = 0;
    int64_t orphans_ms = orphans_cancel(reconcile, namespace, name);
    if (!scene.object || json_object_get(metadata, "deletionTimestamp")) {
        *ret_again_ms = orphans_ms;
        return part(reconcile, namespace, name, err);
    }
    gather(&scene, namespace, name);
    if (obey(&scene, ret_again_ms, err) < 0)
        return -1;
    if (orphans_ms > 0 && (*ret_again_ms == 0 || orphans_ms < *ret_again_ms))
        *ret_again_ms = orphans_ms;
    return 0;
}
