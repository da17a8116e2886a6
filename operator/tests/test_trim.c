// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/trim.h"

static json_t *load(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("bad JSON in a test: %s", error.text);
    return value;
}

static void check(void (*trim)(json_t *object), const char *text, const char *expected)
{
    json_auto_t *object = load(text), *wanted = load(expected);
    for (int times = 0; times < 2; times++) {
        trim(object);
        CLEANUP(own_freep) char *left = json_dumps(object, JSON_COMPACT);
        if (!json_equal(object, wanted))
            fail_msg("%s", left);
    }
}

static void a_pod_keeps_what_is_read_of_it(void **state)
{
    (void)state;
    check(
        trim_pod,
        "{\"metadata\": {\"name\": \"shop-0\", \"uid\": \"u\", \"resourceVersion\": \"7\","
        "   \"labels\": {\"app\": \"shop\", \"lifeboat.dev/policy\": \"shop\"},"
        "   \"annotations\": {\"lifeboat.dev/region\": \"eu\", \"other\": \"x\"},"
        "   \"ownerReferences\": [{\"uid\": \"o\"}]},"
        " \"spec\": {\"nodeName\": \"n\", \"tolerations\": [{\"key\": \"k\"}],"
        "   \"securityContext\": {\"runAsUser\": 999},"
        "   \"volumes\": [{\"name\": \"data\", \"persistentVolumeClaim\": {\"claimName\": \"c\"}},"
        "     {\"name\": \"config\", \"configMap\": {\"name\": \"lifeboat-shop\"}}],"
        "   \"initContainers\": [{\"name\": \"lifeboat\", \"image\": \"i\", \"args\": [\"serve\"],"
        "     \"env\": [{\"name\": \"E\"}], \"securityContext\": {\"runAsUser\": 1},"
        "     \"volumeMounts\": [{\"name\": \"config\", \"mountPath\": \"/etc\"}]}],"
        "   \"containers\": [{\"name\": \"postgres\", \"image\": \"p\","
        "     \"securityContext\": {\"runAsUser\": 2}, \"volumeMounts\": [{\"name\": \"d\"}]}]},"
        " \"status\": {\"phase\": \"Running\", \"podIP\": \"10.0.0.1\","
        "   \"conditions\": [{\"type\": \"PodScheduled\", \"status\": \"True\"},"
        "     {\"type\": \"Ready\", \"status\": \"True\", \"lastTransitionTime\": \"t\"}],"
        "   \"initContainerStatuses\": [{\"name\": \"lifeboat\", \"imageID\": \"i\","
        "     \"state\": {\"waiting\": {\"reason\": \"ErrImagePull\"}}}],"
        "   \"containerStatuses\": [{\"name\": \"postgres\", \"state\": {\"running\": {}}}]}}",
        "{\"metadata\": {\"name\": \"shop-0\", \"uid\": \"u\", \"resourceVersion\": \"7\","
        "   \"labels\": {\"app\": \"shop\", \"lifeboat.dev/policy\": \"shop\"},"
        "   \"annotations\": {\"lifeboat.dev/region\": \"eu\"},"
        "   \"ownerReferences\": [{\"uid\": \"o\"}]},"
        " \"spec\": {\"nodeName\": \"n\", \"securityContext\": {\"runAsUser\": 999},"
        "   \"volumes\": [{\"name\": \"config\", \"configMap\": {\"name\": \"lifeboat-shop\"}}],"
        "   \"initContainers\": [{\"name\": \"lifeboat\", \"image\": \"i\","
        "     \"securityContext\": {\"runAsUser\": 1}, \"volumeMounts\": [{\"name\": "
        "\"config\"}]}],"
        "   \"containers\": [{\"name\": \"postgres\", \"securityContext\": {\"runAsUser\": 2}}]},"
        " \"status\": {\"phase\": \"Running\","
        "   \"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"}],"
        "   \"initContainerStatuses\": [{\"name\": \"lifeboat\","
        "     \"state\": {\"waiting\": {\"reason\": \"ErrImagePull\"}}}],"
        "   \"containerStatuses\": []}}");
}

static void a_pod_that_has_just_been_created_is_trimmed(void **state)
{
    (void)state;
    check(trim_pod, "{\"metadata\": {\"name\": \"shop-0\"}, \"spec\": {}, \"status\": {}}",
          "{\"metadata\": {\"name\": \"shop-0\"}, \"spec\": {}, \"status\": {}}");
    check(trim_pod, "{\"metadata\": {\"name\": \"shop-0\"}}",
          "{\"metadata\": {\"name\": \"shop-0\"}}");
}

#define BACKUP(succeeded, more)                                                                    \
    "{\"metadata\": {\"name\": \"b\", \"labels\": {\"lifeboat.dev/schedule\": \"daily\"}},"        \
    " \"spec\": {\"policyRef\": {\"name\": \"shop\"}},"                                            \
    " \"status\": {\"backupID\": \"i\", \"finished\": \"t\", \"regions\": [\"eu\"],"               \
    "   \"startLSN\": \"0/1\", \"timeline\": 1, \"systemIdentifier\": \"7\","                      \
    "   \"conditions\": [{\"type\": \"Succeeded\", \"status\": \"" succeeded "\"}" more "}}"
#define DETAILS                                                                                    \
    ", {\"type\": \"Reconciling\", \"status\": \"False\"}],"                                       \
    " \"attempts\": [{\"pod\": \"shop-0\"}], \"stopLSN\": \"0/2\""

static void a_backup_at_its_end_keeps_what_policies_tell_of_it(void **state)
{
    (void)state;
    check(trim_backup, BACKUP("True", DETAILS), BACKUP("True", "]"));
    check(trim_backup, BACKUP("False", DETAILS), BACKUP("False", "]"));
}

static void a_backup_that_is_not_at_its_end_keeps_all(void **state)
{
    (void)state;
    check(trim_backup, BACKUP("Unknown", DETAILS), BACKUP("Unknown", DETAILS));
    check(trim_backup, "{\"metadata\": {\"name\": \"b\", \"annotations\": {\"a\": \"b\"}}}",
          "{\"metadata\": {\"name\": \"b\", \"annotations\": {\"a\": \"b\"}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_keeps_what_is_read_of_it),
        cmocka_unit_test(a_pod_that_has_just_been_created_is_trimmed),
        cmocka_unit_test(a_backup_at_its_end_keeps_what_policies_tell_of_it),
        cmocka_unit_test(a_backup_that_is_not_at_its_end_keeps_all),
    };
    return cmocka_run_group_tests_name("trim", tests, NULL, NULL);
}
