// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/own.h"
#include "operator/restore_object.h"
#include "operator/restore_pod.h"

/* The label of Azure AD Workload Identity of the pod that restores by a policy with this region;
 * NULL: none. The caller's. */
static char *label_of(const char *region)
{
    CLEANUP(own_freep)
    char *text =
        own_format("{\"spec\": {\"sidecar\": {\"image\": \"i\", \"runAsUser\": 999}, "
                   "\"regions\": [{\"name\": \"here\", \"file\": {\"path\": \"/b\"}}, %s]}}",
                   region);
    json_auto_t *policy = json_loads(text, 0, NULL);
    json_auto_t *members = json_array();
    const struct restore_object restore = {
        .run = {.namespace = "default", .name = "copy", .uid = "u"},
        .policy = "shop",
        .backup = "Latest",
        .claim = {.name = "copy", .size = "1Gi"},
    };
    const struct restore_pod_facts facts = {
        .restore = &restore, .policy = policy, .members = members};
    struct restore_pod plan;
    struct error err;
    assert_non_null(policy);
    if (restore_pod_plan(&plan, &facts, &err) < 0)
        fail_msg("%s", err.text);
    json_auto_t *pod = restore_pod_format(&plan, "copy-1");
    const json_t *labels = json_object_get(json_object_get(pod, "metadata"), "labels");
    assert_string_equal(json_string_value(json_object_get(labels, "lifeboat.dev/restorejob")),
                        "copy");
    return own_strdup(json_string_value(json_object_get(labels, "azure.workload.identity/use")));
}

static void a_pod_that_needs_an_identity_of_azure_has_its_label(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *label = label_of("{\"name\": \"eu\", \"azure\": {\"container\": \"c\", \"account\": "
                           "\"a\", \"auth\": \"WebIdentity\"}}");
    assert_string_equal(label, "true");
}

static void other_pods_have_no_label_of_azure(void **state)
{
    (void)state;
    assert_null(label_of("{\"name\": \"eu\", \"azure\": {\"container\": \"c\", \"account\": "
                         "\"a\", \"credentials\": \"eu\"}}"));
    assert_null(label_of("{\"name\": \"eu\", \"s3\": {\"bucket\": \"b\", \"auth\": "
                         "\"WebIdentity\"}}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_that_needs_an_identity_of_azure_has_its_label),
        cmocka_unit_test(other_pods_have_no_label_of_azure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
