// SPDX-License-Identifier: Apache-2.0
/* The server between an operator that the test plays, and real jobs against a real PostgreSQL. */
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_operator.h"
#include "sidecar/tests/helper_pod.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_sidecar.h"

enum { TICK_NS = 20 * 1000000, SHUTDOWN_MS = 30000 };

static struct helper_postgres *database;
static struct helper_pod pod;

static struct server_options options;

/* program: of jobs, NULL: the real one. */
static void start_sidecar(const char *program)
{
    options.program = program ? program : pod.program;
    helper_sidecar_start(&options);
}

static int set_up(void **state)
{
    (void)state;
    helper_pod_open(&pod);
    options = helper_sidecar_options(&pod, database);
    options.ledger = memfd_create("ledger", MFD_CLOEXEC);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_sidecar_stop();
    close(options.ledger);
    helper_pod_close(&pod);
    return 0;
}

static int start_database(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    database = helper_postgres_start(NULL);
    helper_postgres_add_role(database, "secret");
    helper_postgres_do(database,
                       "CREATE TABLE t AS SELECT n, md5(n::text) || sha256(n::text::bytea)"
                       " AS x FROM generate_series(1, 400000) AS n; CHECKPOINT");
    return 0;
}

static int stop_database(void **state)
{
    (void)state;
    helper_postgres_stop(&database);
    return 0;
}

/* What the pod has, and what the operator says */

static void configure_as(const struct helper_pod_policy *wanted)
{
    struct helper_pod_policy policy = *wanted;
    policy.port = database->port;
    CLEANUP(own_freep) char *text = helper_pod_policy_text(&pod, &policy);
    helper_pod_add_secret(&pod);
    helper_pod_configure(&pod, text, "operator:8443", "PEM");
}

static void configure(void)
{
    configure_as(&(struct helper_pod_policy){.generation = 1});
}

static void assign(void)
{
    helper_operator_say(json_pack("{s:s, s:{s:s, s:s}, s:i, s:s, s:i}", "type", "assign", "policy",
                                  "namespace", "web", "name", "shop", "generation", 1, "region",
                                  "eu", "heartbeatSeconds", 1));
}

static void run_backup(const char *id, int64_t generation)
{
    helper_operator_say(json_pack("{s:s, s:s, s:s, s:I, s:i, s:{s:s, s:s, s:s}}", "type", "run",
                                  "id", id, "kind", "backup", "generation", (json_int_t)generation,
                                  "deadlineSeconds", 300, "backup", "name", "shop-daily-1", "uid",
                                  "77aa", "type", "full"));
}

static void cancel_run(const char *id)
{
    helper_operator_say(json_pack("{s:s, s:s, s:s}", "type", "cancel", "id", id, "reason",
                                  "the Backup was deleted"));
}

static void ask_for(const char *id)
{
    helper_operator_say(json_pack("{s:s, s:[s]}", "type", "state", "lookup", id));
}

/* What the server says */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static const json_t *part(const json_t *object, const char *name)
{
    return json_object_get(object, name);
}

static bool is_ready(const json_t *state)
{
    return json_is_true(part(part(state, "database"), "reachable")) &&
           !part(state, "configError") && json_integer_value(part(state, "generation")) > 0;
}

static bool is_busy(const json_t *state)
{
    return json_is_object(part(state, "job"));
}

static bool is_copying(const json_t *progress)
{
    return strcmp(text_of(progress, "phase"), "copying") == 0 &&
           json_integer_value(part(progress, "bytes")) > 0;
}

static bool has_answer(const json_t *state)
{
    return json_array_size(part(state, "lookup")) > 0;
}

static bool has_problem(const json_t *state)
{
    return part(state, "configError");
}

/* Waits until the server says such a message. */
static void await(const char *type, bool (*is_wanted)(const json_t *message))
{
    json_decref(helper_operator_hear(type, is_wanted));
}

static void await_ready(void)
{
    await("state", is_ready);
}

