// SPDX-License-Identifier: Apache-2.0
/* Against a real API server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/kube.h"
#include "operator/recorder.h"
#include "operator/tests/helper_client.h"

enum { PATIENCE_MS = 10000 };

static struct cancel never;
static struct kube_config *config;
static struct kube *kube;
static struct cancel stop;
static struct crew *crew;
static struct recorder *recorder;
static json_t *about; /* an object that no other test speaks of */

static int start(void **state)
{
    (void)state;
    struct error err;
    char uid[40], name[32];
    snprintf(uid, sizeof(uid), "%08x-%08x", backoff_random(), backoff_random());
    snprintf(name, sizeof(name), "shop-%08x", backoff_random());
    about = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "apiVersion", "lifeboat.dev/v1alpha1",
                      "kind", "Backup", "metadata", "namespace", "default", "name", name, "uid",
                      uid, "resourceVersion", "17");
    assert_int_equal(cancel_init(&stop, &err), 0);
    crew = crew_new(&stop);
    recorder = recorder_new(kube, "lifeboat-operator-0", &stop);
    assert_int_equal(crew_start(crew, "recorder", recorder_run, recorder, &err), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    cancel_trigger(&stop);
    crew_freep(&crew);
    recorder_freep(&recorder);
    cancel_done(&stop);
    json_decref(about);
    return 0;
}

static bool is_about(const json_t *event)
{
    return json_equal(json_object_get(json_object_get(event, "regarding"), "uid"),
                      json_object_get(json_object_get(about, "metadata"), "uid"));
}

/* The events about our object as the server has them now; the caller's. */
static json_t *read_events(void)
{
    json_auto_t *page = NULL;
    struct error err;
    enum kube_list_outcome outcome;
    struct kube_list list = {.collection = {&kube_events, "default", NULL, NULL}};
    assert_int_equal(kube_list(kube, &list, &page, &outcome, &err), 0);
    json_t *found = json_array(), *event;
    size_t index;
    json_array_foreach(json_object_get(page, "items"), index, event)
    {
        if (is_about(event))
            json_array_append(found, event);
    }
    return found;
}

static json_t *wait_for_events(size_t count, json_int_t total)
{
    struct error err;
    for (int64_t until = clock_monotonic_ms() + PATIENCE_MS; clock_monotonic_ms() < until;) {
        json_t *events = read_events(), *event;
        size_t index;
        json_int_t seen = 0;
        json_array_foreach(events, index, event)
        {
            json_t *series = json_object_get(event, "series");
            seen += series ? json_integer_value(json_object_get(series, "count")) : 1;
        }
        if (json_array_size(events) == count && seen == total)
            return events;
        json_decref(events);
        assert_int_equal(cancel_sleep(&never, 20, &err), 0);
    }
    fail_msg("not %zu events", count);
    return NULL;
}

static const char *text(const json_t *events, size_t index, const char *member)
{
    return json_string_value(json_object_get(json_array_get(events, index), member));
}

static void an_event_says_who_did_what_to_which_object(void **state)
{
    (void)state;
    recorder_event(recorder, about, EVENT_WARNING, "Failed", "Backup", "bucket '%s' is missing",
                   "eu");
    json_auto_t *events = wait_for_events(1, 1);
    assert_string_equal(text(events, 0, "type"), "Warning");
    assert_string_equal(text(events, 0, "reason"), "Failed");
    assert_string_equal(text(events, 0, "action"), "Backup");
    assert_string_equal(text(events, 0, "note"), "bucket 'eu' is missing");
    assert_string_equal(text(events, 0, "reportingController"), "lifeboat.dev/operator");
    assert_string_equal(text(events, 0, "reportingInstance"), "lifeboat-operator-0");
    json_t *regarding = json_object_get(json_array_get(events, 0), "regarding");
    assert_string_equal(json_string_value(json_object_get(regarding, "kind")), "Backup");
    assert_string_equal(json_string_value(json_object_get(regarding, "resourceVersion")), "17");
    assert_string_equal(json_string_value(json_object_get(regarding, "apiVersion")),
                        "lifeboat.dev/v1alpha1");
}

static void the_same_again_is_counted_and_another_note_is_another_event(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        recorder_event(recorder, about, EVENT_NORMAL, "Waiting", "Backup", "no sidecar");
    recorder_event(recorder, about, EVENT_NORMAL, "Waiting", "Backup", "no standby");
    json_decref(wait_for_events(2, 4));
}

static void a_series_goes_on_when_the_server_has_forgotten_it(void **state)
{
    (void)state;
    struct error err;
    recorder_event(recorder, about, EVENT_NORMAL, "Waiting", "Backup", "no sidecar");
    json_auto_t *events = wait_for_events(1, 1);
    const char *name = json_string_value(
        json_object_get(json_object_get(json_array_get(events, 0), "metadata"), "name"));
    struct kube_ref ref = {&kube_events, "default", name, NULL};
    assert_int_equal(kube_delete(kube, &ref, NULL, &err), 0);
    recorder_event(recorder, about, EVENT_NORMAL, "Waiting", "Backup", "no sidecar");
    json_decref(wait_for_events(1, 1));
}

static void a_note_of_any_bytes_is_accepted_by_the_server(void **state)
{
    (void)state;
    char note[3000];
    memset(note, 'x', sizeof(note));
    for (size_t i = 0; i + 2 < sizeof(note); i += 2)
        memcpy(note + i, "\xc3\xa4", 2);
    note[100] = '\xff';
    note[101] = '\n';
    note[sizeof(note) - 1] = '\0';
    recorder_event(recorder, about, EVENT_NORMAL, "Waiting", "Backup", "%s", note);
    json_auto_t *events = wait_for_events(1, 1);
    assert_in_range(strlen(text(events, 0, "note")), 1000, 1024);
}

/* What the log said, from a pipe. */
static void too_many_events_are_dropped_and_counted(void **state)
{
    (void)state;
    struct error err;
    int fds[2];
    char line[512];
    assert_int_equal(pipe(fds), 0);
    CLEANUP(recorder_freep) struct recorder *idle = recorder_new(kube, "idle", &stop);
    for (int i = 0; i < 1100; i++)
        recorder_event(idle, about, EVENT_NORMAL, "Waiting", "Backup", "no sidecar");
    log_set_fd(fds[1]);
    assert_int_equal(crew_start(crew, "recorder", recorder_run, idle, &err), 0);
    ssize_t size = read(fds[0], line, sizeof(line) - 1);
    log_set_fd(STDERR_FILENO);
    assert_true(size > 0);
    line[size] = '\0';
    assert_non_null(strstr(line, "\"Dropped events, too many waited\",\"count\":76"));
    json_decref(wait_for_events(1, 1024));
    cancel_trigger(&stop);
    crew_freep(&crew);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    int status = client_open(&never, &config, &kube);
    if (status != 0)
        return status;
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, end)
    const struct CMUnitTest tests[] = {
        TEST(an_event_says_who_did_what_to_which_object),
        TEST(the_same_again_is_counted_and_another_note_is_another_event),
        TEST(a_series_goes_on_when_the_server_has_forgotten_it),
        TEST(a_note_of_any_bytes_is_accepted_by_the_server),
        TEST(too_many_events_are_dropped_and_counted),
    };
    int failed = cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
    client_close(&never, &config, &kube);
    return failed;
}
