// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/member.h"

static json_t *load(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s", error.text);
    return value;
}

static const char native_pod[] =
    "{\"metadata\": {\"namespace\": \"default\", \"name\": \"shop-0\", \"uid\": \"u0\","
    "   \"annotations\": {\"lifeboat.dev/region\": \"eu\"}},"
    " \"spec\": {\"nodeName\": \"n1\","
    "   \"volumes\": [{\"name\": \"data\", \"persistentVolumeClaim\": {\"claimName\": \"c\"}},"
    "     {\"name\": \"settings\", \"configMap\": {\"name\": \"shop-settings\"}},"
    "     {\"name\": \"config\", \"configMap\": {\"name\": \"lifeboat-shop\"}}],"
    "   \"initContainers\": [{\"name\": \"lifeboat\", \"restartPolicy\": \"Always\","
    "     \"volumeMounts\": [{\"name\": \"data\"}, {\"name\": \"settings\"},"
    "       {\"name\": \"config\", \"mountPath\": \"/etc/lifeboat/config\"}]}],"
    "   \"containers\": [{\"name\": \"postgres\"}]},"
    " \"status\": {\"phase\": \"Running\","
    "   \"conditions\": [{\"type\": \"PodScheduled\", \"status\": \"True\"},"
    "     {\"type\": \"Ready\", \"status\": \"True\"}],"
    "   \"initContainerStatuses\": [{\"name\": \"lifeboat\", \"state\": {\"running\": {}}}]}}";

static void a_pod_with_a_native_sidecar_is_read(void **state)
{
    (void)state;
    json_auto_t *pod = load(native_pod);
    struct member member;
    struct error err;
    assert_int_equal(member_read(&member, pod, &err), 0);
    assert_string_equal(member.name, "shop-0");
    assert_string_equal(member.uid, "u0");
    assert_string_equal(member.node, "n1");
    assert_string_equal(member.region, "eu");
    assert_true(member.ready && member.has_sidecar && member.sidecar_runs);
    assert_false(member.terminating);
    assert_string_equal(member.config_map, "lifeboat-shop");
    assert_string_equal(member.sidecar_note, "");
}

static void an_annotation_that_names_no_region_is_told(void **state)
{
    static const char *const annotations[] = {
        "EU West", "", "-eu", "a/b",
        "a234567890123456789012345678901234567890123456789012345678901234"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(annotations); i++) {
        json_auto_t *pod = load(native_pod);
        struct member member;
        struct error err;
        json_t *metadata = json_object_get(pod, "metadata");
        json_object_set_new(json_object_get(metadata, "annotations"), "lifeboat.dev/region",
                            json_string(annotations[i]));
        assert_int_equal(member_read(&member, pod, &err), 0);
        assert_string_equal(member.region, "");
        assert_non_null(strstr(member.region_error, "annotation lifeboat.dev/region: expected"));
        member_find_region(&member, NULL); /* and its node's is no way out */
    }
}

static void a_sidecar_that_cannot_start_says_why(void **state)
{
    (void)state;
    json_auto_t *pod = load(
        "{\"metadata\": {\"namespace\": \"d\", \"name\": \"p\", \"uid\": \"u\"},"
        " \"spec\": {\"containers\": [{\"name\": \"postgres\"}, {\"name\": \"lifeboat\"}]},"
        " \"status\": {\"phase\": \"Pending\", \"containerStatuses\": [{\"name\": \"lifeboat\","
        "   \"state\": {\"waiting\": {\"reason\": \"ImagePullBackOff\","
        "     \"message\": \"no such image\"}}}]}}");
    struct member member;
    struct error err;
    assert_int_equal(member_read(&member, pod, &err), 0);
    assert_true(member.has_sidecar);
    assert_false(member.sidecar_runs || member.ready || member.terminating);
    assert_string_equal(member.sidecar_note, "ImagePullBackOff: no such image");
    assert_null(member.config_map);
    assert_null(member.node);
    assert_string_equal(member.region, "");
}

static void a_sidecar_that_ended_names_the_image_that_should_follow(void **state)
{
    (void)state;
    json_auto_t *pod = load(
        "{\"metadata\": {\"namespace\": \"d\", \"name\": \"p\", \"uid\": \"u\"},"
        " \"spec\": {\"initContainers\": [{\"name\": \"lifeboat\", \"image\": \"sidecar:2\"}]},"
        " \"status\": {\"phase\": \"Running\", \"initContainerStatuses\": [{\"name\": \"lifeboat\","
        "   \"image\": \"sidecar:1\", \"state\": {\"terminated\": {\"exitCode\": 0,"
        "     \"reason\": \"Completed\"}}}]}}");
    struct member member;
    struct error err;
    assert_int_equal(member_read(&member, pod, &err), 0);
    assert_false(member.sidecar_runs);
    assert_string_equal(
        member.sidecar_note,
        "Completed; 'kubectl describe pod p' says why image 'sidecar:2' is not started");
}

static void a_pod_that_goes_or_ended_is_terminating(void **state)
{
    (void)state;
    static const char *const pods[] = {
        "{\"metadata\": {\"namespace\": \"d\", \"name\": \"p\", \"uid\": \"u\","
        "  \"deletionTimestamp\": \"2026-11-21T08:00:00Z\"}}",
        "{\"metadata\": {\"namespace\": \"d\", \"name\": \"p\", \"uid\": \"u\"},"
        "  \"status\": {\"phase\": \"Succeeded\"}}",
        "{\"metadata\": {\"namespace\": \"d\", \"name\": \"p\", \"uid\": \"u\"},"
        "  \"status\": {\"phase\": \"Failed\"}}",
    };
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        json_auto_t *pod = load(pods[i]);
        struct member member;
        struct error err;
        assert_int_equal(member_read(&member, pod, &err), 0);
        assert_true(member.terminating);
        assert_false(member.has_sidecar);
    }
}

static void what_is_no_pod_is_refused(void **state)
{
    (void)state;
    json_auto_t *pod = load("{\"metadata\": {\"name\": 5}, \"spec\": [], \"status\": \"x\"}");
    struct member member;
    struct error err;
    assert_int_equal(member_read(&member, pod, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_with_a_native_sidecar_is_read),
        cmocka_unit_test(an_annotation_that_names_no_region_is_told),
        cmocka_unit_test(a_sidecar_that_cannot_start_says_why),
        cmocka_unit_test(a_sidecar_that_ended_names_the_image_that_should_follow),
        cmocka_unit_test(a_pod_that_goes_or_ended_is_terminating),
        cmocka_unit_test(what_is_no_pod_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
