// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/prune_wal.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

enum { MB = 1 << 20, SEGMENT = 16 * MB };

/* 2 left 1 in segment 10, 3 left 2 in segment 20, 4 left 1 in segment 5; nobody knows of 5 */
static const char history_2[] = "1\t0/A800000\tpromoted\n";
static const char history_3[] = "1\t0/A800000\tpromoted\n2\t0/14800000\tpromoted\n";
static const char history_4[] = "1\t0/5800000\tpromoted\n";

static struct timeline histories[5];

static int set_up(void **state)
{
    static const char *const texts[] = {"", "", history_2, history_3, history_4};
    struct error err;
    (void)state;
    for (uint32_t i = 1; i < ARRAY_SIZE(texts); i++)
        if (timeline_parse(i, texts[i], strlen(texts[i]), &histories[i], &err) < 0)
            fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(histories); i++)
        timeline_done(&histories[i]);
    return 0;
}

static bool needs(const struct prune_wal_root *roots, size_t count, uint32_t timeline,
                  uint64_t segment)
{
    CLEANUP(prune_wal_done) struct prune_wal wal = {0};
    for (size_t i = 0; i < count; i++)
        prune_wal_add_root(&wal, roots[i].timeline, roots[i].from, roots[i].to);
    for (uint32_t i = 1; i < ARRAY_SIZE(histories); i++)
        prune_wal_add_line(&wal, i, &histories[i]);
    const struct wal_piece piece = {timeline, segment * SEGMENT, SEGMENT, 0, SEGMENT};
    const struct wal_piece tail = {timeline, segment * SEGMENT, SEGMENT, SEGMENT - 8, SEGMENT};
    assert_int_equal(prune_wal_needs(&wal, &tail), prune_wal_needs(&wal, &piece));
    return prune_wal_needs(&wal, &piece);
}

static void a_backup_alone_needs_its_start_to_its_stop(void **state)
{
    (void)state;
    static const struct prune_wal_root root = {1, 3 * (uint64_t)SEGMENT + 40,
                                               5 * (uint64_t)SEGMENT};
    for (uint64_t segment = 0; segment < 12; segment++)
        assert_int_equal(needs(&root, 1, 1, segment), segment == 3 || segment == 4);
    for (uint32_t timeline = 2; timeline <= 5; timeline++)
        assert_false(needs(&root, 1, timeline, 4));
}

static void a_root_leads_into_every_timeline_that_left_behind_it(void **state)
{
    (void)state;
    static const struct prune_wal_root root = {1, 7 * (uint64_t)SEGMENT, UINT64_MAX};
    assert_false(needs(&root, 1, 1, 6));
    assert_true(needs(&root, 1, 1, 7));
    assert_true(needs(&root, 1, 1, 1000));
    assert_true(needs(&root, 1, 2, 10)); /* where it was left */
    assert_true(needs(&root, 1, 3, 20));
    assert_false(needs(&root, 1, 4, 5)); /* left before */
    assert_false(needs(&root, 1, 4, 50));
    assert_true(needs(&root, 1, 5, 50)); /* perhaps */
    assert_false(needs(&root, 1, 5, 6)); /* certainly not */
}

static void a_root_on_a_later_timeline_does_not_need_the_earlier(void **state)
{
    (void)state;
    static const struct prune_wal_root root = {2, 12 * (uint64_t)SEGMENT, UINT64_MAX};
    assert_false(needs(&root, 1, 1, 12));
    assert_false(needs(&root, 1, 2, 11));
    assert_true(needs(&root, 1, 2, 12));
    assert_true(needs(&root, 1, 3, 20));
    assert_false(needs(&root, 1, 4, 20));
}

static void several_roots_add_up(void **state)
{
    (void)state;
    static const struct prune_wal_root roots[] = {
        {1, 2 * (uint64_t)SEGMENT, 2 * (uint64_t)SEGMENT + 100},
        {2, 12 * (uint64_t)SEGMENT, UINT64_MAX},
    };
    assert_true(needs(roots, 2, 1, 2));
    assert_false(needs(roots, 2, 1, 3));
    assert_true(needs(roots, 2, 2, 13));
    assert_false(needs(roots, 0, 2, 13));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_alone_needs_its_start_to_its_stop),
        cmocka_unit_test(a_root_leads_into_every_timeline_that_left_behind_it),
        cmocka_unit_test(a_root_on_a_later_timeline_does_not_need_the_earlier),
        cmocka_unit_test(several_roots_add_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
