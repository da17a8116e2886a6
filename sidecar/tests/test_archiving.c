// SPDX-License-Identifier: Apache-2.0
/* What the server does about WAL, with its real child process against a real PostgreSQL, between
 * an operator that the test plays and regions that are directories. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/lsn.h"
#include "sidecar/tests/helper_operator.h"
#include "sidecar/tests/helper_pod.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_sidecar.h"
#include "sidecar/wal_slot_name.h"

#define SLOTS " FROM pg_catalog.pg_replication_slots WHERE slot_name ~ '^lifeboat_'"

enum { PATIENCE_MS = 30 * 1000, SEVERAL = 3, PAUSE_S = 2 };

static struct helper_postgres *database;
static struct helper_pod pod;
static uint64_t wanted_lsn; /* of what is waited for */

static void configure(int64_t generation, const char *more)
{
    const struct helper_pod_policy policy = {
        .generation = generation, .port = database->port, .more = more};
    CLEANUP(own_freep) char *text = helper_pod_policy_text(&pod, &policy);
    helper_pod_configure(&pod, text, "operator:8443", "PEM");
}

static const char stream_fast[] = "  wal: {mode: Stream, flushSeconds: 1}\n";

static void assign(const char *wal)
{
    helper_operator_forget();
    helper_operator_say(json_pack("{s:s, s:{s:s, s:s}, s:i, s:i, s:s*}", "type", "assign", "policy",
                                  "namespace", "web", "name", "shop", "generation", 1,
                                  "heartbeatSeconds", 1, "wal", wal));
}

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    database = helper_postgres_start(NULL);
    helper_postgres_add_role(database, "");
    helper_pod_open(&pod);
    helper_pod_add_secret(&pod);
    configure(1, stream_fast);
    const struct server_options options = helper_sidecar_options(&pod, database);
    helper_sidecar_start(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_sidecar_stop();
    helper_pod_close(&pod);
    helper_postgres_stop(&database);
    return 0;
}

/* What the server says */

static const json_t *archiving_of(const json_t *state)
{
    return json_object_get(state, "archiving");
}

static const char *text_of(const json_t *state, const char *name)
{
    const char *text = json_string_value(json_object_get(archiving_of(state), name));
    return text ? text : "";
}

static bool is_streaming(const json_t *state)
{
    return json_is_true(json_object_get(archiving_of(state), "streaming"));
}

static bool is_not_streaming(const json_t *state)
{
    return json_is_false(json_object_get(archiving_of(state), "streaming"));
}

static bool fails(const json_t *state)
{
    return is_not_streaming(state) && text_of(state, "error")[0];
}

static bool holds(const json_t *state)
{
    return strcmp(text_of(state, "mode"), "hold") == 0 && text_of(state, "serverLSN")[0];
}

static bool is_silent(const json_t *state)
{
    return !archiving_of(state) &&
           json_is_true(json_object_get(json_object_get(state, "database"), "reachable"));
}

static bool is_durable(const json_t *state)
{
    uint64_t lsn;
    return lsn_parse(text_of(state, "durableLSN"), &lsn) && lsn >= wanted_lsn;
}

static bool has_no_lag(const json_t *state)
{
    return is_durable(state) &&
           json_integer_value(json_object_get(archiving_of(state), "lagSeconds")) == 0;
}

static void await(bool (*is_wanted)(const json_t *state))
{
    json_decref(helper_operator_hear("state", is_wanted));
}

