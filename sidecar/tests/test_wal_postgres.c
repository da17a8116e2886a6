// SPDX-License-Identifier: Apache-2.0
/* The WAL of real servers: wal_scan says of every record what pg_waldump says, and wal_search finds
 * it in a repository. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_demands.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_scan.h"
#include "sidecar/wal_search.h"

enum { MIB = 1 << 20, HISTORY_MAX = 1 << 16, EACH = 40, CAPACITY = 1 << 14 };

static const struct helper_postgres_options options = {
    .initdb = "--wal-segsize=1",
    .settings = "wal_level = logical\nmax_prepared_transactions = 5\nautovacuum = off\n"
                "wal_keep_size = 1GB\n",
};

#define SUBTRANSACTIONS                                                                            \
    "DO $$BEGIN FOR n IN 1..300 LOOP"                                                              \
    " BEGIN INSERT INTO t VALUES (n); PERFORM 1 / (n % 10); EXCEPTION WHEN division_by_zero THEN " \
    "NULL; END;"                                                                                   \
    " END LOOP; END$$;\n"

/* Everything that makes the end of a transaction look different. */
static const char workload[] =
    "CREATE TABLE t (n int, s text);\n"
    "SELECT pg_catalog.pg_create_restore_point('first');\n"
    "SELECT 'INSERT INTO t VALUES (1)' FROM pg_catalog.generate_series(1, 200) \\gexec\n"
    "BEGIN; INSERT INTO t VALUES (2); ROLLBACK;\n"
    "BEGIN; " SUBTRANSACTIONS "COMMIT;\n"
    "CREATE TABLE a (n int); INSERT INTO a VALUES (1);\n"
    "CREATE TABLE b (n int); INSERT INTO b VALUES (1);\n"
    "BEGIN; DROP TABLE a; CREATE TABLE c (n int); " SUBTRANSACTIONS "PREPARE TRANSACTION 'one';\n"
    "BEGIN; DROP TABLE b; CREATE TABLE d (n int); " SUBTRANSACTIONS "PREPARE TRANSACTION 'two';\n"
    "INSERT INTO t VALUES (3);\n"
    "COMMIT PREPARED 'one'; ROLLBACK PREPARED 'two';\n"
    "SELECT pg_catalog.pg_logical_emit_message(false, 'x', pg_catalog.repeat('y', 3000000));\n"
    "SELECT pg_catalog.pg_replication_origin_create('origin');\n"
    "SELECT pg_catalog.pg_replication_origin_session_setup('origin');\n"
    "BEGIN; SELECT pg_catalog.pg_replication_origin_xact_setup('0/1', pg_catalog.now());\n"
    "INSERT INTO t VALUES (4); COMMIT;\n"
    "SELECT pg_catalog.pg_replication_origin_session_reset();\n"
    "SELECT pg_catalog.pg_replication_origin_drop('origin');\n"
    "SELECT pg_catalog.pg_switch_wal();\n"
    "CHECKPOINT;\n"
    "UPDATE t SET s = pg_catalog.repeat('z', 100);\n"
    "SELECT pg_catalog.pg_create_restore_point('second');\n"
    "BEGIN; TRUNCATE t; ROLLBACK;\n"
    "INSERT INTO t SELECT n, 'x' FROM pg_catalog.generate_series(1, 20000) AS n;\n"
    "DROP TABLE t, b, c;\n";

/* The WAL of a timeline, [from, to), which a server has in its files. */
struct part {
    const struct helper_postgres *server;
    uint32_t timeline;
    uint64_t from, to;
};

static struct helper_postgres *primary;

struct fixture {
    struct helper_postgres *standby;
    struct helper_repo helper;
    struct wal_record *records; /* of all parts */
    size_t count, capacity;
};

