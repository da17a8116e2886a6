// SPDX-License-Identifier: Apache-2.0
/* Receiving from real servers into a repository, compared with the files that the servers keep. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_receiver.h"

enum { MIB = 1 << 20, SEGMENT = 16 * MIB, PATIENCE_MS = 120000, POLL_MS = 20 };

static const char settings[] = "wal_keep_size = 2GB\nautovacuum = off\n";
static struct helper_postgres *server;

/* A backup without its files. */
struct fixture {
    const struct helper_postgres *server;
    struct helper_repo helper;
    struct crew *crew;
    struct pg *pg;
    struct pg_server facts;
    struct wal_receiver *receiver;
    uint64_t start_lsn, stop_lsn;
};

/* A bucket that answers as the test wants: the driver of a real one, but for put. */
static struct {
    struct store_driver driver;
    int (*put)(struct store *store, const char *name, const struct store_bytes *bytes,
               struct error *err);
    atomic_uint waiting;
    int gate;  /* readable: open */
    int queue; /* readable: somebody waits at the gate */
} bucket = {.gate = -1, .queue = -1};

static int put_through_gate(struct store *store, const char *name, const struct store_bytes *bytes,
                            struct error *err)
{
    atomic_fetch_add(&bucket.waiting, 1);
    eventfd_write(bucket.queue, 1);
    if (cancel_poll(store->cancel, bucket.gate, POLLIN, -1, err) < 0)
        return -1;
    return bucket.put(store, name, bytes, err);
}

static int refuse_put(struct store *store, const char *name, const struct store_bytes *bytes,
                      struct error *err)
{
    (void)store;
    (void)name;
    (void)bytes;
    return error_set(err, ERROR_PERMANENT, "the bucket is full");
}

static void close_gate(void)
{
    bucket.waiting = 0;
    bucket.gate = eventfd(0, EFD_CLOEXEC);
    bucket.queue = eventfd(0, EFD_CLOEXEC);
    assert_true(bucket.gate >= 0 && bucket.queue >= 0);
}

/* Before the backup begins. */
static void replace_put(struct fixture *f,
                        int (*put)(struct store *store, const char *name,
                                   const struct store_bytes *bytes, struct error *err))
{
    helper_repo_open(&f->helper, 1, 0);
    struct store *store = regions_at(f->helper.regions, 0)->store;
    bucket.put = store->driver->put;
    bucket.driver = *store->driver;
    bucket.driver.put = put;
    store->driver = &bucket.driver;
}

/* Servers */

static int start_server(void **state)
{
    (void)state;
    server = helper_postgres_start(&(struct helper_postgres_options){.settings = settings});
    helper_postgres_add_role(server, "");
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    helper_postgres_stop(&server);
    return 0;
}

