// SPDX-License-Identifier: Apache-2.0
/* Sessions with a real server, most of all what goes wrong with them. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"
#include "sidecar/pg_replication.h"
#include "sidecar/tests/helper_postgres.h"

#define PASSWORD "s3cret'of the role"
#define SQL_PASSWORD "s3cret''of the role"

/* The administrator, then the role by password; nobody else. */
static const char hba[] = "local all postgres trust\n"
                          "local replication postgres trust\n"
                          "local postgres,shop lifeboat scram-sha-256\n"
                          "local replication lifeboat scram-sha-256\n"
                          "host postgres lifeboat 127.0.0.1/32 scram-sha-256\n";
static const char hba_without_role[] = "local all postgres trust\n"
                                       "local replication postgres trust\n";

static struct helper_postgres *server;
static struct cancel cancel;
static struct buf password = BUF_SECRET(100);
static pid_t stopped; /* a process of the server; 0: none */

static int set_up(void **state)
{
    (void)state;
    struct error err;
    server = helper_postgres_start(&(struct helper_postgres_options){.hba = hba, .tcp = true});
    helper_postgres_add_role(server, SQL_PASSWORD);
    assert_int_equal(cancel_init(&cancel, &err), 0);
    assert_int_equal(buf_append(&password, PASSWORD, strlen(PASSWORD), &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_done(&password);
    cancel_done(&cancel);
    helper_postgres_stop(&server);
    return 0;
}

/* Whatever a test did to pg_hba.conf or to the role is undone. */
static int mend(void **state)
{
    (void)state;
    helper_postgres_set_hba(server, hba);
    helper_postgres_add_role(server, SQL_PASSWORD);
    return 0;
}

/* The same for settings and for what shadows the catalog. */
static int take_settings_back(void **state)
{
    (void)state;
    helper_postgres_do(server, "SET search_path = pg_catalog; ALTER ROLE lifeboat RESET ALL;"
                               "ALTER DATABASE postgres RESET ALL; DROP SCHEMA public CASCADE;"
                               "CREATE SCHEMA public");
    return 0;
}

static void stop_process(const char *type)
{
    stopped = helper_postgres_process(server, type);
    kill(stopped, SIGSTOP);
}

/* A teardown as well: whatever comes after would wait for the stopped process for ever. */
static int continue_process(void **state)
{
    (void)state;
    if (stopped)
        kill(stopped, SIGCONT);
    stopped = 0;
    return 0;
}

static struct pg_options login(void)
{
    struct pg_options options = helper_postgres_login(server, "lifeboat", &cancel);
    options.password = &password;
    return options;
}

static struct pg *open_session(const struct pg_options *options)
{
    struct pg *pg;
    struct error err;
    if (pg_open(&pg, options, &err) < 0)
        fail_msg("%s", err.text);
    return pg;
}

static struct pg_server inspect(struct pg *pg)
{
    struct pg_server facts;
    struct error err;
    if (pg_inspect(pg, &facts, &err) < 0)
        fail_msg("%s", err.text);
    return facts;
}

static void assert_error(const struct error *err, enum error_kind kind, const char *text)
{
    if (err->kind != kind || !strstr(err->text, text))
        fail_msg("%s error '%s' is not %s with '%s'", error_kind_name(err->kind), err->text,
                 error_kind_name(kind), text);
    assert_null(strstr(err->text, "s3cret"));
    assert_null(strchr(err->text, '\n'));
}

static void assert_refused(const struct pg_options *options, enum error_kind kind, const char *text)
{
    CLEANUP(pg_closep) struct pg *pg = NULL;
    struct error err;
    assert_int_equal(pg_open(&pg, options, &err), -1);
    assert_error(&err, kind, text);
}

/* What stands between two marks of a text. */
static char *between(const char *text, const char *start, const char *end)
{
    const char *from = strstr(text, start);
    assert_non_null(from);
    from += strlen(start);
    const char *to = strstr(from, end);
    assert_non_null(to);
    return own_format("%.*s", (int)(to - from), from);
}

static void assert_sql(const char *sql, const char *answer)
{
    CLEANUP(own_freep) char *rows = helper_postgres_sql(server, sql);
    assert_string_equal(rows, answer);
}

/* Connecting */

static void a_server_says_what_it_is(void **state)
{
    (void)state;
    struct pg_options options = login();
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    struct pg_server facts = inspect(pg);
    CLEANUP(own_freep)
    char *expected = helper_postgres_sql(
        server, "SELECT system_identifier, current_setting('server_version_num'),"
                " current_setting('data_checksums'), current_setting('data_directory'),"
                " floor(extract(epoch from pg_postmaster_start_time()) * 1000)"
                " FROM pg_control_system()");
    CLEANUP(own_freep)
    char *own = own_format("%" PRIu64 "|%u|%s|%s|%" PRId64, facts.system_identifier,
                           facts.version_num, facts.checksums ? "on" : "off", facts.data_directory,
                           facts.postmaster_started_ms);
    assert_string_equal(own, expected);
    assert_false(facts.in_recovery);
    assert_int_equal(facts.version_num / 10000, server->major);
    assert_int_equal(facts.block_bytes, 8192);
    assert_int_equal(facts.segment_blocks, 131072);
    assert_int_equal(facts.wal_segment_bytes, 16 << 20);
    assert_string_equal(facts.bootstrap_superuser, "postgres");
}

static void the_role_has_exactly_what_it_needs(void **state)
{
    (void)state;
    assert_sql("SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,"
               " rolcanlogin FROM pg_roles WHERE rolname = 'lifeboat'",
               "f|f|f|f|t|t");
    assert_sql("SELECT string_agg(roleid::regrole::text, ',' ORDER BY roleid::regrole::text)"
               " FROM pg_auth_members WHERE member = 'lifeboat'::regrole",
               "pg_monitor,pg_read_all_settings");
}

static void a_tcp_connection_does_as_well(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.host = "127.0.0.1";
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    inspect(pg);
}

static void the_settings_of_role_and_database_do_not_count(void **state)
{
    (void)state;
    helper_postgres_do(server, "ALTER ROLE lifeboat SET statement_timeout = '1ms';"
                               "ALTER ROLE lifeboat SET search_path = nowhere;"
                               "ALTER ROLE lifeboat SET lock_timeout = '1ms';"
                               "ALTER ROLE lifeboat SET role = 'pg_monitor';"
                               "ALTER DATABASE postgres SET idle_session_timeout = '1ms'");
    if (server->major >= 17)
        helper_postgres_do(server, "ALTER ROLE lifeboat SET transaction_timeout = '1ms'");
    struct pg_options options = login();
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    usleep(50000);
    inspect(pg);
    uint64_t lsn;
    struct error err;
    if (pg_backup_start(pg, "slower than a millisecond", &lsn, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_wrong_password_names_role_and_field(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf wrong = BUF_SECRET(100);
    assert_int_equal(buf_append(&wrong, "s3cret", 6, &err), 0);
    struct pg_options options = login();
    options.password = &wrong;
    assert_refused(&options, ERROR_PERMANENT, "connection.passwordKey");
    assert_refused(&options, ERROR_PERMANENT, "\"lifeboat\"");
    options.password = NULL;
    assert_refused(&options, ERROR_PERMANENT, "connection.passwordKey");
}

static void a_password_with_a_nul_is_refused(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf wrong = BUF_SECRET(100);
    assert_int_equal(buf_append(&wrong, "s3cret\0", 7, &err), 0);
    struct pg_options options = login();
    options.password = &wrong;
    assert_refused(&options, ERROR_PERMANENT, "NUL");
}

static void a_missing_role_or_database_is_named(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.database = "shop";
    assert_refused(&options, ERROR_PERMANENT, "\"shop\"");
    assert_refused(&options, ERROR_PERMANENT, "connection.database");
    options.database = "postgres";
    options.user = "nobody here";
    helper_postgres_set_hba(server, "local all all trust\n");
    assert_refused(&options, ERROR_PERMANENT, "connection.user");
}

static void the_pg_hba_line_that_is_named_lets_us_in(void **state)
{
    (void)state;
    static const char *const hosts[] = {NULL, "127.0.0.1"};
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        struct pg_options options = login();
        if (hosts[i])
            options.host = hosts[i];
        helper_postgres_set_hba(server, hba_without_role);
        CLEANUP(pg_closep) struct pg *pg = NULL;
        struct error err;
        assert_int_equal(pg_open(&pg, &options, &err), -1);
        assert_error(&err, ERROR_PERMANENT, "pg_hba.conf");
        CLEANUP(own_freep) char *line = between(err.text, "reload: '", "'");
        CLEANUP(own_freep) char *lines = own_format("%s\n%s", line, hba_without_role);
        helper_postgres_set_hba(server, lines);
        pg = open_session(&options);
    }
}

static void the_pg_hba_line_for_replication_is_named_too(void **state)
{
    (void)state;
    helper_postgres_set_hba(server, hba_without_role);
    struct pg_options options = login();
    struct pg_system system;
    struct error err;
    CLEANUP(pg_replication_closep) struct pg_replication *replication = NULL;
    assert_int_equal(pg_replication_open(&replication, &options, &system, &err), -1);
    assert_error(&err, ERROR_PERMANENT, "replication");
    CLEANUP(own_freep) char *line = between(err.text, "reload: '", "'");
    CLEANUP(own_freep) char *lines = own_format("%s\n%s", line, hba_without_role);
    helper_postgres_set_hba(server, lines);
    if (pg_replication_open(&replication, &options, &system, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_server_that_is_not_there_is_transient(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.port = "1";
    assert_refused(&options, ERROR_TRANSIENT, "connection.port");
    assert_refused(&options, ERROR_TRANSIENT, server->directory);
    options.host = "127.0.0.1";
    assert_refused(&options, ERROR_TRANSIENT, "'127.0.0.1' port 1");
}

static void an_impossible_option_is_permanent(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.ssl_mode = "maybe";
    assert_refused(&options, ERROR_PERMANENT, "sslmode");
    options.ssl_mode = "require";
    options.host = "127.0.0.1";
    assert_refused(&options, ERROR_PERMANENT, "connection.sslMode");
}

/* A server that accepts and then says nothing: the postmaster, stopped. */
static void a_server_that_does_not_answer_is_given_up(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.connect_timeout_seconds = 1;
    CLEANUP(pg_closep) struct pg *pg = NULL;
    struct error err;
    stop_process(NULL);
    assert_int_equal(pg_open(&pg, &options, &err), -1);
    assert_error(&err, ERROR_TRANSIENT, "no answer in time");
}

/* Privileges */

static void a_superuser_is_refused(void **state)
{
    (void)state;
    struct pg_options options = login();
    options.user = "postgres";
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    struct pg_server facts;
    struct error err;
    assert_int_equal(pg_inspect(pg, &facts, &err), -1);
    assert_error(&err, ERROR_PERMANENT, "role.sql");
}

static void the_statements_that_are_named_give_what_is_missing(void **state)
{
    (void)state;
    static const char all[] = "DROP OWNED BY lifeboat; ALTER ROLE lifeboat NOREPLICATION;"
                              "REVOKE pg_monitor, pg_read_all_settings FROM lifeboat";
    static const char *const revocations[] = {
        "ALTER ROLE lifeboat NOREPLICATION",
        "REVOKE pg_monitor FROM lifeboat",
        "REVOKE pg_monitor, pg_read_all_settings FROM lifeboat",
        "REVOKE EXECUTE ON FUNCTION pg_backup_start FROM lifeboat",
        "REVOKE EXECUTE ON FUNCTION pg_backup_stop FROM lifeboat",
        all,
    };
    for (size_t i = 0; i < ARRAY_SIZE(revocations); i++) {
        helper_postgres_do(server, revocations[i]);
        struct pg_options options = login();
        CLEANUP(pg_closep) struct pg *pg = open_session(&options);
        struct pg_server facts;
        struct error err;
        assert_int_equal(pg_inspect(pg, &facts, &err), -1);
        assert_error(&err, ERROR_PERMANENT, "in database 'postgres': ");
        CLEANUP(own_freep) char *remedy = between(err.text, "in database 'postgres': ", "(or ");
        helper_postgres_do(server, remedy);
        inspect(pg);
    }
}

static void a_role_without_replication_is_told_the_statement(void **state)
{
    (void)state;
    helper_postgres_do(server, "ALTER ROLE lifeboat NOREPLICATION");
    struct pg_options options = login();
    struct pg_system system;
    struct error err;
    CLEANUP(pg_replication_closep) struct pg_replication *replication = NULL;
    assert_int_equal(pg_replication_open(&replication, &options, &system, &err), -1);
    assert_error(&err, ERROR_PERMANENT, "ALTER ROLE \"lifeboat\" REPLICATION;");
}

/* Everything that pg.c uses, under its name, in a schema that comes first by default; each notes
 * that it ran (CVE-2026-55769, CVE-2026-44477). */
static const char shadows[] =
    "CREATE TABLE public.caught(what text); GRANT ALL ON public.caught TO public;"
    "CREATE FUNCTION public.caught(what text) RETURNS boolean LANGUAGE sql"
    " AS 'INSERT INTO public.caught VALUES (what) RETURNING true';"
    "CREATE FUNCTION public.pg_backup_start(label text, fast boolean) RETURNS pg_lsn LANGUAGE sql"
    " AS $$SELECT public.caught('start'); SELECT '0/1'::pg_lsn$$;"
    "CREATE FUNCTION public.pg_backup_stop(wait_for_archive boolean, OUT lsn pg_lsn,"
    " OUT labelfile text, OUT spcmapfile text) LANGUAGE sql"
    " AS $$SELECT public.caught('stop'); SELECT '0/1'::pg_lsn, '', ''$$;"
    "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql"
    " AS $$SELECT public.caught('recovery'); SELECT true$$;"
    "CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql"
    " AS $$SELECT public.caught('setting'); SELECT ''$$;"
    "CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql"
    " AS $$SELECT public.caught('config'); SELECT ''$$;"
    "CREATE FUNCTION public.floor(double precision) RETURNS double precision LANGUAGE sql"
    " AS $$SELECT public.caught('floor'); SELECT 1.0::float8$$;"
    "CREATE FUNCTION public.same(name, name) RETURNS boolean LANGUAGE sql"
    " AS $$SELECT public.caught('='); SELECT true$$;"
    "CREATE OPERATOR public.= (leftarg = name, rightarg = name, function = public.same);"
    "CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE sql"
    " AS $$SELECT public.caught('='); SELECT true$$;"
    "CREATE OPERATOR public.= (leftarg = text, rightarg = text, function = public.same);"
    "CREATE FUNCTION public.times(double precision, integer) RETURNS float8 LANGUAGE sql"
    " AS $$SELECT public.caught('*'); SELECT 1.0::float8$$;"
    "CREATE OPERATOR public.* (leftarg = double precision, rightarg = integer,"
    " function = public.times);"
    "CREATE VIEW public.pg_roles AS SELECT public.caught('roles') AS rolsuper"
    " FROM pg_catalog.pg_roles; GRANT SELECT ON public.pg_roles TO public;"
    "ALTER ROLE lifeboat SET search_path = public, pg_catalog;"
    "ALTER DATABASE postgres SET search_path = public, pg_catalog;";

static void what_a_tenant_planted_never_runs(void **state)
{
    (void)state;
    helper_postgres_do(server, shadows);
    /* the traps do work: an unqualified name from a session with the default path falls in */
    assert_sql("SELECT pg_is_in_recovery()", "t");
    assert_sql("DELETE FROM public.caught", "");

    struct pg_options options = login();
    struct pg *pg = open_session(&options);
    assert_false(inspect(pg).in_recovery);
    uint64_t lsn;
    bool in_recovery;
    CLEANUP(pg_backup_end_done) struct pg_backup_end end = {0};
    struct error err;
    assert_int_equal(pg_backup_start(pg, "x", &lsn, &err), 0);
    assert_int_equal(pg_in_recovery(pg, &in_recovery, &err), 0);
    assert_int_equal(pg_backup_stop(pg, &end, &err), 0);
    assert_false(in_recovery);
    assert_true(end.stop_lsn > lsn && lsn > 1);
    pg_closep(&pg);

    assert_sql("SELECT * FROM public.caught", "");
}

/* Backups */

static void a_backup_has_a_label_and_ends_behind_its_start(void **state)
{
    (void)state;
    struct pg_options options = login();
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    uint64_t start_lsn;
    struct error err;
    if (pg_backup_start(pg, "it's \\ label $1", &start_lsn, &err) < 0)
        fail_msg("%s", err.text);
    CLEANUP(pg_backup_end_done) struct pg_backup_end end = {0};
    if (pg_backup_stop(pg, &end, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(end.stop_lsn > start_lsn);
    assert_non_null(strstr(end.backup_label, "LABEL: it's \\ label $1\n"));
    CLEANUP(own_freep) char *start = between(end.backup_label, "START WAL LOCATION: ", " ");
    char own[LSN_TEXT_BYTES];
    lsn_format(start_lsn, own);
    assert_string_equal(start, own);
    assert_string_equal(end.tablespace_map, "");
}

static void stopping_without_a_start_is_permanent(void **state)
{
    (void)state;
    struct pg_options options = login();
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    CLEANUP(pg_backup_end_done) struct pg_backup_end end = {0};
    struct error err;
    assert_int_equal(pg_backup_stop(pg, &end, &err), -1);
    assert_error(&err, ERROR_PERMANENT, "end the backup: ");
}

static const char sessions[] = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lifeboat'";

static void closing_the_session_aborts_the_backup(void **state)
{
    (void)state;
    struct pg_options options = login();
    struct pg *pg = open_session(&options);
    uint64_t start_lsn;
    struct error err;
    assert_int_equal(pg_backup_start(pg, "x", &start_lsn, &err), 0);
    pg_closep(&pg);
    helper_postgres_await(server, sessions, "0");
    CLEANUP(own_freep) char *path = own_format("%s/log", server->directory);
    CLEANUP(buf_done) struct buf log = BUF(1 << 24);
    assert_int_equal(buf_read_file(&log, -1, path, &err), 0);
    assert_non_null(memmem(log.data, log.size, "aborting backup", 15));
}

static void a_session_that_the_server_ended_is_transient(void **state)
{
    (void)state;
    struct pg_options options = login();
    CLEANUP(pg_closep) struct pg *pg = open_session(&options);
    helper_postgres_do(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                               " WHERE usename = 'lifeboat'");
    helper_postgres_await(server, sessions, "0");
    bool in_recovery;
    struct error err;
    assert_int_equal(pg_in_recovery(pg, &in_recovery, &err), -1);
    assert_error(&err, ERROR_TRANSIENT, "terminating connection");
    assert_int_equal(pg_in_recovery(pg, &in_recovery, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
}

/* A backup that another thread starts. */
struct start {
    struct cancel cancel;
    struct crew *crew;
    struct pg *pg;
};

static int prepare_start(void **state)
{
    struct start *s = own_alloc(sizeof(*s));
    struct error err;
    *state = s;
    if (cancel_init(&s->cancel, &err) < 0)
        return -1;
    s->crew = crew_new(&s->cancel);
    return 0;
}

static int end_start(void **state)
{
    CLEANUP(own_freep) struct start *s = *state;
    crew_freep(&s->crew);
    pg_closep(&s->pg);
    cancel_done(&s->cancel);
    return continue_process(state);
}

static int start_backup(void *arg, struct error *err)
{
    struct start *s = arg;
    uint64_t lsn;
    return pg_backup_start(s->pg, "x", &lsn, err);
}

static void a_cancel_ends_the_wait_for_a_checkpoint(void **state)
{
    struct start *s = *state;
    struct pg_options options = login();
    options.cancel = &s->cancel;
    s->pg = open_session(&options);
    struct error err;
    stop_process("checkpointer"); /* now nothing comes to an end */
    assert_int_equal(crew_start(s->crew, "start", start_backup, s, &err), 0);
    helper_postgres_await(server,
                          "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lifeboat'"
                          " AND state = 'active'",
                          "1");
    cancel_trigger(&s->cancel);
    assert_int_equal(crew_join(s->crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    /* the server itself sees that nobody is there, and ends the backup */
    helper_postgres_await(server, sessions, "0");

    CLEANUP(pg_backup_end_done) struct pg_backup_end end = {0};
    assert_int_equal(pg_backup_stop(s->pg, &end, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void a_canceled_job_does_not_even_connect(void **state)
{
    (void)state;
    struct cancel own_cancel;
    struct error err;
    assert_int_equal(cancel_init(&own_cancel, &err), 0);
    cancel_trigger(&own_cancel);
    struct pg_options options = login();
    options.cancel = &own_cancel;
    CLEANUP(pg_closep) struct pg *pg = NULL;
    assert_int_equal(pg_open(&pg, &options, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    cancel_done(&own_cancel);
}

static void a_promotion_during_a_backup_fails_it(void **state)
{
    (void)state;
    struct helper_postgres *standby = helper_postgres_standby(server);
    struct pg_options options = helper_postgres_login(standby, "lifeboat", &cancel);
    options.password = &password;
    struct pg *pg = open_session(&options);
    assert_true(inspect(pg).in_recovery);
    uint64_t lsn;
    struct error err;
    if (pg_backup_start(pg, "x", &lsn, &err) < 0)
        fail_msg("%s", err.text);
    helper_postgres_promote(standby);
    CLEANUP(pg_backup_end_done) struct pg_backup_end end = {0};
    assert_int_equal(pg_backup_stop(pg, &end, &err), -1);
    assert_error(&err, ERROR_PERMANENT, "promoted during the backup");
    pg_closep(&pg);
    helper_postgres_stop(&standby);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_says_what_it_is),
        cmocka_unit_test(the_role_has_exactly_what_it_needs),
        cmocka_unit_test(a_tcp_connection_does_as_well),
        cmocka_unit_test_teardown(the_settings_of_role_and_database_do_not_count,
                                  take_settings_back),
        cmocka_unit_test(a_wrong_password_names_role_and_field),
        cmocka_unit_test(a_password_with_a_nul_is_refused),
        cmocka_unit_test_teardown(a_missing_role_or_database_is_named, mend),
        cmocka_unit_test_teardown(the_pg_hba_line_that_is_named_lets_us_in, mend),
        cmocka_unit_test_teardown(the_pg_hba_line_for_replication_is_named_too, mend),
        cmocka_unit_test(a_server_that_is_not_there_is_transient),
        cmocka_unit_test(an_impossible_option_is_permanent),
        cmocka_unit_test_teardown(a_server_that_does_not_answer_is_given_up, continue_process),
        cmocka_unit_test(a_superuser_is_refused),
        cmocka_unit_test_teardown(the_statements_that_are_named_give_what_is_missing, mend),
        cmocka_unit_test_teardown(a_role_without_replication_is_told_the_statement, mend),
        cmocka_unit_test_teardown(what_a_tenant_planted_never_runs, take_settings_back),
        cmocka_unit_test(a_backup_has_a_label_and_ends_behind_its_start),
        cmocka_unit_test(stopping_without_a_start_is_permanent),
        cmocka_unit_test(closing_the_session_aborts_the_backup),
        cmocka_unit_test(a_session_that_the_server_ended_is_transient),
        cmocka_unit_test_setup_teardown(a_cancel_ends_the_wait_for_a_checkpoint, prepare_start,
                                        end_start),
        cmocka_unit_test(a_canceled_job_does_not_even_connect),
        cmocka_unit_test(a_promotion_during_a_backup_fails_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
