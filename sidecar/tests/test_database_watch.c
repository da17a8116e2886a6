// SPDX-License-Identifier: Apache-2.0
/* Against real servers: nothing of ours is left in them between questions, and none of their
 * shutdowns waits for us. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/database_watch.h"
#include "sidecar/policy.h"
#include "sidecar/postmaster_file.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_postgres.h"

enum { PATIENCE_MS = 60000, LOOK_MS = 100, ASK_MS = 300, ANSWER_MS = 2000 };

static struct helper_postgres *server;

/* A watch and its thread. */
struct watching {
    struct cancel cancel;
    struct crew *crew;
    struct database_watch *watch;
};

static void watching_start(struct watching *watching, const struct helper_postgres *of,
                           const char *pgdata)
{
    struct error err;
    assert_int_equal(cancel_init(&watching->cancel, &err), 0);
    const struct database_watch_options options = {
        .host = of->directory,
        .pgdata = pgdata,
        .secrets = of->directory,
        .cancel = &watching->cancel,
        .look_ms = LOOK_MS,
        .ask_ms = ASK_MS,
        .answer_ms = ANSWER_MS,
    };
    assert_int_equal(database_watch_new(&watching->watch, &options, &err), 0);
    watching->crew = crew_new(&watching->cancel);
    assert_int_equal(crew_start(watching->crew, "watch", database_watch_run, watching->watch, &err),
                     0);
}

static void watching_stop(struct watching *watching)
{
    crew_freep(&watching->crew);
    database_watch_freep(&watching->watch);
    cancel_done(&watching->cancel);
}

static void log_in(const struct watching *watching, const struct helper_postgres *to)
{
    const struct policy_connection login = {
        .port = (unsigned)strtoul(to->port, NULL, 10),
        .user = "lifeboat",
        .database = "postgres",
        .ssl_mode = "prefer",
    };
    database_watch_set_login(watching->watch, &login);
}

/* Waits until the watch says so; what it says then. */
static struct database_status await(const struct watching *watching,
                                    bool (*is_wanted)(const struct database_status *status))
{
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    for (;;) {
        struct database_status status;
        struct pollfd changed = {.fd = database_watch_fd(watching->watch), .events = POLLIN};
        database_watch_get(watching->watch, &status);
        if (is_wanted(&status))
            return status;
        if (clock_monotonic_ms() >= until_ms)
            fail_msg("phase %d, reachable %d: %s", (int)status.phase, status.reachable,
                     status.error.text);
        poll(&changed, 1, LOOK_MS);
    }
}

static bool is_reachable(const struct database_status *status)
{
    return status->reachable;
}

static bool is_stopping(const struct database_status *status)
{
    return status->phase == DATABASE_STOPPING;
}

static bool is_absent(const struct database_status *status)
{
    return status->phase == DATABASE_ABSENT;
}

static bool wants_login(const struct database_status *status)
{
    return strstr(status->error.text, "no policy");
}

static bool is_primary(const struct database_status *status)
{
    return status->reachable && !status->standing.in_recovery;
}

static int start_server(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    server = helper_postgres_start(
        &(struct helper_postgres_options){.settings = "log_connections = on\n"});
    helper_postgres_add_role(server, "secret");
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    helper_postgres_stop(&server);
    return 0;
}

static void the_server_is_asked_where_it_stands(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching;
    watching_start(&watching, server, server->data);
    await(&watching, wants_login);
    log_in(&watching, server);
    const struct database_status status = await(&watching, is_reachable);
    CLEANUP(own_freep)
    char *system = helper_postgres_sql(server, "SELECT system_identifier FROM pg_control_system()");
    assert_int_equal(status.phase, DATABASE_READY);
    assert_int_equal(status.standing.system_identifier, strtoull(system, NULL, 10));
    assert_int_equal(status.standing.version_num / 10000, server->major);
    assert_false(status.standing.in_recovery);
    assert_int_equal(status.standing.timeline, 1);
    assert_true(status.standing.lsn > 0);
    assert_int_equal(status.standing.lag_seconds, -1);
    assert_string_equal(status.standing.data_directory, server->data);
}

static void no_session_of_ours_is_there_between_questions(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching;
    static const char sql[] = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lifeboat'";
    int seen = 0;
    watching_start(&watching, server, server->data);
    log_in(&watching, server);
    await(&watching, is_reachable);
    for (int i = 0; i < 40; i++) {
        CLEANUP(own_freep) char *count = helper_postgres_sql(server, sql);
        seen += strcmp(count, "0") != 0;
    }
    assert_true(seen < 20); /* a question takes milliseconds, of hundreds */
}

static void the_data_directory_is_found_by_asking(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching;
    watching_start(&watching, server, NULL);
    log_in(&watching, server);
    assert_int_equal(await(&watching, is_reachable).standing.version_num / 10000, server->major);
    helper_postgres_shut_down(server, "fast");
    await(&watching, is_absent);
    helper_postgres_resume(server);
    await(&watching, is_reachable);
}

/* A session of somebody else's keeps the server stopping until it is closed. */
static void a_smart_shutdown_is_seen_and_the_next_start_too(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching;
    CLEANUP(cancel_done) struct cancel never;
    struct pg *session;
    struct error err;
    watching_start(&watching, server, server->data);
    log_in(&watching, server);
    await(&watching, is_reachable);
    assert_int_equal(cancel_init(&never, &err), 0);
    struct pg_options login = helper_postgres_login(server, "postgres", &never);
    assert_int_equal(pg_open(&session, &login, &err), 0);
    assert_return_code(kill(helper_postgres_process(server, NULL), SIGTERM), errno);
    assert_false(await(&watching, is_stopping).reachable);
    pg_closep(&session);
    await(&watching, is_absent);
    helper_postgres_resume(server);
    await(&watching, is_reachable);
}

