// SPDX-License-Identifier: Apache-2.0
/* Against a real API server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/member.h"
#include "operator/nodes.h"
#include "operator/tests/helper_client.h"

static struct cancel never;
static struct kube_config *config;
static struct kube *kube;
static char node_name[64];

static const struct kube_ref *node(void)
{
    static struct kube_ref ref = {.resource = &kube_nodes, .name = node_name};
    return &ref;
}

static int make_node(void **state)
{
    (void)state;
    struct error err;
    const struct kube_ref nodes = {.resource = &kube_nodes};
    json_auto_t *object =
        json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind", "Node", "metadata",
                  "name", node_name, "labels", "topology.kubernetes.io/region", "eu");
    return kube_create(kube, &nodes, object, NULL, &err);
}

static int remove_node(void **state)
{
    (void)state;
    struct error err;
    clock_fake(-1);
    return kube_delete(kube, node(), NULL, &err);
}

static void move_node(const char *region)
{
    struct error err;
    json_auto_t *patch =
        json_pack("{s:{s:{s:s}}}", "metadata", "labels", "topology.kubernetes.io/region", region);
    assert_int_equal(kube_merge_patch(kube, node(), patch, NULL, &err), 0);
}

static void assert_region(struct nodes *nodes, const char *name, const char *expected)
{
    char region[NODES_REGION_BYTES] = "?";
    struct error err = {.text = ""};
    if (nodes_region(nodes, name, region, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(region, expected);
}

static void a_region_is_remembered_for_ten_minutes(void **state)
{
    (void)state;
    CLEANUP(nodes_freep) struct nodes *nodes = nodes_new(kube);
    int64_t now_ms = clock_monotonic_ms();
    clock_fake(now_ms);
    assert_region(nodes, node_name, "eu");
    move_node("us");
    clock_fake(now_ms + 599999);
    assert_region(nodes, node_name, "eu");
    clock_fake(now_ms + 600001);
    assert_region(nodes, node_name, "us");
}

static void a_node_that_is_not_there_has_no_region(void **state)
{
    (void)state;
    CLEANUP(nodes_freep) struct nodes *nodes = nodes_new(kube);
    assert_region(nodes, "no-such-node", "");
    for (int i = 0; i < 3; i++)
        assert_region(nodes, "no-such-node", "");
}

static json_t *pod(const char *name, const char *region)
{
    json_t *object =
        json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}, s:{}}, s:{s:s}, s:{s:s}}", "metadata",
                  "namespace", "default", "name", name, "uid", name, "resourceVersion", "1",
                  "labels", "lifeboat.dev/policy", "shop", "annotations", "spec", "nodeName",
                  node_name, "status", "phase", "Running");
    if (region)
        json_object_set_new(json_object_get(json_object_get(object, "metadata"), "annotations"),
                            "lifeboat.dev/region", json_string(region));
    return object;
}

static void members_come_sorted_with_their_regions(void **state)
{
    (void)state;
    static const char *const label[] = {"metadata", "labels", "lifeboat.dev/policy", NULL};
    CLEANUP(nodes_freep) struct nodes *nodes = nodes_new(kube);
    CLEANUP(cache_freep) struct cache *pods = cache_new(label);
    json_auto_t *all = json_pack("[o, o]", pod("shop-1", NULL), pod("shop-0", "asia"));
    json_decref(cache_replace(pods, "default", all));
    CLEANUP(members_done) struct members members;
    members_load(&members, pods, nodes, "default", "shop");
    assert_int_equal(members.count, 2);
    assert_string_equal(members.items[0].name, "shop-0");
    assert_string_equal(members.items[0].region, "asia");
    assert_string_equal(members.items[1].region, "eu");
    assert_string_equal(members.items[1].region_error, "");

    CLEANUP(members_done) struct members none;
    members_load(&none, pods, nodes, "default", "bank");
    assert_int_equal(none.count, 0);
}

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
    snprintf(node_name, sizeof(node_name), "nodes-%ld", (long)getpid());
#define TEST(test) cmocka_unit_test_setup_teardown(test, make_node, remove_node)
    const struct CMUnitTest tests[] = {
        TEST(a_region_is_remembered_for_ten_minutes),
        TEST(a_node_that_is_not_there_has_no_region),
        TEST(members_come_sorted_with_their_regions),
    };
    int failed = cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
    client_close(&never, &config, &kube);
    return failed;
}
