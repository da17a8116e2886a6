// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/parent.h"
#include "sidecar/timeline.h"

enum { SYSTEM = 7351234, HERE = 1, THERE = 2 };

/* Timeline 1 until 0/5000, timeline 3 until 0/9000, and on timeline 4 since. */
static struct timeline_span spans[] = {
    {.timeline = 1, .begin_lsn = 0, .end_lsn = 0x5000},
    {.timeline = 3, .begin_lsn = 0x5000, .end_lsn = 0x9000},
    {.timeline = 4, .begin_lsn = 0x9000, .end_lsn = UINT64_MAX},
};
static const struct timeline timeline = {.spans = spans, .count = 3};

static const struct parent_child child = {
    .type = BACKUP_INCREMENTAL,
    .system_identifier = SYSTEM,
    .checksums = true,
    .start_lsn = 0xB000,
    .stop_lsn = 0xC000,
    .regions = HERE | THERE,
    .timeline = &timeline,
};

#define WAL(...)                                                                                   \
    .wal = (struct manifest_wal_range[]){__VA_ARGS__},                                             \
    .wal_count =                                                                                   \
        sizeof((struct manifest_wal_range[]){__VA_ARGS__}) / sizeof(struct manifest_wal_range)

#define BACKUP(id_, system_, checksums_, regions_, ranges_)                                        \
    .id = id_, .system_identifier = (system_), .checksums = (checksums_), .regions = (regions_),   \
    .pack_ranges = (ranges_)
#define ID "20261121T082118Z-full-0001"
#define GOOD BACKUP(ID, SYSTEM, true, HERE | THERE, 1)

/* Each rule alone; NULL: it may serve. */
static const struct {
    struct parent_candidate candidate;
    const char *reason;
} rules[] = {
    {{GOOD, WAL({4, 0xA000, 0xA100})}, NULL},
    {{GOOD, WAL({4, 0xB000, 0xC000})}, NULL}, /* an idle standby's */
    {{GOOD, WAL({1, 0x4000, 0x5000})}, NULL}, /* up to the fork */
    {{GOOD, WAL({3, 0x8000, 0x9000}, {4, 0x9000, 0x9100})}, NULL},
    {{BACKUP(ID, SYSTEM, true, 7, 1), WAL({4, 0xA000, 0xA100})}, NULL},
    {{GOOD, WAL({4, 0xB001, 0xB100})}, "it starts at 0/B001, behind this one's start at 0/B000"},
    {{GOOD, WAL({4, 0xB000, 0xC001})},
     "it stops at 0/C001, but the server has come to 0/C000 only"},
    {{GOOD, WAL({1, 0x4000, 0x5001})},
     "it stops at 0/5001, but the server left timeline 1 at 0/5000"},
    {{GOOD, WAL({3, 0x8000, 0x9001}, {4, 0x9001, 0x9100})},
     "it stops at 0/9001, but the server left timeline 3 at 0/9000"},
    {{GOOD, WAL({2, 0x4000, 0x4100})}, "its timeline 2 is not in the server's history"},
    {{GOOD, WAL({5, 0xA000, 0xA100})}, "its timeline 5 is not in the server's history"},
    {{BACKUP(ID, 4711, true, HERE | THERE, 1), WAL({4, 0xA000, 0xA100})},
     "it is of database system 4711"},
    {{BACKUP(ID, SYSTEM, false, HERE | THERE, 1), WAL({4, 0xA000, 0xA100})},
     "data checksums were switched on since"},
    {{GOOD, .retired = true, WAL({4, 0xA000, 0xA100})}, "it is retired"},
    {{BACKUP(ID, SYSTEM, true, THERE, 1), WAL({4, 0xA000, 0xA100})}, "it is not in every region"},
    {{GOOD, .refused = "its pack is gone", WAL({4, 0xA000, 0xA100})}, "its pack is gone"},
    {{BACKUP(ID, SYSTEM, true, HERE | THERE, PARENT_PACKS_MAX + 1), WAL({4, 0xA000, 0xA100})},
     "its data is scattered over 8193 rows of packs"},
    {{GOOD}, "it says nothing of its WAL"},
};

static void every_rule_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        char reason[PARENT_REASON_BYTES];
        bool refused = parent_refuse(&child, &rules[i].candidate, reason);
        if (refused != (rules[i].reason != NULL))
            fail_msg("rule %zu: %s", i, refused ? reason : "not refused");
        if (refused)
            assert_string_equal(reason, rules[i].reason);
    }
}

