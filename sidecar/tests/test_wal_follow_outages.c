// SPDX-License-Identifier: Apache-2.0
/*
 * A stream of WAL from real servers while regions fail, hang and come back, servers shut down, and
 * rights are taken away; and the commits of others, which must not wait for it.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/tests/helper_wal_follow.h"
#include "sidecar/wal_archive.h"

enum { SEGMENT = HELPER_WAL_FOLLOW_SEGMENT };

/* Puts and gets pass it only while it is open. */
static struct {
    int fd;
    _Atomic bool closed;
} gate = {.fd = -1};

static void wait_at_gate(unsigned call)
{
    (void)call;
    struct pollfd poll_gate = {.fd = gate.fd, .events = POLLIN};
    while (gate.closed)
        poll(&poll_gate, 1, -1);
}

static void close_gate(void)
{
    gate.closed = true;
}

static void open_gate(void)
{
    gate.closed = false;
    eventfd_write(gate.fd, 1);
}

static int set_up(void **state)
{
    gate.fd = eventfd(0, EFD_CLOEXEC);
    gate.closed = false;
    return helper_wal_follow_set_up(state);
}

static int tear_down(void **state)
{
    open_gate(); /* so that the stream can end */
    helper_wal_follow_tear_down(state);
    own_closep(&gate.fd);
    return 0;
}

static bool is_streaming_again(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->streaming && state->received_lsn >= lsn;
}

static bool is_not_streaming(const struct wal_follow_state *state, uint64_t lsn)
{
    (void)lsn;
    return !state->streaming && state->error.kind != ERROR_NONE;
}

static void await_stalled(struct helper_wal_follow *f)
{
    helper_wal_follow_await(f, is_not_streaming, 0);
    const struct wal_follow_state state = wal_board_state(&f->board);
    assert_int_equal(state.error.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(state.error.text, "not yet in 'r0'"));
}

/* All is well until the region hangs. */
static void begin_and_close_gate(struct helper_wal_follow *f)
{
    store_plan_fault("r0", 0, 0, STORE_FAULT_HANG);
    store_plan.watch = wait_at_gate;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_await_durable(f);
    close_gate();
}

static void a_server_shuts_down_while_the_regions_hang(void **state)
{
    struct helper_wal_follow *f = *state;
    begin_and_close_gate(f);
    helper_wal_follow_emit(f->server, 1);
    helper_postgres_shut_down(f->server, "fast");
    await_stalled(f);
    open_gate();
    helper_postgres_resume(f->server);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
}

/* Nobody asks, nothing is full: only that nothing is stored tells that something is wrong. */
static void a_stream_that_gets_nowhere_is_none_until_it_does(void **state)
{
    struct helper_wal_follow *f = *state;
    begin_and_close_gate(f);
    helper_wal_follow_emit_little(f->server);
    await_stalled(f);
    open_gate();
    helper_wal_follow_await(f, is_streaming_again, helper_wal_follow_lsn(f->server));
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
}

/* More than we take before some of it is stored: then we do not even hear that it shuts down. */
static void a_server_with_much_to_send_shuts_down_while_the_regions_hang(void **state)
{
    struct helper_wal_follow *f = *state;
    begin_and_close_gate(f);
    const uint64_t from = helper_wal_follow_lsn(f->server);
    helper_wal_follow_emit(f->server, 160);
    helper_postgres_shut_down(f->server, "fast");
    open_gate();
    helper_postgres_resume(f->server);
    helper_wal_follow_await_durable(f);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, from, to);
}

static void nobody_s_commit_waits_for_us(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    /* in the middle of the stream */
    helper_wal_follow_set(f->server, "SET synchronous_standby_names = '*'");
    helper_postgres_await(
        f->server, "SELECT sync_state, flush_lsn FROM pg_catalog.pg_stat_replication", "async|");
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    char lsn[LSN_TEXT_BYTES];
    lsn_format(helper_wal_follow_lsn(f->server), lsn);
    CLEANUP(own_freep)
    char *reached = own_format("SELECT restart_lsn >= '%s'" HELPER_WAL_FOLLOW_SLOTS, lsn);
    helper_postgres_await(f->server, reached, "t");
    helper_wal_follow_set(f->server, "RESET synchronous_standby_names");
    helper_postgres_await(f->server, "SELECT active" HELPER_WAL_FOLLOW_SLOTS, "t");
    helper_wal_follow_end(f);
}

static void wal_of_another_server_is_refused(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
    helper_wal_follow_open_repo(f, false);
    /* the same segment, as another server would have written it */
    const uint64_t lsn = helper_wal_follow_lsn(f->server);
    const uint64_t segment_lsn = lsn - lsn % SEGMENT;
    CLEANUP(own_freep) uint8_t *other = own_alloc(SEGMENT);
    const struct wal_piece piece = {1, segment_lsn, SEGMENT, 0, SEGMENT};
    struct error err;
    uint64_t stored = 0;
    helper_wal_follow_open_repo(f, true);
    assert_int_equal(wal_archive_put(f->repo.repo, &piece, other, &stored, &err), 0);
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    helper_wal_follow_emit(f->server, 17);
    const size_t complete = helper_wal_follow_count_pieces(f, true, 0);
    helper_wal_follow_begin(f);
    assert_int_equal(helper_wal_follow_join(f), 0 - 1);
    assert_int_equal(f->error.kind, ERROR_CONFLICT);
    assert_int_equal(helper_wal_follow_count_pieces(f, true, 0), complete);
}

static void a_region_that_fails_is_left_out_and_comes_back(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set_regions(f, 2, 1);
    helper_wal_follow_once(f);
    store_plan_fault("r1", 6, 1 << 20, STORE_FAULT_PERMANENT);
    helper_wal_follow_begin(f);
    helper_wal_follow_emit(f->server, 20);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
    assert_true(store_plan.calls >= 6);
    store_plan_nothing();
    helper_wal_follow_begin(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
}

static void what_a_quorum_has_does_not_wait_for_a_region_that_hangs(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set_regions(f, 2, 1);
    store_plan_fault("r1", 0, 0, STORE_FAULT_HANG);
    store_plan.watch = wait_at_gate;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_await_durable(f);
    close_gate();
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    open_gate();
    helper_wal_follow_end(f);
}

static void who_lacks_a_right_is_told_at_once(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_postgres_do(f->server, "ALTER ROLE lifeboat NOREPLICATION");
    helper_wal_follow_begin(f);
    assert_int_equal(helper_wal_follow_join(f), 0 - 1);
    assert_int_equal(f->error.kind, ERROR_PERMANENT);
    assert_non_null(strstr(f->error.text, "REPLICATION"));
}

static void later_it_waits_for_whoever_mends_it(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    helper_postgres_do(f->server, "ALTER ROLE lifeboat NOREPLICATION");
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_terminate_backend(pid)"
                                  " FROM pg_catalog.pg_stat_replication");
    helper_wal_follow_await(f, is_not_streaming, 0);
    helper_postgres_do(f->server, "ALTER ROLE lifeboat REPLICATION");
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_shuts_down_while_the_regions_hang, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stream_that_gets_nowhere_is_none_until_it_does, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_server_with_much_to_send_shuts_down_while_the_regions_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_s_commit_waits_for_us, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wal_of_another_server_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_region_that_fails_is_left_out_and_comes_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_quorum_has_does_not_wait_for_a_region_that_hangs,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_lacks_a_right_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_it_waits_for_whoever_mends_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
