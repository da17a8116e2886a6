// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/runs.h"

static void expect_metric(struct metrics *metrics, const char *line, bool there)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(1 << 20);
    assert_int_equal(metrics_format(metrics, &text, &err), 0);
    CLEANUP(own_freep) char *all = buf_string(&text);
    if ((strstr(all, line) != NULL) != there)
        fail_msg("'%s' is %s in:\n%s", line, there ? "not" : "still", all);
}

static void a_turn_is_taken_by_one_at_a_time(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    CLEANUP(runs_freep) struct runs *runs = runs_new(metrics);
    assert_true(runs_take_turn(runs, "shop", "db"));
    assert_false(runs_take_turn(runs, "shop", "db"));
    assert_true(runs_take_turn(runs, "shop", "other"));
    assert_true(runs_take_turn(runs, "else", "db"));
    runs_give_turn(runs, "shop", "db");
    assert_true(runs_take_turn(runs, "shop", "db"));
    assert_false(runs_take_turn(runs, "else", "db"));
}

static void failures_are_counted_from_nothing(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    CLEANUP(runs_freep) struct runs *runs = runs_new(metrics);
    const struct runs_end end = {
        .namespace = "shop", .policy = "db", .type = "Full", .reason = "Failed", .seconds = -1};
    static const char full[] = "lifeboat_backups_total{namespace=\"shop\",policy=\"db\","
                               "type=\"Full\",result=\"failure\"} ";
    static const char attempts[] =
        "lifeboat_backup_failed_attempts_total{namespace=\"shop\",policy=\"db\"} 0";
    runs_expect(runs, "shop", "db");
    CLEANUP(own_freep) char *none = own_format("%s0", full);
    expect_metric(metrics, none, true);
    expect_metric(metrics, attempts, true);
    expect_metric(metrics,
                  "lifeboat_restores_total{namespace=\"shop\",policy=\"db\","
                  "result=\"success\"} 0",
                  true);
    runs_count_end(runs, &end);
    runs_expect(runs, "shop", "db"); /* keeps what was counted */
    CLEANUP(own_freep) char *one = own_format("%s1", full);
    expect_metric(metrics, one, true);
    runs_forget(runs, "shop", "db");
    expect_metric(metrics, "policy=\"db\"", false);
}

static void ends_are_counted_until_the_policy_goes(void **state)
{
    (void)state;
    CLEANUP(metrics_freep) struct metrics *metrics = metrics_new();
    CLEANUP(runs_freep) struct runs *runs = runs_new(metrics);
    struct runs_end end = {.namespace = "shop",
                           .policy = "db",
                           .type = "Full",
                           .reason = "Committed",
                           .ok = true,
                           .seconds = 42,
                           .bytes = 100,
                           .bytes_stored = 30};
    static const char total[] = "lifeboat_backups_total{namespace=\"shop\",policy=\"db\","
                                "type=\"Full\",result=\"success\"} 1";
    runs_count_end(runs, &end);
    expect_metric(metrics, total, true);
    expect_metric(metrics,
                  "lifeboat_backup_stored_bytes_total{namespace=\"shop\",policy=\"db\"} 30", true);
    expect_metric(metrics, "result=\"success\",le=\"60\"} 1", true);
    end.ok = false;
    end.seconds = -1; /* never began */
    runs_count_end(runs, &end);
    expect_metric(metrics, "type=\"Full\",result=\"failure\"} 1", true);
    expect_metric(metrics, "result=\"failure\",le=", false);
    end.type = NULL;
    runs_count_end(runs, &end);
    expect_metric(metrics,
                  "lifeboat_restores_total{namespace=\"shop\",policy=\"db\","
                  "result=\"failure\"} 1",
                  true);
    runs_count_failed_attempt(runs, RUNS_BACKUP, "shop", "db");
    runs_count_failed_attempt(runs, RUNS_RESTORE, "shop", "db");
    runs_count_failed_attempt(runs, RUNS_RESTORE, "shop", "db");
    expect_metric(
        metrics, "lifeboat_backup_failed_attempts_total{namespace=\"shop\",policy=\"db\"} 1", true);
    expect_metric(metrics,
                  "lifeboat_restore_failed_attempts_total{namespace=\"shop\",policy=\"db\"} 2",
                  true);
    runs_count_running(runs, "shop", "db", 1);
    expect_metric(metrics, "lifeboat_backups_running{namespace=\"shop\",policy=\"db\"} 1", true);
    runs_forget(runs, "shop", "db");
    expect_metric(metrics, "policy=\"db\"", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_is_taken_by_one_at_a_time),
        cmocka_unit_test(failures_are_counted_from_nothing),
        cmocka_unit_test(ends_are_counted_until_the_policy_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
