// SPDX-License-Identifier: Apache-2.0
/* Against a real API server with our resources; what the caches have is listed from it. Pods and
 * what their sidecars say are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/certificate.h"
#include "operator/condition.h"
#include "operator/kube.h"
#include "operator/nodes.h"
#include "operator/policy_memory.h"
#include "operator/reconcile.h"
#include "operator/recorder.h"
#include "operator/runs.h"
#include "operator/schedule.h"
#include "operator/tests/helper_client.h"
#include "operator/tests/helper_json.h"

enum { METRICS_MAX = 1 << 20 };

static char namespace[64];
static struct cancel never, stop;
static struct crew *crew; /* the recorder */
static struct kube_config *config;
static struct kube *kube;
static struct certificate *certificate;
static struct metrics *metrics;
static struct reconcile reconcile;

static void on_change(void *arg, const struct agent_identity *who)
{
    (void)arg;
    (void)who;
}

static json_t *load(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s: %s", text, error.text);
    return value;
}

static struct kube_ref ref(const struct kube_resource *resource, const char *name)
{
    return (struct kube_ref){.resource = resource, .namespace = namespace, .name = name};
}

static json_t *get(const struct kube_resource *resource, const char *name)
{
    struct error err;
    const struct kube_ref object = ref(resource, name);
    json_t *found = NULL;
    if (kube_get(kube, &object, &found, &err) < 0 && err.kind != ERROR_NOT_FOUND)
        fail_msg("%s", err.text);
    return found;
}

