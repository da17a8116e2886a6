// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/timeline.h"

static int parse(uint32_t id, const char *text, struct timeline *ret_timeline)
{
    struct error err;
    int result = timeline_parse(id, text, strlen(text), ret_timeline, &err);
    if (result < 0)
        assert_int_equal(err.kind, ERROR_CORRUPT);
    return result;
}

static void the_first_timeline_has_no_history(void **state)
{
    (void)state;
    CLEANUP(timeline_done) struct timeline timeline = {0};
    assert_int_equal(parse(1, "", &timeline), 0);
    assert_int_equal(timeline.count, 1);
    assert_int_equal(timeline.spans[0].timeline, 1);
    assert_int_equal(timeline.spans[0].begin_lsn, 0);
    assert_true(timeline.spans[0].end_lsn == UINT64_MAX);
}

static void each_timeline_ends_where_the_next_begins(void **state)
{
    (void)state;
    CLEANUP(timeline_done) struct timeline timeline = {0};
    assert_int_equal(parse(5,
                           "# a comment\n"
                           "1\t0/3000000\tno recovery target specified\n"
                           "\n"
                           "  3\t2/A0\tbefore 2026-11-21 08:21:18+00\n",
                           &timeline),
                     0);
    assert_int_equal(timeline.count, 3);
    assert_int_equal(timeline_find(&timeline, 1)->end_lsn, 0x3000000);
    assert_int_equal(timeline_find(&timeline, 3)->begin_lsn, 0x3000000);
    assert_int_equal(timeline_find(&timeline, 3)->end_lsn, UINT64_C(0x2000000A0));
    assert_int_equal(timeline_find(&timeline, 5)->begin_lsn, UINT64_C(0x2000000A0));
    assert_true(timeline_find(&timeline, 5)->end_lsn == UINT64_MAX);
    assert_null(timeline_find(&timeline, 2));
    assert_null(timeline_find(&timeline, 6));
}

static void a_malformed_history_is_corrupt(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "one\t0/3000000\tx\n",            /* no number */
        "1\n",                            /* no LSN */
        "1\t3000000\tx\n",                /* no LSN either */
        "0\t0/3000000\tx\n",              /* no timeline */
        "-1\t0/3000000\tx\n",             /* nor this */
        "99999999999999999999\t0/3\tx\n", /* too large */
        "5\t0/3000000\tx\n",              /* its own parent */
        "2\t0/30\tx\n1\t0/40\tx\n",       /* timelines go down */
        "1\t0/40\tx\n2\t0/30\tx\n",       /* LSNs go down */
        "1\t0/30\tx\n1\t0/40\tx\n",       /* twice */
    };
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct timeline timeline;
        assert_int_equal(parse(5, broken[i], &timeline), -1);
    }
}

static void a_nul_is_corrupt(void **state)
{
    (void)state;
    struct timeline timeline;
    struct error err;
    static const char text[] = "1\t0/30\tx\n\0002\t0/40\tx\n";
    assert_int_equal(timeline_parse(5, text, sizeof(text) - 1, &timeline, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_timeline_has_no_history),
        cmocka_unit_test(each_timeline_ends_where_the_next_begins),
        cmocka_unit_test(a_malformed_history_is_corrupt),
        cmocka_unit_test(a_nul_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
