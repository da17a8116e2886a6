// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/policy_memory.h"

enum { METRICS_MAX = 1 << 20 };

struct scene {
    struct metrics *metrics;
    struct policy_memory *memory;
};

static struct scene scene_new(void)
{
    struct scene scene = {.metrics = metrics_new()};
    scene.memory = policy_memory_new(scene.metrics);
    return scene;
}

static void scene_done(struct scene *scene)
{
    policy_memory_freep(&scene->memory);
    metrics_freep(&scene->metrics);
}

static const struct policy_told first = {.namespace = "default",
                                         .policy = "shop",
                                         .pod_uid = "u1",
                                         .region = "eu",
                                         .generation = 1,
                                         .connected_ms = 100};

static void a_sidecar_is_told_once_until_something_changes(void **state)
{
    (void)state;
    CLEANUP(scene_done) struct scene scene = scene_new();
    struct policy_told told = first;
    assert_false(policy_memory_knows(scene.memory, &told));
    assert_true(policy_memory_tell(scene.memory, &told));
    assert_false(policy_memory_tell(scene.memory, &told));
    assert_true(policy_memory_knows(scene.memory, &told));
    told.generation = 2;
    assert_false(policy_memory_knows(scene.memory, &told));
    assert_true(policy_memory_tell(scene.memory, &told));
    told.connected_ms = 200;
    assert_true(policy_memory_tell(scene.memory, &told));
    told.region = NULL;
    assert_true(policy_memory_tell(scene.memory, &told));
    told.policy = "bank";
    assert_true(policy_memory_tell(scene.memory, &told));
    told.wal = MESSAGE_WAL_HOLD;
    assert_true(policy_memory_tell(scene.memory, &told));
    assert_false(policy_memory_tell(scene.memory, &told));
    policy_memory_untell(scene.memory, "u1");
    assert_true(policy_memory_tell(scene.memory, &told));
}

static void pods_that_are_gone_are_forgotten(void **state)
{
    (void)state;
    static const char *const left[] = {"u1"};
    CLEANUP(scene_done) struct scene scene = scene_new();
    struct policy_told second = first, other = first;
    second.pod_uid = "u2";
    other.pod_uid = "u3";
    other.policy = "bank";
    assert_true(policy_memory_tell(scene.memory, &first));
    assert_true(policy_memory_tell(scene.memory, &second));
    assert_true(policy_memory_tell(scene.memory, &other));
    policy_memory_keep(scene.memory, "default", "shop", left, 1);
    assert_false(policy_memory_tell(scene.memory, &first));
    assert_false(policy_memory_tell(scene.memory, &other));
    assert_true(policy_memory_tell(scene.memory, &second));
    policy_memory_keep(scene.memory, "default", "shop", NULL, 0);
    assert_true(policy_memory_tell(scene.memory, &first));
    assert_false(policy_memory_tell(scene.memory, &other));
}

static json_t *load(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s", error.text);
    return value;
}

static void assert_series(const struct scene *scene, const char *series, bool there)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(METRICS_MAX);
    assert_int_equal(metrics_format(scene->metrics, &text, &err), 0);
    CLEANUP(own_freep) char *all = buf_string(&text);
    if ((strstr(all, series) != NULL) != there)
        fail_msg("'%s' is %s:\n%s", series, there ? "missing" : "there", all);
}

#define POLICY "namespace=\"default\",policy=\"shop\""

static void metrics_follow_the_status(void **state)
{
    (void)state;
    CLEANUP(scene_done) struct scene scene = scene_new();
    json_auto_t *status =
        load("{\"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"}],"
             " \"schedules\": [{\"name\": \"d\", \"next\": \"1970-01-01T00:01:00Z\"}, {\"name\": "
             "\"h\"}],"
             " \"regions\": [{\"name\": \"eu\", \"reachable\": true}, {\"name\": \"us\","
             "   \"reachable\": false}, {\"name\": \"far\"}],"
             " \"pods\": [{\"name\": \"shop-0\"}],"
             " \"lastBackup\": {\"type\": \"Full\", \"finished\": \"1970-01-01T00:02:00Z\"}}");
    json_auto_t *policy = load("{\"metadata\": {\"namespace\": \"default\", \"name\": \"shop\"}}");
    json_auto_t *backups =
        load("[{\"status\": {\"type\": \"Incremental\", \"finished\": \"1970-01-01T00:01:40Z\","
             " \"conditions\": [{\"type\": \"Succeeded\", \"status\": \"True\"}]}},"
             " {\"status\": {\"type\": \"Incremental\", \"finished\": \"1970-01-01T00:01:30Z\","
             " \"conditions\": [{\"type\": \"Succeeded\", \"status\": \"True\"}]}},"
             " {\"status\": {\"type\": \"Differential\", \"finished\": \"1970-01-01T00:01:50Z\","
             " \"conditions\": [{\"type\": \"Succeeded\", \"status\": \"False\"}]}}]");
    policy_memory_show(scene.memory, policy, status, backups);
    policy_memory_show_pod(scene.memory, &(const struct policy_memory_pod){
                                             .namespace = "default",
                                             .policy = "shop",
                                             .pod = "shop-0",
                                             .lag_seconds = 7,
                                         });
    policy_memory_missed(scene.memory, "default", "shop", "d", 3);
    assert_series(&scene, "lifeboat_policy_ready{" POLICY "} 1\n", true);
    assert_series(&scene,
                  "lifeboat_schedule_next_timestamp_seconds{" POLICY ",schedule=\"d\"} 60\n", true);
    assert_series(&scene, "schedule=\"h\"", false);
    assert_series(&scene, "lifeboat_region_reachable{" POLICY ",region=\"eu\"} 1\n", true);
    assert_series(&scene, "lifeboat_region_reachable{" POLICY ",region=\"us\"} 0\n", true);
    assert_series(&scene, "region=\"far\"", false);
    assert_series(&scene, "lifeboat_last_backup_timestamp_seconds{" POLICY ",type=\"Full\"} 120\n",
                  true);
    assert_series(&scene,
                  "lifeboat_last_backup_timestamp_seconds{" POLICY ",type=\"Incremental\"} 100\n",
                  true);
    assert_series(&scene, "type=\"Differential\"", false);
    assert_series(&scene,
                  "lifeboat_database_replication_lag_seconds{" POLICY ",pod=\"shop-0\"} 7\n", true);
    assert_series(&scene, "lifeboat_backup_missed_slots_total{" POLICY ",schedule=\"d\"} 3\n",
                  true);

    json_object_set(policy, "status", status);
    json_auto_t *later =
        load("{\"conditions\": [{\"type\": \"Ready\", \"status\": \"False\"}],"
             " \"schedules\": [{\"name\": \"d\"}], \"regions\": [{\"name\": \"us\","
             " \"reachable\": true}], \"pods\": []}");
    policy_memory_show(scene.memory, policy, later, backups);
    assert_series(&scene, "lifeboat_policy_ready{" POLICY "} 0\n", true);
    assert_series(&scene, "lifeboat_schedule_next_timestamp_seconds{", false);
    assert_series(&scene, "region=\"eu\"", false);
    assert_series(&scene, "lifeboat_region_reachable{" POLICY ",region=\"us\"} 1\n", true);
    assert_series(&scene, "lag_seconds{", false);

    policy_memory_forget(scene.memory, "default", "shop");
    assert_series(&scene, POLICY, false);
}

