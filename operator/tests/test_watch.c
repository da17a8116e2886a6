// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/tests/helper_kube.h"
#include "operator/watch.h"

enum { TOLD_MAX = 64, PATIENCE_MS = 20000 };

struct fixture {
    struct cancel cancel;
    struct script_server *server;
    struct kube_config *config;
    struct kube *kube;
    struct cache *cache;
    struct fifo *told; /* texts of changes */
    struct watch watch;
    struct crew *crew;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    if (cancel_init(&f->cancel, &err) < 0)
        return -1;
    f->cache = cache_new(NULL);
    f->told = fifo_new(TOLD_MAX, &f->cancel);
    f->crew = crew_new(&f->cancel);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *text;
    fifo_close(f->told);
    while (!cancel_requested(&f->cancel) && fifo_pop_within(f->told, 0, &text, &err) > 0)
        free(text);
    crew_freep(&f->crew);
    fifo_freep(&f->told);
    kube_freep(&f->kube);
    kube_config_freep(&f->config);
    script_server_freep(&f->server);
    cache_freep(&f->cache);
    cancel_done(&f->cancel);
    own_freep(&f);
    return 0;
}

static const char *metadata(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(json_object_get(object, "metadata"), name));
}

/* "+a@1", "a@1>2", "-a@2" */
static void on_change(void *arg, const json_t *before, const json_t *after)
{
    struct fixture *f = arg;
    struct error err;
    char *text = NULL;
    if (!before)
        text = own_format("+%s@%s", metadata(after, "name"), metadata(after, "resourceVersion"));
    else if (!after)
        text = own_format("-%s@%s", metadata(before, "name"), metadata(before, "resourceVersion"));
    else
        text = own_format("%s@%s>%s", metadata(after, "name"), metadata(before, "resourceVersion"),
                          metadata(after, "resourceVersion"));
    if (fifo_push(f->told, text, &err) < 0)
        free(text);
}

static void begin(struct fixture *f, const struct script_step *steps, size_t count)
{
    struct error err;
    f->server = script_server_new(steps, count);
    f->config = script_server_config(f->server, "");
    assert_int_equal(kube_new(&f->kube, f->config, &f->cancel, &err), 0);
    f->watch.kube = f->kube;
    f->watch.resource = &kube_pods;
    f->watch.cache = f->cache;
    f->watch.cancel = &f->cancel;
    f->watch.on_change = on_change;
    f->watch.arg = f;
    assert_int_equal(crew_start(f->crew, "watch", watch_run, &f->watch, &err), 0);
}

#define BEGIN(f, steps) begin(f, steps, ARRAY_SIZE(steps))

static void assert_told(struct fixture *f, const char *expected)
{
    struct error err;
    void *text = NULL;
    if (fifo_pop_within(f->told, PATIENCE_MS, &text, &err) <= 0)
        fail_msg("not told: %s; surprise: %s", expected, script_server_surprise(f->server));
    CLEANUP(own_freep) char *told = text;
    assert_string_equal(told, expected);
}

/* All went by the script, and the watch ends with the cancel. */
static void end(struct fixture *f)
{
    struct error err;
    void *text;
    if (script_server_surprise(f->server))
        fail_msg("%s", script_server_surprise(f->server));
    assert_int_equal(fifo_pop_within(f->told, 0, &text, &err), 0);
    assert_true(cache_synced(f->cache));
    cancel_trigger(&f->cancel);
    assert_int_equal(crew_join(f->crew, &err), 0);
}

#define OBJECT(name, version)                                                                      \
    "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name "\",\"resourceVersion\":\"" version   \
    "\"}}"
#define PAGE(version, token, items)                                                                \
    "{\"metadata\":{\"resourceVersion\":\"" version "\",\"continue\":\"" token                     \
    "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version)                                                                          \
    EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" version "\"}}")

#define LIST "GET /api/v1/pods?limit=200"
#define WATCH "GET /api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds="

static void pages_are_listed_then_changes_followed(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "t1", OBJECT("a", "1") "," OBJECT("b", "2"))},
        {.wants = LIST "&continue=t1", .body = PAGE("100", "", OBJECT("c", "3"))},
        {.wants = WATCH,
         .chunks = {EVENT("ADDED", OBJECT("d", "101")) EVENT("MODIFIED", OBJECT("a", "102")),
                    "{\"type\":\"DELETED\",\"obj", "ect\":" OBJECT("b", "103") "}\n"},
         .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_true(cache_synced(f->cache));
    assert_told(f, "+b@2");
    assert_told(f, "+c@3");
    assert_told(f, "+d@101");
    assert_told(f, "a@1>102");
    assert_told(f, "-b@2");
    assert_int_equal(cache_count(f->cache), 3);
    assert_non_null(strstr(script_server_request(f->server), "&resourceVersion=100"));
    end(f);
}

