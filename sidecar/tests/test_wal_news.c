// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_news.h"

enum { MIB = 1 << 20, HOUR = 3600 };

static void room_is_urgent_while_much_is_kept_and_little_left(void **state)
{
    (void)state;
    static const struct {
        struct wal_news_room room;
        bool urgent;
    } table[] = {
        {{1000LL * MIB, 100000LL * MIB, 100 * HOUR}, false},
        {{1000LL * MIB, 100000LL * MIB, HOUR}, false},
        {{1000LL * MIB, 100000LL * MIB, HOUR - 1}, true},
        {{1000LL * MIB, 256LL * MIB, -1}, false},
        {{1000LL * MIB, 256LL * MIB - 1, -1}, true},
        {{1000LL * MIB, 0, 0}, true},
        {{1000LL * MIB, -1, -1}, false}, /* nobody knows */
        {{64LL * MIB, 0, 0}, true},
        {{64LL * MIB - 1, 0, 0}, false}, /* a disk that others fill */
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (wal_news_is_urgent(&table[i].room) != table[i].urgent)
            fail_msg("row %zu", i);
}

static struct wal_follow_state streaming_at(uint64_t durable_lsn, uint64_t server_lsn)
{
    return (struct wal_follow_state){
        .streaming = true, .since_ms = 1, .durable_lsn = durable_lsn, .server_lsn = server_lsn};
}

static struct wal_follow_state lost_at(uint64_t durable_lsn, uint64_t server_lsn)
{
    struct wal_follow_state state = streaming_at(durable_lsn, server_lsn);
    state.streaming = false;
    error_set(&state.error, ERROR_TRANSIENT, "503");
    return state;
}

static void expect(struct wal_news_calm *calm, const struct wal_follow_state *state, int64_t now_ms,
                   bool streaming)
{
    wal_news_calm(calm, state, now_ms);
    assert_int_equal(calm->streaming, streaming);
}

static void a_connection_that_stores_nothing_is_none(void **state)
{
    (void)state;
    struct wal_news_calm calm = {0};
    const struct wal_follow_state well = streaming_at(5, 9), lost = lost_at(5, 9);
    expect(&calm, &well, 10, true);
    assert_int_equal(calm.since_ms, 10);
    expect(&calm, &lost, 20, false);
    assert_int_equal(calm.since_ms, 20);
    assert_string_equal(calm.error.text, "503");
    expect(&calm, &well, 30, false); /* it is tried again */
    assert_string_equal(calm.error.text, "503");
    expect(&calm, &lost, 40, false);
    assert_int_equal(calm.since_ms, 20);
    const struct wal_follow_state moved = streaming_at(6, 9);
    expect(&calm, &moved, 50, true);
    assert_int_equal(calm.since_ms, 50);
    assert_int_equal(calm.error.kind, ERROR_NONE);
}

static void a_connection_to_an_idle_server_is_one(void **state)
{
    (void)state;
    struct wal_news_calm calm = {0};
    const struct wal_follow_state lost = lost_at(9, 9), well = streaming_at(9, 9);
    expect(&calm, &lost, 10, false);
    assert_int_equal(calm.since_ms, 1); /* as the board has it */
    expect(&calm, &well, 20, true);
}

static void what_is_stored_between_two_losses_counts(void **state)
{
    (void)state;
    struct wal_news_calm calm = {0};
    const struct wal_follow_state states[] = {streaming_at(5, 9), lost_at(5, 9), streaming_at(7, 9),
                                              lost_at(7, 9), streaming_at(7, 9)};
    static const bool streaming[] = {true, false, true, false, false};
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        expect(&calm, &states[i], (int64_t)i, streaming[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_is_urgent_while_much_is_kept_and_little_left),
        cmocka_unit_test(a_connection_that_stores_nothing_is_none),
        cmocka_unit_test(a_connection_to_an_idle_server_is_one),
        cmocka_unit_test(what_is_stored_between_two_losses_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
