// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "operator/coarse.h"

static void numbers_are_rounded_down(void **state)
{
    (void)state;
    assert_int_equal(coarse_seconds(-1), 0);
    assert_int_equal(coarse_seconds(59), 0);
    assert_int_equal(coarse_seconds(60), 60);
    assert_int_equal(coarse_seconds(119), 60);
    assert_int_equal(coarse_seconds(120), 120);
    assert_int_equal(coarse_seconds(3600), 1920);
    assert_true(coarse_seconds(INT64_MAX) > INT64_MAX / 2);
    assert_int_equal(coarse_bytes(0), 0);
    assert_int_equal(coarse_bytes(1), 1);
    assert_int_equal(coarse_bytes(1023), 512);
    assert_int_equal(coarse_bytes(1024), 1024);
    assert_true(coarse_bytes(UINT64_MAX) == UINT64_C(1) << 63);
    assert_int_equal(coarse_time_ms(299999), 0);
    assert_int_equal(coarse_time_ms(300000), 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_are_rounded_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