static int start_primary(void **state)
{
    (void)state;
    primary = helper_postgres_start(&options);
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static int stop_primary(void **state)
{
    (void)state;
    helper_postgres_stop(&primary);
    return 0;
}

static int setup(void **state)
{
    *state = own_alloc(sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    if (f->helper.directory[0])
        helper_repo_close(&f->helper);
    if (f->standby)
        helper_postgres_stop(&f->standby);
    free(f->records);
    return 0;
}

static uint64_t current_lsn(const struct helper_postgres *server)
{
    uint64_t lsn;
    CLEANUP(own_freep)
    char *text = helper_postgres_sql(server, "SELECT pg_catalog.pg_current_wal_insert_lsn()");
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

/* The switch brings what is before it to the files. */
static struct part work(const struct helper_postgres *server, uint32_t timeline)
{
    struct part part = {server, timeline, current_lsn(server), 0};
    helper_postgres_do(server, workload);
    part.to = current_lsn(server);
    helper_postgres_do(server, "SELECT pg_catalog.pg_switch_wal()");
    return part;
}

/* What we read */

static void read_segment(const struct part *part, uint64_t lsn, struct buf *segment)
{
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(part->timeline, lsn, MIB, name);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/%s", part->server->data, name);
    if (buf_read_file(segment, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(segment->size, MIB);
}

static void keep(struct fixture *f, const struct part *part, const struct wal_record *record)
{
    if (record->lsn < part->from)
        return;
    if (f->count == f->capacity) {
        f->capacity += CAPACITY;
        f->records = own_resize(f->records, f->capacity, sizeof(f->records[0]));
    }
    f->records[f->count++] = *record;
}

/* Keeps what it finds. */
static void scan(struct fixture *f, const struct part *part)
{
    struct error err;
    int found;
    uint64_t at = part->from - part->from % WAL_SCAN_PAGE_BYTES;
    CLEANUP(buf_done) struct buf segment = BUF(MIB);
    struct wal_scan scan = wal_scan_from(at, MIB, 0);
    for (; at < part->to; at += MIB - at % MIB) {
        const uint64_t end = at - at % MIB + MIB;
        struct wal_record record;
        read_segment(part, at, &segment);
        struct reader wal = READER(segment.data + at % MIB, (part->to < end ? part->to : end) - at);
        while ((found = wal_scan_next(&scan, &wal, &record, &err)) > 0)
            keep(f, part, &record);
        if (found < 0)
            fail_msg("%s", err.text);
    }
    assert_false(wal_scan_ended(&scan));
}

/* What pg_waldump reads */

static void need(const char *line, char *text)
{
    if (!strstr(line, text))
        fail_msg("'%s' is not in: %s", text, line);
    free(text);
}

/* As pg_waldump does with TZ=UTC. */
static char *format_time(int64_t time_us)
{
    char text[64];
    struct tm tm;
    const time_t seconds = time_us / 1000000;
    assert_true(strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm)) > 0);
    return own_format("%s.%06d UTC", text, (int)(time_us % 1000000));
}

static void expect_end(const char *line, const struct wal_record *record)
{
    const char *what = record->kind == WAL_RECORD_COMMIT ? "COMMIT" : "ABORT";
    const uint8_t operation = record->info & 0x70;
    CLEANUP(own_freep) char *time = format_time(record->time_us);
    if (operation == 0x30 || operation == 0x40) {
        need(line, own_format("desc: %s_PREPARED %" PRIu32 ": %s", what, record->xid, time));
        return;
    }
    need(line, own_format("desc: %s %s", what, time));
    need(line, own_format("tx: %10" PRIu32 ",", record->xid));
}

static void expect_running(const char *line, const struct wal_record *record)
{
    need(line, own_format("desc: RUNNING_XACTS nextXid %" PRIu32 " ", record->next_xid));
    need(line, own_format("oldestRunningXid %" PRIu32, record->oldest_xid));
}

static void expect_line(const char *line, const struct wal_record *record)
{
    need(line, own_format("/%6" PRIu32 ", tx:", record->size));
    need(line, own_format(", lsn: %" PRIX32 "/%08" PRIX32 ",", (uint32_t)(record->lsn >> 32),
                          (uint32_t)record->lsn));
    if (wal_record_ends_transaction(record))
        expect_end(line, record);
    else if (record->kind == WAL_RECORD_RESTORE_POINT)
        need(line, own_format("desc: RESTORE_POINT %s", record->name));
    else if (record->kind == WAL_RECORD_RUNNING)
        expect_running(line, record);
    else if (record->kind == WAL_RECORD_SWITCH)
        need(line, own_format("desc: SWITCH"));
    else if (record->kind == WAL_RECORD_DEMANDS)
        need(line,
             own_format("desc: PARAMETER_CHANGE max_connections=%" PRIu32
                        " max_worker_processes=%" PRIu32 " max_wal_senders=%" PRIu32
                        " max_prepared_xacts=%" PRIu32 " max_locks_per_xact=%" PRIu32 " ",
                        record->demands.max_connections, record->demands.max_worker_processes,
                        record->demands.max_wal_senders, record->demands.max_prepared_transactions,
                        record->demands.max_locks_per_transaction));
    else if (strstr(line, "desc: COMMIT") || strstr(line, "desc: ABORT") ||
             strstr(line, "desc: RESTORE_POINT") || strstr(line, "desc: RUNNING_XACTS") ||
             strstr(line, "desc: SWITCH") || strstr(line, "desc: PARAMETER_CHANGE"))
        fail_msg("not recognised: %s", line);
}

static char *dump(const struct part *part)
{
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    lsn_format(part->from, from);
    lsn_format(part->to, to);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal", part->server->data);
    CLEANUP(own_freep) char *timeline = own_format("%" PRIu32, part->timeline);
    const char *const arguments[] = {"--path", path,    "--timeline", timeline, "--start",
                                     from,     "--end", to,           NULL};
    return helper_postgres_run(part->server, "pg_waldump", arguments);
}

static void scan_and_compare(struct fixture *f, const struct part *part)
{
    size_t number = f->count;
    scan(f, part);
    CLEANUP(own_freep) char *text = dump(part);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "rmgr:", 5) != 0)
            continue;
        if (number == f->count)
            fail_msg("not found: %s", line);
        expect_line(line, &f->records[number++]);
    }
    assert_int_equal(number, f->count);
}

