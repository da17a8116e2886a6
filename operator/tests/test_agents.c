// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/agents.h"

static const struct agent_identity db0 = {.namespace = "shop", .pod = "db-0", .uid = "uid-0"};
static const struct agent_identity db1 = {.namespace = "shop", .pod = "db-1", .uid = "uid-1"};

static unsigned changes, wakes; /* of tests with one thread */

static void count_change(void *arg, const struct agent_identity *who)
{
    (void)arg;
    assert_string_equal(who->namespace, "shop");
    changes++;
}

static void count_wake(void *arg)
{
    (void)arg;
    wakes++;
}

static struct agents *agents_for_test(void)
{
    struct agents *agents = agents_new(count_change, NULL);
    agents_set_outlet(agents, &(struct agents_outlet){.wake = count_wake});
    agents_set_epoch(agents, 7);
    changes = wakes = 0;
    return agents;
}

static int hear_text(struct agents *agents, uint64_t connection, const char *text,
                     struct error *err)
{
    CLEANUP(message_clear) struct message message = {0};
    if (message_parse(&message, text, strlen(text), err) < 0)
        fail_msg("%s: %s", text, err->text);
    return agents_hear(agents, db0.uid, connection, &message, err);
}

static void hear(struct agents *agents, uint64_t connection, const char *text)
{
    struct error err;
    if (hear_text(agents, connection, text, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static struct agent_view view_of(struct agents *agents)
{
    struct agent_view view;
    agents_view(agents, db0.uid, &view);
    return view;
}

#define STATE(members)                                                                             \
    "{\"version\":1,\"type\":\"state\",\"generation\":3,\"database\":{\"reachable\":"              \
    "false}" members "}"
#define JOB                                                                                        \
    ",\"job\":{\"id\":\"b\",\"kind\":\"backup\",\"phase\":\"copy\",\"bytes\":5,\"totalBytes\":9,"  \
    "\"files\":1}"
#define FAILED(id)                                                                                 \
    "{\"version\":1,\"type\":\"done\",\"id\":\"" id                                                \
    "\",\"kind\":\"backup\",\"ok\":false,\"error\":"                                               \
    "{\"kind\":\"transient\",\"text\":\"no\"}}"
#define LOOKUP(id, members) "{\"backupID\":\"" id "\"" members "}"

static void nobody_is_known_before_it_connects(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    assert_false(view.known || view.connected || view.fresh);
    struct error err;
    const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = "b"}};
    assert_int_equal(agents_send(agents, db0.uid, &cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_int_equal(agents_connected(agents), 0);
}

static void what_a_sidecar_said_outlives_its_connection(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    clock_fake(1000);
    agents_join(agents, &db0, 1);
    assert_int_equal(agents_connected(agents), 1);
    clock_fake(2000);
    hear(agents, 1, STATE(JOB));
    clock_fake(3000);
    agents_leave(agents, db0.uid, 1);
    clock_fake(-1);
    assert_int_equal(agents_connected(agents), 0);
    assert_int_equal(changes, 3);
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    assert_true(view.known && !view.connected && !view.fresh);
    assert_int_equal(view.connected_ms, 1000);
    assert_int_equal(view.heard_ms, 2000);
    assert_int_equal(view.state.state.generation, 3);
    assert_string_equal(view.state.state.job.id, "b");
}

static void a_view_stays_as_it_was(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    hear(agents, 1, STATE(JOB));
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    hear(agents, 1, STATE(""));
    hear(agents, 1, FAILED("b"));
    agents_forget(agents, db0.uid);
    assert_true(view.connected && view.fresh && view.state.state.busy);
    assert_string_equal(view.state.state.job.progress.phase, "copy");
}

static void progress_and_results_are_merged_into_the_state(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    hear(agents, 1, STATE(JOB));
    hear(agents, 1,
         "{\"version\":1,\"type\":\"progress\",\"id\":\"b\",\"phase\":\"wal\",\"bytes\":8,"
         "\"totalBytes\":9,\"files\":2}");
    hear(agents, 1, "{\"version\":1,\"type\":\"progress\",\"id\":\"other\",\"bytes\":1}");
    struct agent_view view = view_of(agents);
    assert_int_equal(view.state.state.job.progress.bytes, 8);
    assert_string_equal(view.state.state.job.progress.phase, "wal");
    agent_view_done(&view);

    hear(agents, 1, FAILED("b"));
    view = view_of(agents);
    assert_false(view.state.state.busy);
    assert_int_equal(view.state.state.finished_count, 1);
    assert_string_equal(view.state.state.finished[0].id, "b");
    assert_int_equal(view.state.type, MESSAGE_STATE);
    agent_view_done(&view);
    assert_int_equal(changes, 3); /* joined, state, done; progress is no news */

    hear(agents, 1, FAILED("b"));
    static const char *const more[] = {FAILED("c"), FAILED("d"), FAILED("e"), FAILED("f"),
                                       FAILED("g"), FAILED("h"), FAILED("i"), FAILED("j")};
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        hear(agents, 1, more[i]);
    view = view_of(agents);
    assert_int_equal(view.state.state.finished_count, MESSAGE_FINISHED_MAX);
    assert_string_equal(view.state.state.finished[0].id, "c");
    assert_string_equal(view.state.state.finished[7].id, "j");
    agent_view_done(&view);
}

/* A sidecar tells of a run that it refused once, and of its state right behind. */
static void a_result_outlives_the_next_states(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    hear(agents, 1, STATE(""));
    hear(agents, 1, FAILED("refused"));
    hear(agents, 1, STATE(""));
    struct agent_view view = view_of(agents);
    assert_int_equal(view.state.state.finished_count, 1);
    assert_string_equal(view.state.state.finished[0].id, "refused");
    agent_view_done(&view);

    hear(agents, 1, STATE(",\"finished\":[" FAILED("a") "," FAILED("refused") "]"));
    for (char id = 'b'; id <= 'g'; id++) {
        CLEANUP(own_freep) char *done = own_format(FAILED("%c"), id);
        hear(agents, 1, done);
    }
    hear(agents, 1, STATE(",\"finished\":[" FAILED("h") "]"));
    view = view_of(agents);
    assert_int_equal(view.state.state.finished_count, MESSAGE_FINISHED_MAX);
    assert_string_equal(view.state.state.finished[0].id, "refused"); /* "a" was the oldest */
    assert_string_equal(view.state.state.finished[MESSAGE_FINISHED_MAX - 1].id, "h");
    agent_view_done(&view);
}

static void the_same_state_again_is_no_news(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    hear(agents, 1, STATE(""));
    hear(agents, 1, STATE(""));
    assert_int_equal(changes, 2);
    hear(agents, 1, STATE(JOB));
    assert_int_equal(changes, 3);
    agents_join(agents, &db0, 2);
    hear(agents, 2, STATE(JOB)); /* news: it is fresh again */
    assert_int_equal(changes, 5);
}

static void a_database_that_works_is_no_news(void **state)
{
    (void)state;
    static const char format[] =
        "{\"version\":1,\"type\":\"state\",\"generation\":3,\"database\":{\"reachable\":true,"
        "\"role\":\"%s\",\"lsn\":\"0/%d\"}}";
    static const char *const roles[] = {"standby", "standby", "standby", "primary"};
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        CLEANUP(own_freep) char *text = own_format(format, roles[i], (int)i);
        hear(agents, 1, text);
        CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
        CLEANUP(own_freep) char *lsn = own_format("0/%d", (int)i);
        assert_string_equal(view.state.state.database.lsn, lsn);
    }
    assert_int_equal(changes, 3); /* connected, its first state, promoted */
}

static void wal_that_flows_is_no_news(void **state)
{
    (void)state;
    static const char format[] =
        "{\"version\":1,\"type\":\"state\",\"generation\":3,"
        "\"database\":{\"reachable\":false},\"archiving\":{\"mode\":\"stream\","
        "\"streaming\":%s,\"serverLSN\":\"0/%d\",\"receivedLSN\":\"0/%d\",\"durableLSN\":\"0/%d\","
        "\"lagSeconds\":%d,\"keptBytes\":%d,\"leftBytes\":%d,\"leftSeconds\":%d}}";
    static const char *const streaming[] = {"true", "true", "true", "false"};
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    for (int i = 0; i < (int)ARRAY_SIZE(streaming); i++) {
        CLEANUP(own_freep) char *text = own_format(format, streaming[i], i, i, i, i, i, i, i);
        hear(agents, 1, text);
        CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
        assert_int_equal(view.state.state.archiving.lag_seconds, i);
    }
    assert_int_equal(changes, 3); /* connected, its first state, streams no more */
}

static void before_its_state_results_of_a_sidecar_are_ignored(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db0, 1);
    hear(agents, 1, FAILED("b"));
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    assert_false(view.fresh);
    assert_null(view.state.root);
    assert_int_equal(changes, 1);
}

static void answers_are_kept_until_the_next_connection(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    struct message_lookup answer;
    agents_join(agents, &db0, 1);
    hear(agents, 1,
         STATE(",\"lookup\":[" LOOKUP("a", ",\"running\":true") "," LOOKUP("b", "") "]"));
    hear(agents, 1, STATE(JOB));
    hear(agents, 1,
         STATE(",\"lookup\":[" LOOKUP("a", ",\"backup\":{\"id\":\"a\",\"type\":\"full\"}") "]"));
    struct agent_view view = view_of(agents);
    assert_int_equal(view.state.state.lookup_count, 2);
    assert_true(agent_view_lookup(&view, "a", &answer));
    assert_non_null(answer.backup);
    assert_false(answer.running);
    assert_true(agent_view_lookup(&view, "b", &answer));
    assert_null(answer.backup);
    assert_false(agent_view_lookup(&view, "c", &answer));
    agent_view_done(&view);

    hear(agents, 1,
         STATE(",\"lookup\":[" LOOKUP("c", "") "," LOOKUP("d", "") "," LOOKUP("e", "") "]"));
    view = view_of(agents);
    assert_int_equal(view.state.state.lookup_count, MESSAGE_LOOKUP_MAX);
    assert_true(agent_view_lookup(&view, "a", &answer));
    assert_false(agent_view_lookup(&view, "b", &answer));
    agent_view_done(&view);

    agents_join(agents, &db0, 2);
    view = view_of(agents);
    assert_false(agent_view_lookup(&view, "a", &answer));
    agent_view_done(&view);
    hear(agents, 2, STATE(""));
    view = view_of(agents);
    assert_false(agent_view_lookup(&view, "a", &answer));
    agent_view_done(&view);
}

static void what_only_an_operator_says_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    struct error err;
    agents_join(agents, &db0, 1);
    assert_int_equal(
        hear_text(agents, 1, "{\"version\":1,\"type\":\"cancel\",\"epoch\":9,\"id\":\"b\"}", &err),
        -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_int_equal(hear_text(agents, 1,
                               "{\"version\":1,\"type\":\"hello\",\"pod\":{\"namespace\":\"shop\","
                               "\"name\":\"db-0\",\"uid\":\"uid-0\"}}",
                               &err),
                     -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static char *next(struct agents *agents, uint64_t connection, int expected_close)
{
    int close;
    char *text = agents_next(agents, db0.uid, connection, &close);
    assert_int_equal(close, expected_close);
    return text;
}

static void messages_go_out_in_order_with_the_epoch_and_once(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    struct error err;
    agents_join(agents, &db0, 1);
    wakes = 0;
    static const char *const ids[] = {"a", "b", "a"}; /* the second "a" waits already */
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = ids[i]}};
        assert_int_equal(agents_send(agents, db0.uid, &cancel, &err), 0);
    }
    assert_int_equal(wakes, 3);
    CLEANUP(own_freep) char *first = next(agents, 1, 0);
    CLEANUP(own_freep) char *second = next(agents, 1, 0);
    CLEANUP(message_clear) struct message message = {0};
    assert_int_equal(message_parse(&message, first, strlen(first), &err), 0);
    assert_int_equal(message.epoch, 7);
    assert_string_equal(message.cancel.id, "a");
    assert_non_null(strstr(second, "\"b\""));
    assert_null(next(agents, 1, 0));
}

