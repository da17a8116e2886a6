// SPDX-License-Identifier: Apache-2.0
/* Which of a policy's regions are opened, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/regions.h"
#include "sidecar/tests/helper_repo.h"

static void regions_can_be_left_out(void **state)
{
    (void)state;
    static const char *const first[] = {"r0"}, *const both[] = {"r0", "r1"},
                             *const mars[] = {"mars"};
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(regions_closep) struct regions *regions = NULL;
    struct regions *none = NULL;
    struct regions_choice choice = {.excluded = first, .excluded_count = 1};
    struct error err;
    helper_repo_prepare(&helper, 2, 1);
    assert_int_equal(
        regions_open(&regions, helper.policy, helper.secrets, &choice, &helper.cancel, &err), 0);
    assert_int_equal(regions_count(regions), 1);
    assert_string_equal(regions_at(regions, 0)->name, "r1");
    choice = (struct regions_choice){.excluded = both, .excluded_count = 2};
    assert_int_equal(
        regions_open(&none, helper.policy, helper.secrets, &choice, &helper.cancel, &err), -1);
    assert_non_null(strstr(err.text, "excluded"));
    choice = (struct regions_choice){.excluded = mars, .excluded_count = 1};
    assert_int_equal(
        regions_open(&none, helper.policy, helper.secrets, &choice, &helper.cancel, &err), -1);
    assert_non_null(strstr(err.text, "r0, r1"));
}

static void one_region_can_come_before_the_others(void **state)
{
    (void)state;
    static const char *const last[] = {"r2"};
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(regions_closep) struct regions *regions = NULL, *without = NULL, *none = NULL;
    struct regions_choice choice = {.first = "r2"};
    struct error err;
    helper_repo_prepare(&helper, 3, 1);
    assert_int_equal(
        regions_open(&regions, helper.policy, helper.secrets, &choice, &helper.cancel, &err), 0);
    assert_int_equal(regions_count(regions), 3);
    assert_string_equal(regions_at(regions, 0)->name, "r2");
    assert_string_equal(regions_at(regions, 1)->name, "r0");
    assert_string_equal(regions_at(regions, 2)->name, "r1");
    choice = (struct regions_choice){.first = "r2", .excluded = last, .excluded_count = 1};
    assert_int_equal(
        regions_open(&without, helper.policy, helper.secrets, &choice, &helper.cancel, &err), 0);
    assert_int_equal(regions_count(without), 2);
    choice = (struct regions_choice){.first = "mars"};
    assert_int_equal(
        regions_open(&none, helper.policy, helper.secrets, &choice, &helper.cancel, &err), -1);
    assert_non_null(strstr(err.text, "r0, r1, r2"));
}

static void an_unknown_region_is_told_with_those_of_the_policy(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct regions *regions = NULL;
    struct error err;
    helper_repo_prepare(&helper, 2, 1);
    assert_int_equal(regions_open(&regions, helper.policy, helper.secrets,
                                  &(struct regions_choice){.only = "mars"}, &helper.cancel, &err),
                     -1);
    assert_non_null(strstr(err.text, "'mars'"));
    assert_non_null(strstr(err.text, "r0, r1"));
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_can_be_left_out),
        cmocka_unit_test(one_region_can_come_before_the_others),
        cmocka_unit_test(an_unknown_region_is_told_with_those_of_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