static void expect_count(const struct fixture *f, enum wal_record_kind kind, size_t least)
{
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++)
        count += f->records[i].kind == kind;
    assert_true(count >= least);
}

/* What is found in a repository */

static void put_part(struct fixture *f, const struct part *part)
{
    struct error err;
    uint64_t stored = 0;
    CLEANUP(buf_done) struct buf segment = BUF(MIB);
    for (uint64_t lsn = part->from - part->from % MIB; lsn < part->to; lsn += MIB) {
        const uint64_t left = part->to - lsn;
        const struct wal_piece piece = {part->timeline, lsn, MIB, 0,
                                        left < MIB ? (uint32_t)left : MIB};
        read_segment(part, lsn, &segment);
        if (wal_archive_put(f->helper.repo, &piece, segment.data, &stored, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void open_repo(struct fixture *f)
{
    CLEANUP(own_freep)
    char *text = helper_postgres_sql(
        primary, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
    helper_repo_open(&f->helper, 1, strtoull(text, NULL, 10));
}

static struct wal_record find(const struct wal_search *search, struct wal_search_wish wish)
{
    struct error err;
    struct wal_record found = {0};
    if (wal_search_first(search, &wish, &found, &err) < 0)
        fail_msg("%s", err.text);
    return found;
}

static bool is_named(const struct wal_record *record, const struct wal_search_wish *wish)
{
    if (wish->by == WAL_SEARCH_XID)
        return wal_record_ends_transaction(record) && record->xid == wish->xid;
    return record->kind == WAL_RECORD_RESTORE_POINT && strcmp(record->name, wish->name) == 0;
}

/* The same as by looking at one record after the other. */
static void expect_named(const struct fixture *f, const struct wal_search *search,
                         struct wal_search_wish wish)
{
    const struct wal_record found = find(search, wish);
    size_t i = 0;
    while (i < f->count && !is_named(&f->records[i], &wish))
        i++;
    if (i == f->count) {
        assert_int_equal(found.kind, WAL_RECORD_NONE);
        return;
    }
    assert_int_equal(found.kind, f->records[i].kind);
    assert_int_equal(found.lsn, f->records[i].lsn);
    assert_int_equal(found.end_lsn, f->records[i].end_lsn);
}

/* What is found ended at from_us or later, and what ended just before it did not: that is so even
 * if somebody sets the clock of this machine meanwhile. */
static void expect_time(const struct fixture *f, const struct wal_search *search, int64_t from_us,
                        bool later)
{
    const struct wal_record *before = NULL, *end = NULL;
    const struct wal_record found = find(
        search, (struct wal_search_wish){
                    .by = WAL_SEARCH_TIME, .time_us = from_us - (later ? 1 : 0), .later = later});
    for (size_t i = 0; i < f->count && !end; i++) {
        if (!wal_record_ends_transaction(&f->records[i]))
            continue;
        if (f->records[i].lsn == found.lsn)
            end = &f->records[i];
        else
            before = &f->records[i];
    }
    assert_true(!before || before->time_us < from_us);
    assert_int_equal(found.kind == WAL_RECORD_NONE, !end);
    assert_true(!end || (end->time_us >= from_us && end->time_us == found.time_us));
}

static void expect_searches(const struct fixture *f, const struct wal_search *search)
{
    const struct wal_record *last = NULL;
    struct wal_record found;
    struct error err;
    for (size_t i = 0, ends = 0; i < f->count; i++) {
        const struct wal_record *record = &f->records[i];
        if (!wal_record_ends_transaction(record))
            continue;
        last = record;
        if (ends++ % EACH != 0 && (record->info & 0x70) < 0x30)
            continue;
        expect_named(f, search, (struct wal_search_wish){.by = WAL_SEARCH_XID, .xid = record->xid});
        expect_time(f, search, record->time_us, false);
        expect_time(f, search, record->time_us + 1, true);
    }
    expect_named(f, search, (struct wal_search_wish){.by = WAL_SEARCH_NAME, .name = "first"});
    expect_named(f, search, (struct wal_search_wish){.by = WAL_SEARCH_NAME, .name = "second"});
    expect_named(f, search, (struct wal_search_wish){.by = WAL_SEARCH_NAME, .name = "third"});
    if (wal_search_last(search, &found, &err) < 0)
        fail_msg("%s", err.text);
    assert_non_null(last);
    assert_int_equal(found.lsn, last->lsn);
}

/* Tests */

static void every_record_is_what_pg_waldump_says(void **state)
{
    struct fixture *f = *state;
    const struct part part = work(primary, 1);
    scan_and_compare(f, &part);
    expect_count(f, WAL_RECORD_COMMIT, 200);
    expect_count(f, WAL_RECORD_ABORT, 93); /* subtransactions that failed have one too */
    expect_count(f, WAL_RECORD_RESTORE_POINT, 2);
    expect_count(f, WAL_RECORD_SWITCH, 1);
    expect_count(f, WAL_RECORD_RUNNING, 1);
    expect_count(f, WAL_RECORD_OTHER, 20000);
}

static void a_crash_of_the_server_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct part part = work(primary, 1);
    helper_postgres_shut_down(primary, "immediate");
    helper_postgres_resume(primary);
    helper_postgres_do(primary, "CREATE TABLE after_crash (n int)");
    part.to = current_lsn(primary);
    helper_postgres_do(primary, "SELECT pg_catalog.pg_switch_wal()");
    scan_and_compare(f, &part);
}

static void other_settings_are_demands(void **state)
{
    struct fixture *f = *state;
    struct part part = work(primary, 1);
    struct timeline_span span = {1, 0, UINT64_MAX};
    struct timeline history = {&span, 1};
    struct pg_demands demands = {.max_locks_per_transaction = 1000};
    struct error err;
    helper_postgres_do(primary, "ALTER SYSTEM SET max_connections = 222;\n"
                                "ALTER SYSTEM SET max_prepared_transactions = 33;\n");
    helper_postgres_shut_down(primary, "fast");
    helper_postgres_resume(primary);
    helper_postgres_do(primary, "ALTER SYSTEM RESET ALL");
    helper_postgres_shut_down(primary, "fast");
    helper_postgres_resume(primary);
    part.to = current_lsn(primary);
    helper_postgres_do(primary, "SELECT pg_catalog.pg_switch_wal()");
    scan_and_compare(f, &part);
    expect_count(f, WAL_RECORD_DEMANDS, 2);
    open_repo(f);
    put_part(f, &part);
    const struct wal_search search = {
        .repo = f->helper.repo,
        .history = &history,
        .segment_bytes = MIB,
        .from = part.from,
        .to = part.to,
        .cancel = &f->helper.cancel,
    };
    if (wal_search_demands(&search, search.to, &demands, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(demands.max_connections, 222);
    assert_int_equal(demands.max_prepared_transactions, 33);
    assert_int_equal(demands.max_locks_per_transaction, 1000);
}

static void wal_search_finds_what_recovery_would_stop_at(void **state)
{
    struct fixture *f = *state;
    const struct part part = work(primary, 1);
    struct timeline_span span = {1, 0, UINT64_MAX};
    struct timeline history = {&span, 1};
    open_repo(f);
    put_part(f, &part);
    scan(f, &part);
    expect_searches(f, &(struct wal_search){
                           .repo = f->helper.repo,
                           .history = &history,
                           .segment_bytes = MIB,
                           .from = part.from,
                           .to = part.to,
                           .cancel = &f->helper.cancel,
                       });
}

static void read_history(const struct helper_postgres *server, struct timeline *ret_history)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(HISTORY_MAX);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/00000002.history", server->data);
    if (buf_read_file(&text, AT_FDCWD, path, &err) < 0 ||
        timeline_parse(2, text.data, text.size, ret_history, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_search_goes_on_over_a_promotion(void **state)
{
    struct fixture *f = *state;
    CLEANUP(timeline_done) struct timeline history = {0};
    f->standby = helper_postgres_standby(primary);
    struct part before = work(primary, 1);
    char lsn[LSN_TEXT_BYTES];
    lsn_format(before.to, lsn);
    CLEANUP(own_freep)
    char *replayed = own_format("SELECT pg_catalog.pg_last_wal_replay_lsn() >= '%s'", lsn);
    helper_postgres_await(f->standby, replayed, "t");
    helper_postgres_promote(f->standby);
    read_history(f->standby, &history);
    struct part behind = work(f->standby, 2);
    before.to = behind.from = history.spans[0].end_lsn;
    open_repo(f);
    put_part(f, &before);
    put_part(f, &behind);
    scan_and_compare(f, &before);
    scan_and_compare(f, &behind);
    expect_searches(f, &(struct wal_search){
                           .repo = f->helper.repo,
                           .history = &history,
                           .segment_bytes = MIB,
                           .from = before.from,
                           .to = behind.to,
                           .cancel = &f->helper.cancel,
                       });
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(every_record_is_what_pg_waldump_says),
        test(a_crash_of_the_server_changes_nothing),
        test(other_settings_are_demands),
        test(wal_search_finds_what_recovery_would_stop_at),
        test(a_search_goes_on_over_a_promotion),
    };
    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, start_primary, stop_primary);
}