static void a_newer_connection_replaces_the_older(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    struct error err;
    agents_join(agents, &db0, 1);
    hear(agents, 1, STATE(JOB));
    const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = "a"}};
    assert_int_equal(agents_send(agents, db0.uid, &cancel, &err), 0);
    agents_join(agents, &db0, 2);
    assert_int_equal(agents_connected(agents), 1);
    assert_null(next(agents, 1, MESSAGE_CLOSE_REPLACED));
    assert_null(next(agents, 2, 0)); /* what waited for the older one is gone */
    hear(agents, 1, STATE(""));      /* too late */
    agents_leave(agents, db0.uid, 1);
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    assert_true(view.connected && !view.fresh);
    assert_true(view.state.state.busy);
}

static void a_forgotten_pod_loses_its_connection(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    agents_join(agents, &db1, 5);
    agents_join(agents, &db0, 1);
    agents_forget(agents, db0.uid);
    agents_forget(agents, "nobody");
    assert_int_equal(agents_connected(agents), 1);
    assert_null(next(agents, 1, MESSAGE_CLOSE_UNKNOWN_POD));
    CLEANUP(agent_view_done) struct agent_view view = view_of(agents);
    assert_false(view.known);
    agents_leave(agents, db0.uid, 1);
    hear(agents, 1, STATE(""));
}

