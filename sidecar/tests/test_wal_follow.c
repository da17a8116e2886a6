// SPDX-License-Identifier: Apache-2.0
/*
 * An endless stream of WAL from real servers into regions that fail, hang and come back, compared
 * with the files that the servers keep.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_follow.h"
#include "sidecar/wal_slot_name.h"

enum { MIB = 1 << 20, SEGMENT = 16 * MIB, POLL_US = 20000, POLLS = 6000, SEVERAL = 3, UPLOADS = 4 };

#define SLOTS " FROM pg_catalog.pg_replication_slots WHERE slot_name ~ '^lifeboat_'"

static const char settings[] = "wal_keep_size = 2GB\nautovacuum = off\nwal_sender_timeout = 0\n"
                               "max_replication_slots = 10\n";

struct fixture {
    struct helper_postgres *server;
    struct helper_repo helper;
    struct pg_options login;
    struct wal_board board;
    struct cancel stop;
    pthread_t thread;
    bool runs;
    _Atomic bool finished;
    int result;
    struct error error;
};

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

/* Puts of complete segments wait here until as many as there may be are under way at once. */
static struct {
    atomic_uint inside, most;
} meeting;

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

/* The stream, on a thread of its own */

static void *follow_main(void *arg)
{
    struct fixture *f = arg;
    const struct wal_follow_options options = {
        .policy = f->helper.policy,
        .secrets = f->helper.secrets,
        .connection = {f->login.host, f->login.port, f->login.user},
        .stop = &f->stop,
        .board = &f->board,
        .watch_ms = 500,
        .stall_ms = 3000,
    };
    f->result = wal_follow_run(&options, &f->error);
    f->finished = true;
    return NULL;
}

static void begin_with(struct fixture *f, struct helper_postgres *server)
{
    struct error err;
    char slot[WAL_SLOT_NAME_BYTES];
    wal_slot_name(f->helper.policy->namespace, f->helper.policy->name, slot);
    wal_board_init(&f->board, slot);
    assert_int_equal(cancel_init(&f->stop, &err), 0);
    f->finished = false;
    f->login = helper_postgres_login(server, "lifeboat", NULL);
    assert_int_equal(pthread_create(&f->thread, NULL, follow_main, f), 0);
    f->runs = true;
}

static void begin(struct fixture *f)
{
    begin_with(f, f->server);
}

/* Waits for its end, and gives its result. */
static int join(struct fixture *f)
{
    pthread_join(f->thread, NULL);
    f->runs = false;
    cancel_done(&f->stop);
    wal_board_done(&f->board);
    return f->result;
}

static void end(struct fixture *f)
{
    cancel_trigger(&f->stop);
    if (join(f) < 0)
        fail_msg("%s", f->error.text);
}

