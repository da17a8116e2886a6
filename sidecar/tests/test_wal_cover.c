// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_cover.h"

enum { CANDIDATES_MAX = 8 };

/* Follows the planner from offset 0 on; candidates are "from-to", '!' behind one marks it as
 * unusable. What was chosen, by number, and how far that reaches: "0 2 =16". */
static void expect_cover(const char *candidates, const char *expected)
{
    struct wal_candidate list[CANDIDATES_MAX] = {0};
    size_t count = 0;
    int length;
    for (const char *at = candidates; *at; at += length) {
        struct wal_candidate *next = &list[count++];
        char *end;
        assert_true(count <= CANDIDATES_MAX);
        next->piece.from = (uint32_t)strtoul(at, &end, 10);
        next->piece.to = (uint32_t)strtoul(end + 1, &end, 10);
        if (*end == '!') {
            next->failure.kind = ERROR_CORRUPT;
            end++;
        }
        length = (int)(end - at) + (*end == ' ');
    }
    char chosen[64];
    size_t used = 0;
    uint32_t reach = 0;
    for (size_t next; (next = wal_cover_next(list, count, reach)) < count;) {
        used += (size_t)snprintf(chosen + used, sizeof(chosen) - used, "%zu ", next);
        assert_true(list[next].piece.to > reach);
        reach = list[next].piece.to;
    }
    snprintf(chosen + used, sizeof(chosen) - used, "=%u", reach);
    assert_string_equal(chosen, expected);
}

static void nothing_covers_nothing(void **state)
{
    (void)state;
    expect_cover("", "=0");
    expect_cover("4-8", "=0");
}

static void a_complete_segment_comes_before_its_parts(void **state)
{
    (void)state;
    expect_cover("0-16", "0 =16");
    expect_cover("0-4 4-16 0-16", "2 =16");
    expect_cover("0-16 0-4 4-16", "0 =16");
}

static void parts_follow_each_other_without_a_gap(void **state)
{
    (void)state;
    expect_cover("0-4 4-8 8-16", "0 1 2 =16");
    expect_cover("8-16 4-8 0-4", "2 1 0 =16");
    expect_cover("0-4 5-16", "0 =4");
    expect_cover("0-4 4-8 9-16", "0 1 =8");
}

static void of_overlapping_parts_the_furthest_reaching_is_taken(void **state)
{
    (void)state;
    expect_cover("0-4 0-8 0-6 3-16 7-12", "1 3 =16");
    expect_cover("0-8 2-10 4-12 8-16", "0 3 =16");
    expect_cover("0-8 8-9 1-16", "0 2 =16");
}

static void of_those_that_reach_as_far_the_shortest_is_taken(void **state)
{
    (void)state;
    expect_cover("0-8 2-16 8-16 4-16", "0 2 =16");
}

static void what_is_unusable_is_gone_round(void **state)
{
    (void)state;
    expect_cover("0-16! 0-8 8-16", "1 2 =16");
    expect_cover("0-16! 0-8 0-6 6-9 9-16", "1 3 4 =16");
    expect_cover("0-16! 0-8 9-16", "1 =8");
    expect_cover("0-16!", "=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_covers_nothing),
        cmocka_unit_test(a_complete_segment_comes_before_its_parts),
        cmocka_unit_test(parts_follow_each_other_without_a_gap),
        cmocka_unit_test(of_overlapping_parts_the_furthest_reaching_is_taken),
        cmocka_unit_test(of_those_that_reach_as_far_the_shortest_is_taken),
        cmocka_unit_test(what_is_unusable_is_gone_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
