// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/condition.h"
#include "operator/tests/helper_policy.h"
#include "operator/trim.h"
#include "operator/zone.h"
#include "operator/tests/helper_json.h"

enum { NOW_MONOTONIC_MS = 10 * 60 * 1000, LEADING_MS = 0 };

json_t *load_json(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s: %s", text, error.text);
    return value;
}

static void read_agent(const struct pod *pod, struct agent_view *view)
{
    struct error err = {.text = ""};
    *view = (struct agent_view){.known = false};
    if (!pod->state)
        return;
    CLEANUP(own_freep)
    char *text = own_format("{\"version\": 1, \"type\": \"state\", %s}", pod->state);
    if (message_parse(&view->state, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, err.text);
    view->known = true;
    view->connected = view->fresh = pod->silent_ms == 0;
    view->heard_ms = NOW_MONOTONIC_MS - (pod->silent_ms ? pod->silent_ms : 1000);
}

static json_t *make_pod(const struct pod *pod)
{
    const char *name = pod->name ? pod->name : "shop-0";
    bool none = pod->sidecar && strcmp(pod->sidecar, "none") == 0;
    bool waiting = pod->sidecar && strcmp(pod->sidecar, "waiting") == 0;
    json_t *object = json_pack(
        "{s:{s:s, s:s, s:s, s:{s:s}}, s:{s:[{s:s, s:{s:s}}], s:[{s:s, s:[{s:s}]}]},"
        " s:{s:s, s:[{s:s, s:o}]}}",
        "metadata", "namespace", "default", "name", name, "uid", name, "annotations",
        "lifeboat.dev/region", pod->region ? pod->region : "eu", "spec", "volumes", "name", "c",
        "configMap", "name", pod->config_map ? pod->config_map : "lifeboat-shop", "initContainers",
        "name", none ? "other" : "lifeboat", "volumeMounts", "name", "c", "status", "phase",
        "Running", "initContainerStatuses", "name", none ? "other" : "lifeboat", "state",
        waiting ? json_pack("{s:{s:s}}", "waiting", "reason", "ImagePullBackOff")
                : json_pack("{s:{}}", "running"));
    if (pod->terminating)
        json_object_set_new(json_object_get(object, "metadata"), "deletionTimestamp",
                            json_string("2026-11-21T08:00:00Z"));
    return object;
}

static void gather(const struct scene *scene, struct facts *facts)
{
    struct error err = {.text = ""};
    *facts = (struct facts){.backups = load_json(scene->backups ? scene->backups : "[]")};
    size_t index;
    json_t *backup;
    json_array_foreach(facts->backups, index, backup)
    {
        trim_backup(backup); /* as the cache does */
    }
    facts->object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:i, s:s}, s:o}", "apiVersion",
                              "lifeboat.dev/v1alpha1", "kind", "BackupPolicy", "metadata", "name",
                              "shop", "namespace", "default", "uid", "u1", "generation", 3,
                              "creationTimestamp", "2026-11-21T08:00:00Z", "spec",
                              load_json(scene->spec ? scene->spec : "{" REGIONS "}"));
    if (scene->status)
        json_object_set_new(facts->object, "status", load_json(scene->status));
    facts->readable = policy_spec_read(&facts->spec, facts->object, &facts->invalid) == 0;
    while (facts->pod_count < PODS_MAX && scene->pods[facts->pod_count].name) {
        size_t i = facts->pod_count++;
        facts->pods[i] = make_pod(&scene->pods[i]);
        assert_int_equal(member_read(&facts->members[i], facts->pods[i], &err), 0);
        if (scene->pods[i].region_error)
            snprintf(facts->members[i].region_error, sizeof(facts->members[i].region_error), "%s",
                     scene->pods[i].region_error);
        read_agent(&scene->pods[i], &facts->agents[i]);
    }
    const struct policy_view_facts view = {
        .spec = &facts->spec,
        .members = facts->members,
        .agents = facts->agents,
        .member_count = facts->pod_count,
        .monotonic_ms = NOW_MONOTONIC_MS,
        .leading_ms = scene->leading_ms ? NOW_MONOTONIC_MS - scene->leading_ms : LEADING_MS,
    };
    if (facts->readable)
        policy_view_init(&facts->view, &view);
    assert_int_equal(zone_open(&facts->zone, NULL, &err), 0);
    for (size_t i = 0; facts->readable && i < facts->spec.schedule_count; i++) {
        assert_int_equal(cron_parse(&facts->schedules[i].cron, facts->spec.schedules[i].cron, &err),
                         0);
        facts->schedules[i].zone = facts->zone;
        facts->schedules[i].valid = true;
        facts->schedules[i].refused = scene->not_created && i == 0;
    }
}

void facts_done(struct facts *facts)
{
    for (size_t i = 0; i < facts->pod_count; i++) {
        json_decref(facts->pods[i]);
        message_clear(&facts->agents[i].state);
    }
    policy_view_done(&facts->view);
    zone_freep(&facts->zone);
    json_decref(facts->object);
    json_decref(facts->backups);
}

void plan_scene(const struct scene *scene, struct facts *ret_facts, const char *now,
                struct policy_plan *ret_plan)
{
    gather(scene, ret_facts);
    struct policy_facts all = {
        .object = ret_facts->object,
        .spec = ret_facts->readable ? &ret_facts->spec : NULL,
        .schedules = ret_facts->schedules,
        .view = ret_facts->readable ? &ret_facts->view : NULL,
        .invalid = ret_facts->readable ? NULL : ret_facts->invalid.text,
        .config_map_error = scene->config_map_error,
        .not_created = scene->not_created,
        .gap_refused = scene->gap_refused,
        .backups = ret_facts->backups,
    };
    assert_true(clock_parse(now, &all.now_ms));
    plan_policy(&all, ret_plan);
}

void check_scene(const struct scene *scene)
{
    CLEANUP(facts_done) struct facts facts;
    CLEANUP(policy_plan_done) struct policy_plan plan;
    plan_scene(scene, &facts, "2026-11-21T12:00:00Z", &plan);
    json_auto_t *object = json_pack("{s:O}", "status", plan.status);
    const json_t *found = condition_find(object, scene->condition ? scene->condition : "Ready");
    if (strcmp(text_at(found, "status"), scene->expected) != 0 ||
        strcmp(text_at(found, "reason"), scene->reason) != 0 ||
        (scene->text && !strstr(text_at(found, "message"), scene->text)))
        fail_msg("%s: %s %s: %s", scene->why, text_at(found, "status"), text_at(found, "reason"),
                 text_at(found, "message"));
}

void check_scenes(const struct scene *scenes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_scene(&scenes[i]);
}
