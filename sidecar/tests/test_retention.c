// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"
#include "sidecar/retention.h"
#include "sidecar/timeline.h"

enum { BACKUPS_MAX = 16, HOUR_MS = 60 * 60 * 1000 };

/* Backups of a case take an hour each. */
struct given {
    const char *started; /* "2026-11-21T03:00:00Z"; NULL ends the list */
    enum backup_type type;
    const char *is; /* letters: h held, p parent of one that runs, r retired, u unreadable, l
                       locked, 2 and 3 on that timeline */
};

struct expected {
    const char *kept;       /* a letter for each backup: k kept, - not … */
    const char *continuous; /* … and k: with all WAL since */
};

#define F BACKUP_FULL
#define D BACKUP_DIFFERENTIAL
#define I BACKUP_INCREMENTAL

static struct retention_backup backup_of(const struct given *given)
{
    struct retention_backup backup = {.id = given->started, .type = given->type, .timeline = 1};
    const char *is = given->is ? given->is : "";
    assert_true(clock_parse(given->started, &backup.started_ms));
    backup.finished_ms = backup.started_ms + HOUR_MS;
    backup.held = strchr(is, 'h');
    backup.parent = strchr(is, 'p');
    backup.retired = strchr(is, 'r');
    backup.unreadable = strchr(is, 'u');
    backup.locked = strchr(is, 'l');
    if (strchr(is, '2'))
        backup.timeline = 2;
    if (strchr(is, '3'))
        backup.timeline = 3;
    backup.stop_lsn = (uint64_t)backup.started_ms; /* WAL grows a byte a millisecond */
    return backup;
}

static void check_facts(struct retention_facts *facts, const struct given *given,
                        const struct expected *expected)
{
    struct retention_backup backups[BACKUPS_MAX];
    struct retention_verdict verdicts[BACKUPS_MAX];
    char kept[BACKUPS_MAX + 1] = "", continuous[BACKUPS_MAX + 1] = "";
    facts->backups = backups;
    for (facts->count = 0; given[facts->count].started; facts->count++)
        backups[facts->count] = backup_of(&given[facts->count]);
    retention_decide(facts, verdicts);
    for (size_t i = 0; i < facts->count; i++) {
        kept[i] = verdicts[i].reasons ? 'k' : '-';
        continuous[i] = verdicts[i].continuous ? 'k' : '-';
    }
    assert_string_equal(kept, expected->kept);
    if (expected->continuous)
        assert_string_equal(continuous, expected->continuous);
}

static void check(const struct retention_rules *rules, const struct given *given,
                  const struct expected *expected)
{
    struct retention_facts facts = {.rules = *rules};
    assert_true(clock_parse("2026-11-30T12:00:00Z", &facts.now_ms));
    check_facts(&facts, given, expected);
}

/* Two weeks: a full on Sundays, then a differential and incremental ones. */
static const struct given weeks[] = {
    {"2026-11-08T03:00:00Z", F, NULL}, {"2026-11-09T03:00:00Z", I, NULL},
    {"2026-11-11T03:00:00Z", D, NULL}, {"2026-11-15T03:00:00Z", F, NULL},
    {"2026-11-16T03:00:00Z", I, NULL}, {"2026-11-18T23:59:59Z", D, NULL},
    {"2026-11-19T00:00:00Z", I, NULL}, {"2026-11-19T15:00:00Z", I, NULL},
    {"2026-11-22T03:00:00Z", F, NULL}, {NULL, F, NULL},
};

