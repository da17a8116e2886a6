// SPDX-License-Identifier: Apache-2.0
/* What a request looks like on the wire, and answers that a real API server gives rarely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "operator/kube.h"
#include "operator/kube_config.h"
#include "operator/kube_stream.h"
#include "operator/tests/helper_kube.h"

static const struct kube_ref pod = {&kube_pods, "shop", "db-0", NULL},
                             pods = {&kube_pods, "shop", NULL, NULL};

struct fixture {
    struct cancel cancel;
    struct script_server *server;
    struct kube_config *config;
    struct kube *kube;
    size_t events;
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    return cancel_init(&f->cancel, &err);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kube_freep(&f->kube);
    kube_config_freep(&f->config);
    script_server_freep(&f->server);
    cancel_done(&f->cancel);
    clock_fake(-1);
    own_freep(&f);
    return 0;
}

static void begin(struct fixture *f, const struct script_step *steps, size_t count,
                  const char *user)
{
    struct error err;
    f->server = script_server_new(steps, count);
    f->config = script_server_config(f->server, user);
    assert_int_equal(kube_new(&f->kube, f->config, &f->cancel, &err), 0);
}

#define BEGIN(f, steps, user) begin(f, steps, ARRAY_SIZE(steps), user)

static void assert_sent(const struct fixture *f, const char *text)
{
    if (!strstr(script_server_request(f->server), text))
        fail_msg("not in the request: %s\n%s", text, script_server_request(f->server));
    assert_null(script_server_surprise(f->server));
}

static void a_request_says_who_asks(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET /api/v1/namespaces/shop/pods/db-0", .body = "{\"kind\":\"Pod\"}"}};
    struct error err;
    json_auto_t *object = NULL;
    BEGIN(f, steps, "token: abc.def");
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), 0);
    assert_sent(f, "\r\nAuthorization: Bearer abc.def\r\n");
    assert_sent(f, "\r\nUser-Agent: lifeboat-operator/" LIFEBOAT_VERSION "\r\n");
    assert_sent(f, "\r\nAccept: application/json\r\n");
    assert_string_equal(json_string_value(json_object_get(object, "kind")), "Pod");
}

static void nobody_sends_no_token(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {{.wants = "GET /api/v1/", .body = "{}"}};
    struct error err;
    json_auto_t *object = NULL;
    BEGIN(f, steps, "");
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), 0);
    assert_null(strstr(script_server_request(f->server), "Authorization"));
}

static void each_write_has_its_method_and_type(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "POST /api/v1/namespaces/shop/pods?fieldManager=lifeboat", .body = "{}"},
        {.wants = "PUT /api/v1/namespaces/shop/pods/db-0?fieldManager=lifeboat", .body = "{}"},
        {.wants = "PATCH /api/v1/namespaces/shop/pods/db-0?fieldManager=lifeboat", .body = "{}"},
        {.wants = "PATCH /api/v1/namespaces/shop/pods/db-0?fieldManager=lifeboat&force=true",
         .body = "{}"},
        {.wants = "DELETE /api/v1/namespaces/shop/pods/db-0", .body = "{}"},
    };
    struct error err;
    json_auto_t *object = json_pack("{s:s}", "x", "y"), *answer = NULL;
    BEGIN(f, steps, "");
    assert_int_equal(kube_create(f->kube, &pods, object, &answer, &err), 0);
    assert_sent(f, "\r\nContent-Type: application/json\r\n");
    assert_sent(f, "\r\n\r\n{\"x\":\"y\"}");
    assert_non_null(answer);
    assert_int_equal(kube_update(f->kube, &pod, object, NULL, &err), 0);
    assert_sent(f, "\r\nContent-Type: application/json\r\n");
    assert_int_equal(kube_merge_patch(f->kube, &pod, object, NULL, &err), 0);
    assert_sent(f, "\r\nContent-Type: application/merge-patch+json\r\n");
    assert_int_equal(kube_apply(f->kube, &pod, object, NULL, &err), 0);
    assert_sent(f, "\r\nContent-Type: application/apply-patch+yaml\r\n");
    assert_int_equal(kube_delete(f->kube, &pod, "u-1", &err), 0);
    assert_sent(f, "\"propagationPolicy\":\"Background\"");
    assert_sent(f, "\"preconditions\":{\"uid\":\"u-1\"}");
}

static void a_refusal_names_verb_object_and_reason(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET ",
         .status = 403,
         .body = "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"no way\"}"}};
    struct error err;
    json_auto_t *object = NULL;
    BEGIN(f, steps, "");
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_string_equal(err.text, "get pods 'shop/db-0': 403 Forbidden: no way");
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void after_a_refused_token_the_next_request_has_a_new_one(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET ", .status = 401, .body = "{\"kind\":\"Status\",\"message\":\"who?\"}"},
        {.wants = "GET ", .body = "{}"}};
    struct error err;
    json_auto_t *object = NULL;
    char *directory = helper_directory_new();
    CLEANUP(own_freep) char *user = own_format("tokenFile: '%s/token'", directory);
    helper_directory_write(directory, "token", "old");
    BEGIN(f, steps, user);
    /* parsed only, so that the first request is the first to read it */
    kube_config_refused(f->config);
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_sent(f, "Bearer old\r\n");
    helper_directory_write(directory, "token", "new");
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), 0);
    assert_sent(f, "Bearer new\r\n");
    helper_directory_remove(directory);
}