static json_t *must_finish(const char *id)
{
    json_t *done = helper_operator_hear("done", NULL);
    assert_string_equal(text_of(done, "id"), id);
    return done;
}

static void expect_error(const json_t *done, const char *kind, const char *text)
{
    const json_t *error = part(done, "error");
    assert_false(json_is_true(part(done, "ok")));
    if (strcmp(text_of(error, "kind"), kind) != 0 || !strstr(text_of(error, "text"), text))
        fail_msg("'%s' (%s), not '%s' (%s)", text_of(error, "text"), text_of(error, "kind"), text,
                 kind);
}

/* The answer of the buckets. */
static json_t *look_up(const char *id)
{
    helper_operator_forget();
    ask_for(id);
    json_auto_t *state = helper_operator_hear("state", has_answer);
    json_t *answer = json_array_get(part(state, "lookup"), 0);
    assert_string_equal(text_of(answer, "backupID"), id);
    return json_incref(answer);
}

static void begin(void)
{
    configure();
    start_sidecar(NULL);
    assign();
    await_ready();
}

/* One that takes as long as a test may need, on any machine: a quarter of a minute. */
static void begin_slowly(void)
{
    const struct helper_pod_policy slow = {.generation = 1, .read_bytes_per_second = 5000000};
    configure_as(&slow);
    start_sidecar(NULL);
    assign();
    await_ready();
}

/* So that it does not end before the test lets it go; its process. */
static pid_t hold_backup(void)
{
    const pid_t job = helper_pod_find_job("backup");
    assert_return_code(kill(job, SIGSTOP), errno);
    return job;
}

static void let_go(pid_t job)
{
    assert_return_code(kill(job, SIGCONT), errno);
}

static void pause_for(int64_t ns)
{
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

/* Tests */

static void a_run_ends_in_a_backup_that_the_buckets_know(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x1111);
    begin();
    run_backup(id, 1);
    json_auto_t *busy = helper_operator_hear("state", is_busy);
    assert_string_equal(text_of(part(busy, "job"), "id"), id);
    assert_string_equal(text_of(part(busy, "job"), "kind"), "backup");
    json_auto_t *done = must_finish(id);
    const json_t *backup = part(done, "backup");
    assert_true(json_is_true(part(done, "ok")));
    assert_string_equal(text_of(backup, "id"), id);
    assert_string_equal(text_of(backup, "type"), "full");
    assert_int_equal(json_integer_value(part(backup, "timeline")), 1);
    assert_true(json_integer_value(part(backup, "bytesTotal")) > 1000000);
    assert_true(json_integer_value(part(backup, "bytesStored")) > 0);
    assert_true(json_integer_value(part(backup, "files")) > 100);
    assert_int_equal(json_integer_value(part(backup, "pageErrors")), 0);
    assert_string_equal(json_string_value(json_array_get(part(backup, "regions"), 0)), "eu");
    assert_int_equal(json_array_size(part(backup, "missingRegions")), 0);
    assert_int_equal(strlen(text_of(backup, "sha256")), 64);
    assert_int_equal(json_integer_value(part(backup, "versionNum")) / 10000, database->major);

    json_auto_t *answer = look_up(id);
    assert_true(json_equal(part(answer, "backup"), backup));
    json_auto_t *after = helper_operator_hear("state", NULL);
    assert_true(json_is_null(part(after, "job")));
    assert_string_equal(text_of(json_array_get(part(after, "finished"), 0), "id"), id);
}

static bool has_regions(const json_t *state)
{
    return json_array_size(part(state, "regions")) == 2 &&
           json_integer_value(part(json_array_get(part(state, "regions"), 0), "backups")) == 1;
}

