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
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_wal.h"
#include "sidecar/wal_archive.h"

#define OLDER "20261121T082118Z-full-3fa2"
#define NEWER "20261121T092118Z-incr-0001"
#define ANOTHER "20261121T092118Z-full-0001"

static const uint64_t stop_lsn = 0x3002000; /* of a page */
static const int64_t commit_us = INT64_C(1795301400250000);
enum { SEGMENT_BYTES = 16 << 20 };

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

static struct overview must_find_windows(struct helper_repo *helper)
{
    struct overview overview;
    struct error err;
    const struct overview_options options = {
        .policy = helper->policy,
        .secrets = helper->secrets,
        .windows = true,
        .cancel = &helper->cancel,
    };
    if (overview_run(&options, &overview, &err) < 0)
        fail_msg("%s", err.text);
    return overview;
}

/* Two backups; behind the second a transaction, whose WAL region r1 does not have. */
static uint64_t add_backups_and_wal(struct helper_repo *helper)
{
    CLEANUP(helper_wal_done)
    struct helper_wal wal = helper_wal_from(stop_lsn, SEGMENT_BYTES);
    struct error err;
    uint64_t stored = 0;
    helper_series_add(helper, &(struct helper_series){
                                  .id = OLDER, .start_lsn = 0x1000028, .stop_lsn = 0x1000100});
    helper_series_add(helper, &(struct helper_series){
                                  .id = ANOTHER, .start_lsn = 0x3000028, .stop_lsn = stop_lsn});
    wal.timeline = HELPER_SERIES_TIMELINE;
    wal.system_identifier = HELPER_SERIES_SYSTEM;
    helper_wal_end_transaction(&wal, HELPER_WAL_COMMIT, 700, commit_us);
    const uint64_t end = helper_wal_end(&wal);
    const struct wal_piece piece = {
        .timeline = HELPER_SERIES_TIMELINE,
        .segment_lsn = 0x3000000,
        .segment_bytes = SEGMENT_BYTES,
        .from = stop_lsn - 0x3000000,
        .to = (uint32_t)(end - 0x3000000),
    };
    if (wal_archive_put(helper->repo, &piece, wal.bytes.data, &stored, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep)
    char *name =
        helper_repo_name(helper, "wal/00000002/00000000/000000020000000000000003.00002000");
    helper_repo_remove_object(helper, 1, name);
    return end;
}

static void what_can_be_recovered_is_told_of_each_region_alone(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 2, HELPER_SERIES_SYSTEM);
    const uint64_t end = add_backups_and_wal(&helper);
    const struct overview overview = must_find_windows(&helper);
    const struct overview_region *first = &overview.regions[0], *second = &overview.regions[1];
    assert_true(first->windows_known && second->windows_known);
    assert_int_equal(first->window_count, 2);
    assert_int_equal(first->windows[0].to.lsn, 0x1000100);
    assert_int_equal(first->windows[1].timeline, HELPER_SERIES_TIMELINE);
    assert_int_equal(first->windows[1].from.lsn, stop_lsn);
    assert_int_equal(first->windows[1].to.lsn, end);
    assert_int_equal(first->windows[1].to.time_us, commit_us);
    assert_int_equal(first->from_us, first->windows[0].from.time_us);
    assert_int_equal(first->to_us, commit_us);
    assert_int_equal(second->window_count, 2);
    assert_int_equal(second->windows[1].to.lsn, stop_lsn);
    assert_int_equal(second->to_us, second->windows[1].from.time_us);
    assert_int_equal(must_run(&helper, NULL, 0).regions[0].window_count, 0);
}

static void a_region_whose_keys_are_gone_is_counted_but_nothing_is_told_of_its_windows(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 2, HELPER_SERIES_SYSTEM);
    add_backups_and_wal(&helper);
    CLEANUP(own_freep) char *document = helper_repo_path(&helper, 0, "repository.json");
    assert_return_code(unlink(document), errno);
    const struct overview overview = must_find_windows(&helper);
    assert_true(overview.regions[0].reachable);
    assert_int_equal(overview.regions[0].backups, 2);
    assert_false(overview.regions[0].windows_known);
    assert_int_equal(overview.regions[1].window_count, 2);
}

static void a_repository_without_a_backup_has_no_windows(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    helper_repo_open(&helper, 1, 0);
    const struct overview overview = must_find_windows(&helper);
    assert_true(overview.regions[0].windows_known);
    assert_int_equal(overview.regions[0].window_count, 0);
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
        cmocka_unit_test(what_can_be_recovered_is_told_of_each_region_alone),
        cmocka_unit_test(
            a_region_whose_keys_are_gone_is_counted_but_nothing_is_told_of_its_windows),
        cmocka_unit_test(a_repository_without_a_backup_has_no_windows),
        cmocka_unit_test(an_unknown_region_and_a_cancel_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
