// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_ahead.h"

enum { MIB = 1 << 20, SEGMENT = 16 * MIB, COUNT = 4 };

/* LSN of a segment. */
#define AT(n) ((uint64_t)(n)*SEGMENT)

static const char history[] = "1\t0/3800000\tno recovery target specified\n" /* in segment 3 */
                              "2\t0/6000000\tat a segment's begin\n"         /* of segment 6 */
                              "4\t0/6800000\tin the same\n";                 /* in segment 6 */

static void the_next_segments_follow_the_course(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool with_course;
        struct wal_ahead_segment asked, next[COUNT];
    } cases[] = {
        {"one timeline", false, {1, AT(7)}, {{1, AT(8)}, {1, AT(9)}, {1, AT(10)}, {1, AT(11)}}},
        {"over the border of a log",
         false,
         {1, AT(254)},
         {{1, AT(255)}, {1, AT(256)}, {1, AT(257)}, {1, AT(258)}}},
        {"over a fork into the newer one's copy of the segment",
         true,
         {1, AT(1)},
         {{1, AT(2)}, {2, AT(3)}, {2, AT(4)}, {2, AT(5)}}},
        {"a timeline that begins and ends in a segment is left out",
         true,
         {2, AT(4)},
         {{2, AT(5)}, {7, AT(6)}, {7, AT(7)}, {7, AT(8)}}},
        {"from the last", true, {7, AT(9)}, {{7, AT(10)}, {7, AT(11)}, {7, AT(12)}, {7, AT(13)}}},
        {"a timeline behind the fork is asked for on purpose",
         true,
         {1, AT(4)},
         {{2, AT(5)}, {7, AT(6)}, {7, AT(7)}, {7, AT(8)}}},
        {"one that is not of the course",
         true,
         {3, AT(1)},
         {{3, AT(2)}, {3, AT(3)}, {3, AT(4)}, {3, AT(5)}}},
    };
    struct error err;
    CLEANUP(timeline_done) struct timeline course;
    assert_int_equal(timeline_parse(7, history, strlen(history), &course, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wal_ahead_segment next[COUNT];
        assert_int_equal(wal_ahead_plan(cases[i].with_course ? &course : NULL, &cases[i].asked,
                                        SEGMENT, next, COUNT),
                         COUNT);
        for (size_t n = 0; n < COUNT; n++)
            if (next[n].timeline != cases[i].next[n].timeline ||
                next[n].lsn != cases[i].next[n].lsn)
                fail_msg("%s: segment %zu is %u %lX", cases[i].why, n, next[n].timeline,
                         (unsigned long)next[n].lsn);
    }
}

static void nothing_comes_behind_the_last_segment(void **state)
{
    (void)state;
    const struct wal_ahead_segment asked = {1, UINT64_MAX - 2 * (uint64_t)MIB + 1};
    struct wal_ahead_segment next[COUNT];
    assert_int_equal(wal_ahead_plan(NULL, &asked, MIB, next, COUNT), 1);
    assert_int_equal(next[0].lsn, UINT64_MAX - MIB + 1);
    assert_int_equal(wal_ahead_plan(NULL, &asked, MIB, next, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_segments_follow_the_course),
        cmocka_unit_test(nothing_comes_behind_the_last_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