static void regions_are_told_after_a_backup(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x1112);
    configure_as(&(struct helper_pod_policy){
        .generation = 1, .second_region = "us", .more = "  wal: {mode: Stream}\n"});
    start_sidecar(NULL);
    await_ready();
    run_backup(id, 1);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
    json_auto_t *told = helper_operator_hear("state", has_regions);
    for (size_t i = 0; i < 2; i++) {
        const json_t *region = json_array_get(part(told, "regions"), i);
        assert_true(json_is_true(part(region, "reachable")));
        assert_string_equal(text_of(region, "lastBackup"), id);
        assert_true(json_integer_value(part(region, "bytes")) > 100000);
        const json_t *window = json_array_get(part(region, "windows"), 0);
        assert_int_equal(json_integer_value(part(window, "timeline")), 1);
        assert_string_equal(text_of(window, "fromLSN"), text_of(part(done, "backup"), "stopLSN"));
        assert_string_equal(text_of(window, "from"), text_of(region, "recoverableFrom"));
        assert_string_equal(text_of(window, "to"), text_of(region, "recoverableTo"));
    }
}

static void the_same_run_again_is_answered_and_not_started(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x2222);
    begin();
    run_backup(id, 1);
    await("state", is_busy);
    const pid_t job = hold_backup();
    run_backup(id, 1);
    await("state", is_busy);
    let_go(job);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
    run_backup(id, 1);
    json_auto_t *after = helper_operator_hear("state", NULL);
    assert_true(json_is_null(part(after, "job")));
    assert_int_equal(json_array_size(part(after, "finished")), 1);
}

static void another_run_meanwhile_has_to_wait(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x3333);
    CLEANUP(own_freep) char *other = helper_pod_backup_id("full", 0x3334);
    begin_slowly();
    run_backup(id, 1);
    run_backup(other, 1);
    json_auto_t *refused = must_finish(other);
    expect_error(refused, "transient", id);
    cancel_run(id);
    json_auto_t *done = must_finish(id);
    expect_error(done, "canceled", "the Backup was deleted");
}

static void a_cancel_leaves_nothing_in_the_database(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x4444);
    begin_slowly();
    run_backup(id, 1);
    json_auto_t *copying = helper_operator_hear("progress", is_copying);
    assert_string_equal(text_of(copying, "id"), id);
    assert_true(json_integer_value(part(copying, "totalBytes")) > 0);
    helper_postgres_await(database, "SELECT count(*) FROM pg_replication_slots", "1");
    cancel_run(id);
    json_auto_t *done = must_finish(id);
    expect_error(done, "canceled", "the Backup was deleted");
    helper_postgres_await(database, "SELECT count(*) FROM pg_replication_slots", "0");
    json_auto_t *answer = look_up(id);
    assert_null(part(answer, "backup"));
}

static void a_backup_that_is_killed_is_looked_for_and_told(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x5555);
    begin_slowly();
    run_backup(id, 1);
    await("progress", is_copying);
    assert_return_code(kill(helper_pod_find_job("backup"), SIGKILL), errno);
    json_auto_t *done = must_finish(id);
    expect_error(done, "transient", "killed by signal 9 (out of memory?)");
}

static void a_backup_that_passes_its_deadline_ends_by_itself(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x5554);
    begin_slowly();
    helper_operator_say(json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s, s:s}}", "type", "run",
                                  "id", id, "kind", "backup", "generation", 1, "deadlineSeconds", 1,
                                  "backup", "name", "b", "uid", "u", "type", "full"));
    json_auto_t *done = must_finish(id);
    expect_error(done, "canceled", "not done within --deadline 1 seconds");
}

