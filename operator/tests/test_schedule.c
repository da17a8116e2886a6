// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/cron.h"
#include "common/own.h"
#include "operator/schedule.h"
#include "operator/zone.h"

struct scene {
    const char *why;
    const char *cron, *zone; /* NULL: UTC */
    const char *since, *last, *next, *now;
    int jitter_s, deadline_s;
    bool suspended;
    /* expected */
    const char *due; /* NULL: none */
    unsigned missed;
    const char *next_after; /* NULL: never */
};

static int64_t moment(const char *text)
{
    int64_t ms;
    if (!text)
        return SCHEDULE_NEVER;
    if (!clock_parse(text, &ms))
        fail_msg("bad time '%s' in a test", text);
    return ms;
}

static void assert_moment(const struct scene *scene, const char *what, int64_t ms,
                          const char *expected)
{
    char text[CLOCK_TEXT_BYTES] = "never";
    if (ms != SCHEDULE_NEVER)
        clock_format(ms, text);
    if (strcmp(text, expected ? expected : "never") != 0)
        fail_msg("%s: %s is %s, expected %s", scene->why, what, text,
                 expected ? expected : "never");
}

static struct schedule_plan plan_scene(const struct scene *scene)
{
    struct error err = {.text = ""};
    struct cron cron;
    CLEANUP(zone_freep) struct zone *zone = NULL;
    if (cron_parse(&cron, scene->cron, &err) < 0 || zone_open(&zone, scene->zone, &err) < 0)
        fail_msg("%s", err.text);
    const struct schedule_facts facts = {
        .cron = &cron,
        .zone = zone,
        .last_slot_ms = moment(scene->last),
        .next_ms = moment(scene->next),
        .since_ms = moment(scene->since ? scene->since : scene->now),
        .now_ms = moment(scene->now),
        .jitter_ms = scene->jitter_s * INT64_C(1000),
        .starting_deadline_ms = scene->deadline_s * INT64_C(1000),
        .suspended = scene->suspended,
    };
    return schedule_plan(&facts);
}

static void check(const struct scene *scenes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct scene *scene = &scenes[i];
        struct schedule_plan plan = plan_scene(scene);
        assert_moment(scene, "what is due", plan.due ? plan.last_slot_ms : SCHEDULE_NEVER,
                      scene->due);
        assert_moment(scene, "next", plan.next_ms, scene->next_after);
        if (plan.missed != scene->missed)
            fail_msg("%s: missed %u, expected %u", scene->why, plan.missed, scene->missed);
    }
}

#define D(time) "2026-11-21T" time ":00Z"

