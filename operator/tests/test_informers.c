// SPDX-License-Identifier: Apache-2.0
/* Against a real API server: somebody changes objects, and these keys come into the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/informers.h"
#include "operator/kube.h"
#include "operator/reconcile.h"
#include "operator/tests/helper_client.h"

enum { PATIENCE_MS = 120000, QUIET_MS = 400, KEYS_BYTES = 2048 };

static struct cancel never, stop;
static struct kube_config *config;
static struct kube *kube, *watching; /* the second ends with the informers */
static struct workqueue *queue;
static struct agents *agents;
static struct informers *informers;
static struct crew *crew;
static char namespace[64];

static void ignore(void *arg, const struct agent_identity *who)
{
    (void)arg, (void)who;
}

static void create(const struct kube_resource *resource, json_t *object)
{
    struct error err;
    struct kube_ref collection = {resource, resource->namespaced ? namespace : NULL, NULL, NULL};
    if (kube_create(kube, &collection, object, NULL, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(object);
}

static void patch(const struct kube_resource *resource, const char *name, const char *sub,
                  json_t *change)
{
    struct error err;
    struct kube_ref ref = {resource, namespace, name, sub};
    if (kube_merge_patch(kube, &ref, change, NULL, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(change);
}

static void delete (const struct kube_resource *resource, const char *name)
{
    struct error err;
    struct kube_ref ref = {resource, namespace, name, NULL};
    assert_int_equal(kube_delete(kube, &ref, NULL, &err), 0);
}

static void sleep_ms(int ms)
{
    struct error err;
    assert_int_equal(cancel_sleep(&never, ms, &err), 0);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static size_t count_words(const char *text)
{
    size_t count = *text != '\0';
    for (; *text; text++)
        count += *text == ' ';
    return count;
}

/* The keys that came, sorted, once no more come: "backup:b policy:shop". As many as are expected
 * are waited for. */
static void drain(char ret_keys[KEYS_BYTES], size_t expected)
{
    static const char *const kinds[] = {"policy", "backup", "restore"};
    char keys[16][80];
    size_t count = 0;
    struct error err;
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    for (int64_t quiet_ms = clock_monotonic_ms() + QUIET_MS;
         clock_monotonic_ms() < (count < expected ? until_ms : quiet_ms);) {
        if (workqueue_depth(queue) == 0) {
            sleep_ms(10);
            continue;
        }
        struct work_key key;
        assert_int_equal(workqueue_take(queue, &key, &err), 0);
        workqueue_done(queue, &key);
        quiet_ms = clock_monotonic_ms() + QUIET_MS;
        char text[80];
        snprintf(text, sizeof(text), "%s:%.40s", kinds[key.kind], key.name);
        bool seen = strcmp(key.namespace, namespace) != 0; /* of other tests */
        for (size_t i = 0; i < count; i++)
            seen |= strcmp(keys[i], text) == 0;
        assert_true(count < 16);
        if (!seen)
            memcpy(keys[count++], text, sizeof(text));
    }
    qsort(keys, count, sizeof(keys[0]), compare);
    ret_keys[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(ret_keys);
        snprintf(ret_keys + size, KEYS_BYTES - size, "%s%s", size > 0 ? " " : "", keys[i]);
    }
}

static void assert_keys(const char *expected)
{
    char keys[KEYS_BYTES];
    drain(keys, count_words(expected));
    assert_string_equal(keys, expected);
}

static void create_policy(const char *name)
{
    create(&kube_policies, json_pack("{s:s, s:s, s:{s:s}, s:{s:[{s:s, s:{s:s}}], s:{s:[s]}}}",
                                     "apiVersion", "lifeboat.dev/v1alpha1", "kind", "BackupPolicy",
                                     "metadata", "name", name, "spec", "regions", "name", "eu",
                                     "file", "path", "/b", "encryption", "keys", "k1"));
}

static void create_backup(const char *name, const char *policy)
{
    create(&kube_backups, json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:s}}}", "apiVersion",
                                    "lifeboat.dev/v1alpha1", "kind", "Backup", "metadata", "name",
                                    name, "spec", "policyRef", "name", policy));
}

static json_t *ended(const char *status)
{
    return json_pack("{s:{s:[{s:s, s:s, s:s, s:s, s:s}]}}", "status", "conditions", "type",
                     "Succeeded", "status", status, "reason", "Committed", "message", "",
                     "lastTransitionTime", "2026-11-21T08:21:18Z");
}

static void create_pod(const char *name, const char *label, const char *value)
{
    create(&kube_pods,
           json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:[{s:s, s:s}]}}", "apiVersion", "v1", "kind",
                     "Pod", "metadata", "name", name, "labels", label, value, "spec", "containers",
                     "name", "postgres", "image", "postgres"));
}