static void each_rule_keeps_what_it_says(void **state)
{
    (void)state;
    static const struct {
        struct retention_rules rules;
        struct expected expected;
    } cases[] = {
        {{0}, {"kkkkkkkkk", "kkkkkkkkk"}},
        {{.minimum = 1}, {"kkkkkkkkk", "kkkkkkkkk"}},
        {{.fulls = 1}, {"--------k", "--------k"}},
        {{.fulls = 2}, {"---kkkkkk", "---kkkkkk"}},
        {{.fulls = 3}, {"kkkkkkkkk", "kkkkkkkkk"}},
        {{.fulls = 9}, {"kkkkkkkkk", "kkkkkkkkk"}},
        {{.daily = 1}, {"--------k", "--------k"}},
        {{.daily = 2}, {"-------kk", "-------kk"}},
        {{.daily = 3}, {"-----k-kk", "-----k-kk"}},
        {{.weekly = 1}, {"--------k", "--------k"}}, /* Monday the 16th to Sunday the 22nd */
        {{.weekly = 2}, {"---k----k", "---k----k"}},
        {{.weekly = 3}, {"k--k----k", "k--k----k"}},
        {{.monthly = 3}, {"--------k", NULL}},
        {{.yearly = 1}, {"--------k", NULL}},
        {{.yearly = 1, .minimum = 3}, {"------kkk", "------kkk"}},
        {{.fulls = 2, .minimum = 3}, {"---kkkkkk", NULL}},
        {{.fulls = 1, .weekly = 3}, {"k--k----k", "--------k"}},
        {{.window_days = 8}, {"--------k", NULL}}, /* since the 22nd, 12:00 */
        {{.window_days = 9}, {"-------kk", "-------kk"}},
        {{.window_days = 11, .daily = 5}, {"---kkkkkk", "------kkk"}},
        {{.window_days = 10000}, {"kkkkkkkkk", "kkkkkkkkk"}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(&cases[i].rules, weeks, &cases[i].expected);
}

static void what_is_protected_stays_without_the_wal_since(void **state)
{
    (void)state;
    static const struct {
        const char *is;
        bool kept;
    } cases[] = {{"h", true}, {"p", true}, {"u", true}, {"l", true}, {"rh", true}, {"r", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct given given[] = {
            {"2026-11-08T03:00:00Z", F, cases[i].is},
            {"2026-11-09T03:00:00Z", F, NULL},
            {NULL, F, NULL},
        };
        const struct expected expected = {cases[i].kept ? "kk" : "-k", "-k"};
        check(&(struct retention_rules){.fulls = 1}, given, &expected);
    }
}

static void what_is_retired_or_unreadable_counts_for_no_rule(void **state)
{
    (void)state;
    static const struct given given[] = {
        {"2026-11-07T03:00:00Z", F, NULL}, {"2026-11-08T03:00:00Z", F, NULL},
        {"2026-11-09T03:00:00Z", F, "r"},  {"2026-11-10T03:00:00Z", F, "u"},
        {"2026-11-11T03:00:00Z", F, NULL}, {NULL, F, NULL},
    };
    check(&(struct retention_rules){.fulls = 2}, given, &(struct expected){"-k-kk", "-k--k"});
    check(&(struct retention_rules){.daily = 2}, given, &(struct expected){"-k-kk", NULL});
    check(&(struct retention_rules){.daily = 1, .minimum = 3}, given,
          &(struct expected){"kk-kk", NULL});
    check(&(struct retention_rules){.window_days = 1}, given, &(struct expected){"---kk", NULL});
    check(&(struct retention_rules){0}, given, &(struct expected){"kk-kk", NULL});
}

static void something_is_left_whatever_is_retired(void **state)
{
    (void)state;
    static const struct given given[] = {
        {"2026-11-08T03:00:00Z", F, "r"},
        {"2026-11-09T03:00:00Z", F, "r"},
        {NULL, F, NULL},
    };
    check(&(struct retention_rules){.fulls = 1}, given, &(struct expected){"-k", "-k"});
    check(&(struct retention_rules){.fulls = 1}, given + 2, &(struct expected){"", ""});
}

static void only_what_is_retired_goes_where_that_is_asked_for(void **state)
{
    (void)state;
    static const struct given given[] = {
        {"2026-11-08T03:00:00Z", F, "r"},
        {"2026-11-09T03:00:00Z", F, NULL},
        {"2026-11-10T03:00:00Z", F, NULL},
        {NULL, F, NULL},
    };
    struct retention_facts facts = {.rules = {.fulls = 1}, .retired_only = true};
    check_facts(&facts, given, &(struct expected){"-kk", "--k"});
}

static void years_weeks_and_days_are_those_of_utc(void **state)
{
    (void)state;
    static const struct given given[] = {
        {"2024-02-29T23:59:59Z", F, NULL}, {"2024-03-01T00:00:00Z", F, NULL},
        {"2025-12-28T23:59:59Z", F, NULL}, /* a Sunday */
        {"2025-12-29T00:00:00Z", F, NULL}, /* week 1 of 2026 begins */
        {"2025-12-31T23:59:59Z", F, NULL}, {"2026-01-01T00:00:00Z", F, NULL},
        {"2026-01-04T23:59:59Z", F, NULL}, {NULL, F, NULL},
    };
    check(&(struct retention_rules){.yearly = 3}, given, &(struct expected){"-k--k-k", NULL});
    check(&(struct retention_rules){.monthly = 4}, given, &(struct expected){"kk--k-k", NULL});
    check(&(struct retention_rules){.weekly = 2}, given, &(struct expected){"--k---k", NULL});
    check(&(struct retention_rules){.daily = 3}, given, &(struct expected){"----kkk", NULL});
}

/* The window begins on the 20th, 12:00. */
static void a_window_begins_with_a_backup_before_it_on_each_line(void **state)
{
    (void)state;
    /* timeline 2 branched off on the 15th and goes on, 3 off 1 on the 11th */
    static const struct timeline_span first[] = {{1, 0, UINT64_MAX}};
    struct timeline_span second[] = {{1, 0, 0}, {2, 0, UINT64_MAX}};
    struct timeline_span third[] = {{1, 0, 0}, {3, 0, UINT64_MAX}};
    int64_t fork_ms, now_ms;
    assert_true(clock_parse("2026-11-15T00:00:00Z", &fork_ms));
    second[0].end_lsn = second[1].begin_lsn = (uint64_t)fork_ms;
    assert_true(clock_parse("2026-11-11T00:00:00Z", &fork_ms));
    third[0].end_lsn = third[1].begin_lsn = (uint64_t)fork_ms;
    assert_true(clock_parse("2026-11-30T12:00:00Z", &now_ms));
    const struct timeline histories[] = {
        {(struct timeline_span *)(uintptr_t)first, 1}, {second, 2}, {third, 2}};
    static const struct given given[] = {
        {"2026-11-08T00:00:00Z", F, NULL},
        {"2026-11-10T00:00:00Z", F, NULL},
        {"2026-11-12T00:00:00Z", F, NULL},
        {"2026-11-14T00:00:00Z", F, NULL},
        {"2026-11-16T00:00:00Z", F, "2"},
        {"2026-11-25T00:00:00Z", I, "2"},
        {NULL, F, NULL},
    };
    static const struct {
        bool wal[3], known;
        const char *kept;
    } cases[] = {
        {{false, true, false}, true, "----kk"}, /* nobody is on timeline 1 any more */
        {{true, true, false}, true, "---kkk"},  /* somebody is */
        {{false, true, true}, true, "-k--kk"},  /* and on a branch of old */
        {{false, true, true}, false, "kkkkkk"}, /* that nobody knows where from */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct retention_line lines[] = {
            {1, &histories[0], cases[i].wal[0] ? now_ms : 0},
            {2, &histories[1], cases[i].wal[1] ? now_ms : 0},
            {3, cases[i].known ? &histories[2] : NULL, cases[i].wal[2] ? now_ms : 0},
        };
        struct retention_facts facts = {
            .rules = {.window_days = 10},
            .now_ms = now_ms,
            .lines = lines,
            .line_count = ARRAY_SIZE(lines),
        };
        check_facts(&facts, given, &(struct expected){cases[i].kept, cases[i].kept});
    }
}

static void a_policy_whose_backups_stopped_keeps_the_last_ones(void **state)
{
    (void)state;
    static const struct given given[] = {
        {"2025-01-01T00:00:00Z", F, NULL},
        {"2025-01-02T00:00:00Z", I, NULL},
        {NULL, F, NULL},
    };
    check(&(struct retention_rules){.window_days = 7}, given, &(struct expected){"-k", "-k"});
    check(&(struct retention_rules){.daily = 7}, given, &(struct expected){"kk", "kk"});
}

static void every_reason_has_words(void **state)
{
    (void)state;
    const struct retention_rules rules = {.fulls = 4, .window_days = 30};
    char text[RETENTION_TEXT_BYTES];
    for (int reason = 0; reason < RETENTION_REASONS; reason++) {
        retention_describe(&rules, (enum retention_reason)reason, text);
        assert_true(strlen(text) > 3 && strlen(text) + 1 < sizeof(text));
    }
    retention_describe(&rules, RETENTION_WINDOW, text);
    assert_string_equal(text, "not older (windowDays: 30)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_keeps_what_it_says),
        cmocka_unit_test(what_is_protected_stays_without_the_wal_since),
        cmocka_unit_test(what_is_retired_or_unreadable_counts_for_no_rule),
        cmocka_unit_test(something_is_left_whatever_is_retired),
        cmocka_unit_test(only_what_is_retired_goes_where_that_is_asked_for),
        cmocka_unit_test(years_weeks_and_days_are_those_of_utc),
        cmocka_unit_test(a_window_begins_with_a_backup_before_it_on_each_line),
        cmocka_unit_test(a_policy_whose_backups_stopped_keeps_the_last_ones),
        cmocka_unit_test(every_reason_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