static void a_server_that_is_busy_says_how_long_to_wait(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET ", .status = 429, .fields = "Retry-After: 7\r\n", .body = "busy"},
        {.wants = "GET ", .status = 503, .fields = "Retry-After: 99999999\r\n", .body = ""},
        {.wants = "GET ", .status = 503, .fields = "Retry-After: soon\r\n", .body = ""}};
    struct error err;
    json_auto_t *object = NULL;
    clock_fake(1000000);
    BEGIN(f, steps, "");
    assert_int_equal(kube_wish_ms(f->kube), 0);
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_string_equal(err.text, "get pods 'shop/db-0': 429: busy");
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_int_equal(kube_wish_ms(f->kube), 7000);
    clock_fake(1007001);
    assert_int_equal(kube_wish_ms(f->kube), 0);
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_int_equal(kube_wish_ms(f->kube), 300000);
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_int_equal(kube_wish_ms(f->kube), 300000);
}

static void an_answer_that_is_not_json_is_corrupt(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {{.wants = "GET ", .body = "<html>"},
                                               {.wants = "GET ", .body = "{}"},
                                               {.wants = "GET ",
                                                .body = "{\"items\":[7],"
                                                        "\"metadata\":{}}"}};
    struct error err;
    json_auto_t *object = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {.collection = pods};
    BEGIN(f, steps, "");
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_int_equal(kube_list(f->kube, &list, &object, &outcome, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_string_equal(err.text, "list pods of 'shop': the answer is not a list");
    assert_int_equal(kube_list(f->kube, &list, &object, &outcome, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_null(object);
}

static void items_of_a_list_know_their_kind(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET /api/v1/namespaces/shop/pods?limit=500&labelSelector=a%3Db&continue=t%2F1",
         .body = "{\"metadata\":{},\"items\":[{\"metadata\":{\"name\":\"a\"}},"
                 "{\"apiVersion\":\"v2\",\"kind\":\"Other\"}]}"}};
    struct error err;
    json_auto_t *page = NULL;
    enum kube_list_outcome outcome;
    const struct kube_list list = {
        .collection = pods, .label_selector = "a=b", .limit = 500, .continue_token = "t/1"};
    const char *version, *kind, *other;
    BEGIN(f, steps, "");
    assert_int_equal(kube_list(f->kube, &list, &page, &outcome, &err), 0);
    assert_int_equal(outcome, KUBE_LIST_DONE);
    assert_null(script_server_surprise(f->server));
    assert_int_equal(json_unpack(page, "{s:[{s:s, s:s}, {s:s}]}", "items", "apiVersion", &version,
                                 "kind", &kind, "kind", &other),
                     0);
    assert_string_equal(version, "v1");
    assert_string_equal(kind, "Pod");
    assert_string_equal(other, "Other");
}

static void a_silent_server_is_given_up(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {{.wants = "GET ", .end = SCRIPT_HOLD}};
    struct error err;
    json_auto_t *object = NULL;
    BEGIN(f, steps, "");
    kube_set_timeout(f->kube, 100);
    assert_int_equal(kube_get(f->kube, &pod, &object, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
}

static int count_event(void *arg, const char *type, json_t *object, struct error *err)
{
    struct fixture *f = arg;
    (void)type, (void)object, (void)err;
    f->events++;
    return 0;
}

static int watch_pods(struct fixture *f, enum kube_watch_outcome *ret_outcome, struct error *err)
{
    const struct kube_watch watch = {
        .collection = pods, .resource_version = "100", .timeout_seconds = 300};
    return kube_watch(f->kube, &watch, count_event, f, ret_outcome, err);
}

#define EVENT(name, version)                                                                       \
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"" name                               \
    "\",\"resourceVersion\":\"" version "\"}}}\n"

static void events_may_be_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET /api/v1/namespaces/shop/pods?watch=true&allowWatchBookmarks=true"
                  "&timeoutSeconds=300&resourceVersion=100",
         .chunks = {"{\"type\":\"ADD", "ED\",\"object\":{}}\n" EVENT("b", "2") "\n{", "\"type\"",
                    ":\"BOOKMARK\",\"object\":{}}", "\n"}}};
    struct error err;
    enum kube_watch_outcome outcome;
    BEGIN(f, steps, "");
    assert_int_equal(watch_pods(f, &outcome, &err), 0);
    assert_int_equal(outcome, KUBE_WATCH_ENDED);
    assert_int_equal(f->events, 3);
    assert_null(script_server_surprise(f->server));
}

static void too_old_a_version_is_told_in_either_form(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET ", .status = 410, .body = "{\"kind\":\"Status\",\"code\":410}"},
        {.wants = "GET ",
         .chunks = {EVENT("a", "1"), "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\","
                                     "\"code\":410,\"reason\":\"Expired\"}}\n"}},
        {.wants = "GET ", .status = 410, .body = ""}};
    struct error err;
    enum kube_watch_outcome outcome;
    enum kube_list_outcome listed;
    json_auto_t *page = NULL;
    const struct kube_list list = {.collection = pods};
    BEGIN(f, steps, "");
    assert_int_equal(watch_pods(f, &outcome, &err), 0);
    assert_int_equal(outcome, KUBE_WATCH_EXPIRED);
    assert_int_equal(watch_pods(f, &outcome, &err), 0);
    assert_int_equal(outcome, KUBE_WATCH_EXPIRED);
    assert_int_equal(f->events, 1);
    assert_int_equal(kube_list(f->kube, &list, &page, &listed, &err), 0);
    assert_int_equal(listed, KUBE_LIST_EXPIRED);
}

