// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_gap.h"

/* Two timelines, out of order; on timeline 1 nothing from 300 to 400, parts that overlap. */
static struct wal_span spans[] = {
    {2, 500, 600}, {1, 400, 500}, {1, 200, 300}, {1, 100, 250}, {1, 450, 480}, {2, 400, 500},
};

static void gaps_are_found_in_order(void **state)
{
    (void)state;
    static const struct {
        struct wal_span wanted, gap; /* gap.to 0: none */
    } cases[] = {
        {{1, 100, 300}, {0}},           {{1, 120, 299}, {0}},
        {{1, 100, 301}, {1, 300, 301}}, {{1, 100, 500}, {1, 300, 400}},
        {{1, 400, 500}, {0}},           {{1, 490, 510}, {1, 500, 510}},
        {{1, 50, 100}, {1, 50, 100}},   {{1, 50, 120}, {1, 50, 100}},
        {{1, 310, 350}, {1, 310, 350}}, {{2, 400, 600}, {0}},
        {{2, 100, 600}, {2, 100, 400}}, {{3, 1, 2}, {3, 1, 2}},
        {{1, 200, 200}, {0}},
    };
    wal_gap_sort(spans, ARRAY_SIZE(spans));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wal_span gap = {0};
        const bool found = wal_gap_find(spans, ARRAY_SIZE(spans), &cases[i].wanted, &gap);
        if (found != (cases[i].gap.to != 0))
            fail_msg("case %zu", i);
        assert_int_equal(gap.timeline, cases[i].gap.timeline);
        assert_int_equal(gap.from, cases[i].gap.from);
        assert_int_equal(gap.to, cases[i].gap.to);
    }
}

static void without_any_wal_all_is_a_gap(void **state)
{
    (void)state;
    struct wal_span gap;
    wal_gap_sort(NULL, 0);
    assert_true(wal_gap_find(NULL, 0, &(struct wal_span){1, 5, 9}, &gap));
    assert_int_equal(gap.from, 5);
    assert_int_equal(gap.to, 9);
}

static void wal_far_behind_the_start_of_its_timeline_is_found(void **state)
{
    (void)state;
    enum { SEGMENTS = 1000, MIB = 1 << 20 };
    CLEANUP(own_freep) struct wal_span *row = own_alloc(SEGMENTS * sizeof(row[0]));
    struct wal_span gap;
    for (uint64_t i = 0; i < SEGMENTS; i++)
        row[i] = (struct wal_span){1, i * 16 * MIB, (i + 1) * 16 * MIB};
    row[900].to -= 1;
    const struct wal_span wanted = {1, UINT64_C(890) * 16 * MIB, UINT64_C(1000) * 16 * MIB};
    assert_true(wal_gap_find(row, SEGMENTS, &wanted, &gap));
    assert_int_equal(gap.from, UINT64_C(901) * 16 * MIB - 1);
    assert_int_equal(gap.to, UINT64_C(901) * 16 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_found_in_order),
        cmocka_unit_test(without_any_wal_all_is_a_gap),
        cmocka_unit_test(wal_far_behind_the_start_of_its_timeline_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