static void show_archiving(const struct scene *scene, const char *status, const char *reason)
{
    json_auto_t *policy = load("{\"metadata\": {\"namespace\": \"default\", \"name\": \"shop\"}}");
    json_auto_t *shown = json_pack("{s:[{s:s, s:s, s:s}]}", "conditions", "type", "Archiving",
                                   "status", status, "reason", reason);
    policy_memory_show(scene->memory, policy, shown, NULL);
}

static void nobody_is_alarmed_by_what_is_not_asked_for(void **state)
{
    (void)state;
    CLEANUP(scene_done) struct scene scene = scene_new();
    show_archiving(&scene, "True", "Streaming");
    assert_series(&scene, "lifeboat_policy_archiving{" POLICY "} 1\n", true);
    show_archiving(&scene, "False", "Gap");
    assert_series(&scene, "lifeboat_policy_archiving{" POLICY "} 0\n", true);
    show_archiving(&scene, "False", "BackupOnly");
    assert_series(&scene, "lifeboat_policy_archiving{", false);
    show_archiving(&scene, "Unknown", "NotKnown");
    assert_series(&scene, "lifeboat_policy_archiving{", false);
}

static void wal_has_metrics_while_it_is_known(void **state)
{
    (void)state;
    CLEANUP(scene_done) struct scene scene = scene_new();
    struct message_archiving archiving = {.kept_bytes = 33554432, .left_seconds = 7200};
    struct policy_memory_pod pod = {.namespace = "default",
                                    .policy = "shop",
                                    .pod = "shop-0",
                                    .lag_seconds = -1,
                                    .archiving = &archiving};
    struct message_region region = {.name = "eu",
                                    .recoverable_from = "1970-01-01T00:01:00Z",
                                    .recoverable_to = "1970-01-01T00:02:00Z"};
    policy_memory_show_pod(scene.memory, &pod);
    policy_memory_wal_lag(scene.memory, "default", "shop", 4);
    policy_memory_recoverable(scene.memory, "default", "shop", &region);
    assert_series(&scene, "lifeboat_wal_kept_bytes{" POLICY ",pod=\"shop-0\"} 33554432\n", true);
    assert_series(&scene, "lifeboat_wal_left_seconds{" POLICY ",pod=\"shop-0\"} 7200\n", true);
    assert_series(&scene, "lifeboat_wal_lag_seconds{" POLICY "} 4\n", true);
    assert_series(
        &scene, "lifeboat_recoverable_from_timestamp_seconds{" POLICY ",region=\"eu\"} 60\n", true);
    assert_series(
        &scene, "lifeboat_recoverable_to_timestamp_seconds{" POLICY ",region=\"eu\"} 120\n", true);

    archiving.left_seconds = -1;
    region.recoverable_from = region.recoverable_to = NULL;
    policy_memory_show_pod(scene.memory, &pod);
    policy_memory_wal_lag(scene.memory, "default", "shop", -1);
    policy_memory_recoverable(scene.memory, "default", "shop", &region);
    assert_series(&scene, "lifeboat_wal_left_seconds{", false);
    assert_series(&scene, "lifeboat_wal_kept_bytes{", true);
    assert_series(&scene, "lifeboat_wal_lag_seconds{", false);
    assert_series(&scene, "lifeboat_recoverable_from_timestamp_seconds{", false);
    assert_series(&scene, "lifeboat_recoverable_to_timestamp_seconds{", false);
    pod.archiving = NULL;
    policy_memory_show_pod(scene.memory, &pod);
    assert_series(&scene, "lifeboat_wal_kept_bytes{", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sidecar_is_told_once_until_something_changes),
        cmocka_unit_test(pods_that_are_gone_are_forgotten),
        cmocka_unit_test(metrics_follow_the_status),
        cmocka_unit_test(nobody_is_alarmed_by_what_is_not_asked_for),
        cmocka_unit_test(wal_has_metrics_while_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