static uint64_t lsn_of(const struct helper_postgres *server, const char *sql)
{
    uint64_t lsn;
    CLEANUP(own_freep) char *text = helper_postgres_sql(server, sql);
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

static uint64_t end_of(const struct helper_postgres *server)
{
    return lsn_of(server, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
}

static void await(struct fixture *f,
                  bool (*holds)(const struct wal_follow_state *state, uint64_t lsn), uint64_t lsn)
{
    struct wal_follow_state state = {0};
    for (int i = 0; i < POLLS; i++) {
        state = wal_board_state(&f->board);
        if (holds(&state, lsn))
            return;
        usleep(POLL_US);
    }
    fail_msg("in vain; timeline %u, durable %jx of %jx, %s: %s", state.timeline,
             (uintmax_t)state.durable_lsn, (uintmax_t)lsn,
             state.streaming ? "streaming" : "not streaming", state.error.text);
}

static bool is_durable(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->durable_lsn >= lsn;
}

static bool is_streaming(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->streaming && state->received_lsn >= lsn;
}

static bool is_not_streaming(const struct wal_follow_state *state, uint64_t lsn)
{
    (void)lsn;
    return !state->streaming && state->error.kind != ERROR_NONE;
}

static void await_stalled(struct fixture *f)
{
    await(f, is_not_streaming, 0);
    const struct wal_follow_state state = wal_board_state(&f->board);
    assert_int_equal(state.error.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(state.error.text, "not yet in 'r0'"));
}

static void await_durable(struct fixture *f)
{
    await(f, is_durable, end_of(f->server));
}

/* Servers */

static void emit_wal(const struct helper_postgres *server, int mib)
{
    CLEANUP(own_freep)
    char *sql = own_format("SELECT pg_catalog.pg_logical_emit_message(true, 'test',"
                           " pg_catalog.repeat(pg_catalog.md5(n::text), 32768))"
                           " FROM pg_catalog.generate_series(1, %d) AS n",
                           mib);
    helper_postgres_do(server, sql);
}

static void emit_little(const struct helper_postgres *server)
{
    helper_postgres_do(server, "SELECT pg_catalog.pg_logical_emit_message(true, 'test', 'x')");
}

static void set(const struct helper_postgres *server, const char *setting)
{
    CLEANUP(own_freep) char *sql = own_format("ALTER SYSTEM %s", setting);
    helper_postgres_do(server, sql);
    helper_postgres_do(server, "SELECT pg_catalog.pg_reload_conf()");
}

/* What is in the regions */

static void open_repo(struct fixture *f, bool write)
{
    struct error err;
    CLEANUP(own_freep)
    char *system =
        helper_postgres_sql(f->server, "SELECT system_identifier FROM pg_control_system()");
    if (helper_repo_reopen(&f->helper, write, strtoull(system, NULL, 10), &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_segment(struct fixture *f, uint32_t timeline, uint64_t lsn, uint64_t stop)
{
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(buf_done) struct buf ours = BUF(SEGMENT), theirs = BUF(SEGMENT);
    wal_segment_name(timeline, lsn, SEGMENT, name);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/%s", f->server->data, name);
    if (buf_read_file(&theirs, AT_FDCWD, path, &err) < 0 ||
        wal_archive_get(f->helper.repo, timeline, lsn, stop, SEGMENT, &ours, &err) < 0)
        fail_msg("%s", err.text);
    const uint64_t left = stop - lsn;
    if (memcmp(ours.data, theirs.data, left < SEGMENT ? left : SEGMENT) != 0)
        fail_msg("segment %s differs", name);
}

/* From the segment that holds one LSN to another LSN. */
static void expect_wal(struct fixture *f, uint32_t timeline, uint64_t from, uint64_t to)
{
    open_repo(f, false);
    for (uint64_t lsn = from - from % SEGMENT; lsn < to; lsn += SEGMENT)
        expect_segment(f, timeline, lsn, to);
}

/* Objects of WAL: those of complete segments, or the parts of the segment that holds lsn. */
static size_t count_pieces(struct fixture *f, bool complete, uint64_t lsn)
{
    struct error err;
    size_t count = 0;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    open_repo(f, false);
    assert_int_equal(repo_list(f->helper.repo, "wal/", &names, &err), 0);
    for (size_t i = 0; i < names.count; i++) {
        struct wal_piece piece;
        if (wal_archive_parse_name(names.names[i].name, SEGMENT, &piece) < 0)
            continue;
        const bool whole = piece.to - piece.from == SEGMENT;
        count += complete ? whole : !whole && piece.segment_lsn == lsn - lsn % SEGMENT;
    }
    return count;
}

/* Tests */

static void set_up_regions(struct fixture *f, size_t regions, unsigned quorum)
{
    if (f->helper.directory[0])
        helper_repo_close(&f->helper);
    helper_repo_prepare(&f->helper, regions, quorum);
    f->helper.policy->wal.flush_seconds = 1;
}

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    log_set_level(LOG_LEVEL_ERROR);
    gate.fd = eventfd(0, EFD_CLOEXEC);
    gate.closed = false;
    f->server = helper_postgres_start(&(struct helper_postgres_options){.settings = settings});
    helper_postgres_add_role(f->server, "");
    set_up_regions(f, 1, 1);
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    open_gate();
    if (f->runs) {
        cancel_trigger(&f->stop);
        join(f);
    }
    store_plan_nothing();
    helper_repo_close(&f->helper);
    helper_postgres_stop(&f->server);
    own_closep(&gate.fd);
    return 0;
}

static void all_wal_is_stored_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    const uint64_t from = end_of(f->server);
    emit_wal(f->server, 50);
    await_durable(f);
    emit_little(f->server);
    await_durable(f);
    const uint64_t to = end_of(f->server);
    end(f);
    expect_wal(f, 1, from, to);
    assert_true(count_pieces(f, true, 0) >= 3);
    helper_postgres_await(f->server, "SELECT count(*), bool_or(active)" SLOTS, "1|f");
}

static void what_accumulated_goes_out_on_all_uploads_at_once(void **state)
{
    struct fixture *f = *state;
    f->helper.policy->uploads = UPLOADS;
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    const uint64_t from = end_of(f->server);
    emit_wal(f->server, 2 * UPLOADS * SEGMENT / MIB);
    const uint64_t to = end_of(f->server);
    store_plan_fault("r0", 0, 0, STORE_FAULT_TRANSIENT);
    store_plan.watch_puts = meet;
    meeting.most = 0;
    begin(f);
    await(f, is_durable, to);
    end(f);
    assert_int_equal(meeting.most, UPLOADS); /* and never more */
    expect_wal(f, 1, from, to);
}

static void the_slot_lets_go_of_what_is_stored_and_keeps_the_rest(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    emit_wal(f->server, 20);
    await_durable(f);
    char lsn[LSN_TEXT_BYTES];
    lsn_format(end_of(f->server), lsn);
    CLEANUP(own_freep) char *reached = own_format("SELECT restart_lsn >= '%s'" SLOTS, lsn);
    helper_postgres_await(f->server, reached, "t");
    end(f);
    emit_wal(f->server, 40);
    set(f->server, "SET wal_keep_size = 0");
    helper_postgres_do(f->server, "CHECKPOINT");
    const uint64_t to = end_of(f->server);
    begin(f);
    await(f, is_durable, to);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    end(f);
    expect_wal(f, 1, to - 30 * MIB, to);
}

static void parts_of_a_segment_go_when_it_is_complete(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    emit_little(f->server);
    await_durable(f);
    const uint64_t lsn = end_of(f->server);
    end(f);
    assert_true(count_pieces(f, false, lsn) > 0);
    begin(f); /* what a former process left behind goes as well */
    for (int i = 0; i < SEVERAL; i++) {
        emit_little(f->server);
        await_durable(f);
    }
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    await_durable(f);
    for (int i = 0; i < POLLS && count_pieces(f, false, lsn) > 0; i++)
        usleep(POLL_US);
    assert_int_equal(count_pieces(f, false, lsn), 0);
    end(f);
    expect_wal(f, 1, lsn, lsn - lsn % SEGMENT + SEGMENT);
}

/* With the n-th call failing, and the one after it: calls that come early, and some of the others.
 */
static void fail_each(struct fixture *f, enum store_fault fault)
{
    const uint64_t from = end_of(f->server);
    unsigned n = 1, calls = 0;
    do {
        store_plan_fault("r0", n, 2, fault);
        begin(f);
        emit_little(f->server);
        helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
        emit_little(f->server);
        const uint64_t to = end_of(f->server);
        while (!f->finished && wal_board_state(&f->board).durable_lsn < to)
            usleep(POLL_US);
        cancel_trigger(&f->stop);
        if (join(f) < 0 && f->error.kind != ERROR_PERMANENT)
            fail_msg("call %u: %s", n, f->error.text);
        calls = store_plan.calls;
        store_plan_nothing();
        n += 1 + n;
    } while (calls >= n);
    begin(f);
    await_durable(f);
    const uint64_t to = end_of(f->server);
    end(f);
    expect_wal(f, 1, from, to);
}

static void whatever_call_fails_nothing_is_left_out(void **state)
{
    struct fixture *f = *state;
    begin(f); /* makes slot and repository */
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    static const enum store_fault faults[] = {STORE_FAULT_PERMANENT, STORE_FAULT_LOST_ANSWER};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        fail_each(f, faults[i]);
}

/* All is well until the region hangs. */
static void begin_and_close_gate(struct fixture *f)
{
    store_plan_fault("r0", 0, 0, STORE_FAULT_HANG);
    store_plan.watch = wait_at_gate;
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    close_gate();
}

static void a_server_shuts_down_while_the_regions_hang(void **state)
{
    struct fixture *f = *state;
    begin_and_close_gate(f);
    emit_wal(f->server, 1);
    helper_postgres_shut_down(f->server, "fast");
    await_stalled(f);
    open_gate();
    helper_postgres_resume(f->server);
    await_durable(f);
    end(f);
}

/* Nobody asks, nothing is full: only that nothing is stored tells that something is wrong. */
static void a_stream_that_gets_nowhere_is_none_until_it_does(void **state)
{
    struct fixture *f = *state;
    begin_and_close_gate(f);
    emit_little(f->server);
    await_stalled(f);
    open_gate();
    await(f, is_streaming, end_of(f->server));
    await_durable(f);
    end(f);
}

/* More than we take before some of it is stored: then we do not even hear that it shuts down. */
static void a_server_with_much_to_send_shuts_down_while_the_regions_hang(void **state)
{
    struct fixture *f = *state;
    begin_and_close_gate(f);
    const uint64_t from = end_of(f->server);
    emit_wal(f->server, 160);
    helper_postgres_shut_down(f->server, "fast");
    open_gate();
    helper_postgres_resume(f->server);
    await_durable(f);
    const uint64_t to = end_of(f->server);
    end(f);
    expect_wal(f, 1, from, to);
}

static void nobody_s_commit_waits_for_us(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    set(f->server, "SET synchronous_standby_names = '*'"); /* in the middle of the stream */
    helper_postgres_await(
        f->server, "SELECT sync_state, flush_lsn FROM pg_catalog.pg_stat_replication", "async|");
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    char lsn[LSN_TEXT_BYTES];
    lsn_format(end_of(f->server), lsn);
    CLEANUP(own_freep) char *reached = own_format("SELECT restart_lsn >= '%s'" SLOTS, lsn);
    helper_postgres_await(f->server, reached, "t");
    set(f->server, "RESET synchronous_standby_names");
    helper_postgres_await(f->server, "SELECT active" SLOTS, "t");
    end(f);
}

static void a_promotion_is_followed_to_the_new_timeline(void **state)
{
    struct fixture *f = *state;
    struct helper_postgres *standby = helper_postgres_standby(f->server);
    begin_with(f, standby);
    await(f, is_streaming, 0);
    emit_wal(f->server, 3);
    await_durable(f);
    const uint64_t before = end_of(f->server);
    helper_postgres_promote(standby);
    emit_wal(standby, 20);
    await(f, is_durable, end_of(standby));
    const uint64_t to = end_of(standby);
    assert_int_equal(wal_board_state(&f->board).timeline, 2);
    end(f);
    struct helper_postgres *primary = f->server;
    f->server = standby;
    expect_wal(f, 2, before, to);
    f->server = primary;
    CLEANUP(buf_done) struct buf history = BUF(MIB);
    struct error err;
    assert_int_equal(wal_archive_get_history(f->helper.repo, 2, &history, &err), 0);
    CLEANUP(buf_done) struct buf segment = BUF(SEGMENT);
    if (wal_archive_get(f->helper.repo, 1, before - 1, before, SEGMENT, &segment, &err) < 0)
        fail_msg("the old timeline's last segment: %s", err.text);
    helper_postgres_stop(&standby);
}

static bool has_history(struct fixture *f, uint32_t timeline)
{
    CLEANUP(buf_done) struct buf history = BUF(MIB);
    struct error err;
    open_repo(f, false);
    const int got = wal_archive_get_history(f->helper.repo, timeline, &history, &err);
    assert_true(got == 0 || err.kind == ERROR_NOT_FOUND);
    return got == 0;
}

static void stream_a_little(struct fixture *f, struct helper_postgres *server)
{
    begin_with(f, server);
    emit_little(server);
    await(f, is_durable, end_of(server));
    end(f);
}

static void the_history_of_a_timeline_that_was_missed_is_stored_as_well(void **state)
{
    struct fixture *f = *state;
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

static void wal_of_another_server_is_refused(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    emit_little(f->server);
    await_durable(f);
    end(f);
    open_repo(f, false);
    /* the same segment, as another server would have written it */
    const uint64_t lsn = end_of(f->server);
    const uint64_t segment_lsn = lsn - lsn % SEGMENT;
    CLEANUP(own_freep) uint8_t *other = own_alloc(SEGMENT);
    const struct wal_piece piece = {1, segment_lsn, SEGMENT, 0, SEGMENT};
    struct error err;
    uint64_t stored = 0;
    CLEANUP(own_freep)
    char *system =
        helper_postgres_sql(f->server, "SELECT system_identifier FROM pg_control_system()");
    assert_int_equal(helper_repo_reopen(&f->helper, true, strtoull(system, NULL, 10), &err), 0);
    assert_int_equal(wal_archive_put(f->helper.repo, &piece, other, &stored, &err), 0);
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_switch_wal()");
    emit_wal(f->server, 17);
    const size_t complete = count_pieces(f, true, 0);
    begin(f);
    assert_int_equal(join(f), 0 - 1);
    assert_int_equal(f->error.kind, ERROR_CONFLICT);
    assert_int_equal(count_pieces(f, true, 0), complete);
}

/* Forgets the slot, so that the server removes what it kept for it. */
static void lose_wal(struct fixture *f)
{
    CLEANUP(own_freep)
    char *slot = helper_postgres_sql(f->server, "SELECT slot_name" SLOTS);
    CLEANUP(own_freep) char *drop = own_format("SELECT pg_drop_replication_slot('%s')", slot);
    helper_postgres_do(f->server, drop);
    for (int i = 0; i < SEVERAL; i++) {
        emit_wal(f->server, 20);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
}

static void a_gap_is_named_and_the_stream_goes_on_behind_it(void **state)
{
    struct fixture *f = *state;
    set(f->server, "SET wal_keep_size = 0");
    begin(f);
    await(f, is_streaming, 0);
    emit_wal(f->server, 20);
    await_durable(f);
    const uint64_t before = end_of(f->server);
    end(f);
    lose_wal(f);
    begin(f);
    await_durable(f);
    const struct wal_follow_state now = wal_board_state(&f->board);
    const uint64_t to = end_of(f->server);
    end(f);
    assert_int_equal(now.gap.timeline, 1);
    assert_true(now.gap.from >= before - SEGMENT && now.gap.from <= before + MIB);
    assert_true(now.gap.to > now.gap.from && now.gap.to <= to);
    expect_wal(f, 1, now.gap.to, to);
}

static bool has_gap(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->gap.to > lsn;
}

static void put_backup(struct fixture *f, const char *id)
{
    const uint64_t lsn = end_of(f->server);
    const struct manifest_wal_range wal = {1, lsn, lsn + 1};
    open_repo(f, true);
    helper_repo_put_manifest(&f->helper, id, &wal);
}

/* Whoever found it may have ended before anybody heard of it. */
static void a_gap_is_found_again_until_a_backup_starts_behind_it(void **state)
{
    struct fixture *f = *state;
    set(f->server, "SET wal_keep_size = 0");
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    put_backup(f, "20261120T082118Z-full-3fa2");
    lose_wal(f);
    begin(f);
    await(f, has_gap, 0);
    await_durable(f);
    const struct wal_follow_state found = wal_board_state(&f->board);
    end(f);
    begin(f);
    await(f, has_gap, 0);
    emit_little(f->server);
    await_durable(f);
    const struct wal_follow_state again = wal_board_state(&f->board);
    end(f);
    assert_memory_equal(&again.gap, &found.gap, sizeof(found.gap));
    assert_true(again.gap_system_identifier == f->helper.repo->document.system_identifier);
    put_backup(f, "20261121T082118Z-full-3fa2");
    begin(f);
    emit_little(f->server);
    await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    end(f);
}

/* What was removed from the regions, the server may have. */
static void what_is_missing_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    put_backup(f, "20261120T082118Z-full-3fa2");
    const uint64_t from = end_of(f->server);
    begin(f);
    emit_wal(f->server, 60);
    await_durable(f);
    const uint64_t to = end_of(f->server);
    end(f);
    const struct wal_piece lost = {1, from + 2 * SEGMENT - from % SEGMENT, SEGMENT, 0, SEGMENT};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_segment_prefix(&lost, prefix);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, prefix);
    helper_repo_remove_object(&f->helper, 0, name);
    begin(f);
    emit_little(f->server);
    await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    end(f);
    expect_wal(f, 1, from, to);
}

static void a_slot_that_the_server_gave_up_is_made_anew(void **state)
{
    struct fixture *f = *state;
    set(f->server, "SET wal_keep_size = 0");
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    set(f->server, "SET max_slot_wal_keep_size = '16MB'");
    for (int i = 0; i < SEVERAL; i++) {
        emit_wal(f->server, 32);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
    helper_postgres_await(f->server, "SELECT wal_status" SLOTS, "lost");
    begin(f);
    await_durable(f);
    assert_true(wal_board_state(&f->board).gap.to > 0);
    helper_postgres_await(f->server, "SELECT wal_status IN ('reserved', 'extended')" SLOTS, "t");
    end(f);
}

static void a_region_that_fails_is_left_out_and_comes_back(void **state)
{
    struct fixture *f = *state;
    set_up_regions(f, 2, 1);
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    store_plan_fault("r1", 6, 1 << 20, STORE_FAULT_PERMANENT);
    begin(f);
    emit_wal(f->server, 20);
    await_durable(f);
    emit_little(f->server);
    await_durable(f);
    end(f);
    assert_true(store_plan.calls >= 6);
    store_plan_nothing();
    begin(f);
    emit_little(f->server);
    await_durable(f);
    end(f);
}

static void what_a_quorum_has_does_not_wait_for_a_region_that_hangs(void **state)
{
    struct fixture *f = *state;
    set_up_regions(f, 2, 1);
    store_plan_fault("r1", 0, 0, STORE_FAULT_HANG);
    store_plan.watch = wait_at_gate;
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    close_gate();
    emit_little(f->server);
    await_durable(f);
    open_gate();
    end(f);
}

static void who_lacks_a_right_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    helper_postgres_do(f->server, "ALTER ROLE lifeboat NOREPLICATION");
    begin(f);
    assert_int_equal(join(f), 0 - 1);
    assert_int_equal(f->error.kind, ERROR_PERMANENT);
    assert_non_null(strstr(f->error.text, "REPLICATION"));
}

static void later_it_waits_for_whoever_mends_it(void **state)
{
    struct fixture *f = *state;
    begin(f);
    await(f, is_streaming, 0);
    emit_little(f->server);
    await_durable(f);
    helper_postgres_do(f->server, "ALTER ROLE lifeboat NOREPLICATION");
    helper_postgres_do(f->server, "SELECT pg_catalog.pg_terminate_backend(pid)"
                                  " FROM pg_catalog.pg_stat_replication");
    await(f, is_not_streaming, 0);
    helper_postgres_do(f->server, "ALTER ROLE lifeboat REPLICATION");
    emit_little(f->server);
    await_durable(f);
    end(f);
}

static bool lost_nothing(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->lost == 0 && is_durable(state, lsn);
}

/* One that is out may have what the others lack: whether WAL is missing is seen once it is back. */
static void a_gap_is_told_only_of_all_regions(void **state)
{
    struct fixture *f = *state;
    set(f->server, "SET wal_keep_size = 0");
    set_up_regions(f, 2, 1);
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    const uint64_t before = end_of(f->server);
    end(f);
    lose_wal(f);
    store_plan_fault("r1", 1, 1 << 20, STORE_FAULT_PERMANENT);
    begin(f);
    await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    store_plan_nothing();
    await(f, has_gap, before);
    await(f, lost_nothing, end_of(f->server));
    end(f);
}

static void what_a_region_has_that_is_out_is_no_gap(void **state)
{
    struct fixture *f = *state;
    set(f->server, "SET wal_keep_size = 0");
    set_up_regions(f, 2, 1);
    begin(f);
    await(f, is_streaming, 0);
    await_durable(f);
    end(f);
    store_plan_fault("r0", 1, 1 << 20, STORE_FAULT_PERMANENT);
    begin(f);
    for (int i = 0; i < SEVERAL; i++) {
        emit_wal(f->server, 20);
        await_durable(f);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
    end(f);
    store_plan_fault("r1", 1, 1 << 20, STORE_FAULT_PERMANENT);
    begin(f);
    await_durable(f);
    store_plan_nothing();
    await(f, lost_nothing, end_of(f->server));
    const struct wal_follow_state now = wal_board_state(&f->board);
    end(f);
    assert_int_equal(now.gap.to, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_wal_is_stored_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_accumulated_goes_out_on_all_uploads_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_slot_lets_go_of_what_is_stored_and_keeps_the_rest,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_of_a_segment_go_when_it_is_complete, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(whatever_call_fails_nothing_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_shuts_down_while_the_regions_hang, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stream_that_gets_nowhere_is_none_until_it_does, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_server_with_much_to_send_shuts_down_while_the_regions_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_s_commit_waits_for_us, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_promotion_is_followed_to_the_new_timeline, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_history_of_a_timeline_that_was_missed_is_stored_as_well,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(wal_of_another_server_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_named_and_the_stream_goes_on_behind_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_found_again_until_a_backup_starts_behind_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_is_asked_for_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slot_that_the_server_gave_up_is_made_anew, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_region_that_fails_is_left_out_and_comes_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_quorum_has_does_not_wait_for_a_region_that_hangs,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_lacks_a_right_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_it_waits_for_whoever_mends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_told_only_of_all_regions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_region_has_that_is_out_is_no_gap, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