/* An incremental one that finds no parent: the id was given, the type is what it became. */
static void a_backup_that_becomes_full_keeps_its_id(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("incr", 0x5553);
    CLEANUP(own_freep) char *next = helper_pod_backup_id("diff", 0x5552);
    const char *const ids[] = {id, next}, *const types[] = {"incremental", "differential"};
    const char *const became[] = {"full", "differential"};
    begin();
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        helper_operator_say(json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s, s:s}}", "type", "run",
                                      "id", ids[i], "kind", "backup", "generation", 1,
                                      "deadlineSeconds", 60, "backup", "name", "b", "uid", "u",
                                      "type", types[i]));
        json_auto_t *done = must_finish(ids[i]);
        assert_string_equal(text_of(part(done, "backup"), "type"), became[i]);
        assert_string_equal(text_of(part(done, "backup"), "id"), ids[i]);
    }
    json_auto_t *answer = look_up(id);
    assert_string_equal(text_of(part(answer, "backup"), "type"), "full");
    assert_non_null(strstr(text_of(part(answer, "backup"), "fallback"), "no earlier backup"));
}

static void a_backup_of_another_time_is_refused(void **state)
{
    (void)state;
    begin();
    run_backup("20200101T000000Z-full-0001", 1);
    json_auto_t *done = must_finish("20200101T000000Z-full-0001");
    expect_error(done, "permanent", "check both clocks");
}

/* A child that commits and is killed before it can say so. */
static void a_backup_that_was_committed_before_its_end_is_told_so(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x5556);
    CLEANUP(own_freep) char *script = own_format("%s/dumb", pod.directory);
    CLEANUP(own_freep)
    char *text = own_format("#!/bin/sh\n[ \"$1\" = backup ] || exec %s \"$@\"\n"
                            "%s \"$@\" >/dev/null\nkill -9 $$\n",
                            pod.program, pod.program);
    helper_directory_write(pod.directory, "dumb", text);
    assert_return_code(chmod(script, 0755), errno);
    configure();
    start_sidecar(script);
    await_ready();
    run_backup(id, 1);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
    assert_string_equal(text_of(part(done, "backup"), "id"), id);
}

static void results_come_back_after_a_reconnect_and_a_restart(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x6666);
    begin();
    run_backup(id, 1);
    await("state", is_busy);
    const pid_t job = hold_backup();
    helper_operator_disconnect();
    let_go(job);
    while (kill(job, 0) == 0)
        pause_for(TICK_NS);
    helper_operator_forget();
    helper_operator_connect();
    json_auto_t *after = helper_operator_hear("state", NULL);
    const json_t *finished = json_array_get(part(after, "finished"), 0);
    assert_string_equal(text_of(finished, "id"), id);
    assert_true(json_is_true(part(finished, "ok")));

    helper_sidecar_stop();
    start_sidecar(NULL);
    json_auto_t *anew = helper_operator_hear("state", NULL);
    assert_true(json_equal(json_array_get(part(anew, "finished"), 0), finished));
    await_ready();
    run_backup(id, 1);
    json_auto_t *answer = helper_operator_hear("state", NULL);
    assert_true(json_is_null(part(answer, "job")));
}

static void a_job_that_the_process_before_left_behind_is_settled(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x7777);
    CLEANUP(own_freep)
    char *ledger = own_format("{\"finished\":[],\"running\":{\"id\":\"%s\",\"kind\":\"backup\","
                              "\"started\":\"2026-11-21T08:00:00Z\"}}",
                              id);
    assert_int_equal(write(options.ledger, ledger, strlen(ledger)), strlen(ledger));
    configure();
    start_sidecar(NULL);
    json_auto_t *done = must_finish(id);
    expect_error(done, "transient", "the sidecar's server process ended");
}

static void a_ledger_of_nonsense_is_no_harm(void **state)
{
    (void)state;
    static const char nonsense[] = "{\"finished\":[{\"id\":5},7],\"running\":{\"id\":[]}";
    assert_int_equal(write(options.ledger, nonsense, strlen(nonsense)), strlen(nonsense));
    begin();
    json_auto_t *told = helper_operator_hear("state", NULL);
    assert_int_equal(json_array_size(part(told, "finished")), 0);
}

