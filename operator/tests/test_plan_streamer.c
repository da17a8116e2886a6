// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/member.h"
#include "operator/plan_streamer.h"
#include "operator/policy_view.h"

enum { PODS_MAX = 3 };

struct pod {
    const char *name;
    bool silent, hiccup, foreign, empty /* has no configuration yet */, terminating, down, standby;
    int64_t lag_seconds;
    enum message_wal mode;
};

struct row {
    const char *sentence;
    struct pod pods[PODS_MAX];
    const char *expected; /* the pod; NULL: none */
};

struct scene {
    struct policy_spec spec;
    struct member members[PODS_MAX];
    struct message_state states[PODS_MAX];
    struct policy_view_pod pods[PODS_MAX];
    struct policy_view view;
};

static void fill(struct scene *scene, const struct pod *pods)
{
    *scene = (struct scene){.spec.wal_stream = true};
    scene->view = (struct policy_view){.spec = &scene->spec, .pods = scene->pods};
    for (size_t i = 0; i < PODS_MAX && pods[i].name; i++) {
        scene->members[i] =
            (struct member){.name = pods[i].name, .terminating = pods[i].terminating};
        scene->states[i].database = (struct message_database){.reachable = !pods[i].down,
                                                              .standby = pods[i].standby,
                                                              .lag_seconds = pods[i].lag_seconds};
        scene->states[i].archiving.mode = pods[i].mode;
        scene->pods[i] =
            (struct policy_view_pod){.member = &scene->members[i],
                                     .state = pods[i].silent ? NULL : &scene->states[i],
                                     .connected = !pods[i].silent,
                                     .hiccup = pods[i].hiccup,
                                     .foreign = pods[i].foreign,
                                     .generation = pods[i].empty ? 0 : 3};
        scene->view.pod_count++;
    }
}

static const char *name_of(const struct policy_view_pod *pod)
{
    return pod ? pod->member->name : "(none)";
}

static void one_pod_streams(void **state)
{
    static const struct row rows[] = {
        {.sentence = "the primary",
         .pods = {{.name = "db-0", .standby = true}, {.name = "db-1"}},
         .expected = "db-1"},
        {.sentence = "rather than a standby that streams",
         .pods = {{.name = "db-0", .standby = true, .mode = MESSAGE_WAL_STREAM}, {.name = "db-1"}},
         .expected = "db-1"},
        {.sentence = "of two primaries the one that streams",
         .pods = {{.name = "db-0", .mode = MESSAGE_WAL_HOLD},
                  {.name = "db-1", .mode = MESSAGE_WAL_STREAM}},
         .expected = "db-1"},
        {.sentence = "unless that was not heard of since the other one was promoted",
         .pods = {{.name = "db-0"}, {.name = "db-1", .hiccup = true, .mode = MESSAGE_WAL_STREAM}},
         .expected = "db-0"},
        {.sentence = "a hiccup of the only primary changes nothing",
         .pods = {{.name = "db-0", .standby = true}, {.name = "db-1", .hiccup = true}},
         .expected = "db-1"},
        {.sentence = "without a primary the one that streams, whatever its lag",
         .pods =
             {{.name = "db-0", .standby = true},
              {.name = "db-1", .standby = true, .lag_seconds = 900, .mode = MESSAGE_WAL_STREAM}},
         .expected = "db-1"},
        {.sentence = "else the standby with the least lag",
         .pods = {{.name = "db-0", .standby = true, .lag_seconds = 900},
                  {.name = "db-1", .standby = true, .lag_seconds = 2}},
         .expected = "db-1"},
        {.sentence = "where seconds do not matter",
         .pods = {{.name = "db-0", .standby = true, .lag_seconds = 50},
                  {.name = "db-1", .standby = true, .lag_seconds = 2}},
         .expected = "db-0"},
        {.sentence = "and a lag that nobody knows is the worst",
         .pods = {{.name = "db-0", .standby = true, .lag_seconds = -1},
                  {.name = "db-1", .standby = true, .lag_seconds = 900}},
         .expected = "db-1"},
        {.sentence = "not the one whose sidecar is not connected",
         .pods = {{.name = "db-0", .silent = true}, {.name = "db-1", .standby = true}},
         .expected = "db-1"},
        {.sentence = "nor the one that goes",
         .pods = {{.name = "db-0", .terminating = true, .mode = MESSAGE_WAL_STREAM},
                  {.name = "db-1", .standby = true}},
         .expected = "db-1"},
        {.sentence = "nor one of another policy",
         .pods = {{.name = "db-0", .foreign = true}, {.name = "db-1", .standby = true}},
         .expected = "db-1"},
        {.sentence = "nor one that has no configuration yet",
         .pods = {{.name = "db-0", .empty = true}, {.name = "db-1", .standby = true}},
         .expected = "db-1"},
        {.sentence = "nor one whose database is down",
         .pods = {{.name = "db-0", .down = true, .mode = MESSAGE_WAL_STREAM},
                  {.name = "db-1", .standby = true}},
         .expected = "db-1"},
        {.sentence = "unless all are: the one that streams goes on when it is back",
         .pods = {{.name = "db-0", .down = true},
                  {.name = "db-1", .down = true, .mode = MESSAGE_WAL_STREAM}},
         .expected = "db-1"},
        {.sentence = "none where none can be told",
         .pods = {{.name = "db-0", .silent = true}, {.name = "db-1", .terminating = true}}},
        {.sentence = "none where there is none"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct scene scene;
        fill(&scene, rows[i].pods);
        const char *found = name_of(streamer_choose(&scene.view));
        const char *expected = rows[i].expected ? rows[i].expected : "(none)";
        if (strcmp(found, expected) != 0)
            fail_msg("%s: %s, not %s", rows[i].sentence, found, expected);
    }
}

static void the_others_hold(void **state)
{
    (void)state;
    static const struct pod pods[PODS_MAX] = {
        {.name = "db-0"}, {.name = "db-1", .standby = true}, {.name = "db-2", .foreign = true}};
    struct scene scene;
    fill(&scene, pods);
    const struct policy_view_pod *streamer = streamer_choose(&scene.view);
    assert_int_equal(streamer_word(&scene.view, streamer, 0), MESSAGE_WAL_STREAM);
    assert_int_equal(streamer_word(&scene.view, streamer, 1), MESSAGE_WAL_HOLD);
    assert_int_equal(streamer_word(&scene.view, streamer, 2), MESSAGE_WAL_NONE);
    scene.spec.wal_stream = false;
    for (size_t i = 0; i < PODS_MAX; i++)
        assert_int_equal(streamer_word(&scene.view, streamer, i), MESSAGE_WAL_NONE);
}

static void who_does_not_know_yet_changes_nothing(void **state)
{
    (void)state;
    static const struct pod pods[PODS_MAX] = {
        {.name = "db-0", .standby = true, .mode = MESSAGE_WAL_HOLD},
        {.name = "db-1", .silent = true},
        {.name = "db-2", .standby = true, .mode = MESSAGE_WAL_STREAM}};
    struct scene scene;
    fill(&scene, pods);
    scene.view.settling = true;
    const struct policy_view_pod *streamer = streamer_choose(&scene.view);
    assert_int_equal(streamer_word(&scene.view, streamer, 0), MESSAGE_WAL_HOLD);
    assert_int_equal(streamer_word(&scene.view, streamer, 1), MESSAGE_WAL_UNSAID);
    assert_int_equal(streamer_word(&scene.view, streamer, 2), MESSAGE_WAL_STREAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pod_streams),
        cmocka_unit_test(the_others_hold),
        cmocka_unit_test(who_does_not_know_yet_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
