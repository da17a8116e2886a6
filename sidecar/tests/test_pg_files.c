// SPDX-License-Identifier: Apache-2.0
/* What is read of PostgreSQL's files, against files that PostgreSQL has written. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_control.h"
#include "sidecar/pg_page.h"
#include "sidecar/tests/helper_postgres.h"

static struct helper_postgres *server;

/* Settings other than the defaults, so that no two fields hold the same number. */
static const struct helper_postgres_options options = {
    .initdb = "--data-checksums",
    .settings = "max_connections = 33\n"
                "max_worker_processes = 11\n"
                "max_wal_senders = 12\n"
                "max_prepared_transactions = 13\n"
                "max_locks_per_transaction = 77\n"
                "track_commit_timestamp = on\n"
                "wal_level = logical\n"
                "autovacuum = off\n",
};

static int set_up(void **state)
{
    (void)state;
    server = helper_postgres_start(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_postgres_stop(&server);
    return 0;
}

static void read_file(const struct helper_postgres *of, const char *path, struct buf *content)
{
    struct error err;
    CLEANUP(own_freep) char *full = own_format("%s/%s", of->data, path);
    if (buf_read_file(content, AT_FDCWD, full, &err) < 0)
        fail_msg("%s", err.text);
}

static struct pg_control read_control(const struct helper_postgres *of)
{
    CLEANUP(buf_done) struct buf content = BUF(PG_CONTROL_BYTES);
    read_file(of, "global/pg_control", &content);
    struct pg_control control;
    struct error err;
    if (pg_control_parse(content.data, content.size, &control, &err) < 0)
        fail_msg("%s", err.text);
    return control;
}

/* The value after "name:" in what pg_controldata prints. */
static char *shown(const char *output, const char *name)
{
    const char *at = strstr(output, name);
    assert_non_null(at);
    at += strlen(name);
    assert_int_equal(*at, ':');
    at++;
    at += strspn(at, " ");
    return own_format("%.*s", (int)strcspn(at, "\n"), at);
}

static void assert_shown(const char *output, const char *name, uint64_t value)
{
    CLEANUP(own_freep) char *text = shown(output, name);
    CLEANUP(own_freep) char *own = own_format("%" PRIu64, value);
    if (strcmp(text, own) != 0)
        fail_msg("%s is %s for pg_controldata, %s for us", name, text, own);
}

static void assert_shown_lsn(const char *output, const char *name, uint64_t lsn)
{
    CLEANUP(own_freep) char *text = shown(output, name);
    char own[LSN_TEXT_BYTES];
    lsn_format(lsn, own);
    assert_string_equal(text, own);
}

static char *control_data(const struct helper_postgres *of)
{
    const char *const arguments[] = {"-D", of->data, NULL};
    return helper_postgres_run(of, "pg_controldata", arguments);
}

static void the_control_file_reads_as_pg_controldata_says(void **state)
{
    (void)state;
    helper_postgres_do(server, "CREATE TABLE c(); CHECKPOINT");
    struct pg_control control = read_control(server);
    CLEANUP(own_freep) char *output = control_data(server);
    assert_shown(output, "pg_control version number", control.version);
    assert_shown(output, "Catalog version number", control.catalog_version);
    assert_shown(output, "Database system identifier", control.system_identifier);
    assert_shown_lsn(output, "Latest checkpoint location", control.checkpoint_lsn);
    assert_shown_lsn(output, "Latest checkpoint's REDO location", control.redo_lsn);
    assert_shown(output, "Latest checkpoint's TimeLineID", control.checkpoint_timeline);
    assert_shown(output, "max_connections setting", control.demands.max_connections);
    assert_shown(output, "max_worker_processes setting", control.demands.max_worker_processes);
    assert_shown(output, "max_wal_senders setting", control.demands.max_wal_senders);
    assert_shown(output, "max_prepared_xacts setting", control.demands.max_prepared_transactions);
    assert_shown(output, "max_locks_per_xact setting", control.demands.max_locks_per_transaction);
    assert_shown(output, "Database block size", control.block_bytes);
    assert_shown(output, "Blocks per segment of large relation", control.segment_blocks);
    assert_shown(output, "Bytes per WAL segment", control.wal_segment_bytes);
    assert_shown(output, "Data page checksum version", control.checksum_version);
    assert_int_equal(control.state, PG_CONTROL_IN_PRODUCTION);
    assert_int_equal(control.demands.max_connections, 33);
    assert_int_equal(control.wal_level, 2);
    assert_true(control.track_commit_timestamp);
    assert_true(control.redo_lsn < control.checkpoint_lsn);
}

static void the_control_file_of_a_standby_holds_the_end_of_recovery(void **state)
{
    (void)state;
    struct helper_postgres *standby = helper_postgres_standby(server);
    helper_postgres_shut_down(standby, "fast");
    struct pg_control control = read_control(standby);
    CLEANUP(own_freep) char *output = control_data(standby);
    helper_postgres_stop(&standby);
    assert_shown_lsn(output, "Minimum recovery ending location", control.min_recovery_lsn);
    assert_shown(output, "Min recovery ending loc's timeline", control.min_recovery_timeline);
    assert_int_equal(control.state, PG_CONTROL_SHUTDOWNED_IN_RECOVERY);
    assert_int_not_equal(control.min_recovery_lsn, 0);
    assert_int_equal(control.min_recovery_timeline, 1);
}

static void pages_of_a_table_have_the_checksums_that_we_compute(void **state)
{
    (void)state;
    helper_postgres_do(server, "CREATE TABLE pages AS SELECT i, repeat(md5(i::text), 20) AS t"
                               " FROM generate_series(1, 20000) AS i; CHECKPOINT");
    CLEANUP(own_freep)
    char *path = helper_postgres_sql(server, "SELECT pg_relation_filepath('pages')");
    CLEANUP(buf_done) struct buf content = BUF(64 << 20);
    read_file(server, path, &content);
    size_t written = 0;
    for (size_t i = 0; i * PG_PAGE_BYTES < content.size; i++) {
        uint8_t *page = content.data + i * PG_PAGE_BYTES;
        assert_true(pg_page_is_sound(page, (uint32_t)i, UINT64_MAX));
        if (pg_page_is_new(page)) /* PostgreSQL 16 extends files by more than it needs */
            continue;
        written++;
        page[5000] ^= 0x40;
        assert_false(pg_page_is_sound(page, (uint32_t)i, UINT64_MAX));
    }
    assert_true(written > 1000);
}

static void a_server_starts_on_a_data_directory_that_others_made(void **state)
{
    (void)state;
    helper_postgres_do(server, "CREATE TABLE moved AS SELECT 42 AS answer");
    CLEANUP(own_freep) char *data = own_format("%s/moved", server->directory);
    const char *const arguments[] = {"-N", "-c", "fast", "-D", data, NULL};
    CLEANUP(own_freep) char *output = helper_postgres_run(server, "pg_basebackup", arguments);
    assert_string_equal(output, "");
    struct helper_postgres *adopted = helper_postgres_adopt(data);
    CLEANUP(own_freep) char *answer = helper_postgres_sql(adopted, "SELECT answer FROM moved");
    assert_string_equal(answer, "42");
    helper_postgres_stop(&adopted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_control_file_reads_as_pg_controldata_says),
        cmocka_unit_test(the_control_file_of_a_standby_holds_the_end_of_recovery),
        cmocka_unit_test(pages_of_a_table_have_the_checksums_that_we_compute),
        cmocka_unit_test(a_server_starts_on_a_data_directory_that_others_made),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