static void a_policy_wakes_its_open_runs_only_when_its_spec_changes(void **state)
{
    (void)state;
    create_backup("open", "shop");
    create_backup("done", "shop");
    create_backup("other", "else");
    create(&kube_restore_jobs,
           json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:{s:s}}, s:{s:{s:s, s:s}}}}", "apiVersion",
                     "lifeboat.dev/v1alpha1", "kind", "RestoreJob", "metadata", "name", "copy",
                     "spec", "source", "policyRef", "name", "shop", "destination", "newVolumeClaim",
                     "name", "copy", "size", "1Gi"));
    patch(&kube_backups, "done", "status", ended("True"));
    assert_keys("backup:done backup:open backup:other policy:else policy:shop restore:copy");

    create_policy("shop");
    assert_keys("backup:open policy:shop restore:copy");
    patch(&kube_policies, "shop", NULL, json_pack("{s:{s:b}}", "spec", "suspend", 1));
    assert_keys("backup:open policy:shop restore:copy");
    patch(&kube_policies, "shop", "status", json_pack("{s:{s:s}}", "status", "members", "0/0"));
    assert_keys("policy:shop");
    delete (&kube_policies, "shop");
    assert_keys("backup:open policy:shop restore:copy");
}

static void the_end_of_a_backup_wakes_the_next(void **state)
{
    (void)state;
    create_backup("first", "shop");
    create_backup("second", "shop");
    assert_keys("backup:first backup:second policy:shop");
    patch(&kube_backups, "first", "status", ended("Unknown"));
    assert_keys("backup:first policy:shop");
    patch(&kube_backups, "first", "status", ended("False"));
    assert_keys("backup:first backup:second policy:shop");
    delete (&kube_backups, "first");
    assert_keys("backup:first backup:second policy:shop");
}

static void a_pod_wakes_the_policy_of_its_label_the_former_one_too(void **state)
{
    (void)state;
    create_backup("open", "shop");
    assert_keys("backup:open policy:shop");
    create_pod("shop-0", "lifeboat.dev/policy", "shop");
    assert_keys("backup:open policy:shop");
    patch(&kube_pods, "shop-0", NULL,
          json_pack("{s:{s:{s:s}}}", "metadata", "labels", "lifeboat.dev/policy", "else"));
    assert_keys("backup:open policy:else policy:shop");
    patch(&kube_pods, "shop-0", NULL,
          json_pack("{s:{s:{s:n}}}", "metadata", "labels", "lifeboat.dev/policy"));
    assert_keys("policy:else");
    patch(&kube_pods, "shop-0", NULL, json_pack("{s:{s:{s:s}}}", "metadata", "labels", "a", "b"));
    assert_keys("");
}

static json_t *get_pod(const char *name)
{
    json_t *pod;
    struct error err;
    struct kube_ref ref = {&kube_pods, namespace, name, NULL};
    assert_int_equal(kube_get(kube, &ref, &pod, &err), 0);
    return pod;
}

static bool is_known(const char *uid)
{
    struct agent_view view;
    agents_view(agents, uid, &view);
    bool known = view.known;
    agent_view_done(&view);
    return known;
}