static void nothing_is_there_at_first_and_all_of_it_comes_later(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x8888);
    start_sidecar(NULL);
    json_auto_t *empty = helper_operator_hear("state", NULL);
    assert_int_equal(json_integer_value(part(empty, "generation")), 0);
    assert_non_null(strstr(text_of(empty, "configError"), "no policy.yaml"));
    assert_string_equal(text_of(empty, "configErrorKind"), "not-found");
    assert_false(json_is_true(part(part(empty, "database"), "reachable")));
    run_backup(id, 1);
    json_auto_t *refused = must_finish(id);
    expect_error(refused, "transient", "no policy.yaml");

    CLEANUP(own_freep)
    char *policy = helper_pod_policy_text(
        &pod, &(struct helper_pod_policy){.generation = 1, .port = database->port});
    helper_pod_configure(&pod, policy, "operator:8443", "PEM");
    json_auto_t *locked = helper_operator_hear("state", has_problem);
    while (!strstr(text_of(locked, "configError"), "'k1'")) {
        json_decref(locked);
        locked = helper_operator_hear("state", has_problem);
    }
    helper_pod_add_secret(&pod);
    await_ready();
    CLEANUP(own_freep) char *endpoint = helper_operator_endpoint();
    assert_string_equal(endpoint, "operator:8443");
    helper_operator_forget();
    ask_for(id);
    json_auto_t *loaded = helper_operator_hear("state", NULL);
    assert_string_equal(text_of(loaded, "policyUID"), "uid-1");
    run_backup(id, 1);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
}

static void a_broken_policy_is_told_and_no_job_starts_with_it(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x9999);
    begin();
    helper_pod_configure(&pod,
                         "apiVersion: lifeboat.dev/v1alpha1\nkind: BackupPolicy\n"
                         "metadata: {name: shop, generation: 2}\n"
                         "spec: {regions: [{name: eu, file: {path: relative}}]}\n",
                         "operator:8443", "PEM");
    json_auto_t *told = helper_operator_hear("state", has_problem);
    assert_non_null(strstr(text_of(told, "configError"), "spec.regions[0].file.path"));
    assert_int_equal(json_integer_value(part(told, "generation")), 1);
    run_backup(id, 1);
    json_auto_t *done = must_finish(id);
    expect_error(done, "permanent", "spec.regions[0].file.path");
}

static bool is_second(const json_t *state)
{
    return json_integer_value(part(state, "generation")) == 2;
}

static void what_becomes_of_the_policy_leaves_its_backup_alone(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0x9a9a);
    begin_slowly();
    run_backup(id, 1);
    await("progress", is_copying);
    const pid_t job = hold_backup();
    configure_as(&(struct helper_pod_policy){.generation = 2, .second_region = "us"});
    await("state", is_second);
    helper_pod_configure(&pod, NULL, NULL, NULL); /* the policy is deleted */
    await("state", has_problem);
    let_go(job);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
    assert_int_equal(json_array_size(part(part(done, "backup"), "regions")), 1);
}

static void a_run_waits_for_nobody_who_has_not_its_configuration(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xaaaa);
    begin();
    run_backup(id, 2);
    json_auto_t *done = must_finish(id);
    expect_error(done, "transient", "generation 2");
}

static void the_policy_of_another_is_refused(void **state)
{
    (void)state;
    configure();
    start_sidecar(NULL);
    helper_operator_say(json_pack("{s:s, s:{s:s, s:s}, s:i, s:i}", "type", "assign", "policy",
                                  "namespace", "web", "name", "other", "generation", 1,
                                  "heartbeatSeconds", 1));
    json_auto_t *told = helper_operator_hear("state", has_problem);
    while (!strstr(text_of(told, "configError"), "lifeboat-other")) {
        json_decref(told);
        told = helper_operator_hear("state", has_problem);
    }
}

