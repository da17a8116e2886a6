// SPDX-License-Identifier: Apache-2.0
/*
 * An endless stream of WAL from real servers, compared with the files that the servers keep: what
 * is stored, what the slot lets go of, new timelines, and each call of a store that fails.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/tests/helper_wal_follow.h"
#include "sidecar/wal_archive.h"

enum {
    MIB = 1 << 20,
    SEGMENT = HELPER_WAL_FOLLOW_SEGMENT,
    POLL_US = 20000,
    POLLS = 6000,
    SEVERAL = 3,
    UPLOADS = 4
};

/* Puts of complete segments wait here until as many as there may be are under way at once. */
static struct {
    atomic_uint inside, most;
} meeting;

static void all_wal_is_stored_byte_for_byte(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    const uint64_t from = helper_wal_follow_lsn(f->server);
    helper_wal_follow_emit(f->server, 50);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, from, to);
    assert_true(helper_wal_follow_count_pieces(f, true, 0) >= 3);
    helper_postgres_await(f->server, "SELECT count(*), bool_or(active)" HELPER_WAL_FOLLOW_SLOTS,
                          "1|f");
}

static void meet(const char *name)
{
    const char *segment = strrchr(name, '/');
    if (!strstr(name, "/wal/") || strchr(segment, '.'))
        return; /* a tail, a history, or no WAL at all */
    const unsigned inside = atomic_fetch_add(&meeting.inside, 1) + 1;
    unsigned most = meeting.most;
    while (inside > most && !atomic_compare_exchange_weak(&meeting.most, &most, inside))
        ;
    for (int i = 0; i < POLLS && meeting.most < UPLOADS; i++)
        usleep(POLL_US);
    atomic_fetch_sub(&meeting.inside, 1);
}

static void what_accumulated_goes_out_on_all_uploads_at_once(void **state)
{
    struct helper_wal_follow *f = *state;
    f->repo.policy->uploads = UPLOADS;
    helper_wal_follow_once(f);
    const uint64_t from = helper_wal_follow_lsn(f->server);
    helper_wal_follow_emit(f->server, 2 * UPLOADS * SEGMENT / MIB);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    store_plan_fault("r0", 0, 0, STORE_FAULT_TRANSIENT);
    store_plan.watch_puts = meet;
    meeting.most = 0;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_lsn(f, to);
    helper_wal_follow_end(f);
    assert_int_equal(meeting.most, UPLOADS); /* and never more */
    helper_wal_follow_expect(f, 1, from, to);
}

static void the_slot_lets_go_of_what_is_stored_and_keeps_the_rest(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_emit(f->server, 20);
    helper_wal_follow_await_durable(f);
    char lsn[LSN_TEXT_BYTES];
    lsn_format(helper_wal_follow_lsn(f->server), lsn);
    CLEANUP(own_freep)
    char *reached = own_format("SELECT restart_lsn >= '%s'" HELPER_WAL_FOLLOW_SLOTS, lsn);
    helper_postgres_await(f->server, reached, "t");
    helper_wal_follow_end(f);
    helper_wal_follow_emit(f->server, 40);
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_postgres_do(f->server, "CHECKPOINT");
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_lsn(f, to);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, to - 30 * MIB, to);
}

static void parts_of_a_segment_go_when_it_is_complete(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    const uint64_t lsn = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    assert_true(helper_wal_follow_count_pieces(f, false, lsn) > 0);
    helper_wal_follow_begin(f); /* what a former process left behind goes as well */
    for (int i = 0; i < SEVERAL; i++) {
        helper_wal_follow_emit_little(f->server);
        helper_wal_follow_await_durable(f);
    }
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    helper_wal_follow_await_durable(f);
    for (int i = 0; i < POLLS && helper_wal_follow_count_pieces(f, false, lsn) > 0; i++)
        usleep(POLL_US);
    assert_int_equal(helper_wal_follow_count_pieces(f, false, lsn), 0);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, lsn, lsn - lsn % SEGMENT + SEGMENT);
}

/* With the n-th call failing, and the one after it: calls that come early, and some of the others.
 */
