// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/overview.h"
#include "sidecar/repo.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_repo.h"

#define OLDER "20261121T082118Z-full-3fa2"
#define NEWER "20261121T092118Z-incr-0001"

static void put(struct helper_repo *helper, const char *name, const char *text)
{
    struct error err;
    struct store_bytes bytes = {.data = text, .size = strlen(text)};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    if (repo_put(helper->repo, name, &bytes, PUT_NEW, &err) < 0)
        fail_msg("%s", err.text);
}

static int run(struct helper_repo *helper, const char *region, uint64_t system,
               struct overview *ret_overview, struct error *err)
{
    const struct overview_options options = {
        .policy = helper->policy,
        .secrets = helper->secrets,
        .region = region,
        .system_identifier = system,
        .cancel = &helper->cancel,
    };
    return overview_run(&options, ret_overview, err);
}

static struct overview must_run(struct helper_repo *helper, const char *region, uint64_t system)
{
    struct overview overview;
    struct error err;
    if (run(helper, region, system, &overview, &err) < 0)
        fail_msg("%s", err.text);
    return overview;
}

static void what_a_region_has_is_counted(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 2, 0);
    const uint64_t before = must_run(&helper, "r0", 0).regions[0].bytes;
    put(&helper, "manifests/" NEWER, "12345");
    put(&helper, "manifests/" OLDER, "12345");
    put(&helper, "manifests/no-backup", "1");
    put(&helper, "packs/" OLDER "/000001", "1234567");
    CLEANUP(own_freep) char *newer = helper_repo_path(&helper, 1, "manifests/" NEWER);
    assert_return_code(unlink(newer), errno);
    const struct overview overview = must_run(&helper, NULL, HELPER_REPO_SYSTEM);
    assert_int_equal(overview.count, 2);
    assert_true(overview.regions[0].reachable);
    assert_string_equal(overview.regions[0].name, "r0");
    assert_int_equal(overview.regions[0].backups, 2);
    assert_int_equal(overview.regions[0].bytes, before + 18);
    assert_string_equal(overview.regions[0].last_backup, NEWER);
    assert_int_equal(overview.regions[1].backups, 1);
    assert_string_equal(overview.regions[1].last_backup, OLDER);
    assert_int_equal(must_run(&helper, NULL, 5).regions[0].backups, 0);
}

static void a_region_that_cannot_be_reached_is_named_and_the_others_are_there(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 2, 0);
    put(&helper, "manifests/" OLDER, "12345");
    CLEANUP(own_freep) char *there = own_format("%s/r0", helper.directory);
    CLEANUP(own_freep) char *away = own_format("%s/away", helper.directory);
    assert_return_code(rename(there, away), errno);
    const struct overview overview = must_run(&helper, NULL, 0);
    assert_return_code(rename(away, there), errno);
    assert_false(overview.regions[0].reachable);
    assert_non_null(strstr(overview.regions[0].error.text, "r0"));
    assert_true(overview.regions[1].reachable);
    assert_int_equal(overview.regions[1].backups, 1);
}

static void an_unknown_region_and_a_cancel_are_errors(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    struct overview unused;
    struct error err;
    helper_repo_open(&helper, 1, 0);
    assert_int_equal(run(&helper, "mars", 0, &unused, &err), -1);
    assert_non_null(strstr(err.text, "'mars'"));
    cancel_trigger(&helper.cancel);
    assert_int_equal(run(&helper, NULL, 0, &unused, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_region_has_is_counted),
        cmocka_unit_test(a_region_that_cannot_be_reached_is_named_and_the_others_are_there),
        cmocka_unit_test(an_unknown_region_and_a_cancel_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