static void a_region_that_cannot_be_asked_makes_an_answer_uncertain(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xbbbb);
    CLEANUP(own_freep) char *other = helper_pod_backup_id("full", 0xbbbc);
    configure_as(&(struct helper_pod_policy){.generation = 1, .second_region = "us"});
    start_sidecar(NULL);
    await_ready();
    run_backup(id, 1);
    json_auto_t *done = must_finish(id);
    assert_true(json_is_true(part(done, "ok")));
    helper_operator_forget();
    configure_as(
        &(struct helper_pod_policy){.generation = 2, .second_region = "/proc/self/nowhere"});
    json_auto_t *reloaded = helper_operator_hear("state", NULL);
    while (json_integer_value(part(reloaded, "generation")) != 2) {
        json_decref(reloaded);
        reloaded = helper_operator_hear("state", NULL);
    }
    json_auto_t *known = look_up(id);
    assert_string_equal(text_of(part(known, "backup"), "id"), id);
    json_auto_t *unknown = look_up(other);
    assert_null(part(unknown, "backup"));
    assert_non_null(strstr(text_of(unknown, "error"), "not all could"));
}

/* The operator asks again every half minute; a region that is down keeps an answer for longer. */
static void a_question_that_is_asked_again_is_answered_all_the_same(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xbbbd);
    CLEANUP(own_freep) char *script = own_format("%s/slow", pod.directory);
    CLEANUP(own_freep)
    char *text =
        own_format("#!/bin/sh\n[ \"$1\" = show ] && sleep 1\nexec %s \"$@\"\n", pod.program);
    helper_directory_write(pod.directory, "slow", text);
    assert_return_code(chmod(script, 0755), errno);
    configure();
    start_sidecar(script);
    await_ready();
    helper_operator_forget();
    json_auto_t *answer = NULL;
    for (int i = 0; i < 200 && !answer; i++) {
        ask_for(id);
        pause_for(300 * INT64_C(1000000)); /* sooner than an answer comes */
        answer = helper_operator_heard("state", has_answer);
    }
    assert_non_null(answer);
}

static void no_restore_is_made_beside_a_database(void **state)
{
    (void)state;
    begin();
    helper_operator_say(json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s}}", "type", "run", "id",
                                  "copy-1", "kind", "restore", "generation", 1, "deadlineSeconds",
                                  60, "restore", "backup", "Latest", "to", "/tmp/never"));
    json_auto_t *done = must_finish("copy-1");
    expect_error(done, "permanent", "restores have pods of their own");
}

static void a_restore_pod_restores_below_its_target(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xcccc);
    begin();
    run_backup(id, 1);
    json_auto_t *made = must_finish(id);
    assert_true(json_is_true(part(made, "ok")));
    helper_sidecar_stop();

    CLEANUP(own_freep) char *to = own_format("%s/claim/pgdata", pod.directory);
    CLEANUP(own_freep) char *claim = own_format("%s/claim", pod.directory);
    assert_return_code(mkdir(claim, 0700), errno);
    options.pgdata = NULL;
    options.host = "/nowhere";
    start_sidecar(NULL);
    await("state", NULL);
    helper_operator_say(json_pack("{s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s, s:[]}}", "type", "run",
                                  "id", "copy-1", "kind", "restore", "generation", 1,
                                  "deadlineSeconds", 60, "restore", "backup", "Latest", "to", to,
                                  "excludeRegions"));
    json_auto_t *done = must_finish("copy-1");
    const json_t *restore = part(done, "restore");
    if (!json_is_true(part(done, "ok")))
        fail_msg("%s", text_of(part(done, "error"), "text"));
    assert_string_equal(text_of(restore, "backup"), id);
    assert_string_equal(text_of(restore, "region"), "eu");
    assert_true(json_integer_value(part(restore, "files")) > 100);
    assert_true(json_integer_value(part(restore, "fetchedBytes")) > 0);
    helper_directory_expect_missing(to, "postmaster.pid");
    CLEANUP(own_freep) char *control = own_format("%s/global/pg_control", to);
    assert_return_code(access(control, R_OK), errno);
}