static void each_way_that_a_watch_fails_is_told(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct script_step step;
        enum error_kind kind;
        const char *text;
    } cases[] = {
        {{.chunks = {"{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"etcd\"}}\n"}},
         ERROR_TRANSIENT,
         "watch pods of 'shop': request to '127.0.0.1:"},
        {{.chunks = {"no json\n"}}, ERROR_CORRUPT, "an event: not JSON"},
        {{.chunks = {"{\"type\":\"ADDED\"}\n"}}, ERROR_CORRUPT, "an event without type or object"},
        {{.chunks = {"{\"type\":\"NEW\",\"object\":{}}\n"}},
         ERROR_CORRUPT,
         "an event of unknown type 'NEW'"},
        {{.chunks = {"{\"type\":"}}, ERROR_TRANSIENT, "ended in the middle of an event"},
        {{.chunks = {EVENT("a", "1")}, .end = SCRIPT_DROP}, ERROR_TRANSIENT, "transfer closed"},
        {{.status = 403, .body = "{\"kind\":\"Status\",\"message\":\"no\"}"},
         ERROR_PERMANENT,
         "watch pods of 'shop': 403: no"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        enum kube_watch_outcome outcome;
        struct script_step step = cases[i].step;
        step.wants = "GET ";
        begin(f, &step, 1, "");
        assert_int_equal(watch_pods(f, &outcome, &err), -1);
        if (!strstr(err.text, cases[i].text))
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(err.kind, cases[i].kind);
        kube_freep(&f->kube);
        kube_config_freep(&f->config);
        script_server_freep(&f->server);
    }
}

static void an_event_has_a_largest_size(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = KUBE_STREAM_LINE_MAX + 1 };
    CLEANUP(own_freep) char *large = own_alloc(SIZE + 1);
    memset(large, ' ', SIZE);
    const struct script_step step = {.wants = "GET ", .chunks = {large}, .end = SCRIPT_HOLD};
    struct error err;
    enum kube_watch_outcome outcome;
    begin(f, &step, 1, "");
    assert_int_equal(watch_pods(f, &outcome, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "an event larger than 16777216 bytes"));
}

static int cancel_at_event(void *arg, const char *type, json_t *object, struct error *err)
{
    (void)type, (void)object, (void)err;
    cancel_trigger(arg);
    return 0;
}

static void a_watch_ends_with_the_cancel(void **state)
{
    struct fixture *f = *state;
    static const struct script_step steps[] = {
        {.wants = "GET ", .chunks = {EVENT("a", "1")}, .end = SCRIPT_HOLD}};
    struct error err;
    enum kube_watch_outcome outcome;
    const struct kube_watch watch = {
        .collection = pods, .resource_version = "100", .timeout_seconds = 300};
    BEGIN(f, steps, "");
    assert_int_equal(kube_watch(f->kube, &watch, cancel_at_event, &f->cancel, &outcome, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_says_who_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_sends_no_token, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_write_has_its_method_and_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_names_verb_object_and_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_a_refused_token_the_next_request_has_a_new_one,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_busy_says_how_long_to_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_answer_that_is_not_json_is_corrupt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(items_of_a_list_know_their_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_server_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(events_may_be_cut_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_old_a_version_is_told_in_either_form, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_way_that_a_watch_fails_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_has_a_largest_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_ends_with_the_cancel, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