static void the_outbox_of_a_sidecar_that_does_not_read_is_bounded(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_for_test();
    struct error err = {0};
    int sent = 0, result;
    agents_join(agents, &db0, 1);
    do {
        char id[16];
        snprintf(id, sizeof(id), "id-%d", sent);
        const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = id}};
        result = agents_send(agents, db0.uid, &cancel, &err);
    } while (result == 0 && ++sent < 1000);
    assert_int_equal(sent, 32);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    own_freep(&(char *){next(agents, 1, 0)});
    const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = "more"}};
    assert_int_equal(agents_send(agents, db0.uid, &cancel, &err), 0);
}

struct storm {
    struct agents *agents;
    const struct agent_identity *who;
    uint64_t first; /* connection */
};

static int storm_channel(void *arg, struct error *err)
{
    const struct storm *storm = arg;
    for (uint64_t i = 0; i < 200; i++) {
        int close;
        CLEANUP(message_clear) struct message message = {0};
        if (message_parse(&message, STATE(JOB), strlen(STATE(JOB)), err) < 0)
            return -1;
        agents_join(storm->agents, storm->who, storm->first + i);
        if (agents_hear(storm->agents, storm->who->uid, storm->first + i, &message, err) < 0)
            return -1;
        own_freep(&(char *){agents_next(storm->agents, storm->who->uid, storm->first + i, &close)});
        agents_leave(storm->agents, storm->who->uid, storm->first + i);
    }
    return 0;
}

