// SPDX-License-Identifier: Apache-2.0
/* Streaming from a real server, compared with the files that it keeps itself. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_replication.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/wal_message.h"

enum { SEGMENT = 1 << 20, MESSAGE_BYTES_MAX = 1 << 20, PATIENCE_MS = 120000 };

static struct helper_postgres *server;
static struct cancel cancel;

static int set_up(void **state)
{
    (void)state;
    struct error err;
    server = helper_postgres_start(&(struct helper_postgres_options){
        .initdb = "--wal-segsize=1", .settings = "wal_keep_size = 256MB\nautovacuum = off"});
    helper_postgres_add_role(server, "");
    assert_int_equal(cancel_init(&cancel, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cancel_done(&cancel);
    helper_postgres_stop(&server);
    return 0;
}

static struct pg_replication *open_replication(const struct helper_postgres *whom,
                                               struct pg_system *ret_system)
{
    struct pg_options options = helper_postgres_login(whom, "lifeboat", &cancel);
    struct pg_replication *replication;
    struct error err;
    if (pg_replication_open(&replication, &options, ret_system, &err) < 0)
        fail_msg("%s", err.text);
    return replication;
}

static void start(struct pg_replication *replication, const char *slot, uint32_t timeline,
                  uint64_t lsn)
{
    struct error err;
    if (pg_replication_start(replication, slot, timeline, lsn, &err) < 0)
        fail_msg("%s", err.text);
}

/* Takes in one message that continues wal, which begins at start_lsn: 1, 0 and -1 as
 * pg_replication_receive. Reports all as flushed. Asserts nothing, as threads call it too. */
static int receive(struct pg_replication *replication, uint64_t start_lsn, struct buf *wal,
                   struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(MESSAGE_BYTES_MAX);
    int received = pg_replication_receive(replication, PATIENCE_MS, &content, err);
    if (received <= 0)
        return received;
    struct wal_message message;
    if (wal_message_parse(content.data, content.size, &message, err) < 0)
        return -1;
    if (message.type == WAL_MESSAGE_DATA) {
        if (message.lsn != start_lsn + wal->size || message.server_lsn < message.lsn + message.size)
            return error_set(err, ERROR_CORRUPT, "the stream has a gap or runs ahead");
        if (buf_append(wal, message.data, message.size, err) < 0)
            return -1;
    }
    return pg_replication_report(replication, start_lsn + wal->size, err) < 0 ? -1 : 1;
}