static uint64_t lsn_of(const struct helper_postgres *whom, const char *sql)
{
    uint64_t lsn;
    CLEANUP(own_freep) char *text = helper_postgres_sql(whom, sql);
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

static void emit_wal(const struct helper_postgres *whom, int mib)
{
    CLEANUP(own_freep)
    char *sql = own_format("SELECT pg_catalog.pg_logical_emit_message(false, 'test',"
                           " pg_catalog.repeat(pg_catalog.md5(n::text), 32768))"
                           " FROM pg_catalog.generate_series(1, %d) AS n",
                           mib);
    helper_postgres_do(whom, sql);
}

/* Backups */

static int setup(void **state)
{
    *state = own_alloc(sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    clock_fake(-1);
    crew_freep(&f->crew);
    wal_receiver_closep(&f->receiver);
    pg_closep(&f->pg);
    if (f->helper.directory[0])
        helper_repo_close(&f->helper);
    own_closep(&bucket.gate);
    own_closep(&bucket.queue);
    return 0;
}

static struct wal_receiver_options options_of(struct fixture *f, const struct pg_options *login)
{
    return (struct wal_receiver_options){
        .pg = login,
        .segment_bytes = f->facts.wal_segment_bytes,
        .system_identifier = f->facts.system_identifier,
        .repo = f->helper.repo,
        .crew = f->crew,
        .cancel = &f->helper.cancel,
    };
}

static void begin(struct fixture *f, const struct helper_postgres *whom)
{
    struct error err;
    f->server = whom;
    if (!f->helper.repo)
        helper_repo_open(&f->helper, 1, 0);
    f->crew = crew_new(&f->helper.cancel);
    struct pg_options login = helper_postgres_login(whom, "lifeboat", &f->helper.cancel);
    if (pg_open(&f->pg, &login, &err) < 0 || pg_inspect(f->pg, &f->facts, &err) < 0)
        fail_msg("%s", err.text);
    struct wal_receiver_options options = options_of(f, &login);
    if (wal_receiver_open(&f->receiver, &options, &err) < 0 ||
        pg_backup_start(f->pg, "test", &f->start_lsn, &err) < 0 ||
        wal_receiver_start(f->receiver, f->start_lsn, &err) < 0)
        fail_msg("%s", err.text);
}

static void end(struct fixture *f)
{
    struct error err;
    struct pg_backup_end stop = {0};
    if (pg_backup_stop(f->pg, &stop, &err) < 0)
        fail_msg("%s", err.text);
    f->stop_lsn = stop.stop_lsn;
    pg_backup_end_done(&stop);
    if (wal_receiver_finish(f->receiver, f->stop_lsn, &err) < 0 || crew_join(f->crew, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_failure(struct fixture *f, enum error_kind kind, const char *text)
{
    struct error err;
    assert_int_equal(crew_join(f->crew, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s error '%s' is not %s with '%s'", error_kind_name(err.kind), err.text,
                 error_kind_name(kind), text);
}

static void read_wal_file(const struct fixture *f, const char *name, struct buf *content)
{
    struct error err;
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/%s", f->server->data, name);
    if (buf_read_file(content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
}

/* One segment of the repository is the server's, up to end. */
static void expect_segment(struct fixture *f, uint64_t lsn, uint64_t end)
{
    struct error err;
    uint32_t segment_bytes = f->facts.wal_segment_bytes;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(buf_done) struct buf ours = BUF(segment_bytes), theirs = BUF(segment_bytes);
    wal_segment_name(wal_receiver_timeline(f->receiver), lsn, segment_bytes, name);
    read_wal_file(f, name, &theirs);
    if (wal_archive_get(f->helper.repo, wal_receiver_timeline(f->receiver), lsn, end, segment_bytes,
                        &ours, &err) < 0)
        fail_msg("%s", err.text);
    uint64_t left = end - lsn;
    assert_int_equal(ours.size, segment_bytes);
    if (memcmp(ours.data, theirs.data, left < segment_bytes ? left : segment_bytes) != 0)
        fail_msg("segment %s differs", name);
}

static void expect_wal(struct fixture *f, uint64_t end)
{
    uint32_t segment_bytes = f->facts.wal_segment_bytes;
    for (uint64_t lsn = f->start_lsn - f->start_lsn % segment_bytes; lsn < end;
         lsn += segment_bytes)
        expect_segment(f, lsn, end);
}

/* How many objects of the archive have a part of their names. */
static size_t count_names(const struct fixture *f, const char *part)
{
    struct error err;
    size_t count = 0;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    assert_int_equal(repo_list(f->helper.repo, "wal/", &names, &err), 0);
    for (size_t i = 0; i < names.count; i++)
        count += strstr(names.names[i].name, part) != NULL;
    return count;
}

/* Those that are no complete segments. */
static size_t count_parts(const struct fixture *f)
{
    return count_names(f, ".0");
}

/* What goes well */

static void the_wal_of_a_backup_is_stored_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    emit_wal(server, 10);
    helper_postgres_do(server, "SELECT pg_catalog.pg_switch_wal()");
    emit_wal(server, 40);
    end(f);
    assert_true(f->stop_lsn - f->start_lsn > 50 * MIB);
    expect_wal(f, f->stop_lsn);
    assert_int_equal(wal_receiver_timeline(f->receiver), 1);
}

static void a_primary_fills_the_last_segment_so_all_are_complete(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    emit_wal(server, 20);
    end(f);
    uint64_t first = f->start_lsn / SEGMENT, last = (f->stop_lsn - 1) / SEGMENT;
    expect_wal(f, (last + 1) * SEGMENT);
    assert_int_equal(count_parts(f), 0);
    assert_int_equal(count_names(f, "wal/"), last - first + 1);
    assert_in_range(wal_receiver_stored_bytes(f->receiver), 1, 64 * MIB);
}

static void a_quiet_server_is_no_obstacle(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    end(f);
    expect_wal(f, f->stop_lsn);
}

static void stream_and_slot_are_gone_at_the_end(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    helper_postgres_await(server, "SELECT temporary, active FROM pg_catalog.pg_replication_slots",
                          "t|t");
    end(f);
    helper_postgres_await(server, "SELECT count(*) FROM pg_catalog.pg_replication_slots", "0");
    helper_postgres_await(server, "SELECT count(*) FROM pg_catalog.pg_stat_replication", "0");
}

static void the_server_may_drop_wal_that_is_stored(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    emit_wal(server, 40);
    uint64_t before_last = lsn_of(server, "SELECT pg_catalog.pg_current_wal_lsn()");
    before_last -= before_last % SEGMENT;
    char lsn[LSN_TEXT_BYTES];
    lsn_format(before_last, lsn);
    CLEANUP(own_freep)
    char *sql = own_format("SELECT restart_lsn = '%s' FROM pg_catalog.pg_replication_slots", lsn);
    helper_postgres_await(server, sql, "t");
    end(f);
}

static void set(const char *setting)
{
    CLEANUP(own_freep) char *sql = own_format("ALTER SYSTEM %s", setting);
    helper_postgres_do(server, sql);
    helper_postgres_do(server, "SELECT pg_catalog.pg_reload_conf()");
}

/* The teardown of who sets; with a synchronous standby left set, commits would wait for ever. */
static int reset_and_tear_down(void **state)
{
    set("RESET ALL");
    return teardown(state);
}

/* What synchronous_standby_names says of everybody, or of our name in any case. */
static void nobody_s_commit_waits_for_us(void **state)
{
    struct fixture *f = *state;
    static const char *const values[] = {"*", "ANY 1 (other, Lifeboat)"};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        CLEANUP(own_freep)
        char *setting = own_format("SET synchronous_standby_names = '%s'", values[i]);
        set(setting);
        helper_postgres_await(server, "SHOW synchronous_standby_names", values[i]);
        begin(f, server);
        emit_wal(server, 20);
        helper_postgres_await(
            server,
            "SELECT write_lsn > slots.restart_lsn, flush_lsn, sync_state"
            " FROM pg_catalog.pg_stat_replication AS stat"
            " JOIN pg_catalog.pg_replication_slots AS slots ON slots.active_pid = stat.pid",
            "t||async");
        end(f);
        expect_wal(f, f->stop_lsn);
        teardown(state);
        setup(state);
        f = *state;
    }
}

static void a_slow_bucket_does_not_cost_the_connection(void **state)
{
    struct fixture *f = *state;
    struct error err;
    set("SET wal_sender_timeout = '3s'");
    close_gate();
    replace_put(f, put_through_gate);
    begin(f, server);
    emit_wal(server, 80); /* more than all buffers hold */
    assert_int_equal(cancel_poll(&f->helper.cancel, bucket.queue, POLLIN, PATIENCE_MS, &err), 1);
    helper_postgres_do(server, "SELECT pg_catalog.pg_sleep(7)");
    assert_int_equal(bucket.waiting, 1);
    helper_postgres_await(server, "SELECT count(*) FROM pg_catalog.pg_stat_replication", "1");
    eventfd_write(bucket.gate, 1);
    end(f);
    expect_wal(f, f->stop_lsn);
}

static void large_segments_are_stored_in_parts(void **state)
{
    struct fixture *f = *state;
    struct helper_postgres *large = helper_postgres_start(
        &(struct helper_postgres_options){.initdb = "--wal-segsize=64", .settings = settings});
    helper_postgres_add_role(large, "");
    begin(f, large);
    emit_wal(large, 80);
    end(f);
    expect_wal(f, f->stop_lsn);
    assert_true(count_names(f, ".01000000-02000000-") > 0);
    assert_int_equal(count_parts(f), count_names(f, "wal/"));
    helper_postgres_stop(&large);
}

static void a_standby_gives_what_it_has_and_its_new_timeline_after_promotion(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf ours = BUF(MIB), theirs = BUF(MIB);
    struct helper_postgres *standby = helper_postgres_standby(server);
    struct error err;

    begin(f, standby);
    emit_wal(server, 3);
    end(f);
    expect_wal(f, f->stop_lsn);
    assert_int_equal(wal_receiver_timeline(f->receiver), 1);
    teardown(state);

    helper_postgres_promote(standby);
    setup(state);
    f = *state;
    begin(f, standby);
    emit_wal(standby, 20);
    end(f);
    expect_wal(f, f->stop_lsn);
    assert_int_equal(wal_receiver_timeline(f->receiver), 2);
    read_wal_file(f, "00000002.history", &theirs);
    if (wal_archive_get_history(f->helper.repo, 2, &ours, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.data, theirs.data, theirs.size);
    helper_postgres_stop(&standby);
}

/* What goes wrong */

static void a_promotion_during_the_backup_fails_it(void **state)
{
    struct fixture *f = *state;
    struct helper_postgres *standby = helper_postgres_standby(server);
    begin(f, standby);
    helper_postgres_promote(standby);
    expect_failure(f, ERROR_TRANSIENT, "timeline 1 ended at ");
    expect_failure(f, ERROR_TRANSIENT, "run the backup again");
    helper_postgres_stop(&standby);
}

/* It waits until its walsenders have all flushed, which here is but a part of a segment. */
static void a_server_can_shut_down_during_the_backup(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    emit_wal(server, 3);
    uint64_t lsn = lsn_of(server, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
    helper_postgres_shut_down(server, "fast");
    expect_failure(f, ERROR_TRANSIENT, "shutting down");
    expect_wal(f, lsn);
    assert_int_equal(count_parts(f), 1);
    helper_postgres_resume(server);
}

static void a_lost_connection_fails_the_backup(void **state)
{
    struct fixture *f = *state;
    begin(f, server);
    helper_postgres_do(server, "SELECT pg_catalog.pg_terminate_backend(pid)"
                               " FROM pg_catalog.pg_stat_replication");
    expect_failure(f, ERROR_TRANSIENT, "receive WAL at ");
}

static void a_bucket_that_refuses_fails_the_backup(void **state)
{
    struct fixture *f = *state;
    struct error err;
    replace_put(f, refuse_put);
    begin(f, server);
    emit_wal(server, 20);
    assert_int_equal(wal_receiver_finish(f->receiver, f->start_lsn + 1024 * (uint64_t)MIB, &err),
                     -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    expect_failure(f, ERROR_PERMANENT, "the bucket is full");
}

static void cancelling_ends_both_threads(void **state)
{
    struct fixture *f = *state;
    struct error err;
    begin(f, server);
    emit_wal(server, 20);
    cancel_trigger(&f->helper.cancel);
    assert_int_equal(wal_receiver_finish(f->receiver, f->start_lsn, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    expect_failure(f, ERROR_CANCELED, "");
}

static void cancelling_ends_the_wait_for_a_hanging_bucket(void **state)
{
    struct fixture *f = *state;
    struct error err;
    close_gate();
    replace_put(f, put_through_gate);
    begin(f, server);
    emit_wal(server, 80);
    assert_int_equal(cancel_poll(&f->helper.cancel, bucket.queue, POLLIN, PATIENCE_MS, &err), 1);
    cancel_trigger(&f->helper.cancel);
    expect_failure(f, ERROR_CANCELED, "");
}

static int finish(void *arg, struct error *err)
{
    struct fixture *f = arg;
    return wal_receiver_finish(f->receiver, f->stop_lsn, err);
}

static void a_server_that_stays_silent_fails_the_backup_after_a_minute(void **state)
{
    struct fixture *f = *state;
    struct cancel cancel;
    struct error err;
    char wanted[LSN_TEXT_BYTES];
    begin(f, server);
    f->stop_lsn = f->start_lsn + 1024 * (uint64_t)MIB;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    struct crew *waiter = crew_new(&cancel);
    assert_int_equal(crew_start(waiter, "finish", finish, f, &err), 0);
    int64_t now_ms = clock_monotonic_ms(), waited_ms = 0;
    for (; !cancel_requested(&f->helper.cancel) && waited_ms < 1000000; waited_ms += 1000) {
        clock_fake(now_ms + waited_ms);
        usleep(POLL_MS * 1000);
    }
    clock_fake(-1);
    assert_true(waited_ms >= 60000);
    assert_int_equal(crew_join(waiter, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    crew_freep(&waiter);
    cancel_done(&cancel);
    lsn_format(f->stop_lsn, wanted);
    expect_failure(f, ERROR_TRANSIENT, "the server sent no WAL for 60 s");
    expect_failure(f, ERROR_TRANSIENT, wanted);
}

static void another_database_system_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct wal_receiver *other = NULL;
    begin(f, server);
    struct pg_options login = helper_postgres_login(server, "lifeboat", &f->helper.cancel);
    struct wal_receiver_options options = options_of(f, &login);
    options.system_identifier++;
    assert_int_equal(wal_receiver_open(&other, &options, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    CLEANUP(own_freep) char *found = own_format("%" PRIu64, f->facts.system_identifier);
    assert_non_null(strstr(err.text, found));
    assert_null(other);
}

static void a_receiver_that_never_started_can_be_closed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct wal_receiver *other = NULL;
    begin(f, server);
    struct pg_options login = helper_postgres_login(server, "lifeboat", &f->helper.cancel);
    struct wal_receiver_options options = options_of(f, &login);
    assert_int_equal(wal_receiver_open(&other, &options, &err), 0);
    wal_receiver_closep(&other);
    wal_receiver_closep(&other);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define test_that_sets(name) cmocka_unit_test_setup_teardown(name, setup, reset_and_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_wal_of_a_backup_is_stored_byte_for_byte),
        test(a_primary_fills_the_last_segment_so_all_are_complete),
        test(a_quiet_server_is_no_obstacle),
        test(stream_and_slot_are_gone_at_the_end),
        test(the_server_may_drop_wal_that_is_stored),
        test_that_sets(nobody_s_commit_waits_for_us),
        test_that_sets(a_slow_bucket_does_not_cost_the_connection),
        test(large_segments_are_stored_in_parts),
        test(a_standby_gives_what_it_has_and_its_new_timeline_after_promotion),
        test(a_promotion_during_the_backup_fails_it),
        test(a_server_can_shut_down_during_the_backup),
        test(a_lost_connection_fails_the_backup),
        test(a_bucket_that_refuses_fails_the_backup),
        test(cancelling_ends_both_threads),
        test(cancelling_ends_the_wait_for_a_hanging_bucket),
        test(a_server_that_stays_silent_fails_the_backup_after_a_minute),
        test(another_database_system_is_refused),
        test(a_receiver_that_never_started_can_be_closed),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
