// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_series.h"
#include "sidecar/tests/helper_wal.h"
#include "sidecar/wal_archive.h"

enum { MIB = 1 << 20, SMALL = 16 * MIB, LARGE = 64 * MIB };

#define BEFORE "20261121T082118Z-full-3fa2"
#define BEHIND "20261121T092118Z-full-0001"

static const uint64_t small_stop = 0x3002000, large_stop = 0x8002000; /* of pages */
static const int64_t commit_us = INT64_C(1795301400250000);

/* One of each size of segments; the larger ones begin so far behind. */
static void add_backups(struct helper_repo *helper, uint64_t behind)
{
    helper_series_add(helper, &(struct helper_series){.id = BEFORE,
                                                      .start_lsn = 0x3000028,
                                                      .stop_lsn = small_stop,
                                                      .segment_bytes = SMALL});
    helper_series_add(helper, &(struct helper_series){.id = BEHIND,
                                                      .start_lsn = behind + 0x8000028,
                                                      .stop_lsn = behind + large_stop,
                                                      .segment_bytes = LARGE});
}

/* A transaction behind the end of a backup. */
static uint64_t add_commit(struct helper_repo *helper, uint64_t lsn, uint32_t segment_bytes)
{
    CLEANUP(helper_wal_done) struct helper_wal wal = helper_wal_from(lsn, segment_bytes);
    struct error err;
    uint64_t stored = 0;
    wal.timeline = HELPER_SERIES_TIMELINE;
    wal.system_identifier = HELPER_SERIES_SYSTEM;
    helper_wal_end_transaction(&wal, HELPER_WAL_COMMIT, 700, commit_us);
    const struct wal_piece piece = {
        .timeline = HELPER_SERIES_TIMELINE,
        .segment_lsn = lsn - lsn % segment_bytes,
        .segment_bytes = segment_bytes,
        .from = (uint32_t)(lsn % segment_bytes),
        .to = (uint32_t)(helper_wal_end(&wal) % segment_bytes),
    };
    if (wal_archive_put(helper->repo, &piece, wal.bytes.data, &stored, &err) < 0)
        fail_msg("%s", err.text);
    return helper_wal_end(&wal);
}

static void survey_all(struct helper_repo *helper, struct recovery_survey *ret_survey)
{
    const struct recovery_survey_options all = {.repo = helper->repo, .cancel = &helper->cancel};
    struct error err;
    if (recovery_survey_make(ret_survey, &all, &err) < 0 ||
        recovery_survey_find_ends(ret_survey, SIZE_MAX, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_window(const struct recovery_window *window, const char *backup, uint64_t end)
{
    assert_int_equal(window->backup_count, 1);
    assert_string_equal(window->backups[0]->id, backup);
    assert_int_equal(window->to.lsn, end);
    assert_true(window->to_is_transaction);
    assert_int_equal(window->to.time_us, commit_us);
}

/* pg_resetwal --wal-segsize=64: the newer segment has a lower number, and the older one, read by
 * the newer size, lies behind it. */
static void segments_of_two_sizes_are_told_apart_by_what_they_say(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    helper_repo_open(&helper, 2, HELPER_SERIES_SYSTEM);
    add_backups(&helper, 0);
    const uint64_t small_end = add_commit(&helper, small_stop, SMALL);
    const uint64_t large_end = add_commit(&helper, large_stop, LARGE);
    survey_all(&helper, &survey);
    assert_int_equal(survey.windows.count, 2);
    expect_window(&survey.windows.windows[0], BEFORE, small_end);
    expect_window(&survey.windows.windows[1], BEHIND, large_end);
    assert_int_equal(survey.windows.gap_count, 1);
    assert_int_equal(survey.windows.gaps[0].from, small_end);
    assert_int_equal(survey.windows.gaps[0].to, 0x8000000);
}

/* In logs between backups of one size nothing is read: here nothing could be. */
static void far_from_a_change_of_size_names_say_it(void **state)
{
    (void)state;
    static const uint64_t log = UINT64_C(1) << 32;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    CLEANUP(buf_done) struct buf nothing = BUF(1);
    helper_repo_open(&helper, 1, HELPER_SERIES_SYSTEM);
    add_backups(&helper, 5 * log);
    add_commit(&helper, 7 * log + large_stop, LARGE);
    CLEANUP(own_freep) char *last = helper_repo_name(&helper, "wal/00000002/00000007/");
    helper_repo_write_object(&helper, 0, last, &nothing);
    survey_all(&helper, &survey);
    const struct wal_span *span = &survey.spans[survey.span_count - 1];
    assert_int_equal(survey.span_count, 3);
    assert_int_equal(span->from, 7 * log + large_stop);
}

static void what_does_not_say_its_size_is_passed_over(void **state)
{
    (void)state;
    CLEANUP(helper_repo_close) struct helper_repo helper;
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    CLEANUP(buf_done) struct buf nothing = BUF(1);
    helper_repo_open(&helper, 1, HELPER_SERIES_SYSTEM);
    add_backups(&helper, 0);
    CLEANUP(own_freep)
    char *small = helper_repo_name(&helper, "wal/00000002/00000000/000000020000000000000003");
    helper_repo_write_object(&helper, 0, small, &nothing);
    survey_all(&helper, &survey);
    assert_int_equal(survey.windows.count, 1);
    assert_string_equal(survey.windows.windows[0].backups[0]->id, BEHIND);
    assert_false(survey.incomplete);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_of_two_sizes_are_told_apart_by_what_they_say),
        cmocka_unit_test(far_from_a_change_of_size_names_say_it),
        cmocka_unit_test(what_does_not_say_its_size_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