static void checksums_that_were_switched_off_are_named(void **state)
{
    (void)state;
    struct parent_child off = child;
    struct parent_candidate candidate = {GOOD, WAL({4, 0xA000, 0xA100})};
    char reason[PARENT_REASON_BYTES];
    off.checksums = false;
    assert_true(parent_refuse(&off, &candidate, reason));
    assert_string_equal(reason, "data checksums were switched off since");
}

/* By LSN the second is newest, though its clock was slow. */
static const struct parent_candidate several[] = {
    {BACKUP("20261121T080000Z-full-0001", SYSTEM, true, HERE | THERE, 1), WAL({4, 0xA000, 0xA100})},
    {BACKUP("20261121T070000Z-incr-0002", SYSTEM, true, HERE | THERE, 1),
     .type = BACKUP_INCREMENTAL, WAL({4, 0xA200, 0xA300})},
    {BACKUP("20261121T090000Z-full-0003", SYSTEM, true, HERE | THERE, 1), WAL({3, 0x8F00, 0x8F01})},
    {BACKUP("20261121T100000Z-full-0004", SYSTEM, true, HERE, 1), WAL({4, 0xA900, 0xAA00})},
};

static void an_incremental_takes_the_newest_by_lsn(void **state)
{
    (void)state;
    struct parent_choice choice = parent_choose(&child, several, 3);
    assert_int_equal(choice.index, 1);
    assert_string_equal(choice.reason, "");
}

static void a_differential_takes_the_newest_full(void **state)
{
    (void)state;
    struct parent_child differential = child;
    differential.type = BACKUP_DIFFERENTIAL;
    struct parent_choice choice = parent_choose(&differential, several, 3);
    assert_int_equal(choice.index, 0);
    assert_string_equal(choice.reason, "");
}

static void a_full_takes_none(void **state)
{
    (void)state;
    struct parent_child full = child;
    full.type = BACKUP_FULL;
    struct parent_choice choice = parent_choose(&full, several, 3);
    assert_true(choice.index == SIZE_MAX);
    assert_string_equal(choice.reason, "");
}

static void an_older_parent_is_taken_with_the_reason(void **state)
{
    (void)state;
    struct parent_choice choice = parent_choose(&child, several, 4);
    assert_int_equal(choice.index, 1);
    assert_string_equal(choice.reason, "backup '20261121T100000Z-full-0004' cannot be the parent: "
                                       "it is not in every region");
}

static void what_was_refused_before_the_chosen_is_no_reason(void **state)
{
    (void)state;
    struct parent_candidate candidates[] = {several[3], several[0]};
    memcpy(candidates[0].id, "20261121T060000Z", 16);
    struct parent_choice choice = parent_choose(&child, candidates, 2);
    assert_int_equal(choice.index, 1);
    assert_string_equal(choice.reason, "");
}

static void without_an_eligible_parent_the_reason_is_that_of_the_latest(void **state)
{
    (void)state;
    struct parent_candidate candidates[] = {several[3], several[2]};
    candidates[1].retired = true;
    struct parent_choice choice = parent_choose(&child, candidates, 2);
    assert_true(choice.index == SIZE_MAX);
    assert_string_equal(choice.reason, "backup '20261121T100000Z-full-0004' cannot be the parent: "
                                       "it is not in every region");
}

static void an_empty_repository_is_the_reason(void **state)
{
    (void)state;
    struct parent_child differential = child;
    differential.type = BACKUP_DIFFERENTIAL;
    assert_string_equal(parent_choose(&child, NULL, 0).reason, "there is no earlier backup");
    assert_string_equal(parent_choose(&differential, &several[1], 1).reason,
                        "there is no earlier full backup");
}

static void of_equal_ones_the_later_is_taken(void **state)
{
    (void)state;
    struct parent_candidate candidates[] = {several[0], several[0], several[0]};
    candidates[1].id[25] = '9';
    struct parent_choice choice = parent_choose(&child, candidates, 3);
    assert_int_equal(choice.index, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_kept),
        cmocka_unit_test(checksums_that_were_switched_off_are_named),
        cmocka_unit_test(an_incremental_takes_the_newest_by_lsn),
        cmocka_unit_test(a_differential_takes_the_newest_full),
        cmocka_unit_test(a_full_takes_none),
        cmocka_unit_test(an_older_parent_is_taken_with_the_reason),
        cmocka_unit_test(what_was_refused_before_the_chosen_is_no_reason),
        cmocka_unit_test(without_an_eligible_parent_the_reason_is_that_of_the_latest),
        cmocka_unit_test(an_empty_repository_is_the_reason),
        cmocka_unit_test(of_equal_ones_the_later_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