static int storm_reconcile(void *arg, struct error *err)
{
    const struct storm *storm = arg;
    for (int i = 0; i < 400; i++) {
        CLEANUP(agent_view_done) struct agent_view view;
        agents_view(storm->agents, storm->who->uid, &view);
        if (view.fresh && strcmp(view.state.state.job.id, "b") != 0)
            return error_set(err, ERROR_PERMANENT, "torn view");
        const struct message cancel = {.type = MESSAGE_CANCEL, .cancel = {.id = "a"}};
        struct error ignored;
        if (agents_send(storm->agents, storm->who->uid, &cancel, &ignored) < 0 &&
            ignored.kind != ERROR_NOT_FOUND)
            return error_set(err, ERROR_PERMANENT, "%s", ignored.text);
        if (i % 50 == 49)
            agents_forget(storm->agents, storm->who->uid);
    }
    return 0;
}

static void ignore_change(void *arg, const struct agent_identity *who)
{
    (void)arg;
    (void)who;
}

static void threads_may_do_all_at_once(void **state)
{
    (void)state;
    CLEANUP(agents_freep) struct agents *agents = agents_new(ignore_change, NULL);
    struct storm storms[] = {{agents, &db0, 1}, {agents, &db1, 1000}, {agents, &db0, 5000}};
    struct cancel cancel;
    struct error err;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    for (size_t i = 0; i < ARRAY_SIZE(storms); i++) {
        assert_int_equal(crew_start(crew, "channel", storm_channel, &storms[i], &err), 0);
        assert_int_equal(crew_start(crew, "reconcile", storm_reconcile, &storms[i], &err), 0);
    }
    if (crew_join(crew, &err) < 0)
        fail_msg("%s", err.text);
    cancel_done(&cancel);
    assert_int_equal(agents_connected(agents), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_known_before_it_connects),
        cmocka_unit_test(what_a_sidecar_said_outlives_its_connection),
        cmocka_unit_test(a_view_stays_as_it_was),
        cmocka_unit_test(progress_and_results_are_merged_into_the_state),
        cmocka_unit_test(a_result_outlives_the_next_states),
        cmocka_unit_test(the_same_state_again_is_no_news),
        cmocka_unit_test(a_database_that_works_is_no_news),
        cmocka_unit_test(wal_that_flows_is_no_news),
        cmocka_unit_test(before_its_state_results_of_a_sidecar_are_ignored),
        cmocka_unit_test(answers_are_kept_until_the_next_connection),
        cmocka_unit_test(what_only_an_operator_says_is_corrupt),
        cmocka_unit_test(messages_go_out_in_order_with_the_epoch_and_once),
        cmocka_unit_test(a_newer_connection_replaces_the_older),
        cmocka_unit_test(a_forgotten_pod_loses_its_connection),
        cmocka_unit_test(the_outbox_of_a_sidecar_that_does_not_read_is_bounded),
        cmocka_unit_test(threads_may_do_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