static void shutdowns_do_not_wait_for_us(void **state)
{
    (void)state;
    static const char *const modes[] = {"smart", "fast", "smart", "immediate"};
    CLEANUP(watching_stop) struct watching watching;
    watching_start(&watching, server, server->data);
    log_in(&watching, server);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        await(&watching, is_reachable);
        helper_postgres_shut_down(server, modes[i]); /* fails if something keeps the server */
        await(&watching, is_absent);
        helper_postgres_resume(server);
    }
}

static void a_standby_says_so_until_it_is_promoted(void **state)
{
    (void)state;
    struct helper_postgres *standby = helper_postgres_standby(server);
    struct watching watching;
    watching_start(&watching, standby, standby->data);
    log_in(&watching, standby);
    const struct database_status before = await(&watching, is_reachable);
    assert_true(before.standing.in_recovery);
    assert_int_equal(before.standing.timeline, 1);
    assert_in_range(before.standing.lag_seconds, 0, 60);
    helper_postgres_promote(standby);
    assert_int_equal(await(&watching, is_primary).standing.timeline, 2);
    watching_stop(&watching);
    helper_postgres_stop(&standby);
}

static void a_wrong_login_is_told_and_tried_again(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching;
    struct database_status status = {.reachable = true};
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    watching_start(&watching, server, server->data);
    database_watch_set_login(watching.watch, &(struct policy_connection){
                                                 .port = (unsigned)strtoul(server->port, NULL, 10),
                                                 .user = "nobody_at_all",
                                                 .database = "postgres",
                                                 .ssl_mode = "prefer"});
    while (!strstr(status.error.text, "nobody_at_all") && clock_monotonic_ms() < until_ms)
        database_watch_get(watching.watch, &status);
    assert_false(status.reachable);
    assert_int_equal(status.phase, DATABASE_READY);
    log_in(&watching, server);
    await(&watching, is_reachable);
}

static bool is_silent(const struct database_status *status)
{
    return !status->reachable && strstr(status->error.text, "has not answered for 2 seconds");
}

static void *block_functions(void *unused)
{
    helper_postgres_do(server, "BEGIN; LOCK TABLE pg_catalog.pg_proc; SELECT pg_sleep(6); COMMIT");
    return unused;
}

static void a_server_that_says_nothing_any_more_is_not_reachable(void **state)
{
    (void)state;
    CLEANUP(watching_stop) struct watching watching = {0};
    pthread_t blocker;
    watching_start(&watching, server, server->data);
    log_in(&watching, server);
    await(&watching, is_reachable);
    assert_int_equal(pthread_create(&blocker, NULL, block_functions, NULL), 0);
    await(&watching, is_silent);
    assert_int_equal(pthread_join(blocker, NULL), 0);
    await(&watching, is_reachable);
}

static void postmaster_files_read_as_far_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum postmaster_status status;
        int64_t started_s;
    } files[] = {
        {"", POSTMASTER_STARTING, 0},
        {"12\n/data\n17", POSTMASTER_STARTING, 0},
        {"12\n/data\n1700000000\n", POSTMASTER_STARTING, 1700000000},
        {"12\n/data\n1700000000\n5432\n/run\n*\n  1 2\nstarting\n", POSTMASTER_STARTING,
         1700000000},
        {"12\n/data\n1700000000\n5432\n/run\n*\n  1 2\nready   \n", POSTMASTER_READY, 1700000000},
        {"12\n/data\n1700000000\n5432\n\n\n  1 2\nstandby \n", POSTMASTER_STANDBY, 1700000000},
        {"12\n/data\nx\n5432\n\n\n  1 2\nstopping\n", POSTMASTER_STOPPING, 0},
        {"12\n/data\n-5\n5432\n\n\n  1 2\nstop", POSTMASTER_STARTING, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        const struct postmaster_file file = postmaster_file_parse(files[i].text);
        assert_int_equal(file.status, files[i].status);
        assert_int_equal(file.started_s, files[i].started_s);
    }
}

/* Whoever owns the database may put anything there. */
static void what_is_no_file_is_neither_followed_nor_waited_for(void **state)
{
    (void)state;
    char directory[] = "/tmp/lifeboat-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    CLEANUP(own_freep) char *path = own_format("%s/postmaster.pid", directory);
    struct postmaster_file file;
    struct error err;
    assert_int_equal(postmaster_file_load(AT_FDCWD, path, &file, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_return_code(mkfifo(path, 0600), errno);
    assert_int_equal(postmaster_file_load(AT_FDCWD, path, &file, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_return_code(unlink(path), errno);
    assert_return_code(symlink("/etc/passwd", path), errno);
    assert_int_equal(postmaster_file_load(AT_FDCWD, path, &file, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_return_code(unlink(path), errno);
    assert_return_code(rmdir(directory), errno);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postmaster_files_read_as_far_as_they_are_written),
        cmocka_unit_test(what_is_no_file_is_neither_followed_nor_waited_for),
        cmocka_unit_test(the_server_is_asked_where_it_stands),
        cmocka_unit_test(no_session_of_ours_is_there_between_questions),
        cmocka_unit_test(the_data_directory_is_found_by_asking),
        cmocka_unit_test(a_smart_shutdown_is_seen_and_the_next_start_too),
        cmocka_unit_test(shutdowns_do_not_wait_for_us),
        cmocka_unit_test(a_wrong_login_is_told_and_tried_again),
        cmocka_unit_test(a_server_that_says_nothing_any_more_is_not_reachable),
        cmocka_unit_test(a_standby_says_so_until_it_is_promoted),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