static void slots_are_run_once_when_they_come(void **state)
{
    static const struct scene scenes[] = {
        {.why = "new, before its first slot",
         .cron = "0 3 * * *",
         .since = D("01:00"),
         .now = D("02:59"),
         .next_after = D("03:00")},
        {.why = "at the slot",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("03:00"),
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "after the slot was run",
         .cron = "0 3 * * *",
         .last = D("03:00"),
         .next = "2026-11-22T03:00:00Z",
         .now = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "run, but what was promised was not written",
         .cron = "0 3 * * *",
         .last = D("03:00"),
         .next = D("03:00"),
         .now = D("03:01"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "created after the slot of the day",
         .cron = "0 3 * * *",
         .since = D("03:01"),
         .now = D("05:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "created at the very moment of a slot",
         .cron = "0 3 * * *",
         .since = D("03:00"),
         .now = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "created shortly before a slot, seen after it",
         .cron = "0 3 * * *",
         .since = D("02:59"),
         .now = D("03:10"),
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "year's end",
         .cron = "30 0 1 1 *",
         .next = "2027-01-01T00:30:00Z",
         .now = "2027-01-01T00:30:00Z",
         .due = "2027-01-01T00:30:00Z",
         .next_after = "2028-01-01T00:30:00Z"},
        {.why = "leap day",
         .cron = "0 0 29 2 *",
         .since = "2026-03-01T00:00:00Z",
         .now = "2026-03-02T00:00:00Z",
         .next_after = "2028-02-29T00:00:00Z"},
        {.why = "a day that never comes", .cron = "0 0 30 2 *", .now = D("00:00")},
        {.why = "a day that never comes, once promised",
         .cron = "0 0 30 2 *",
         .next = D("00:00"),
         .now = D("00:00")},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

static void of_missed_slots_only_the_newest_is_caught_up(void **state)
{
    static const struct scene scenes[] = {
        {.why = "an hour away, every five minutes",
         .cron = "*/5 * * * *",
         .last = D("01:00"),
         .next = D("01:05"),
         .now = D("02:02"),
         .due = D("02:00"),
         .missed = 11,
         .next_after = D("02:05")},
        {.why = "one late slot",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("09:00"),
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "years away, every minute",
         .cron = "* * * * *",
         .last = "2020-01-01T00:00:00Z",
         .next = "2020-01-01T00:01:00Z",
         .now = D("12:00"),
         .due = D("12:00"),
         .missed = SCHEDULE_MISSED_MAX - 1,
         .next_after = D("12:01")},
        {.why = "years away, once a year",
         .cron = "0 0 1 6 *",
         .last = "2019-06-01T00:00:00Z",
         .next = "2020-06-01T00:00:00Z",
         .now = D("12:00"),
         .due = "2026-06-01T00:00:00Z",
         .missed = 6,
         .next_after = "2027-06-01T00:00:00Z"},
        {.why = "too late to start",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("04:00"),
         .deadline_s = 3599,
         .missed = 1,
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "just in time",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("04:00"),
         .deadline_s = 3600,
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "the newest in time, the others not",
         .cron = "0 * * * *",
         .next = D("01:00"),
         .now = D("05:10"),
         .deadline_s = 900,
         .due = D("05:00"),
         .missed = 4,
         .next_after = D("06:00")},
        {.why = "all too late",
         .cron = "0 * * * *",
         .next = D("01:00"),
         .now = D("05:30"),
         .deadline_s = 900,
         .missed = 5,
         .next_after = D("06:00")},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

static void a_run_starts_by_its_jitter_after_the_slot(void **state)
{
    static const struct scene scenes[] = {
        {.why = "the slot, not yet the start",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("03:04"),
         .jitter_s = 300,
         .next_after = D("03:00")},
        {.why = "the start",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("03:05"),
         .jitter_s = 300,
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "the deadline counts from the start",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .now = D("03:06"),
         .jitter_s = 300,
         .deadline_s = 60,
         .due = D("03:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "jitter beyond the interval",
         .cron = "0 * * * *",
         .next = D("03:00"),
         .now = D("04:30"),
         .jitter_s = 5400,
         .due = D("03:00"),
         .next_after = D("04:00")},
        {.why = "added between slot and start",
         .cron = "0 3 * * *",
         .since = D("03:01"),
         .now = D("03:01"),
         .jitter_s = 300,
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "the same a minute later",
         .cron = "0 3 * * *",
         .next = "2026-11-22T03:00:00Z",
         .now = D("03:02"),
         .jitter_s = 300,
         .next_after = "2026-11-22T03:00:00Z"},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

static void what_was_not_promised_is_not_owed(void **state)
{
    static const struct scene scenes[] = {
        {.why = "suspended",
         .cron = "0 3 * * *",
         .next = D("03:00"),
         .last = D("02:00"),
         .now = D("09:00"),
         .suspended = true},
        {.why = "resumed: what went by is not caught up",
         .cron = "0 3 * * *",
         .last = "2026-11-19T03:00:00Z",
         .now = D("09:00"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "from daily to hourly",
         .cron = "0 * * * *",
         .last = D("03:00"),
         .next = "2026-11-22T03:00:00Z",
         .now = D("09:30"),
         .next_after = D("10:00")},
        {.why = "from hourly to daily",
         .cron = "0 3 * * *",
         .last = D("09:00"),
         .next = D("10:00"),
         .now = D("09:30"),
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "from hourly to daily while nobody looked",
         .cron = "30 9 * * *",
         .last = D("09:00"),
         .next = D("10:00"),
         .now = D("12:00"),
         .next_after = "2026-11-22T09:30:00Z"},
        {.why = "another time zone",
         .cron = "0 3 * * *",
         .zone = "Asia/Tokyo",
         .last = D("03:00"),
         .next = "2026-11-22T03:00:00Z",
         .now = D("09:30"),
         .next_after = D("18:00")},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

static void a_clock_that_jumps_doubles_no_run(void **state)
{
    static const struct scene scenes[] = {
        {.why = "back by an hour",
         .cron = "0 * * * *",
         .last = D("09:00"),
         .next = D("10:00"),
         .now = D("08:30"),
         .next_after = D("10:00")},
        {.why = "back before a slot that was run",
         .cron = "0 3 * * *",
         .last = D("03:00"),
         .next = "2026-11-22T03:00:00Z",
         .now = "2026-11-20T23:00:00Z",
         .next_after = "2026-11-22T03:00:00Z"},
        {.why = "it had been in another year",
         .cron = "0 3 * * *",
         .last = "2027-11-21T03:00:00Z",
         .next = "2027-11-22T03:00:00Z",
         .now = D("09:00"),
         .next_after = "2026-11-22T03:00:00Z"},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

static void summer_time_neither_loses_nor_doubles_a_run(void **state)
{
    static const struct scene scenes[] = {
        {.why = "in the skipped hour",
         .cron = "30 2 * * *",
         .zone = "Europe/Berlin",
         .last = "2026-03-28T01:30:00Z",
         .next = "2026-03-29T01:00:00Z",
         .now = "2026-03-29T01:00:00Z",
         .due = "2026-03-29T01:00:00Z",
         .next_after = "2026-03-30T00:30:00Z"},
        {.why = "promised before the skip",
         .cron = "30 2 * * *",
         .zone = "Europe/Berlin",
         .since = "2026-03-28T12:00:00Z",
         .now = "2026-03-28T12:00:00Z",
         .next_after = "2026-03-29T01:00:00Z"},
        {.why = "many in the skipped hour are one",
         .cron = "*/20 2 * * *",
         .zone = "Europe/Berlin",
         .next = "2026-03-29T01:00:00Z",
         .now = "2026-03-29T01:10:00Z",
         .due = "2026-03-29T01:00:00Z",
         .next_after = "2026-03-30T00:00:00Z"},
        {.why = "hourly over the skip",
         .cron = "0 * * * *",
         .zone = "Europe/Berlin",
         .next = "2026-03-29T00:00:00Z",
         .now = "2026-03-29T02:00:00Z",
         .due = "2026-03-29T02:00:00Z",
         .missed = 2,
         .next_after = "2026-03-29T03:00:00Z"},
        {.why = "in the doubled hour",
         .cron = "30 2 * * *",
         .zone = "Europe/Berlin",
         .next = "2026-10-25T00:30:00Z",
         .now = "2026-10-25T00:30:00Z",
         .due = "2026-10-25T00:30:00Z",
         .next_after = "2026-10-26T01:30:00Z"},
        {.why = "the second time round",
         .cron = "30 2 * * *",
         .zone = "Europe/Berlin",
         .last = "2026-10-25T00:30:00Z",
         .next = "2026-10-26T01:30:00Z",
         .now = "2026-10-25T01:30:00Z",
         .next_after = "2026-10-26T01:30:00Z"},
        {.why = "created in the second round",
         .cron = "30 2 * * *",
         .zone = "Europe/Berlin",
         .since = "2026-10-25T01:10:00Z",
         .now = "2026-10-25T01:40:00Z",
         .next_after = "2026-10-26T01:30:00Z"},
        {.why = "every minute, in the second round",
         .cron = "* * * * *",
         .zone = "Europe/Berlin",
         .last = "2026-10-25T00:59:00Z",
         .next = "2026-10-25T02:00:00Z",
         .now = "2026-10-25T01:30:00Z",
         .next_after = "2026-10-25T02:00:00Z"},
        {.why = "half an hour skipped",
         .cron = "15 2 * * *",
         .zone = "Australia/Lord_Howe",
         .next = "2026-10-03T15:30:00Z",
         .now = "2026-10-03T15:30:00Z",
         .due = "2026-10-03T15:30:00Z",
         .next_after = "2026-10-04T15:15:00Z"},
        {.why = "half an hour doubled",
         .cron = "45 1 * * *",
         .zone = "Australia/Lord_Howe",
         .next = "2026-04-04T14:45:00Z",
         .now = "2026-04-04T15:15:00Z",
         .due = "2026-04-04T14:45:00Z",
         .next_after = "2026-04-05T15:15:00Z"},
        {.why = "far in the future",
         .cron = "0 3 * * *",
         .zone = "Europe/Berlin",
         .since = "2095-07-01T12:00:00Z",
         .now = "2095-07-01T12:00:00Z",
         .next_after = "2095-07-02T01:00:00Z"},
        {.why = "long ago",
         .cron = "0 3 * * *",
         .zone = "Europe/Berlin",
         .since = "1971-01-01T00:00:00Z",
         .now = "1971-01-01T00:00:00Z",
         .next_after = "1971-01-01T02:00:00Z"},
    };
    (void)state;
    check(scenes, ARRAY_SIZE(scenes));
}

/* Follows a schedule through three years as the reconciler does: whatever the moments at which it
 * looks, no slot is run twice, each comes, and what is promised is what is run. */
static void what_is_promised_is_what_is_run(void **state)
{
    (void)state;
    struct error err;
    struct cron cron;
    CLEANUP(zone_freep) struct zone *zone = NULL;
    assert_int_equal(cron_parse(&cron, "30 2 * * *", &err), 0);
    assert_int_equal(zone_open(&zone, "Europe/Berlin", &err), 0);
    struct schedule_facts facts = {.cron = &cron,
                                   .zone = zone,
                                   .last_slot_ms = SCHEDULE_NEVER,
                                   .next_ms = SCHEDULE_NEVER,
                                   .since_ms = moment("2026-01-01T00:00:00Z"),
                                   .now_ms = moment("2026-01-01T00:00:00Z"),
                                   .jitter_ms = 77 * 1000};
    unsigned runs = 0;
    while (facts.now_ms < moment("2029-01-01T00:00:00Z")) {
        struct schedule_plan plan = schedule_plan(&facts);
        assert_int_equal(plan.missed, 0);
        if (plan.due) {
            assert_true(plan.last_slot_ms == facts.next_ms);
            runs++;
        }
        facts.last_slot_ms = plan.last_slot_ms;
        facts.next_ms = plan.next_ms;
        facts.since_ms = facts.now_ms;
        facts.now_ms += INT64_C(6131) * 1000;
    }
    assert_int_equal(runs, 365 + 365 + 366);
}

static void jitter_is_the_same_for_all_and_within_its_bounds(void **state)
{
    (void)state;
    int64_t one = schedule_jitter_ms("uid-1", "daily", 300);
    assert_true(one == schedule_jitter_ms("uid-1", "daily", 300));
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        char uid[16];
        snprintf(uid, sizeof(uid), "uid-%d", i);
        int64_t jitter = schedule_jitter_ms(uid, "daily", 300);
        assert_in_range(jitter, 0, 300 * 1000);
        differs |= jitter != one;
    }
    assert_true(differs);
    assert_int_equal(schedule_jitter_ms("uid-1", "daily", 0), 0);
}

static void a_slot_names_its_backup(void **state)
{
    (void)state;
    CLEANUP(own_freep)
    char *name = schedule_backup_name("shop", "nightly", moment("2026-11-21T03:05:00Z"));
    assert_string_equal(name, "shop-nightly-202611210305");
}

static void two_policies_that_mean_the_same_name_have_each_another(void **state)
{
    (void)state;
    int64_t slot = moment("2026-11-21T03:05:00Z");
    CLEANUP(own_freep) char *one = schedule_backup_name("shop", "eu-daily", slot);
    CLEANUP(own_freep) char *two = schedule_backup_name("shop-eu", "daily", slot);
    assert_string_equal(one, two);
    CLEANUP(own_freep) char *other_one = schedule_other_backup_name("shop", "eu-daily", slot);
    CLEANUP(own_freep) char *other_two = schedule_other_backup_name("shop-eu", "daily", slot);
    CLEANUP(own_freep) char *again = schedule_other_backup_name("shop-eu", "daily", slot);
    assert_string_not_equal(other_one, other_two);
    assert_string_equal(other_two, again);
    assert_memory_equal(other_one, one, strlen(one));
    CLEANUP(own_freep)
    char *longest = schedule_other_backup_name("a123456789b123456789c123456789d123456789",
                                               "e123456789f123456789", slot);
    assert_int_equal(strlen(longest), 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_run_once_when_they_come),
        cmocka_unit_test(of_missed_slots_only_the_newest_is_caught_up),
        cmocka_unit_test(a_run_starts_by_its_jitter_after_the_slot),
        cmocka_unit_test(what_was_not_promised_is_not_owed),
        cmocka_unit_test(a_clock_that_jumps_doubles_no_run),
        cmocka_unit_test(summer_time_neither_loses_nor_doubles_a_run),
        cmocka_unit_test(what_is_promised_is_what_is_run),
        cmocka_unit_test(jitter_is_the_same_for_all_and_within_its_bounds),
        cmocka_unit_test(a_slot_names_its_backup),
        cmocka_unit_test(two_policies_that_mean_the_same_name_have_each_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
