// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/piece_set.h"

static void ranges_that_touch_become_one(void **state)
{
    (void)state;
    CLEANUP(piece_set_done) struct piece_set set = {0};
    piece_set_add(&set, 10, 5);
    piece_set_add(&set, 20, 5);
    assert_int_equal(set.count, 2);
    piece_set_add(&set, 15, 5);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.ranges[0].first, 10);
    assert_int_equal(set.ranges[0].count, 15);
}

static void only_whole_ranges_are_in_the_set(void **state)
{
    (void)state;
    CLEANUP(piece_set_done) struct piece_set set = {0};
    assert_false(piece_set_has(&set, 0, 1));
    piece_set_add(&set, 10, 5);
    assert_true(piece_set_has(&set, 10, 5));
    assert_true(piece_set_has(&set, 14, 1));
    assert_false(piece_set_has(&set, 14, 2));
    assert_false(piece_set_has(&set, 9, 2));
    assert_false(piece_set_has(&set, 15, 1));
}

/* Against the plainest set there is. */
static void a_set_is_what_was_added(void **state)
{
    (void)state;
    enum { PIECES = 200, ROUNDS = 300 };
    unsigned short seed[3] = {1, 2, 3};
    for (int round = 0; round < ROUNDS; round++) {
        bool plain[PIECES] = {0};
        CLEANUP(piece_set_done) struct piece_set set = {0};
        for (int i = 0; i < round % 20; i++) {
            uint32_t first = (uint32_t)nrand48(seed) % PIECES;
            uint32_t count = 1 + (uint32_t)nrand48(seed) % (PIECES - first);
            count = count > 20 ? 20 : count;
            piece_set_add(&set, first, count);
            for (uint32_t j = first; j < first + count; j++)
                plain[j] = true;
        }
        for (uint32_t i = 0; i < PIECES; i++)
            assert_int_equal(piece_set_has(&set, i, 1), plain[i]);
        for (size_t i = 1; i < set.count; i++)
            assert_true(set.ranges[i - 1].first + set.ranges[i - 1].count < set.ranges[i].first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_that_touch_become_one),
        cmocka_unit_test(only_whole_ranges_are_in_the_set),
        cmocka_unit_test(a_set_is_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
