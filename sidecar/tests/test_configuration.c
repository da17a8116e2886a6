// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/configuration.h"
#include "sidecar/policy.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_pod.h"

static struct helper_pod pod;
static struct configuration configuration;

static int set_up(void **state)
{
    (void)state;
    helper_pod_open(&pod);
    configuration_init(&configuration, pod.config, pod.secrets);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    configuration_done(&configuration);
    helper_pod_close(&pod);
    return 0;
}

static void configure(int64_t generation)
{
    CLEANUP(own_freep)
    char *policy =
        helper_pod_policy_text(&pod, &(struct helper_pod_policy){.generation = generation});
    helper_pod_configure(&pod, policy, "operator:8443\n", "PEM\n");
}

static void expect_problem(const char *text)
{
    if (!strstr(configuration.problem.text, text))
        fail_msg("'%s', not '%s'", configuration.problem.text, text);
}

static void everything_may_come_later(void **state)
{
    (void)state;
    assert_true(configuration_refresh(&configuration));
    assert_false(configuration.usable);
    assert_null(configuration.endpoint);
    expect_problem("no policy.yaml in");
    assert_false(configuration_refresh(&configuration));

    helper_pod_configure(&pod, NULL, "operator:8443", NULL);
    assert_true(configuration_refresh(&configuration));
    assert_string_equal(configuration.endpoint, "operator:8443");
    expect_problem("lifeboat-<policy>");

    configure(7);
    assert_true(configuration_refresh(&configuration));
    assert_true(configuration.usable);
    assert_int_equal(configuration.generation, 7);
    assert_string_equal(configuration.policy->name, "shop");
    assert_string_equal(configuration.ca, "PEM");
    expect_problem("'k1'"); /* the Secret is still missing */

    helper_pod_add_secret(&pod);
    assert_true(configuration_refresh(&configuration));
    assert_int_equal(configuration.problem.kind, ERROR_NONE);
    assert_false(configuration_refresh(&configuration));
}

static void a_swap_is_seen_whole(void **state)
{
    (void)state;
    helper_pod_add_secret(&pod);
    for (int64_t generation = 1; generation < 20; generation++) {
        configure(generation);
        assert_true(configuration_refresh(&configuration));
        assert_int_equal(configuration.generation, generation);
        assert_false(configuration_refresh(&configuration));
    }
}

static void the_last_good_policy_stays_while_a_wrong_one_is_there(void **state)
{
    (void)state;
    helper_pod_add_secret(&pod);
    configure(3);
    assert_true(configuration_refresh(&configuration));
    helper_pod_configure(&pod,
                         "apiVersion: lifeboat.dev/v1alpha1\nkind: BackupPolicy\n"
                         "metadata: {name: shop, generation: 4}\nspec: {regions: 5}\n",
                         "operator:8443", NULL);
    assert_true(configuration_refresh(&configuration));
    assert_false(configuration.usable);
    assert_int_equal(configuration.generation, 3);
    assert_non_null(configuration.policy);
    expect_problem("spec.regions");
    expect_problem("policy.yaml:4");
    configure(5);
    assert_true(configuration_refresh(&configuration));
    assert_true(configuration.usable);
    assert_int_equal(configuration.generation, 5);
    assert_int_equal(configuration.problem.kind, ERROR_NONE);
}

static void what_is_taken_away_stays_known(void **state)
{
    (void)state;
    helper_pod_add_secret(&pod);
    configure(3);
    assert_true(configuration_refresh(&configuration));
    helper_pod_configure(&pod, NULL, NULL, NULL); /* the policy was deleted */
    assert_true(configuration_refresh(&configuration));
    assert_false(configuration.usable);
    assert_string_equal(configuration.endpoint, "operator:8443");
    assert_string_equal(configuration.ca, "PEM");
    helper_pod_configure(&pod, NULL, "elsewhere:1", "OTHER");
    assert_true(configuration_refresh(&configuration));
    assert_string_equal(configuration.endpoint, "elsewhere:1");
    assert_string_equal(configuration.ca, "OTHER");
}

static void nonsense_is_told_and_harms_nothing(void **state)
{
    (void)state;
    static const char *const policies[] = {"", "\xff\xfe", "{", "[]", "null", "a: &a [*a]", "x: y"};
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        helper_pod_configure(&pod, policies[i], policies[i], policies[i]);
        assert_true(configuration_refresh(&configuration));
        assert_false(configuration.usable);
        assert_int_not_equal(configuration.problem.kind, ERROR_NONE);
    }
}

static void a_role_needs_no_key_of_the_secret(void **state)
{
    (void)state;
    static const char format[] =
        "apiVersion: lifeboat.dev/v1alpha1\nkind: BackupPolicy\nmetadata: {name: shop}\n"
        "spec: {regions: [{name: eu, s3: {bucket: abc, %s}}], encryption: {mode: None}}\n";
    static const struct {
        const char *s3, *problem; /* NULL: none */
    } table[] = {{"auth: WebIdentity", NULL},
                 {"auth: Instance", NULL},
                 {"credentials: eu", "eu.access-key-id"},
                 {"auth: Instance, caKey: eu.ca.crt", "eu.ca.crt"}};
    helper_pod_add_secret(&pod);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char policy[512];
        snprintf(policy, sizeof(policy), format, table[i].s3);
        helper_pod_configure(&pod, policy, NULL, NULL);
        assert_true(configuration_refresh(&configuration));
        assert_true(configuration.usable);
        assert_int_equal(configuration.problem.kind == ERROR_NONE, table[i].problem == NULL);
        if (table[i].problem)
            expect_problem(table[i].problem);
    }
}

static void files_that_a_person_made_are_read_too(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *policy = helper_pod_policy_text(&pod, &(struct helper_pod_policy){.generation = 2});
    helper_pod_add_secret(&pod);
    helper_directory_write(pod.directory, "config/policy.yaml", policy);
    assert_true(configuration_refresh(&configuration));
    assert_true(configuration.usable);
    assert_null(configuration.endpoint);
    helper_directory_write(pod.directory, "config/endpoint", "host:1");
    assert_true(configuration_refresh(&configuration));
    assert_string_equal(configuration.endpoint, "host:1");
    assert_return_code(unlink(pod.policy), 0);
    assert_true(configuration_refresh(&configuration));
    assert_false(configuration.usable);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_may_come_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_swap_is_seen_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_good_policy_stays_while_a_wrong_one_is_there,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_taken_away_stays_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_told_and_harms_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_role_needs_no_key_of_the_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_that_a_person_made_are_read_too, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