static uint64_t lsn_of(const char *sql)
{
    uint64_t lsn;
    CLEANUP(own_freep) char *text = helper_postgres_sql(database, sql);
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

static void write_wal(void)
{
    helper_postgres_do(database, "SELECT pg_catalog.pg_logical_emit_message(true, 'test',"
                                 " pg_catalog.repeat(pg_catalog.md5(n::text), 8192))"
                                 " FROM pg_catalog.generate_series(1, 20) AS n");
    wanted_lsn = lsn_of("SELECT pg_catalog.pg_current_wal_flush_lsn()");
}

static void begin_to_stream(void)
{
    assign("stream");
    await(is_streaming);
}

/* Where the last checkpoint begins: as the server is down, the one of the shutdown. */
static uint64_t last_checkpoint(void)
{
    static const char label[] = "Latest checkpoint location:";
    const char *const arguments[] = {"-D", database->data, NULL};
    CLEANUP(own_freep) char *text = helper_postgres_run(database, "pg_controldata", arguments);
    const char *found = strstr(text, label);
    assert_non_null(found);
    found += strlen(label);
    found += strspn(found, " ");
    CLEANUP(own_freep) char *lsn_text = own_format("%.*s", (int)strcspn(found, "\n"), found);
    uint64_t lsn;
    assert_true(lsn_parse(lsn_text, &lsn));
    return lsn;
}

/* What PostgreSQL does with WAL that nobody takes: nothing. It is down before the patience with the
 * regions is twice over. */
static void shut_down(const char *mode)
{
    const int64_t begun_ms = clock_monotonic_ms();
    helper_postgres_shut_down(database, mode);
    assert_in_range(clock_monotonic_ms() - begun_ms, 0, PATIENCE_MS);
}

/* Tests */

static void who_is_assigned_streams(void **state)
{
    (void)state;
    char slot[WAL_SLOT_NAME_BYTES];
    wal_slot_name("web", "shop", slot);
    begin_to_stream();
    write_wal();
    json_auto_t *told = helper_operator_hear("state", has_no_lag);
    assert_string_equal(text_of(told, "mode"), "stream");
    assert_string_equal(text_of(told, "slot"), slot);
    assert_string_equal(text_of(told, "error"), "");
    assert_int_equal(json_integer_value(json_object_get(archiving_of(told), "timeline")), 1);
    assert_true(json_integer_value(json_object_get(archiving_of(told), "leftBytes")) > 0);
    assert_int_equal(json_array_size(json_object_get(archiving_of(told), "lostRegions")), 0);
    CLEANUP(own_freep) char *used = own_format("%s|t", slot);
    helper_postgres_await(database, "SELECT slot_name, active" SLOTS, used);
}

static void who_is_to_hold_keeps_a_slot_that_nobody_uses(void **state)
{
    (void)state;
    assign("hold");
    await(holds);
    helper_postgres_await(database, "SELECT active, restart_lsn IS NOT NULL" SLOTS, "f|t");
    begin_to_stream();
    assign("hold");
    await(holds);
    helper_postgres_await(database, "SELECT active" SLOTS, "f");
}

static void a_slot_that_is_not_wanted_is_dropped(void **state)
{
    (void)state;
    begin_to_stream();
    assign("none");
    await(is_silent);
    helper_postgres_await(database, "SELECT count(*)" SLOTS, "0");
    begin_to_stream();
    configure(2, "  wal: {mode: BackupOnly}\n");
    await(is_silent);
    helper_postgres_await(database, "SELECT count(*)" SLOTS, "0");
}

static bool lacks_a_policy(const json_t *state)
{
    const char *problem = json_string_value(json_object_get(state, "configError"));
    return problem && strstr(problem, "no policy.yaml");
}

/* As it goes when the policy is deleted: the operator's word may come when the ConfigMap is gone.
 */
static void a_slot_is_dropped_by_the_last_policy_when_there_is_none(void **state)
{
    (void)state;
    begin_to_stream();
    helper_pod_configure(&pod, NULL, "operator:8443", "PEM");
    await(lacks_a_policy);
    write_wal();
    await(is_durable); /* until somebody says that it is gone for good, all goes on */
    assign("none");
    await(is_silent);
    helper_postgres_await(database, "SELECT count(*)" SLOTS, "0");
}

static void a_process_that_dies_is_followed_by_another(void **state)
{
    (void)state;
    begin_to_stream();
    const pid_t first = helper_pod_find_job("wal-receive");
    assert_return_code(kill(first, SIGKILL), errno);
    await(fails);
    await(is_streaming);
    assert_int_not_equal(helper_pod_find_job("wal-receive"), first);
    write_wal();
    await(is_durable);
}

/* Each of them is there for a moment only: the problem is as old as the first one. */
static void while_one_after_the_other_fails_it_is_one_failure(void **state)
{
    (void)state;
    helper_postgres_do(database, "ALTER ROLE lifeboat NOREPLICATION");
    assign("stream");
    json_auto_t *first = helper_operator_hear("state", fails);
    for (int i = 0; i < SEVERAL; i++) {
        sleep(PAUSE_S);
        helper_operator_forget();
        json_auto_t *later = helper_operator_hear("state", fails);
        assert_string_equal(text_of(later, "since"), text_of(first, "since"));
    }
    helper_postgres_do(database, "ALTER ROLE lifeboat REPLICATION");
    json_auto_t *mended = helper_operator_hear("state", is_streaming);
    assert_string_not_equal(text_of(mended, "since"), text_of(first, "since"));
}

static void only_what_matters_of_the_policy_begins_anew(void **state)
{
    (void)state;
    begin_to_stream();
    const pid_t first = helper_pod_find_job("wal-receive");
    configure(2, "  wal: {mode: Stream, flushSeconds: 1}\n  retention: {fulls: 3}\n");
    write_wal();
    await(is_durable);
    assert_int_equal(helper_pod_find_job("wal-receive"), first);
    configure(3, "  wal: {mode: Stream, flushSeconds: 2}\n");
    helper_operator_forget();
    await(is_not_streaming);
    await(is_streaming);
    assert_int_not_equal(helper_pod_find_job("wal-receive"), first);
}

static void another_policy_than_the_assigned_one_archives_nothing(void **state)
{
    (void)state;
    begin_to_stream();
    helper_operator_say(json_pack("{s:s, s:{s:s, s:s}, s:i, s:i, s:s}", "type", "assign", "policy",
                                  "namespace", "web", "name", "other", "generation", 1,
                                  "heartbeatSeconds", 1, "wal", "stream"));
    await(is_silent);
    helper_postgres_await(database, "SELECT active" SLOTS, "f"); /* and it stays */
}

/* The last that a server writes is in the regions before it is down. */
static void a_shutdown_waits_for_the_regions_and_for_nothing_else(void **state)
{
    (void)state;
    static const char *const modes[] = {"smart", "fast"};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        begin_to_stream();
        write_wal();
        shut_down(modes[i]);
        wanted_lsn = last_checkpoint() + 1;
        await(is_durable);
        helper_operator_forget();
        helper_postgres_resume(database);
        await(is_streaming);
    }
}

