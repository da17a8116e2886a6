// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/backoff.h"
#include "common/own.h"

static void the_longest_delay_doubles_up_to_the_cap(void **state)
{
    (void)state;
    static const uint32_t longest_ms[] = {100, 200, 400, 800, 1000, 1000};
    struct backoff backoff = {.base_ms = 100, .cap_ms = 1000};
    for (size_t i = 0; i < ARRAY_SIZE(longest_ms); i++)
        assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX, 0), longest_ms[i]);
    assert_int_equal(backoff.attempt, 6);
}

static void the_random_number_spreads_the_delay_down_to_zero(void **state)
{
    (void)state;
    struct backoff backoff = {.base_ms = 1000, .cap_ms = 1000};
    assert_int_equal(backoff_next_ms(&backoff, 0, 0), 0);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX / 2, 0), 500);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX / 4, 0), 250);
}

static void very_many_attempts_stay_at_the_cap(void **state)
{
    (void)state;
    static const uint32_t attempts[] = {31, 32, 33, 64, UINT32_MAX - 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        struct backoff backoff = {.base_ms = 1, .cap_ms = 60000, .attempt = attempts[i]};
        assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX, 0), 60000);
        assert_true(backoff.attempt >= attempts[i]);
    }
    struct backoff widest = {.base_ms = UINT32_MAX, .cap_ms = UINT32_MAX, .attempt = 31};
    assert_int_equal(backoff_next_ms(&widest, UINT32_MAX, UINT32_MAX), UINT32_MAX);
}

static void a_servers_wish_is_a_lower_bound_within_reason(void **state)
{
    (void)state;
    struct backoff backoff = {.base_ms = 100, .cap_ms = 1000};
    assert_int_equal(backoff_next_ms(&backoff, 0, 3000), 3000);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX, 50), 200);
    assert_int_equal(backoff_next_ms(&backoff, 0, 86400000), 10000);
}

static void resetting_begins_anew(void **state)
{
    (void)state;
    struct backoff backoff = {.base_ms = 100, .cap_ms = 1000, .attempt = 9};
    backoff_reset(&backoff);
    assert_int_equal(backoff_next_ms(&backoff, UINT32_MAX, 0), 100);
}

static void random_numbers_differ(void **state)
{
    (void)state;
    uint32_t first = backoff_random(), differing = 0;
    for (int i = 0; i < 8; i++)
        differing += backoff_random() != first;
    assert_true(differing > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_delay_doubles_up_to_the_cap),
        cmocka_unit_test(the_random_number_spreads_the_delay_down_to_zero),
        cmocka_unit_test(very_many_attempts_stay_at_the_cap),
        cmocka_unit_test(a_servers_wish_is_a_lower_bound_within_reason),
        cmocka_unit_test(resetting_begins_anew),
        cmocka_unit_test(random_numbers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