/* The backup that runs is given up; how long the server took. */
static int64_t shut_down_during_backup(const char *id, const char *mode, bool stopped_job)
{
    run_backup(id, 1);
    await("progress", is_copying);
    if (stopped_job)
        hold_backup();
    const int64_t started_ms = clock_monotonic_ms();
    helper_postgres_shut_down(database, mode);
    const int64_t took_ms = clock_monotonic_ms() - started_ms;
    json_auto_t *done = must_finish(id);
    assert_false(json_is_true(part(done, "ok")));
    helper_postgres_resume(database);
    return took_ms;
}

static void a_shutdown_of_the_database_is_not_held_up_by_a_backup(void **state)
{
    (void)state;
    static const char *const modes[] = {"smart", "fast"};
    begin_slowly();
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xdd00 + i);
        const int64_t took_ms = shut_down_during_backup(id, modes[i], false);
        assert_in_range(took_ms, 0, SHUTDOWN_MS);
        print_message("a %s shutdown took %jd ms\n", modes[i], (intmax_t)took_ms);
        await_ready();
    }
}

/* The worst of jobs: one that does not even hear. */
static void a_job_that_does_not_end_is_killed_before_it_holds_up_a_shutdown(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xeeee);
    begin_slowly();
    const int64_t took_ms = shut_down_during_backup(id, "smart", true);
    assert_in_range(took_ms, 0, SHUTDOWN_MS);
    print_message("a smart shutdown took %jd ms\n", (intmax_t)took_ms);
}

static void the_end_of_the_server_ends_its_job(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *id = helper_pod_backup_id("full", 0xffff);
    begin_slowly();
    run_backup(id, 1);
    await("progress", is_copying);
    const pid_t job = helper_pod_find_job("backup");
    helper_sidecar_stop();
    assert_int_equal(kill(job, 0), -1);
    helper_postgres_await(database, "SELECT count(*) FROM pg_replication_slots", "0");
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(a_run_ends_in_a_backup_that_the_buckets_know),
        SERVER_TEST(regions_are_told_after_a_backup),
        SERVER_TEST(the_same_run_again_is_answered_and_not_started),
        SERVER_TEST(another_run_meanwhile_has_to_wait),
        SERVER_TEST(a_cancel_leaves_nothing_in_the_database),
        SERVER_TEST(a_backup_that_is_killed_is_looked_for_and_told),
        SERVER_TEST(a_backup_that_passes_its_deadline_ends_by_itself),
        SERVER_TEST(a_backup_that_becomes_full_keeps_its_id),
        SERVER_TEST(a_backup_of_another_time_is_refused),
        SERVER_TEST(a_backup_that_was_committed_before_its_end_is_told_so),
        SERVER_TEST(results_come_back_after_a_reconnect_and_a_restart),
        SERVER_TEST(a_job_that_the_process_before_left_behind_is_settled),
        SERVER_TEST(a_ledger_of_nonsense_is_no_harm),
        SERVER_TEST(nothing_is_there_at_first_and_all_of_it_comes_later),
        SERVER_TEST(a_broken_policy_is_told_and_no_job_starts_with_it),
        SERVER_TEST(what_becomes_of_the_policy_leaves_its_backup_alone),
        SERVER_TEST(a_run_waits_for_nobody_who_has_not_its_configuration),
        SERVER_TEST(the_policy_of_another_is_refused),
        SERVER_TEST(a_region_that_cannot_be_asked_makes_an_answer_uncertain),
        SERVER_TEST(a_question_that_is_asked_again_is_answered_all_the_same),
        SERVER_TEST(no_restore_is_made_beside_a_database),
        SERVER_TEST(a_restore_pod_restores_below_its_target),
        SERVER_TEST(a_shutdown_of_the_database_is_not_held_up_by_a_backup),
        SERVER_TEST(a_job_that_does_not_end_is_killed_before_it_holds_up_a_shutdown),
        SERVER_TEST(the_end_of_the_server_ends_its_job),
    };
    return cmocka_run_group_tests(tests, start_database, stop_database);
}