/* Its WAL, in the region; own_freep. */
static char *wal_directory(void)
{
    CLEANUP(own_freep)
    char *system = helper_postgres_sql(
        database, "SELECT system_identifier FROM pg_catalog.pg_control_system()");
    return own_format("%s/eu/web.shop/%s/wal", pod.directory, system);
}

/* Nothing can be put there any more. */
static void close_region(const char *wal)
{
    CLEANUP(own_freep) char *away = own_format("%s.away", wal);
    assert_return_code(rename(wal, away), errno);
    helper_directory_write("/", wal + 1, "no directory");
}

static void open_region(const char *wal)
{
    CLEANUP(own_freep) char *away = own_format("%s.away", wal);
    assert_return_code(unlink(wal), errno);
    assert_return_code(rename(away, wal), errno);
}

static void without_regions_a_shutdown_does_not_wait(void **state)
{
    (void)state;
    static const char *const modes[] = {"smart", "fast"};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        begin_to_stream();
        write_wal();
        await(is_durable);
        CLEANUP(own_freep) char *wal = wal_directory();
        close_region(wal);
        write_wal();
        await(fails);
        shut_down(modes[i]);
        helper_postgres_resume(database);
        open_region(wal);
        helper_operator_forget();
        await(is_durable); /* what was written meanwhile, as the slot kept it */
    }
}

static void back_up(unsigned dice)
{
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", dice);
    helper_operator_say(json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s, s:s}}", "type", "run",
                                  "id", id, "kind", "backup", "generation", 1, "deadlineSeconds",
                                  300, "backup", "name", "b", "uid", "u", "type", "full"));
    json_auto_t *done = helper_operator_hear("done", NULL);
    assert_true(json_is_true(json_object_get(done, "ok")));
}

/* Forgets the slot, so that the server removes what it kept for it. */
static void lose_wal(void)
{
    helper_postgres_await(database, "SELECT active" SLOTS, "f");
    helper_postgres_do(database, "SELECT pg_catalog.pg_drop_replication_slot(slot_name)" SLOTS);
    for (int i = 0; i < SEVERAL; i++) {
        write_wal();
        helper_postgres_do(database, "SELECT pg_catalog.pg_switch_wal()");
        helper_postgres_do(database, "CHECKPOINT");
    }
}

static void replace_pod(void)
{
    const struct server_options options = helper_sidecar_options(&pod, database);
    helper_sidecar_stop();
    helper_operator_forget();
    helper_sidecar_start(&options);
}

static bool has_gap(const json_t *state)
{
    return is_streaming(state) && json_object_get(archiving_of(state), "gap");
}

/* Nobody need have heard of it while it was known. */
static void a_gap_is_told_by_whoever_comes_after_the_one_that_found_it(void **state)
{
    (void)state;
    begin_to_stream();
    back_up(0x1001);
    helper_sidecar_stop();
    lose_wal();
    replace_pod();
    begin_to_stream();
    json_auto_t *found = helper_operator_hear("state", has_gap);
    replace_pod();
    begin_to_stream();
    json_auto_t *again = helper_operator_hear("state", has_gap);
    const json_t *gap = json_object_get(archiving_of(again), "gap");
    assert_true(json_equal(gap, json_object_get(archiving_of(found), "gap")));
    assert_string_equal(json_string_value(json_object_get(gap, "systemIdentifier")),
                        json_string_value(json_object_get(json_object_get(again, "database"), //
                                                          "systemIdentifier")));
    back_up(0x1002);
    replace_pod();
    begin_to_stream();
    write_wal();
    json_auto_t *closed = helper_operator_hear("state", is_durable);
    assert_null(json_object_get(archiving_of(closed), "gap"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_assigned_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_to_hold_keeps_a_slot_that_nobody_uses, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slot_that_is_not_wanted_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slot_is_dropped_by_the_last_policy_when_there_is_none,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_process_that_dies_is_followed_by_another, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(while_one_after_the_other_fails_it_is_one_failure, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(only_what_matters_of_the_policy_begins_anew, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_policy_than_the_assigned_one_archives_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shutdown_waits_for_the_regions_and_for_nothing_else,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_regions_a_shutdown_does_not_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_told_by_whoever_comes_after_the_one_that_found_it,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
