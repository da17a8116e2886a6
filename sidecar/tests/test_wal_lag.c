// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sidecar/wal_lag.h"

enum { S = 1000, MIB = 1 << 20 };

static void without_a_look_nothing_is_known(void **state)
{
    (void)state;
    const struct wal_lag lag = {0};
    assert_int_equal(wal_lag_seconds(&lag, 5 * S, 10 * MIB), WAL_LAG_UNKNOWN);
    assert_int_equal(wal_lag_lasts_seconds(&lag, MIB), WAL_LAG_UNKNOWN);
}

static void what_is_stored_has_no_age(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 1 * S, 10 * MIB, 10 * MIB);
    assert_int_equal(wal_lag_seconds(&lag, 9 * S, 10 * MIB), 0);
    wal_lag_look(&lag, 100 * S, 10 * MIB, 10 * MIB); /* an idle server */
    assert_int_equal(wal_lag_seconds(&lag, 100 * S, 10 * MIB), 0);
}

static void the_age_is_that_of_the_oldest_byte_that_is_missing(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 1 * S, 10 * MIB, 10 * MIB);
    wal_lag_look(&lag, 60 * S, 11 * MIB, 10 * MIB);
    wal_lag_look(&lag, 61 * S, 12 * MIB, 10 * MIB);
    wal_lag_look(&lag, 63 * S, 13 * MIB, 10 * MIB);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 10 * MIB), 10);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 11 * MIB - 1), 10);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 11 * MIB), 9);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 12 * MIB), 7);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 13 * MIB), 0);
    assert_int_equal(wal_lag_seconds(&lag, 70 * S, 20 * MIB), 0); /* a standby that lags */
}

static void what_was_there_before_the_first_look_has_no_known_age(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 1 * S, 10 * MIB, 5 * MIB);
    wal_lag_look(&lag, 2 * S, 11 * MIB, 5 * MIB);
    assert_int_equal(wal_lag_seconds(&lag, 3 * S, 5 * MIB), WAL_LAG_UNKNOWN);
    assert_int_equal(wal_lag_seconds(&lag, 3 * S, 0), WAL_LAG_UNKNOWN);
    assert_int_equal(wal_lag_seconds(&lag, 3 * S, 10 * MIB), 1);
}

static void many_looks_make_the_age_no_younger(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 0, MIB, MIB);
    for (int64_t i = 1; i <= 10000; i++) {
        wal_lag_look(&lag, i * S, (uint64_t)(i + 1) * MIB, MIB);
        assert_true(lag.count <= WAL_LAG_LOOKS);
        assert_int_equal(wal_lag_seconds(&lag, i * S, MIB), i - 1);
    }
    for (int64_t stored = 1; stored <= 10000; stored += 7) {
        const int64_t age = 10000 - stored;
        const int64_t told = wal_lag_seconds(&lag, 10000 * S, (uint64_t)stored * MIB);
        assert_in_range(told, age, age + 4 * 10000 / WAL_LAG_LOOKS);
    }
}

static void what_is_stored_is_forgotten(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 0, MIB, MIB);
    for (int64_t i = 1; i <= 1000; i++) {
        const uint64_t durable = (uint64_t)(i > 3 ? i - 2 : 1) * MIB;
        wal_lag_look(&lag, i * S, (uint64_t)(i + 1) * MIB, durable);
        assert_true(lag.count <= 4);
        assert_in_range(wal_lag_seconds(&lag, i * S, durable), 0, 3);
    }
}

static void another_server_begins_anew(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    wal_lag_look(&lag, 1 * S, 10 * MIB, 10 * MIB);
    wal_lag_look(&lag, 2 * S, 11 * MIB, 10 * MIB);
    wal_lag_look(&lag, 3 * S, 4 * MIB, 4 * MIB);
    assert_int_equal(wal_lag_seconds(&lag, 4 * S, 4 * MIB), 0);
    assert_int_equal(lag.count, 0);
}

static void the_rate_says_how_long_room_lasts(void **state)
{
    (void)state;
    struct wal_lag lag = {0};
    for (int64_t i = 0; i <= 600; i++)
        wal_lag_look(&lag, i * S, (uint64_t)(i + 1) * MIB, MIB);
    assert_in_range(wal_lag_lasts_seconds(&lag, (int64_t)3600 * MIB), 3590, 3610);
    assert_int_equal(wal_lag_lasts_seconds(&lag, 0), 0);
    assert_int_equal(wal_lag_lasts_seconds(&lag, -1), WAL_LAG_UNKNOWN);
    for (int64_t i = 601; i <= 7200; i++) /* it becomes idle */
        wal_lag_look(&lag, i * S, (uint64_t)601 * MIB, MIB);
    assert_int_equal(wal_lag_lasts_seconds(&lag, MIB), WAL_LAG_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_look_nothing_is_known),
        cmocka_unit_test(what_is_stored_has_no_age),
        cmocka_unit_test(the_age_is_that_of_the_oldest_byte_that_is_missing),
        cmocka_unit_test(what_was_there_before_the_first_look_has_no_known_age),
        cmocka_unit_test(many_looks_make_the_age_no_younger),
        cmocka_unit_test(what_is_stored_is_forgotten),
        cmocka_unit_test(another_server_begins_anew),
        cmocka_unit_test(the_rate_says_how_long_room_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
