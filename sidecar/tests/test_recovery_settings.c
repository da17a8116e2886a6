// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/pg_demands.h"
#include "sidecar/recovery_settings.h"
#include "sidecar/recovery_target.h"

static void what_was_there_stays_before_ours(void **state)
{
    (void)state;
    static const char *const before[] = {"", "work_mem = '1GB'\n", "work_mem = '1GB'"};
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        CLEANUP(own_freep) char *after = recovery_settings_apply(before[i], NULL);
        const char *ours = strstr(after, "# Written by lifeboat-sidecar restore");
        assert_true(text_starts_with(after, before[i]));
        assert_true(ours == after || ours[-1] == '\n');
    }
}

static void ours_are_there_once_however_often_it_is_restored(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *once = recovery_settings_apply("a = '1'\n", NULL);
    CLEANUP(own_freep) char *with_more = own_format("%sb = '2'\n", once);
    CLEANUP(own_freep) char *twice = recovery_settings_apply(once, NULL);
    CLEANUP(own_freep) char *again = recovery_settings_apply(with_more, NULL);
    CLEANUP(own_freep) char *fresh = recovery_settings_apply("a = '1'\nb = '2'\n", NULL);
    assert_string_equal(once, twice);
    assert_string_equal(again, fresh);
}

static void a_beginning_of_ours_without_its_end_is_somebody_elses(void **state)
{
    (void)state;
    static const char torn[] = "# Written by lifeboat-sidecar restore:\nwork_mem = '1GB'\n";
    CLEANUP(own_freep) char *after = recovery_settings_apply(torn, NULL);
    assert_true(text_starts_with(after, torn));
}

static void a_copy_has_no_ties_to_its_source(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "\narchive_mode = 'off'\n",           "\narchive_command = ''\n",
        "\narchive_library = ''\n",           "\nprimary_conninfo = ''\n",
        "\nprimary_slot_name = ''\n",         "\narchive_cleanup_command = ''\n",
        "\nrecovery_end_command = ''\n",      "\nmax_logical_replication_workers = '0'\n",
        "\nsynchronous_standby_names = ''\n",
    };
    CLEANUP(own_freep) char *after = recovery_settings_apply("archive_mode = 'on'\n", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (!strstr(after, settings[i]))
            fail_msg("no '%s' in '%s'", settings[i], after);
}

static const struct pg_demands demands = {
    .max_connections = 321,
    .max_worker_processes = 9,
    .max_wal_senders = 11,
    .max_prepared_transactions = 5,
    .max_locks_per_transaction = 65,
};

static char *apply(const struct recovery_target *target)
{
    const struct recovery_settings settings = {
        .target = target, .timeline = 7, .restore_command = "a 'b' c\\d", .demands = &demands};
    return recovery_settings_apply("", &settings);
}

static void expect_setting(const char *text, const char *line)
{
    CLEANUP(own_freep) char *whole = own_format("\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no '%s' in:\n%s", line, text);
}

static void a_target_has_its_one_setting_behind_those_that_are_cleared(void **state)
{
    (void)state;
    static const struct {
        struct recovery_target target;
        const char *line;
    } targets[] = {
        {{.kind = RECOVERY_TARGET_TIME, .time_us = INT64_C(1795277700250000)},
         "recovery_target_time = '2026-11-21 16:15:00.250000+00'"},
        {{.kind = RECOVERY_TARGET_LSN, .lsn = 0x3000148}, "recovery_target_lsn = '0/3000148'"},
        {{.kind = RECOVERY_TARGET_XID, .xid = 4711}, "recovery_target_xid = '4711'"},
        {{.kind = RECOVERY_TARGET_NAME, .name = "it's \\"}, "recovery_target_name = 'it''s \\\\'"},
        {{.kind = RECOVERY_TARGET_IMMEDIATE}, "recovery_target = 'immediate'"},
        {{.kind = RECOVERY_TARGET_LATEST}, "recovery_target = ''"},
    };
    static const char *const names[] = {"recovery_target", "recovery_target_time",
                                        "recovery_target_lsn", "recovery_target_xid",
                                        "recovery_target_name"};
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        CLEANUP(own_freep) char *text = apply(&targets[i].target);
        const char *given = strstr(text, targets[i].line), *last = given;
        expect_setting(text, targets[i].line);
        for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
            CLEANUP(own_freep) char *setting = own_format("\n%s = ", names[j]);
            const char *at = strstr(text, setting);
            assert_non_null(at);
            assert_null(strstr(at + 1, setting));
            last = at + 1 > last ? at + 1 : last;
        }
        if (targets[i].target.kind != RECOVERY_TARGET_LATEST)
            assert_ptr_equal(last, given);
    }
}