static void make(const struct kube_resource *resource, const json_t *object)
{
    struct error err;
    const struct kube_ref collection = ref(resource, NULL);
    if (kube_create(kube, &collection, object, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void patch(const struct kube_resource *resource, const char *name, const char *text)
{
    struct error err;
    json_auto_t *changes = load(text);
    const struct kube_ref object = ref(resource, name);
    if (kube_merge_patch(kube, &object, changes, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void patch_status(const struct kube_resource *resource, const char *name, const char *text)
{
    struct error err;
    json_auto_t *changes = load(text);
    struct kube_ref object = ref(resource, name);
    object.subresource = "status";
    if (kube_merge_patch(kube, &object, changes, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void destroy(const struct kube_resource *resource, const char *name)
{
    struct error err;
    const struct kube_ref object = ref(resource, name);
    if (kube_delete(kube, &object, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void list_into(struct cache *cache, const struct kube_resource *resource,
                      const char *selector)
{
    struct error err;
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {
        .collection = ref(resource, NULL), .label_selector = selector, .limit = 500};
    if (kube_list(kube, &list, &page, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(cache_replace(cache, namespace, json_object_get(page, "items")));
}

/* As after a start of the operator, when everything was listed. */
static void list_all(void)
{
    list_into(reconcile.policies, &kube_policies, NULL);
    list_into(reconcile.backups, &kube_backups, NULL);
    list_into(reconcile.config_maps, &kube_config_maps, "app.kubernetes.io/managed-by=lifeboat");
}

static int try_look(const char *policy, int64_t *ret_again_ms, struct error *err)
{
    return reconcile_policy(&reconcile, namespace, policy, ret_again_ms, err);
}

static int64_t look(const char *policy)
{
    struct error err = {.text = ""};
    int64_t again_ms;
    if (try_look(policy, &again_ms, &err) < 0)
        fail_msg("%s", err.text);
    return again_ms;
}

static int64_t list_and_look(const char *policy)
{
    list_all();
    return look(policy);
}

#define REGIONS "\"regions\": [{\"name\": \"eu\", \"file\": {\"path\": \"/b\"}}]"
#define KEYS "\"encryption\": {\"keys\": [\"k1\"]}"

static void make_policy(const char *name, const char *more)
{
    CLEANUP(own_freep)
    char *text =
        own_format("{\"apiVersion\": \"lifeboat.dev/v1alpha1\", \"kind\": \"BackupPolicy\","
                   " \"metadata\": {\"name\": \"%s\", \"namespace\": \"%s\"},"
                   " \"spec\": {" REGIONS ", " KEYS "%s%s}}",
                   name, namespace, *more ? ", " : "", more);
    json_auto_t *policy = load(text);
    make(&kube_policies, policy);
}

static void assert_condition(const char *policy, const char *type, const char *status,
                             const char *reason, const char *text)
{
    json_auto_t *object = get(&kube_policies, policy);
    const json_t *found = condition_find(object, type);
    if (strcmp(text_at(found, "status"), status) != 0 ||
        strcmp(text_at(found, "reason"), reason) != 0 || !strstr(text_at(found, "message"), text))
        fail_msg("%s is %s %s: %s", type, text_at(found, "status"), text_at(found, "reason"),
                 text_at(found, "message"));
}

static size_t count_backups(const char *policy)
{
    json_auto_t *backups = NULL;
    list_all();
    backups = cache_list(reconcile.backups, namespace, policy);
    return json_array_size(backups);
}

static void a_policy_has_all_at_first_sight_and_is_not_written_again(void **state)
{
    (void)state;
    make_policy("first", "\"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 * * *\"}]");
    assert_true(list_and_look("first") > 0);
    assert_condition("first", "Ready", "False", "NoMembers", "lifeboat.dev/policy: first");
    assert_condition("first", "Archiving", "False", "BackupOnly", "spec.wal.mode: Stream");
    assert_condition("first", "Recoverable", "Unknown", "NotKnown", "");
    assert_condition("first", "Replicated", "Unknown", "NoBackup", "");

    json_auto_t *policy = get(&kube_policies, "first");
    json_auto_t *config_map = get(&kube_config_maps, "lifeboat-first");
    assert_string_not_equal(text_at(policy, "status/schedules/0/next"), "(none)");
    assert_string_equal(text_at(policy, "status/nextBackup"),
                        text_at(policy, "status/schedules/0/next"));
    assert_string_equal(text_at(config_map, "metadata/ownerReferences/0/uid"),
                        text_at(policy, "metadata/uid"));
    CLEANUP(own_freep) char *endpoint = own_format("lifeboat-channel.%s.svc:8443", namespace);
    assert_string_equal(text_at(config_map, "data/endpoint"), endpoint);
    CLEANUP(own_freep) char *bundle = certificate_bundle(certificate);
    const json_t *data = json_object_get(config_map, "data");
    assert_string_equal(text_at(data, "ca.crt"), bundle);
    json_auto_t *document = load(json_string_value(json_object_get(data, "policy.yaml")));
    assert_true(json_equal(json_object_get(document, "spec"), json_object_get(policy, "spec")));
    assert_string_equal(text_at(document, "kind"), "BackupPolicy");
    assert_string_equal(text_at(document, "metadata/uid"), text_at(policy, "metadata/uid"));
    const json_t *metadata = json_object_get(document, "metadata");
    assert_int_equal(json_object_size(metadata), 5);
    assert_string_equal(json_string_value(json_object_get(json_object_get(metadata, "annotations"),
                                                          "lifeboat.dev/cluster")),
                        "cluster");

    look("first");
    list_and_look("first");
    json_auto_t *policy_later = get(&kube_policies, "first");
    json_auto_t *config_map_later = get(&kube_config_maps, "lifeboat-first");
    assert_string_equal(text_at(policy_later, "metadata/resourceVersion"),
                        text_at(policy, "metadata/resourceVersion"));
    assert_string_equal(text_at(config_map_later, "metadata/resourceVersion"),
                        text_at(config_map, "metadata/resourceVersion"));
}

static void a_slot_has_one_backup_whatever_happens_in_between(void **state)
{
    (void)state;
    int64_t start_ms = clock_now_ms();
    make_policy("slots", "\"schedules\": [{\"name\": \"m\", \"type\": \"Incremental\","
                         " \"cron\": \"* * * * *\"}]");
    list_and_look("slots");
    size_t before = count_backups("slots"); /* a minute may just have begun */
    clock_fake(start_ms - start_ms % 60000 + 180000);
    char slot[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms(), slot);
    list_and_look("slots");
    assert_int_equal(count_backups("slots"), before + 1); /* of at least two missed */
    look("slots");
    assert_int_equal(count_backups("slots"), before + 1);
    json_auto_t *policy = get(&kube_policies, "slots");
    assert_string_equal(text_at(policy, "status/schedules/0/lastSlot"), slot);

    char basic[CLOCK_TEXT_BYTES], name[64];
    clock_format_basic(clock_now_ms(), basic);
    snprintf(name, sizeof(name), "slots-m-%.8s%.4s", basic, basic + 9);
    json_auto_t *backup = get(&kube_backups, name);
    assert_string_equal(text_at(backup, "spec/type"), "Incremental");
    assert_string_equal(text_at(backup, "spec/policyRef/name"), "slots");
    const json_t *metadata = json_object_get(backup, "metadata");
    assert_string_equal(json_string_value(json_object_get(json_object_get(metadata, "labels"),
                                                          "lifeboat.dev/schedule")),
                        "m");
    assert_string_equal(json_string_value(json_object_get(json_object_get(metadata, "annotations"),
                                                          "lifeboat.dev/slot")),
                        slot);

    /* a leader that was one too long, and does not see what was written meanwhile */
    list_all();
    json_auto_t *stale = json_deep_copy(policy);
    clock_fake(clock_now_ms() + 60000);
    look("slots");
    json_auto_t *all = json_pack("[O]", stale);
    json_decref(cache_replace(reconcile.policies, namespace, all));
    struct error err;
    int64_t again_ms;
    assert_int_equal(try_look("slots", &again_ms, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_int_equal(count_backups("slots"), before + 2);

    /* a Backup that somebody deleted stays away */
    destroy(&kube_backups, name);
    list_and_look("slots");
    assert_int_equal(count_backups("slots"), before + 1);
    clock_fake(-1);
}

#define EVERY_MINUTE(name) "\"schedules\": [{\"name\": \"" name "\", \"cron\": \"* * * * *\"}]"

/* The name of the Backup of that schedule's slot, which is now; the caller's. */
static char *slot_name(const char *policy_and_schedule)
{
    char basic[CLOCK_TEXT_BYTES];
    clock_format_basic(clock_now_ms(), basic);
    return own_format("%s-%.8s%.4s", policy_and_schedule, basic, basic + 9);
}

/* At the next full minute that was not looked at yet. */
static void begin_minute(void)
{
    int64_t now_ms = clock_now_ms();
    clock_fake(now_ms - now_ms % 60000 + 60000);
}

static void make_backup(const char *name, const char *policy)
{
    json_auto_t *backup =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:{s:s}}}", "apiVersion", "lifeboat.dev/v1alpha1",
                  "kind", "Backup", "metadata", "name", name, "namespace", namespace, "spec",
                  "policyRef", "name", policy);
    make(&kube_backups, backup);
}

static void a_slot_whose_name_another_policy_has_gets_one_of_its_own(void **state)
{
    (void)state;
    make_policy("two", EVERY_MINUTE("eu-m"));
    make_policy("two-eu", EVERY_MINUTE("m"));
    list_and_look("two");
    list_and_look("two-eu");
    begin_minute();
    size_t before = count_backups("two"), before_eu = count_backups("two-eu");
    list_and_look("two");
    list_and_look("two-eu");
    list_and_look("two-eu");
    assert_int_equal(count_backups("two"), before + 1);
    assert_int_equal(count_backups("two-eu"), before_eu + 1);
    CLEANUP(own_freep) char *name = slot_name("two-eu-m");
    json_auto_t *first = get(&kube_backups, name);
    assert_string_equal(text_at(first, "spec/policyRef/name"), "two");
    CLEANUP(own_freep)
    char *other = schedule_other_backup_name("two-eu", "m", clock_now_ms());
    json_auto_t *second = get(&kube_backups, other);
    assert_string_equal(text_at(second, "spec/policyRef/name"), "two-eu");
    char slot[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms(), slot);
    json_auto_t *policy = get(&kube_policies, "two-eu");
    assert_string_equal(text_at(policy, "status/schedules/0/lastSlot"), slot);
    clock_fake(-1);
}

static void a_backup_that_a_person_made_for_the_slot_is_as_good(void **state)
{
    (void)state;
    make_policy("person", EVERY_MINUTE("m"));
    list_and_look("person");
    begin_minute();
    size_t before = count_backups("person");
    CLEANUP(own_freep) char *name = slot_name("person-m");
    make_backup(name, "person");
    list_and_look("person");
    assert_int_equal(count_backups("person"), before + 1);
    clock_fake(-1);
}

static void a_slot_that_cannot_have_a_backup_is_told_and_made_up_for(void **state)
{
    (void)state;
    struct error err;
    int64_t again_ms;
    make_policy("stuck", "\"schedules\": [{\"name\": \"m\", \"cron\": \"* * * * *\"},"
                         " {\"name\": \"other\", \"cron\": \"* * * * *\"}]");
    list_and_look("stuck");
    begin_minute();
    size_t before = count_backups("stuck");
    CLEANUP(own_freep) char *name = slot_name("stuck-m");
    CLEANUP(own_freep) char *other = schedule_other_backup_name("stuck", "m", clock_now_ms());
    make_backup(name, "nobody");
    make_backup(other, "nobody");
    list_all();
    assert_int_equal(try_look("stuck", &again_ms, &err), -1);
    assert_int_equal(count_backups("stuck"), before + 1); /* of the other schedule */
    assert_condition("stuck", "Ready", "False", "BackupNotCreated", "spec.schedules[0] 'm': ");
    assert_condition("stuck", "Ready", "False", "BackupNotCreated", other);
    json_auto_t *told = get(&kube_policies, "stuck");
    list_all();
    assert_int_equal(try_look("stuck", &again_ms, &err), -1);
    json_auto_t *same = get(&kube_policies, "stuck");
    assert_string_equal(text_at(same, "metadata/resourceVersion"),
                        text_at(told, "metadata/resourceVersion"));
    destroy(&kube_backups, other);
    list_and_look("stuck");
    assert_int_equal(count_backups("stuck"), before + 2);
    assert_condition("stuck", "Ready", "False", "NoMembers", "");
    clock_fake(-1);
}

static void a_suspended_policy_makes_no_backups(void **state)
{
    (void)state;
    int64_t start_ms = clock_now_ms();
    make_policy("rest", "\"suspend\": true,"
                        " \"schedules\": [{\"name\": \"m\", \"cron\": \"* * * * *\"}]");
    list_and_look("rest");
    clock_fake(start_ms + 600000);
    list_and_look("rest");
    assert_int_equal(count_backups("rest"), 0);
    patch(&kube_policies, "rest", "{\"spec\": {\"suspend\": false}}");
    list_and_look("rest");
    assert_int_equal(count_backups("rest"), 0); /* what went by before is not made up for */
    clock_fake(start_ms + 660000);
    list_and_look("rest");
    assert_int_equal(count_backups("rest"), 1);
    clock_fake(-1);
}

static void a_config_map_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    json_auto_t *foreign = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1",
                                     "kind", "ConfigMap", "metadata", "name", "lifeboat-taken",
                                     "namespace", namespace, "data", "theirs", "kept");
    make(&kube_config_maps, foreign);
    make_policy("taken", "");
    list_and_look("taken");
    assert_condition("taken", "Ready", "False", "ConfigMapFailed",
                     "'lifeboat-taken' is there and was not made by Lifeboat");
    json_auto_t *there = get(&kube_config_maps, "lifeboat-taken");
    assert_string_equal(text_at(there, "data/theirs"), "kept");
    assert_string_equal(text_at(there, "data/endpoint"), "(none)");

    destroy(&kube_config_maps, "lifeboat-taken");
    list_and_look("taken");
    assert_condition("taken", "Ready", "False", "NoMembers", "");
    json_auto_t *ours = get(&kube_config_maps, "lifeboat-taken");
    assert_string_not_equal(text_at(ours, "data/endpoint"), "(none)");
}

static void a_config_map_that_was_changed_is_put_right(void **state)
{
    (void)state;
    make_policy("tampered", "");
    list_and_look("tampered");
    patch(&kube_config_maps, "lifeboat-tampered", "{\"data\": {\"endpoint\": \"evil:1\"}}");
    list_and_look("tampered");
    json_auto_t *restored = get(&kube_config_maps, "lifeboat-tampered");
    assert_null(strstr(text_at(restored, "data/endpoint"), "evil"));

    patch(&kube_policies, "tampered", "{\"spec\": {\"suspend\": true}}");
    list_and_look("tampered");
    json_auto_t *changed = get(&kube_config_maps, "lifeboat-tampered");
    const json_t *data = json_object_get(changed, "data");
    json_auto_t *document = load(json_string_value(json_object_get(data, "policy.yaml")));
    const json_t *metadata = json_object_get(document, "metadata");
    assert_int_equal(json_integer_value(json_object_get(metadata, "generation")), 2);

    destroy(&kube_config_maps, "lifeboat-tampered");
    list_and_look("tampered");
    json_auto_t *again = get(&kube_config_maps, "lifeboat-tampered");
    assert_non_null(again);
}

static void what_no_schema_can_see_is_a_condition(void **state)
{
    (void)state;
    make_policy("mars", "\"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 * * *\","
                        " \"timeZone\": \"Mars/Olympus\"}]");
    list_and_look("mars");
    assert_condition("mars", "Ready", "False", "Invalid",
                     "spec.schedules[0].timeZone: no time zone 'Mars/Olympus'");
    make_policy("never", "\"schedules\": [{\"name\": \"d\", \"cron\": \"0 3 30 2 *\"}]");
    list_and_look("never");
    assert_condition("never", "Ready", "False", "Invalid",
                     "spec.schedules[0].cron: '0 3 30 2 *' never comes");
}

static json_t *make_pod(const char *policy, const char *name)
{
    CLEANUP(own_freep) char *config_map = own_format("lifeboat-%s", policy);
    return json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}, s:{s:s}}, s:{s:[{s:s, s:{s:s}}],"
                     " s:[{s:s, s:[{s:s}]}]}, s:{s:s, s:[{s:s, s:{s:{}}}]}}",
                     "metadata", "namespace", namespace, "name", name, "uid", name,
                     "resourceVersion", "1", "labels", "lifeboat.dev/policy", policy, "annotations",
                     "lifeboat.dev/region", "eu", "spec", "volumes", "name", "c", "configMap",
                     "name", config_map, "initContainers", "name", "lifeboat", "volumeMounts",
                     "name", "c", "status", "phase", "Running", "initContainerStatuses", "name",
                     "lifeboat", "state", "running");
}

/* All pods that there are from now on; other may be NULL. */
static void put_pods(const char *policy, const char *name, const char *other)
{
    json_auto_t *all = json_pack("[o]", make_pod(policy, name));
    if (other)
        json_array_append_new(all, make_pod(policy, other));
    json_decref(cache_replace(reconcile.pods, namespace, all));
}

static void join(const char *pod, uint64_t connection)
{
    struct agent_identity who = {.namespace = ""};
    snprintf(who.namespace, sizeof(who.namespace), "%s", namespace);
    snprintf(who.pod, sizeof(who.pod), "%s", pod);
    snprintf(who.uid, sizeof(who.uid), "%s", pod);
    agents_join(reconcile.agents, &who, connection);
}

static void hear(const char *pod, uint64_t connection, const char *state_text)
{
    struct error err;
    CLEANUP(own_freep)
    char *text = own_format("{\"version\": 1, \"type\": \"state\", %s}", state_text);
    CLEANUP(message_clear) struct message message;
    if (message_parse(&message, text, strlen(text), &err) < 0 ||
        agents_hear(reconcile.agents, pod, connection, &message, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static void assert_told(const char *pod, uint64_t connection, const char *expected)
{
    int close = 0;
    CLEANUP(own_freep) char *text = agents_next(reconcile.agents, pod, connection, &close);
    assert_int_equal(close, 0);
    if (!expected)
        assert_null(text);
    else if (!text || !strstr(text, expected))
        fail_msg("told: %s", text ? text : "nothing");
}

#define STATE                                                                                      \
    "\"generation\": 1, \"database\": {\"reachable\": true, \"role\": \"standby\","                \
    " \"versionNum\": 170002, \"systemIdentifier\": \"7\", \"timeline\": 1, \"lagSeconds\": 90},"  \
    "\"regions\": [{\"name\": \"eu\", \"reachable\": true, \"backups\": 1, \"bytes\": 5000,"       \
    " \"lastBackup\": \"20261121T030000Z-full-bbbb\"}]"

static void assert_metric(const char *text, bool there)
{
    struct error err;
    CLEANUP(buf_done) struct buf formatted = BUF(METRICS_MAX);
    assert_int_equal(metrics_format(metrics, &formatted, &err), 0);
    CLEANUP(own_freep) char *all = buf_string(&formatted);
    if ((strstr(all, text) != NULL) != there)
        fail_msg("%s is %s:\n%s", text, there ? "missing" : "there", all);
}

static void a_member_is_told_what_it_serves_and_shown(void **state)
{
    (void)state;
    make_policy("members", "");
    put_pods("members", "shop-0", NULL);
    list_and_look("members");
    assert_condition("members", "Ready", "False", "NoSidecar", "shop-0");

    join("shop-0", 1);
    hear("shop-0", 1, STATE);
    look("members");
    assert_told("shop-0", 1, "\"type\":\"assign\"");
    assert_told("shop-0", 1, NULL);
    assert_condition("members", "Ready", "True", "Ready", "1 of 1");
    assert_condition("members", "Recoverable", "True", "BackupExists", "eu");
    assert_condition("members", "Replicated", "True", "InAllRegions", "");
    json_auto_t *policy = get(&kube_policies, "members");
    assert_string_equal(text_at(policy, "status/pods/0/role"), "Standby");
    assert_string_equal(text_at(policy, "status/regions/0/size"), "5.0 kB");
    assert_string_equal(text_at(policy, "status/members"), "1/1");
    CLEANUP(own_freep)
    char *series =
        own_format("lifeboat_policy_ready{namespace=\"%s\",policy=\"members\"} 1", namespace);
    assert_metric(series, true);
    assert_metric("lifeboat_region_reachable", true);
    assert_metric("lifeboat_database_replication_lag_seconds", true);

    hear("shop-0", 1, STATE); /* a heartbeat: nothing new */
    list_and_look("members");
    assert_told("shop-0", 1, NULL);
    json_auto_t *later = get(&kube_policies, "members");
    assert_string_equal(text_at(later, "metadata/resourceVersion"),
                        text_at(policy, "metadata/resourceVersion"));

    patch(&kube_policies, "members", "{\"spec\": {\"suspend\": true}}");
    list_and_look("members");
    assert_told("shop-0", 1, "\"generation\":2");
    assert_condition("members", "Ready", "False", "NoConfiguration", "generation 2");

    join("shop-0", 2); /* a new connection is told anew */
    hear("shop-0", 2, STATE);
    look("members");
    assert_told("shop-0", 2, "\"type\":\"assign\"");

    destroy(&kube_policies, "members");
    list_and_look("members");
    assert_metric(series, false);
}

#define SERVER(role, archiving)                                                                    \
    "\"generation\": 1, \"database\": {\"reachable\": true, \"role\": \"" role "\"},"              \
    "\"regions\": [{\"name\": \"eu\", \"reachable\": true}], \"archiving\": {\"slot\": "           \
    "\"lifeboat_1\","                                                                              \
    " \"timeline\": 1, " archiving "}"
#define HOLDS "\"mode\": \"hold\", \"streaming\": false"
#define STREAMS "\"mode\": \"stream\", \"streaming\": true, \"keptBytes\": 5"
#define HAS_POLICY ", \"policyUID\": \"u\""
#define LATER_GAP ", \"gap\": {\"timeline\": 1, \"from\": \"0/2000000\", \"to\": \"0/3000000\"}"
#define GAP ", \"gap\": {\"timeline\": 1, \"from\": \"0/1000000\", \"to\": \"0/2000000\"}"

static void one_member_streams_and_the_others_hold(void **state)
{
    (void)state;
    make_policy("wal", "\"wal\": {\"mode\": \"Stream\"}");
    put_pods("wal", "wal-0", "wal-1");
    join("wal-0", 11);
    join("wal-1", 12);
    hear("wal-0", 11, SERVER("primary", HOLDS));
    hear("wal-1", 12, SERVER("standby", HOLDS));
    assert_in_range(list_and_look("wal"), 1, 30000);
    assert_told("wal-0", 11, "\"wal\":\"stream\"");
    assert_told("wal-1", 12, "\"wal\":\"hold\"");
    assert_condition("wal", "Archiving", "Unknown", "NotKnown", "wal-0");
    hear("wal-0", 11, SERVER("primary", STREAMS));
    look("wal");
    assert_told("wal-0", 11, NULL);
    assert_told("wal-1", 12, NULL);
    assert_condition("wal", "Archiving", "True", "Streaming", "timeline 1 into 'eu'");
    CLEANUP(own_freep)
    char *series =
        own_format("lifeboat_policy_archiving{namespace=\"%s\",policy=\"wal\"} 1", namespace);
    assert_metric(series, true);
    assert_metric("policy=\"wal\",pod=\"wal-0\"} 5\n", true);

    hear("wal-0", 11, SERVER("standby", STREAMS)); /* a switchover */
    hear("wal-1", 12, SERVER("primary", HOLDS));
    look("wal");
    assert_told("wal-0", 11, "\"wal\":\"hold\"");
    assert_told("wal-1", 12, "\"wal\":\"stream\"");
}

static void a_gap_has_one_backup_whatever_happens_in_between(void **state)
{
    (void)state;
    static const char name[] = "wal-gap-1-0000000002000000";
    hear("wal-0", 11, SERVER("standby", HOLDS));
    hear("wal-1", 12, SERVER("primary", STREAMS GAP));
    list_and_look("wal");
    assert_condition("wal", "Archiving", "False", "Gap", name);
    json_auto_t *backup = get(&kube_backups, name);
    assert_string_equal(text_at(backup, "spec/type"), "Full");
    assert_string_equal(text_at(backup, "spec/policyRef/name"), "wal");
    json_auto_t *before = get(&kube_policies, "wal");
    assert_string_equal(text_at(before, "status/gap/backup"), name);
    list_and_look("wal");
    json_auto_t *after = get(&kube_policies, "wal");
    assert_string_equal(text_at(after, "metadata/resourceVersion"),
                        text_at(before, "metadata/resourceVersion"));
    destroy(&kube_backups, name);
    list_and_look("wal");
    assert_int_equal(count_backups("wal"), 0);
}

static void fail_backup(const char *name, int64_t ended_ms)
{
    char ended[CLOCK_TEXT_BYTES];
    clock_format(ended_ms, ended);
    CLEANUP(own_freep)
    char *text =
        own_format("{\"status\": {\"conditions\": [{\"type\": \"Succeeded\", \"status\": \"False\","
                   " \"reason\": \"Failed\", \"message\": \"\", \"lastTransitionTime\": \"%s\"}]}}",
                   ended);
    patch_status(&kube_backups, name, text);
}

/* Whoever made a Backup and could not write that down does not make another one. */
static void a_gap_whose_backup_failed_has_one_more(void **state)
{
    (void)state;
    static const char first[] = "wal-gap-1-0000000003000000";
    static const char second[] = "wal-gap-1-0000000003000000-2";
    hear("wal-1", 12, SERVER("primary", STREAMS LATER_GAP));
    list_and_look("wal");
    fail_backup(first, clock_now_ms());
    list_and_look("wal");
    assert_int_equal(count_backups("wal"), 1);
    assert_condition("wal", "Archiving", "False", "Gap", "another one will be if it fails");

    fail_backup(first, clock_now_ms() - INT64_C(11) * 60 * 1000);
    list_and_look("wal");
    assert_int_equal(count_backups("wal"), 2);
    json_auto_t *retried = get(&kube_backups, second);
    assert_string_equal(text_at(retried, "spec/type"), "Full");
    json_auto_t *after = get(&kube_policies, "wal");
    assert_string_equal(text_at(after, "status/gap/backup"), second);
    patch_status(&kube_policies, "wal",
                 "{\"status\": {\"gap\": {\"backup\": \"wal-gap-1-0000000003000000\"}}}");
    list_and_look("wal");
    assert_int_equal(count_backups("wal"), 2);
    json_auto_t *again = get(&kube_policies, "wal");
    assert_string_equal(text_at(again, "status/gap/backup"), second);
    destroy(&kube_backups, first);
    destroy(&kube_backups, second);
}

static void a_policy_that_is_gone_leaves_no_slot_behind(void **state)
{
    (void)state;
    hear("wal-1", 12, SERVER("standby", HOLDS) HAS_POLICY);
    agents_leave(reconcile.agents, "wal-0", 11); /* heard of again never */
    destroy(&kube_policies, "wal");
    list_and_look("wal");
    assert_told("wal-1", 12, "\"wal\":\"none\"");
    list_and_look("wal");
    assert_told("wal-1", 12, NULL);
    assert_metric("policy=\"wal\"", false);

    make_policy("wal", "\"wal\": {\"mode\": \"Stream\"}");
    list_and_look("wal");
    assert_told("wal-1", 12, "\"generation\":1");
}

static void a_slot_that_cannot_be_dropped_without_a_policy_is_told_of(void **state)
{
    (void)state;
    put_pods("lost", "lost-0", "lost-1");
    join("lost-0", 13);
    join("lost-1", 14);
    list_and_look("lost");
    assert_told("lost-0", 13, NULL); /* it has not said how it is */
    hear("lost-0", 13, SERVER("primary", STREAMS) ", \"configError\": \"no policy.yaml\"");
    hear("lost-1", 14, SERVER("standby", HOLDS) HAS_POLICY ", \"configError\": \"no policy.yaml\"");
    look("lost");
    assert_told("lost-0", 13, "\"wal\":\"none\"");
    assert_told("lost-1", 14, "\"wal\":\"none\""); /* it has the last policy */
}

/* Whether there is an Event with that reason about that object. */
static bool has_event(const char *name, const char *reason)
{
    struct error err;
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {.collection = ref(&kube_events, NULL), .limit = 500};
    if (kube_list(kube, &list, &page, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    size_t index;
    const json_t *event;
    json_array_foreach(json_object_get(page, "items"), index, event)
    {
        if (strcmp(text_at(event, "regarding/name"), name) == 0 &&
            strcmp(text_at(event, "reason"), reason) == 0)
            return true;
    }
    return false;
}

/* They are written in order by another thread: when the last one is there, all are. */
static void what_changed_was_told_in_events(void **state)
{
    (void)state;
    struct error err;
    make_policy("last", "");
    list_and_look("last");
    for (int tries = 0; !has_event("last", "NoMembers"); tries++) {
        assert_true(tries < 500);
        assert_int_equal(cancel_sleep(&never, 20, &err), 0);
    }
    assert_true(has_event("first", "NoMembers"));
    assert_true(has_event("slots", "BackupCreated"));
    assert_true(has_event("slots", "SlotsDropped"));
    assert_true(has_event("two-eu", "BackupNameTaken"));
    assert_false(has_event("two", "BackupNameTaken"));
    assert_true(has_event("stuck", "BackupNotCreated"));
    assert_false(has_event("rest", "SlotsDropped"));
    assert_true(has_event("taken", "ConfigMapFailed"));
    assert_true(has_event("mars", "Invalid"));
    assert_true(has_event("members", "NoSidecar"));
    assert_true(has_event("members", "Ready"));
    assert_true(has_event("members", "BackupExists"));
    assert_true(has_event("members", "NoConfiguration"));
    assert_true(has_event("wal", "Streaming"));
    assert_true(has_event("wal", "GapFound"));
    assert_true(has_event("wal", "Gap"));
    assert_true(has_event("wal-0", "SlotKept"));
    assert_true(has_event("lost-0", "SlotKept"));
    assert_false(has_event("lost-1", "SlotKept"));
    assert_false(has_event("wal-1", "SlotKept"));
}

static int set_up(void)
{
    static const char *const label[] = {"metadata", "labels", "lifeboat.dev/policy", NULL};
    static const char *const reference[] = {"spec", "policyRef", "name", NULL};
    static const char *const names[] = {"lifeboat-channel.test.svc", NULL};
    static const struct certificate_options options = {.namespace = namespace, .names = names};
    struct certificate_options with_kube = options;
    struct error err;
    snprintf(namespace, sizeof(namespace), "reconcile-policy-%ld", (long)getpid());
    json_auto_t *object = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                                    "metadata", "name", namespace);
    const struct kube_ref namespaces = {.resource = &kube_namespaces};
    with_kube.kube = kube;
    certificate = certificate_new(&with_kube);
    if (kube_create(kube, &namespaces, object, NULL, &err) < 0 ||
        certificate_refresh(certificate, true, clock_now_ms(), &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    metrics = metrics_new();
    reconcile = (struct reconcile){
        .kube = kube,
        .policies = cache_new(NULL),
        .backups = cache_new(reference),
        .pods = cache_new(label),
        .config_maps = cache_new(label),
        .nodes = nodes_new(kube),
        .policy_memory = policy_memory_new(metrics),
        .runs = runs_new(metrics),
        .agents = agents_new(on_change, NULL),
        .recorder = recorder_new(kube, "test", &stop),
        .metrics = metrics,
        .certificate = certificate,
        .epoch = 1,
        .started_ms = clock_monotonic_ms() - INT64_C(3600000),
        .cluster_uid = "cluster",
        .namespace = namespace,
    };
    crew = crew_new(&stop);
    return crew_start(crew, "recorder", recorder_run, reconcile.recorder, &err);
}

static void tear_down(void)
{
    crew_freep(&crew);
    cache_freep(&reconcile.policies);
    cache_freep(&reconcile.backups);
    cache_freep(&reconcile.pods);
    cache_freep(&reconcile.config_maps);
    nodes_freep(&reconcile.nodes);
    policy_memory_freep(&reconcile.policy_memory);
    runs_freep(&reconcile.runs);
    agents_freep(&reconcile.agents);
    recorder_freep(&reconcile.recorder);
    metrics_freep(&metrics);
    certificate_freep(&certificate);
}

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
    struct error err;
    if (cancel_init(&stop, &err) < 0 || set_up() < 0)
        return EXIT_FAILURE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_has_all_at_first_sight_and_is_not_written_again),
        cmocka_unit_test(a_slot_has_one_backup_whatever_happens_in_between),
        cmocka_unit_test(a_slot_whose_name_another_policy_has_gets_one_of_its_own),
        cmocka_unit_test(a_backup_that_a_person_made_for_the_slot_is_as_good),
        cmocka_unit_test(a_slot_that_cannot_have_a_backup_is_told_and_made_up_for),
        cmocka_unit_test(a_suspended_policy_makes_no_backups),
        cmocka_unit_test(a_config_map_of_somebody_else_is_left_alone),
        cmocka_unit_test(a_config_map_that_was_changed_is_put_right),
        cmocka_unit_test(what_no_schema_can_see_is_a_condition),
        cmocka_unit_test(a_member_is_told_what_it_serves_and_shown),
        cmocka_unit_test(one_member_streams_and_the_others_hold),
        cmocka_unit_test(a_gap_has_one_backup_whatever_happens_in_between),
        cmocka_unit_test(a_gap_whose_backup_failed_has_one_more),
        cmocka_unit_test(a_policy_that_is_gone_leaves_no_slot_behind),
        cmocka_unit_test(a_slot_that_cannot_be_dropped_without_a_policy_is_told_of),
        cmocka_unit_test(what_changed_was_told_in_events),
    };
    int failed = cmocka_run_group_tests_name("reconcile_policy", tests, NULL, NULL);
    tear_down();
    cancel_done(&stop);
    client_close(&never, &config, &kube);
    return failed;
}