static void fail_each(struct helper_wal_follow *f, enum store_fault fault)
{
    const uint64_t from = helper_wal_follow_lsn(f->server);
    unsigned n = 1, calls = 0;
    do {
        store_plan_fault("r0", n, 2, fault);
        helper_wal_follow_begin(f);
        helper_wal_follow_emit_little(f->server);
        helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
        helper_wal_follow_emit_little(f->server);
        const uint64_t to = helper_wal_follow_lsn(f->server);
        while (!f->finished && wal_board_state(&f->board).durable_lsn < to)
            usleep(POLL_US);
        cancel_trigger(&f->stop);
        if (helper_wal_follow_join(f) < 0 && f->error.kind != ERROR_PERMANENT)
            fail_msg("call %u: %s", n, f->error.text);
        calls = store_plan.calls;
        store_plan_nothing();
        n += 1 + n;
    } while (calls >= n);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_durable(f);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, from, to);
}

static void whatever_call_fails_nothing_is_left_out(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f); /* makes slot and repository */
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
    static const enum store_fault faults[] = {STORE_FAULT_PERMANENT, STORE_FAULT_LOST_ANSWER};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        fail_each(f, faults[i]);
}

static void a_promotion_is_followed_to_the_new_timeline(void **state)
{
    struct helper_wal_follow *f = *state;
    struct helper_postgres *standby = helper_postgres_standby(f->server);
    helper_wal_follow_begin_with(f, standby);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_emit(f->server, 3);
    helper_wal_follow_await_durable(f);
    const uint64_t before = helper_wal_follow_lsn(f->server);
    helper_postgres_promote(standby);
    helper_wal_follow_emit(standby, 20);
    helper_wal_follow_await_lsn(f, helper_wal_follow_lsn(standby));
    const uint64_t to = helper_wal_follow_lsn(standby);
    assert_int_equal(wal_board_state(&f->board).timeline, 2);
    helper_wal_follow_end(f);
    struct helper_postgres *primary = f->server;
    f->server = standby;
    helper_wal_follow_expect(f, 2, before, to);
    f->server = primary;
    CLEANUP(buf_done) struct buf history = BUF(MIB);
    struct error err;
    assert_int_equal(wal_archive_get_history(f->repo.repo, 2, &history, &err), 0);
    CLEANUP(buf_done) struct buf segment = BUF(SEGMENT);
    if (wal_archive_get(f->repo.repo, 1, before - 1, before, SEGMENT, &segment, &err) < 0)
        fail_msg("the old timeline's last segment: %s", err.text);
    helper_postgres_stop(&standby);
}

static bool has_history(struct helper_wal_follow *f, uint32_t timeline)
{
    CLEANUP(buf_done) struct buf history = BUF(MIB);
    struct error err;
    helper_wal_follow_open_repo(f, false);
    const int got = wal_archive_get_history(f->repo.repo, timeline, &history, &err);
    assert_true(got == 0 || err.kind == ERROR_NOT_FOUND);
    return got == 0;
}

static void stream_a_little(struct helper_wal_follow *f, struct helper_postgres *server)
{
    helper_wal_follow_begin_with(f, server);
    helper_wal_follow_emit_little(server);
    helper_wal_follow_await_lsn(f, helper_wal_follow_lsn(server));
    helper_wal_follow_end(f);
}

static void the_history_of_a_timeline_that_was_missed_is_stored_as_well(void **state)
{
    struct helper_wal_follow *f = *state;
    struct helper_postgres *second = helper_postgres_standby(f->server);
    helper_postgres_promote(second);
    struct helper_postgres *third = helper_postgres_standby(second);
    helper_postgres_promote(third);
    CLEANUP(own_freep) char *there = own_format("%s/pg_wal/00000002.history", third->data);
    CLEANUP(own_freep) char *away = own_format("%s/away", third->data);
    assert_return_code(rename(there, away), errno); /* as some servers are made */
    stream_a_little(f, third);
    assert_true(has_history(f, 3));
    assert_false(has_history(f, 2));
    assert_return_code(rename(away, there), errno);
    stream_a_little(f, third);
    assert_true(has_history(f, 2));
    helper_postgres_stop(&third);
    helper_postgres_stop(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_wal_is_stored_byte_for_byte, helper_wal_follow_set_up,
                                        helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(what_accumulated_goes_out_on_all_uploads_at_once,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(the_slot_lets_go_of_what_is_stored_and_keeps_the_rest,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(parts_of_a_segment_go_when_it_is_complete,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(whatever_call_fails_nothing_is_left_out,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(a_promotion_is_followed_to_the_new_timeline,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(the_history_of_a_timeline_that_was_missed_is_stored_as_well,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