static void the_rest_of_a_recovery_is_said_too(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "restore_command = 'a ''b'' c\\\\d'",
        "recovery_target_inclusive = 'off'",
        "recovery_target_timeline = '7'",
        "recovery_target_action = 'pause'",
        "recovery_min_apply_delay = '0'",
        "hot_standby = 'on'",
        "archive_mode = 'off'",
        "max_connections = '321'",
        "max_worker_processes = '9'",
        "max_wal_senders = '11'",
        "max_prepared_transactions = '5'",
        "max_locks_per_transaction = '65'",
    };
    const struct recovery_target paused = {
        .kind = RECOVERY_TARGET_LSN, .lsn = 1, .exclusive = true, .action = RECOVERY_PAUSE};
    const struct recovery_target latest = {.kind = RECOVERY_TARGET_LATEST};
    CLEANUP(own_freep) char *text = apply(&paused);
    CLEANUP(own_freep) char *other = apply(&latest);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        expect_setting(text, lines[i]);
    expect_setting(other, "recovery_target_inclusive = 'on'");
    expect_setting(other, "recovery_target_action = 'promote'");
    assert_null(strstr(other, "hot_standby"));
}

static void a_restore_without_a_target_takes_the_last_ones_away(void **state)
{
    (void)state;
    const struct recovery_target latest = {.kind = RECOVERY_TARGET_LATEST};
    CLEANUP(own_freep) char *before = apply(&latest);
    CLEANUP(own_freep) char *after = recovery_settings_apply(before, NULL);
    CLEANUP(own_freep) char *fresh = recovery_settings_apply("", NULL);
    assert_string_equal(after, fresh);
}

static void the_command_is_quoted_for_the_shell(void **state)
{
    (void)state;
    static const char *const regions[] = {"eu", "us"};
    const struct recovery_command plain = {
        .program = "/bin/l", .policy = "/p.yaml", .system_identifier = 42};
    const struct recovery_command odd = {
        .program = "/a b/$l",
        .asker = "/a b/f",
        .policy = "/100%/`p`\\\"",
        .secrets = "/it's",
        .regions = regions,
        .region_count = 2,
        .system_identifier = UINT64_MAX,
        .stop_at_gaps = true,
    };
    CLEANUP(own_freep) char *of_plain = NULL;
    CLEANUP(own_freep) char *of_odd = NULL;
    struct error err;
    assert_int_equal(recovery_settings_format_command(&plain, &of_plain, &err), 0);
    assert_string_equal(of_plain, "\"/bin/l\" wal-fetch -f \"/p.yaml\" --system-identifier 42 "
                                  "\"%f\" \"%p\"");
    assert_int_equal(recovery_settings_format_command(&odd, &of_odd, &err), 0);
    assert_string_equal(of_odd, "\"/a b/f\" --stop-at-gaps pg_wal/lifeboat.socket \"%f\" \"%p\" "
                                "\"/a b/\\$l\" wal-fetch -f \"/100%%/\\`p\\`\\\\\\\"\" --secrets "
                                "\"/it's\" --region \"eu\" --region \"us\" "
                                "--system-identifier 18446744073709551615 --stop-at-gaps \"%f\" "
                                "\"%p\"");
}

static void a_path_of_several_lines_is_refused(void **state)
{
    (void)state;
    const struct recovery_command command = {.program = "/bin/l", .policy = "/a\nb"};
    char *unused = NULL;
    struct error err;
    assert_int_equal(recovery_settings_format_command(&command, &unused, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_has_its_one_setting_behind_those_that_are_cleared),
        cmocka_unit_test(the_rest_of_a_recovery_is_said_too),
        cmocka_unit_test(a_restore_without_a_target_takes_the_last_ones_away),
        cmocka_unit_test(the_command_is_quoted_for_the_shell),
        cmocka_unit_test(a_path_of_several_lines_is_refused),
        cmocka_unit_test(what_was_there_stays_before_ours),
        cmocka_unit_test(ours_are_there_once_however_often_it_is_restored),
        cmocka_unit_test(a_beginning_of_ours_without_its_end_is_somebody_elses),
        cmocka_unit_test(a_copy_has_no_ties_to_its_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