static void assert_same_as_file(const struct helper_postgres *whom, uint32_t timeline, uint64_t lsn,
                                const uint8_t *wal, size_t size)
{
    char name[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(timeline, lsn, SEGMENT, name);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/%s", whom->data, name);
    CLEANUP(buf_done) struct buf file = BUF(SEGMENT);
    struct error err;
    if (buf_read_file(&file, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(file.size >= size);
    assert_memory_equal(file.data, wal, size);
}

static uint64_t query_lsn(const struct helper_postgres *whom, const char *sql)
{
    CLEANUP(own_freep) char *text = helper_postgres_sql(whom, sql);
    uint64_t lsn;
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

static void a_server_identifies_itself(void **state)
{
    (void)state;
    struct pg_system system;
    struct pg_replication *replication = open_replication(server, &system);
    pg_replication_closep(&replication);
    CLEANUP(own_freep)
    char *expected =
        helper_postgres_sql(server, "SELECT system_identifier FROM pg_control_system()");
    CLEANUP(own_freep) char *own = own_format("%" PRIu64, system.system_identifier);
    assert_string_equal(own, expected);
    assert_int_equal(system.timeline, 1);
    assert_true(system.flushed_lsn <= query_lsn(server, "SELECT pg_current_wal_flush_lsn()"));
}

static void what_is_streamed_is_what_the_server_keeps(void **state)
{
    (void)state;
    struct pg_system system;
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = open_replication(server, &system);
    struct error err;
    if (pg_replication_create_slot(replication, "lifeboat_test", PG_SLOT_TEMPORARY, &err) < 0)
        fail_msg("%s", err.text);
    uint64_t first = system.flushed_lsn / SEGMENT * SEGMENT;
    start(replication, "lifeboat_test", system.timeline, first);
    helper_postgres_do(server, "CREATE TABLE filling AS SELECT repeat(md5(i::text), 30)"
                               " FROM generate_series(1, 4000) AS i; SELECT pg_switch_wal()");
    uint64_t last = query_lsn(server, "SELECT pg_current_wal_flush_lsn()") / SEGMENT * SEGMENT;
    assert_true(last - first >= 3 * SEGMENT);

    CLEANUP(buf_done) struct buf wal = BUF(64 << 20);
    while (first + wal.size < last)
        assert_int_equal(receive(replication, first, &wal, &err), 1);
    for (uint64_t lsn = first; lsn < last; lsn += SEGMENT)
        assert_same_as_file(server, 1, lsn, wal.data + (lsn - first), SEGMENT);
}

static void a_slot_is_temporary_and_keeps_wal_from_the_start(void **state)
{
    (void)state;
    struct pg_system system;
    struct pg_replication *replication = open_replication(server, &system);
    struct error err;
    assert_int_equal(
        pg_replication_create_slot(replication, "lifeboat_slot", PG_SLOT_TEMPORARY, &err), 0);
    CLEANUP(own_freep)
    char *slot = helper_postgres_sql(server, "SELECT temporary, slot_type, restart_lsn IS NOT NULL"
                                             " FROM pg_replication_slots"
                                             " WHERE slot_name = 'lifeboat_slot'");
    assert_string_equal(slot, "t|physical|t");
    assert_int_equal(
        pg_replication_create_slot(replication, "lifeboat_slot", PG_SLOT_TEMPORARY, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "create replication slot 'lifeboat_slot': "));
    /* the connection goes on after a refusal */
    assert_int_equal(
        pg_replication_create_slot(replication, "lifeboat_other", PG_SLOT_TEMPORARY, &err), 0);
    pg_replication_closep(&replication);
    /* the slot does not outlive its connection */
    helper_postgres_await(server, "SELECT count(*) FROM pg_replication_slots", "0");
}

static void wal_that_is_gone_is_permanent_and_says_so(void **state)
{
    (void)state;
    struct pg_system system;
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = open_replication(server, &system);
    start(replication, NULL, 1, 0);
    CLEANUP(buf_done) struct buf wal = BUF(MESSAGE_BYTES_MAX);
    struct error err;
    int received;
    while ((received = receive(replication, 0, &wal, &err)) == 1)
        ;
    assert_int_equal(received, -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "has already been removed"));
}

static void nothing_in_time_is_no_error(void **state)
{
    (void)state;
    struct pg_system system;
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = open_replication(server, &system);
    start(replication, NULL, 1, system.flushed_lsn);
    CLEANUP(buf_done) struct buf message = BUF(MESSAGE_BYTES_MAX);
    struct error err;
    int received;
    while ((received = pg_replication_receive(replication, 20, &message, &err)) == 1)
        ; /* WAL of the server's own, and a first keepalive */
    assert_int_equal(received, 0);
    assert_int_equal(message.size, 0);
}

static void a_message_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct pg_system system;
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = open_replication(server, &system);
    start(replication, NULL, 1, system.flushed_lsn / SEGMENT * SEGMENT);
    helper_postgres_do(server, "CREATE TABLE a_little_wal()");
    CLEANUP(buf_done) struct buf message = BUF(16);
    struct error err;
    assert_int_equal(pg_replication_receive(replication, PATIENCE_MS, &message, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

/* WAL that another thread takes in until something ends it. */
struct stream {
    struct cancel cancel;
    struct crew *crew;
    struct pg_replication *replication;
    uint64_t start_lsn;
    struct buf wal;
};

static int take_in(void *arg, struct error *err)
{
    struct stream *s = arg;
    int received;
    while ((received = receive(s->replication, s->start_lsn, &s->wal, err)) == 1)
        ;
    return received;
}

static int open_stream(void **state)
{
    struct stream *s = own_alloc(sizeof(*s));
    struct error err;
    *state = s;
    s->wal = (struct buf)BUF(64 << 20);
    if (cancel_init(&s->cancel, &err) < 0)
        return -1;
    s->crew = crew_new(&s->cancel);
    struct pg_options options = helper_postgres_login(server, "lifeboat", &s->cancel);
    struct pg_system system;
    if (pg_replication_open(&s->replication, &options, &system, &err) < 0)
        fail_msg("%s", err.text);
    s->start_lsn = system.flushed_lsn;
    start(s->replication, NULL, 1, s->start_lsn);
    return crew_start(s->crew, "stream", take_in, s, &err);
}

static int close_stream(void **state)
{
    CLEANUP(own_freep) struct stream *s = *state;
    crew_freep(&s->crew);
    pg_replication_closep(&s->replication);
    buf_done(&s->wal);
    cancel_done(&s->cancel);
    return 0;
}

static void a_cancel_ends_the_wait_for_wal(void **state)
{
    struct stream *s = *state;
    struct error err;
    helper_postgres_do(server, "SELECT pg_logical_emit_message(true, 'test', 'x')");
    /* when it has reported all that there is, it waits for more */
    helper_postgres_await(server,
                          "SELECT flush_lsn = pg_current_wal_flush_lsn()"
                          " FROM pg_stat_replication",
                          "t");
    int64_t began_ms = clock_monotonic_ms();
    cancel_trigger(&s->cancel);
    assert_int_equal(crew_join(s->crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_true(clock_monotonic_ms() - began_ms < PATIENCE_MS / 2);
    assert_int_equal(pg_replication_report(s->replication, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(pg_replication_receive(s->replication, 0, &s->wal, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

/* Streams timeline 1 from lsn to where the promotion ended it, which is the result. */
static uint64_t stream_to_the_fork(struct pg_replication *replication, uint64_t lsn)
{
    CLEANUP(buf_done) struct buf wal = BUF(64 << 20);
    struct error err;
    int received;
    start(replication, NULL, 1, lsn);
    while ((received = receive(replication, lsn, &wal, &err)) == 1)
        ;
    assert_int_equal(received, -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "timeline 1 ends here"));
    return lsn + wal.size;
}

static void a_promotion_is_followed_along_the_history(void **state)
{
    (void)state;
    struct helper_postgres *standby = helper_postgres_standby(server);
    uint64_t lsn = query_lsn(server, "SELECT pg_current_wal_flush_lsn()") / SEGMENT * SEGMENT;
    helper_postgres_promote(standby);
    helper_postgres_do(standby, "CREATE TABLE after_promotion()");
    struct pg_system system;
    struct pg_replication *replication = open_replication(standby, &system);
    assert_int_equal(system.timeline, 2);

    CLEANUP(buf_done) struct buf history = BUF(1 << 16), file = BUF(1 << 16);
    struct error err;
    if (pg_replication_history(replication, 2, &history, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/00000002.history", standby->data);
    assert_int_equal(buf_read_file(&file, AT_FDCWD, path, &err), 0);
    assert_int_equal(history.size, file.size);
    assert_memory_equal(history.data, file.data, file.size);
    assert_int_equal(pg_replication_history(replication, 9, &history, &err), -1);
    assert_non_null(strstr(err.text, "history of timeline 9"));

    uint64_t fork_lsn = stream_to_the_fork(replication, lsn);
    CLEANUP(own_freep) char *text = buf_string(&history);
    char fork_text[LSN_TEXT_BYTES];
    lsn_format(fork_lsn, fork_text);
    assert_non_null(strstr(text, fork_text));
    /* once more from its very end: there is nothing to stream, and that is no other answer */
    assert_int_equal(stream_to_the_fork(replication, fork_lsn), fork_lsn);

    start(replication, NULL, 2, fork_lsn);
    CLEANUP(buf_done) struct buf wal = BUF(64 << 20);
    uint64_t end = query_lsn(standby, "SELECT pg_current_wal_flush_lsn()");
    while (fork_lsn + wal.size < end)
        assert_int_equal(receive(replication, fork_lsn, &wal, &err), 1);
    pg_replication_closep(&replication);
    helper_postgres_stop(&standby);
}

static void a_shutdown_ends_the_stream_and_waits_for_nobody(void **state)
{
    struct stream *s = *state;
    struct error err;
    helper_postgres_shut_down(server, "fast");
    helper_postgres_resume(server);
    assert_int_equal(crew_join(s->crew, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "shutting down"));
    /* the shutdown checkpoint, the last record before the end, came too */
    assert_true(s->start_lsn + s->wal.size >=
                query_lsn(server, "SELECT checkpoint_lsn FROM pg_control_checkpoint()"));
}

static void a_crash_ends_the_stream(void **state)
{
    (void)state;
    struct pg_system system;
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = open_replication(server, &system);
    start(replication, NULL, 1, system.flushed_lsn);
    helper_postgres_shut_down(server, "immediate");
    CLEANUP(buf_done) struct buf wal = BUF(64 << 20);
    struct error err;
    int received;
    while ((received = receive(replication, system.flushed_lsn, &wal, &err)) == 1)
        ;
    helper_postgres_resume(server);
    assert_int_equal(received, -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_identifies_itself),
        cmocka_unit_test(what_is_streamed_is_what_the_server_keeps),
        cmocka_unit_test(a_slot_is_temporary_and_keeps_wal_from_the_start),
        cmocka_unit_test(wal_that_is_gone_is_permanent_and_says_so),
        cmocka_unit_test(nothing_in_time_is_no_error),
        cmocka_unit_test(a_message_beyond_the_limit_is_refused),
        cmocka_unit_test_setup_teardown(a_cancel_ends_the_wait_for_wal, open_stream, close_stream),
        cmocka_unit_test(a_promotion_is_followed_along_the_history),
        cmocka_unit_test_setup_teardown(a_shutdown_ends_the_stream_and_waits_for_nobody,
                                        open_stream, close_stream),
        cmocka_unit_test(a_crash_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
