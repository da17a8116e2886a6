// SPDX-License-Identifier: Apache-2.0
/* What can be recovered from a backup that brought its own WAL and nothing else; recovery through
 * WAL of a real server is e2e/test_restore_target.py. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/recovery_choice.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/recovery_target.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/tests/helper_timelines.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_record.h"

enum { STOP_LSN = 0x200100 }; /* on timeline 2; finished 2026-11-21T08:21:18Z */

static struct helper_backup backup;
static struct recovery_survey survey;

static int open_backup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    helper_backup_open(&backup, 2);
    helper_backup_commit(&backup);
    return 0;
}

static int close_backup(void **state)
{
    (void)state;
    helper_backup_close(&backup);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    const struct recovery_survey_options all = {.repo = backup.repo.repo,
                                                .cancel = &backup.repo.cancel};
    struct error err;
    if (recovery_survey_make(&survey, &all, &err) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    recovery_survey_done(&survey);
    return 0;
}

static int choose(const struct recovery_target_words *words, const char *id,
                  struct recovery_choice *ret_choice, struct error *err)
{
    struct recovery_target target;
    if (recovery_target_parse(words, &target, err) < 0)
        fail_msg("%s", err->text);
    return recovery_choice_make(&survey, &target, id, ret_choice, err);
}

static void expect_refused(const struct recovery_target_words *words, const char *id,
                           const char *text)
{
    struct recovery_choice unused;
    struct error err;
    if (choose(words, id, &unused, &err) == 0)
        fail_msg("chosen, but not '%s'", text);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    if (!strstr(err.text, text))
        fail_msg("'%s', not '%s'", err.text, text);
    if (!strstr(err.text, "; there is to timeline 2 from 2026-11-21T08:21:18Z (0/200100) to "
                          "2026-11-21T08:21:18Z (0/200100)"))
        fail_msg("no windows in '%s'", err.text);
}

static void the_window_of_a_backup_alone_is_its_end(void **state)
{
    (void)state;
    assert_int_equal(survey.windows.count, 1);
    const struct recovery_window *window = &survey.windows.windows[0];
    assert_int_equal(window->timeline, 2);
    assert_int_equal(window->from.lsn, STOP_LSN);
    assert_int_equal(window->to.lsn, STOP_LSN);
    assert_int_equal(window->backup_count, 1);
    assert_int_equal(survey.windows.gap_count, 0);
    assert_int_equal(recovery_survey_history(&survey, 2)->count, 2);
    struct error err;
    assert_int_equal(recovery_survey_find_ends(&survey, SIZE_MAX, &err), 0);
    assert_false(window->to_is_transaction);
}

static void its_end_can_be_reached(void **state)
{
    (void)state;
    static const struct {
        struct recovery_target_words words;
        const char *backup;
    } targets[] = {
        {{.immediate = true}, NULL},
        {{.immediate = true}, HELPER_PACKS_BACKUP},
        {{.latest = true}, NULL},
        {{.latest = true, .timeline = "current"}, NULL},
        {{.latest = true, .timeline = "2"}, HELPER_PACKS_BACKUP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        struct recovery_choice choice;
        struct error err;
        if (choose(&targets[i].words, targets[i].backup, &choice, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(choice.backup, HELPER_PACKS_BACKUP);
        assert_int_equal(choice.timeline, 2);
    }
}

static void what_is_out_of_reach_is_refused_with_the_windows(void **state)
{
    (void)state;
    expect_refused(&(struct recovery_target_words){.lsn = "0/200000"}, NULL,
                   "to LSN '0/200000': no backup had ended by then");
    expect_refused(&(struct recovery_target_words){.lsn = "0/200100"}, NULL,
                   "the WAL ends at 0/200100");
    expect_refused(&(struct recovery_target_words){.time = "2026-11-21T08:21:17Z"}, NULL,
                   "to the time '2026-11-21T08:21:17Z': no backup had ended by then");
    expect_refused(&(struct recovery_target_words){.time = "2026-11-21T08:21:19Z"}, NULL,
                   "no transaction ended since the last backup, which was finished at "
                   "2026-11-21T08:21:18");
    expect_refused(&(struct recovery_target_words){.xid = "4711"}, NULL,
                   "to transaction '4711': no such transaction ended in the WAL");
    expect_refused(&(struct recovery_target_words){.name = "n"}, NULL,
                   "to restore point 'n': it is not in the WAL");
    expect_refused(&(struct recovery_target_words){.latest = true, .timeline = "1"}, NULL,
                   "to the end of all WAL: no backup leads to timeline 1");
    expect_refused(&(struct recovery_target_words){.immediate = true}, "20260101T000000Z-full-0000",
                   "from backup '20260101T000000Z-full-0000'");
}

/* Goes on as another process, for which a region has another directory than it has. */
static void reopen(const char *from, const char *to)
{
    struct error err;
    CLEANUP(own_freep) char *there = own_format("%s/%s", backup.repo.directory, from);
    CLEANUP(own_freep) char *away = own_format("%s/%s", backup.repo.directory, to);
    assert_return_code(rename(there, away), errno);
    if (helper_repo_reopen(&backup.repo, false, HELPER_REPO_SYSTEM, &err) < 0)
        fail_msg("%s", err.text);
    tear_down(NULL);
    set_up(NULL);
}

static void what_a_region_that_cannot_be_listed_may_have_is_not_out_of_reach(void **state)
{
    (void)state;
    static const struct recovery_target_words later = {.lsn = "0/200100"},
                                              latest = {.latest = true};
    struct recovery_choice choice;
    struct error err;
    reopen("r1", "away");
    assert_int_equal(choose(&later, NULL, &choice, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "not all regions could be listed"));
    assert_non_null(strstr(err.text, "the WAL ends at 0/200100"));
    assert_int_equal(choose(&latest, NULL, &choice, &err), 0);
    reopen("away", "r1");
    expect_refused(&later, NULL, "the WAL ends at 0/200100");
}

static void a_timeline_without_its_history_is_passed_over_for_a_later_one(void **state)
{
    (void)state;
    struct wal_span spans[] = {{1, 0, 400}, {2, 0, 600}, {3, 0, 700}};
    struct wal_line lines[] = {
        {1, &helper_timeline_1}, {2, &helper_timeline_2}, {3, &helper_timeline_3}};
    struct timeline histories[] = {helper_timeline_1, helper_timeline_2, helper_timeline_3};
    const struct recovery_survey three = {.spans = spans,
                                          .span_count = ARRAY_SIZE(spans),
                                          .lines = lines,
                                          .histories = histories,
                                          .line_count = ARRAY_SIZE(lines)};
    const struct manifest made = {.wal_segment_bytes = HELPER_BACKUP_SEGMENT};
    const struct manifest *backups[] = {&made};
    const struct recovery_window window = {.timeline = 3, .backups = backups, .backup_count = 1};
    const struct wal_record stop = {.kind = WAL_RECORD_COMMIT, .lsn = 350, .end_lsn = 360};
    assert_int_equal(recovery_choice_timeline(&three, &window, &stop), 2);
    lines[1].history = NULL;
    assert_int_equal(recovery_choice_timeline(&three, &window, &stop), 3);
}

/* Leaves the repository without the end of its WAL: the last test. */
static void without_its_wal_a_backup_leads_nowhere(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *end = helper_repo_name(&backup.repo, "wal/00000002/00000000/000000020000000000000002.");
    for (size_t region = 0; region < 2; region++)
        helper_repo_remove_object(&backup.repo, region, end);
    tear_down(NULL);
    set_up(NULL);
    struct recovery_choice unused;
    struct error err;
    assert_int_equal(survey.windows.count, 0);
    assert_int_equal(choose(&(struct recovery_target_words){.latest = true}, NULL, &unused, &err),
                     -1);
    assert_non_null(strstr(err.text, "no backup has its WAL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_window_of_a_backup_alone_is_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_end_can_be_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_out_of_reach_is_refused_with_the_windows, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            what_a_region_that_cannot_be_listed_may_have_is_not_out_of_reach, set_up, tear_down),
        cmocka_unit_test(a_timeline_without_its_history_is_passed_over_for_a_later_one),
        cmocka_unit_test_setup_teardown(without_its_wal_a_backup_leads_nowhere, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, open_backup, close_backup);
}