static void a_page_that_is_too_large_is_asked_for_in_parts(void **state)
{
    struct fixture *f = *state;
    const size_t size = 17 << 20;
    CLEANUP(own_freep) char *large = own_alloc(size + 1);
    memset(large, ' ', size);
    const struct script_step steps[] = {
        {.wants = LIST, .body = large},
        {.wants = "GET /api/v1/pods?limit=100", .body = PAGE("100", "t1", OBJECT("a", "1"))},
        {.wants = "GET /api/v1/pods?limit=100&continue=t1", .body = large},
        {.wants = "GET /api/v1/pods?limit=50&continue=t1",
         .body = PAGE("100", "", OBJECT("b", "2"))},
        {.wants = WATCH, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_told(f, "+b@2");
    end(f);
}

static void a_bookmark_says_where_to_go_on(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", OBJECT("a", "1"))},
        {.wants = WATCH, .chunks = {BOOKMARK("200")}},
        {.wants = WATCH, .chunks = {EVENT("ADDED", OBJECT("b", "201"))}, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_told(f, "+b@201");
    assert_non_null(strstr(script_server_request(f->server), "&resourceVersion=200"));
    end(f);
}

static void a_dropped_connection_is_resumed_after_the_last_event(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", "")},
        {.wants = WATCH,
         .chunks = {EVENT("ADDED", OBJECT("a", "101")), "{\"type\":"},
         .end = SCRIPT_DROP},
        {.wants = WATCH, .chunks = {EVENT("ADDED", OBJECT("b", "102"))}, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@101");
    assert_told(f, "+b@102");
    assert_non_null(strstr(script_server_request(f->server), "&resourceVersion=101"));
    end(f);
}

static void what_is_gone_after_a_new_list_is_told(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", OBJECT("a", "1") "," OBJECT("b", "2"))},
        {.wants = WATCH, .status = 410, .body = "{\"kind\":\"Status\",\"code\":410}"},
        {.wants = LIST, .body = PAGE("300", "", OBJECT("b", "250") "," OBJECT("c", "260"))},
        {.wants = WATCH, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_told(f, "+b@2");
    assert_told(f, "b@2>250");
    assert_told(f, "+c@260");
    assert_told(f, "-a@1");
    assert_int_equal(cache_count(f->cache), 2);
    end(f);
}

static void a_410_as_an_event_means_a_new_list_too(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", OBJECT("a", "1"))},
        {.wants = WATCH,
         .chunks = {EVENT("ADDED", OBJECT("b", "101")),
                    EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}")}},
        {.wants = LIST, .body = PAGE("300", "", OBJECT("a", "1"))},
        {.wants = WATCH, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_told(f, "+b@101");
    assert_told(f, "-b@101");
    end(f);
}

/* As an API server says whose etcd was restored from a copy: "Too large resource version". */
static void a_watch_that_never_begins_is_begun_with_a_list(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", OBJECT("a", "90"))},
        {.wants = WATCH, .status = 504, .body = "{\"kind\":\"Status\",\"reason\":\"Timeout\"}"},
        {.wants = LIST, .body = PAGE("50", "", OBJECT("a", "40"))},
        {.wants = WATCH, .chunks = {EVENT("MODIFIED", OBJECT("a", "51"))}, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@90");
    assert_told(f, "a@90>40");
    assert_told(f, "a@40>51");
    end(f);
}

static void a_list_that_breaks_off_is_begun_again(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "t1", OBJECT("a", "1"))},
        {.wants = LIST "&continue=t1"}, /* reset */
        {.wants = LIST, .body = PAGE("101", "t2", OBJECT("a", "1"))},
        {.wants = LIST "&continue=t2", .status = 410, .body = "{}"},
        {.wants = LIST, .status = 403, .body = "{\"kind\":\"Status\",\"message\":\"not yet\"}"},
        {.wants = LIST, .body = PAGE("102", "t3", OBJECT("b", "2"))},
        {.wants = LIST "&continue=t3", .body = PAGE("102", "", OBJECT("c", "3"))},
        {.wants = WATCH, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_false(cache_synced(f->cache));
    assert_told(f, "+b@2"); /* nothing of half a list */
    assert_told(f, "+c@3");
    end(f);
}

static void an_event_that_nobody_can_read_means_a_new_list(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = LIST, .body = PAGE("100", "", OBJECT("a", "1"))},
        {.wants = WATCH, .chunks = {EVENT("ADDED", OBJECT("b", "101")), "rubbish\n"}},
        {.wants = LIST, .body = PAGE("102", "", OBJECT("a", "1") "," OBJECT("b", "102"))},
        {.wants = WATCH,
         .chunks = {EVENT("MODIFIED", "{\"metadata\":{\"resourceVersion\":\"103\"}}")}},
        {.wants = LIST, .body = PAGE("103", "", OBJECT("a", "103") "," OBJECT("b", "102"))},
        {.wants = WATCH, .chunks = {EVENT("ADDED", "{\"metadata\":{\"name\":\"x\"}}")}},
        {.wants = LIST, .body = PAGE("104", "", OBJECT("a", "103") "," OBJECT("b", "102"))},
        {.wants = WATCH, .chunks = {EVENT("ADDED", OBJECT("c", "105"))}, .end = SCRIPT_HOLD}};
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_told(f, "+b@101");
    assert_told(f, "b@101>102");
    assert_told(f, "a@1>103");
    assert_told(f, "+c@105");
    end(f);
}

static void of_two_watches_each_knows_its_namespace_only(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET /api/v1/namespaces/shop/pods?limit=200&labelSelector=l",
         .body = PAGE("100", "", OBJECT("a", "1"))},
        {.wants = "GET /api/v1/namespaces/shop/pods?watch=true", .end = SCRIPT_HOLD}};
    json_auto_t *other = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "namespace", "ops", "name",
                                   "z", "resourceVersion", "1");
    json_decref(cache_put(f->cache, other));
    f->watch.namespace = "shop";
    f->watch.label_selector = "l";
    BEGIN(f, steps);
    assert_told(f, "+a@1");
    assert_int_equal(cache_count(f->cache), 2);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_are_listed_then_changes_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_that_is_too_large_is_asked_for_in_parts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_bookmark_says_where_to_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dropped_connection_is_resumed_after_the_last_event,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_gone_after_a_new_list_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_410_as_an_event_means_a_new_list_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_that_never_begins_is_begun_with_a_list, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_list_that_breaks_off_is_begun_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_that_nobody_can_read_means_a_new_list, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_two_watches_each_knows_its_namespace_only, set_up,
                                        tear_down),
    };
    CLEANUP(own_closep) int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_set_fd(nowhere);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