static void a_sidecar_wakes_what_its_pod_belongs_to_until_it_is_gone(void **state)
{
    (void)state;
    create_backup("open", "shop");
    create_pod("shop-0", "lifeboat.dev/policy", "shop");
    create_pod("copy-1", "lifeboat.dev/restorejob", "copy");
    assert_keys("backup:open policy:shop restore:copy");
    json_auto_t *pod = get_pod("shop-0");
    struct agent_identity member = {.pod = "shop-0"}, restore = {.pod = "copy-1"},
                          stranger = {.pod = "web-0", .uid = "gone"};
    memcpy(member.namespace, namespace, sizeof(namespace));
    memcpy(restore.namespace, namespace, sizeof(namespace));
    memcpy(stranger.namespace, namespace, sizeof(namespace));
    snprintf(member.uid, sizeof(member.uid), "%s",
             json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid")));
    agents_join(agents, &member, 1);
    informers_wake_agent(informers, &member);
    assert_keys("backup:open policy:shop");
    informers_wake_agent(informers, &restore);
    assert_keys("restore:copy");
    agents_join(agents, &stranger, 2); /* was known a moment ago, when its token was looked at */
    informers_wake_agent(informers, &stranger);
    assert_keys("");
    assert_false(is_known(stranger.uid));

    assert_true(is_known(member.uid));
    delete (&kube_pods, "shop-0");
    delete (&kube_pods, "copy-1");
    assert_keys("backup:open policy:shop restore:copy");
    assert_false(is_known(member.uid));
}

static void a_config_map_of_ours_wakes_its_policy(void **state)
{
    (void)state;
    create(&kube_config_maps,
           json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}}", "apiVersion", "v1", "kind", "ConfigMap",
                     "metadata", "name", "lifeboat-shop", "labels", "app.kubernetes.io/managed-by",
                     "lifeboat", "lifeboat.dev/policy", "shop"));
    assert_keys("policy:shop");
    create(&kube_config_maps,
           json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind", "ConfigMap",
                     "metadata", "name", "theirs", "labels", "lifeboat.dev/policy", "shop"));
    assert_keys("");
    delete (&kube_config_maps, "lifeboat-shop");
    assert_keys("policy:shop");
}

static void all_policies_can_be_woken(void **state)
{
    (void)state;
    create_policy("shop");
    create_policy("ops");
    create_backup("open", "shop");
    assert_keys("backup:open policy:ops policy:shop");
    informers_wake_policies(informers);
    assert_keys("policy:ops policy:shop");
}

/* A namespace for each test, and the informers see it from the beginning; in the second round they
 * watch that one only. */
static bool by_namespace;

static int start(void **state)
{
    (void)state;
    struct error err;
    snprintf(namespace, sizeof(namespace), "test-%08x", backoff_random());
    create(&kube_namespaces, json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind",
                                       "Namespace", "metadata", "name", namespace));
    assert_int_equal(cancel_init(&stop, &err), 0);
    assert_int_equal(kube_new(&watching, config, &stop, &err), 0);
    crew = crew_new(&stop);
    queue = workqueue_new(&stop);
    agents = agents_new(ignore, NULL);
    const char *const namespaces[] = {namespace, "default"};
    informers = informers_new(&(struct informers_options){.kube = watching,
                                                          .namespaces = namespaces,
                                                          .namespace_count = by_namespace ? 2 : 0,
                                                          .queue = queue,
                                                          .agents = agents,
                                                          .cancel = &stop});
    assert_false(informers_synced(informers));
    assert_int_equal(informers_start(informers, crew, &err), 0);
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (!informers_synced(informers) && clock_monotonic_ms() < until_ms)
        sleep_ms(10);
    assert_true(informers_synced(informers));
    char ignored[KEYS_BYTES];
    drain(ignored, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    cancel_trigger(&stop);
    crew_freep(&crew);
    informers_freep(&informers);
    agents_freep(&agents);
    workqueue_freep(&queue);
    kube_freep(&watching);
    cancel_done(&stop);
    return 0;
}

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, end)
    const struct CMUnitTest tests[] = {
        TEST(a_policy_wakes_its_open_runs_only_when_its_spec_changes),
        TEST(the_end_of_a_backup_wakes_the_next),
        TEST(a_pod_wakes_the_policy_of_its_label_the_former_one_too),
        TEST(a_sidecar_wakes_what_its_pod_belongs_to_until_it_is_gone),
        TEST(a_config_map_of_ours_wakes_its_policy),
        TEST(all_policies_can_be_woken),
    };
    int failed = 0;
    for (int round = 0; round < 2 && failed == 0; round++) {
        by_namespace = round == 1;
        failed = cmocka_run_group_tests_name(by_namespace ? "informers of namespaces" : "informers",
                                             tests, NULL, NULL);
    }
    client_close(&never, &config, &kube);
    return failed;
}
