// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "common/throttle.h"
#include "common/tests/helper_http_server.h"

struct fixture {
    struct cancel cancel;
    struct http_server *server;
    struct http *http;
    struct http_response response;
    char url[128];
};

/* What the server shall do with the next requests: the path says it. */
static bool answer(void *arg, int fd, const struct http_server_request *request)
{
    (void)arg;
    const char *path = request->target;
    if (strcmp(path, "/echo") == 0)
        return http_server_reply(fd, 200, "X-Method:  it was  \r\nx-empty:\r\n", request->body);
    if (strcmp(path, "/head") == 0)
        return http_server_reply(fd, 200, "", request->head);
    if (strcmp(path, "/missing") == 0)
        return http_server_reply(fd, 404, "", "no");
    if (strcmp(path, "/redirect") == 0)
        return http_server_reply(fd, 302, "Location: /echo\r\n", "");
    if (strcmp(path, "/interim") == 0) {
        http_server_send(fd, "HTTP/1.1 103 Early Hints\r\nx-early: yes\r\n\r\n");
        return http_server_reply(fd, 200, "x-late: yes\r\n", "");
    }
    if (strcmp(path, "/reset") == 0)
        return http_server_reset(fd);
    if (strcmp(path, "/silence") == 0)
        return true;
    if (strcmp(path, "/slow-headers") == 0) {
        http_server_send(fd, "HTTP/1.1 200 OK\r\nx-one: 1\r\n");
        return true;
    }
    if (strcmp(path, "/truncated") == 0) {
        http_server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        return false;
    }
    if (strcmp(path, "/stalled-body") == 0) {
        http_server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        return true;
    }
    if (strcmp(path, "/lies") == 0) {
        http_server_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\nx");
        return false;
    }
    if (strcmp(path, "/garbage") == 0) {
        http_server_send(fd, "\x16\x03\x01 what is this\r\n\r\n");
        return false;
    }
    return false; /* "/drop" */
}

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    if (cancel_init(&f->cancel, &err) < 0)
        return -1;
    const struct http_options options = {.cancel = &f->cancel, .stall_timeout_ms = 60000};
    f->server = http_server_new(answer, NULL);
    *state = f;
    return http_new(&f->http, &options, &err);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    http_freep(&f->http);
    http_server_freep(&f->server);
    http_response_done(&f->response);
    cancel_done(&f->cancel);
    own_freep(&f);
    return 0;
}

static int get(struct fixture *f, const char *path, struct error *err)
{
    snprintf(f->url, sizeof(f->url), "%s%s", http_server_url(f->server), path);
    const struct http_request request = {.method = "GET", .url = f->url, .response_max = 4096};
    return http_perform(f->http, &request, &f->response, err);
}

static int put(struct fixture *f, const char *path, const char *body, struct error *err)
{
    snprintf(f->url, sizeof(f->url), "%s%s", http_server_url(f->server), path);
    const struct http_request request = {.method = "PUT",
                                         .url = f->url,
                                         .body = body,
                                         .body_size = strlen(body),
                                         .response_max = 4096};
    return http_perform(f->http, &request, &f->response, err);
}

static void assert_body(const struct fixture *f, const char *body)
{
    assert_int_equal(f->response.body.size, strlen(body));
    assert_memory_equal(f->response.body.data, body, strlen(body));
}

static void assert_failure(struct fixture *f, const char *path, enum error_kind kind,
                           const char *text)
{
    struct error err;
    assert_int_equal(get(f, path, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s: %s", error_kind_name(err.kind), err.text);
}

static void a_body_goes_there_and_back(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(put(f, "/echo", "hello", &err), 0);
    assert_int_equal(f->response.status, 200);
    assert_body(f, "hello");
    assert_int_equal(put(f, "/echo", "", &err), 0);
    assert_body(f, "");
}

static void any_status_is_an_answer(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(get(f, "/missing", &err), 0);
    assert_int_equal(f->response.status, 404);
    assert_body(f, "no");
}

static void headers_are_found_by_their_name_in_lower_case(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char value[32], small[4];
    assert_int_equal(get(f, "/echo", &err), 0);
    assert_string_equal(http_header(&f->response, "x-method", value, sizeof(value)), "it was");
    assert_string_equal(http_header(&f->response, "x-empty", value, sizeof(value)), "");
    assert_null(http_header(&f->response, "x-meth", value, sizeof(value)));
    assert_null(http_header(&f->response, "x-method", small, sizeof(small)));
}

static void headers_of_an_interim_answer_do_not_count(void **state)
{
    struct fixture *f = *state;
    struct error err;
    char value[32];
    assert_int_equal(get(f, "/interim", &err), 0);
    assert_int_equal(f->response.status, 200);
    assert_null(http_header(&f->response, "x-early", value, sizeof(value)));
    assert_non_null(http_header(&f->response, "x-late", value, sizeof(value)));
}

static void headers_of_the_request_are_sent_and_no_expectation(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const char *const headers[] = {"Host: example.org", "x-one: two", NULL};
    snprintf(f->url, sizeof(f->url), "%s/head", http_server_url(f->server));
    const struct http_request request = {.method = "DELETE",
                                         .url = f->url,
                                         .headers = headers,
                                         .body = "x",
                                         .body_size = 1,
                                         .response_max = 4096};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), 0);
    CLEANUP(own_freep) char *head = buf_string(&f->response.body);
    assert_non_null(strstr(head, "DELETE /head HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Host: example.org\r\n"));
    assert_non_null(strstr(head, "x-one: two\r\n"));
    assert_null(strstr(head, "Expect"));
}

static void a_redirect_is_not_followed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(get(f, "/redirect", &err), 0);
    assert_int_equal(f->response.status, 302);
}

static void a_connection_is_used_again(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int i = 0; i < 5; i++)
        assert_int_equal(get(f, "/echo", &err), 0);
    assert_int_equal(http_server_connections(f->server), 1);
}

static void what_a_network_does_is_transient(void **state)
{
    struct fixture *f = *state;
    assert_failure(f, "/drop", ERROR_TRANSIENT, "127.0.0.1");
    assert_failure(f, "/reset", ERROR_TRANSIENT, "127.0.0.1");
    assert_failure(f, "/truncated", ERROR_TRANSIENT, "127.0.0.1");
}

static void a_server_that_stalls_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const struct http_options options = {.cancel = &f->cancel, .stall_timeout_ms = 100};
    http_freep(&f->http);
    assert_int_equal(http_new(&f->http, &options, &err), 0);
    assert_failure(f, "/silence", ERROR_TRANSIENT, "nothing moved for 100 ms");
    assert_failure(f, "/slow-headers", ERROR_TRANSIENT, "nothing moved for 100 ms");
    assert_failure(f, "/stalled-body", ERROR_TRANSIENT, "nothing moved for 100 ms");
}

static void garbage_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error err;
    assert_int_equal(get(f, "/garbage", &err), -1);
}

static void a_server_that_is_not_there_is_transient_and_named(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const struct http_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "'127.0.0.1:1'"));
    assert_non_null(strstr(err.text, "check host, port"));
}

static void a_body_larger_than_agreed_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *large = own_alloc(5001);
    memset(large, 'x', 5000);
    assert_int_equal(put(f, "/echo", large, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "larger than 4096 bytes"));
    assert_failure(f, "/lies", ERROR_PERMANENT, "larger than 4096 bytes");
}

/* A stream that its reader has enough of after stop_after bytes. */
struct stream {
    size_t size, stop_after;
};

static int take_piece(void *arg, const void *data, size_t size, struct error *err)
{
    struct stream *stream = arg;
    (void)data;
    stream->size += size;
    if (stream->size > stream->stop_after)
        return error_set(err, ERROR_CORRUPT, "too much");
    return 0;
}

static int put_streamed(struct fixture *f, const char *path, const char *body,
                        struct stream *stream, struct error *err)
{
    snprintf(f->url, sizeof(f->url), "%s%s", http_server_url(f->server), path);
    const struct http_request request = {.method = "PUT",
                                         .url = f->url,
                                         .body = body,
                                         .body_size = strlen(body),
                                         .response_max = 4096,
                                         .sink = take_piece,
                                         .sink_arg = stream};
    return http_perform(f->http, &request, &f->response, err);
}

static void a_stream_may_be_longer_than_what_would_be_kept(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(own_freep) char *large = own_alloc(500001);
    memset(large, 'x', 500000);
    struct stream stream = {.stop_after = SIZE_MAX};
    assert_int_equal(put_streamed(f, "/echo", large, &stream, &err), 0);
    assert_int_equal(stream.size, 500000);
    assert_int_equal(f->response.body.size, 0);
    stream = (struct stream){.stop_after = 1000};
    assert_int_equal(put_streamed(f, "/echo", large, &stream, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "too much"));
}

static void an_error_is_kept_and_not_streamed(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct stream stream = {.stop_after = SIZE_MAX};
    assert_int_equal(put_streamed(f, "/missing", "x", &stream, &err), 0);
    assert_int_equal(f->response.status, 404);
    assert_int_equal(stream.size, 0);
    assert_body(f, "no");
}

static void a_strange_url_is_permanent(void **state)
{
    struct fixture *f = *state;
    struct error err;
    const struct http_request request = {.method = "GET", .url = "file:///etc/passwd"};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void a_ca_file_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http *http = NULL;
    const struct http_options options = {.cancel = &f->cancel, .ca_file = "/nonexistent/ca.crt"};
    assert_int_equal(http_new(&http, &options, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "/nonexistent/ca.crt"));
}

static void count_bytes(void *arg, size_t bytes)
{
    *(size_t *)arg += bytes;
}

static void progress_counts_bytes_both_ways(void **state)
{
    struct fixture *f = *state;
    struct error err;
    size_t moved = 0;
    snprintf(f->url, sizeof(f->url), "%s/echo", http_server_url(f->server));
    const struct http_request request = {.method = "PUT",
                                         .url = f->url,
                                         .body = "12345",
                                         .body_size = 5,
                                         .response_max = 4096,
                                         .progress = count_bytes,
                                         .progress_arg = &moved};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), 0);
    assert_int_equal(moved, 10);
}

static bool answer_once(void *arg, int fd, const struct http_server_request *request)
{
    *(unsigned *)arg = request->number;
    return request->number == 1 && http_server_reply(fd, 200, "", "");
}

static void a_body_is_never_sent_twice(void **state)
{
    struct fixture *f = *state;
    struct error err;
    unsigned requests = 0;
    struct http_server *server = http_server_new(answer_once, &requests);
    snprintf(f->url, sizeof(f->url), "%s/", http_server_url(server));
    const struct http_request request = {
        .method = "PUT", .url = f->url, .body = "x", .body_size = 1, .response_max = 10};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), 0);
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    http_server_freep(&server);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_int_equal(requests, 2);
}

static void *trigger(void *cancel)
{
    cancel_trigger(cancel);
    return NULL;
}

static void cancelling_ends_a_request_at_once(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct http *http = NULL;
    pthread_t thread;
    const struct http_options options = {.cancel = &f->cancel, .stall_timeout_ms = 60000};
    assert_int_equal(http_new(&http, &options, &err), 0);
    snprintf(f->url, sizeof(f->url), "%s/silence", http_server_url(f->server));
    const struct http_request request = {.method = "GET", .url = f->url};
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(pthread_create(&thread, NULL, trigger, &f->cancel), 0);
    assert_int_equal(http_perform(http, &request, &f->response, &err), -1);
    pthread_join(thread, NULL);
    http_freep(&http);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_true(clock_monotonic_ms() - start_ms < options.stall_timeout_ms / 2);
}

static void *get_many(void *arg)
{
    struct fixture *f = arg;
    struct error err;
    char url[128];
    CLEANUP(http_response_done) struct http_response response = {0};
    snprintf(url, sizeof(url), "%s/echo", http_server_url(f->server));
    const struct http_request request = {
        .method = "PUT", .url = url, .body = "abc", .body_size = 3, .response_max = 10};
    for (int i = 0; i < 20; i++) {
        if (http_perform(f->http, &request, &response, &err) < 0 || response.body.size != 3)
            return arg;
    }
    return NULL;
}

static void many_threads_share_one_http(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_many, f), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_true(http_server_connections(f->server) <= ARRAY_SIZE(threads));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static void a_request_may_have_limits_of_its_own(void **state)
{
    struct fixture *f = *state; /* whose stall timeout is a minute */
    struct error err;
    snprintf(f->url, sizeof(f->url), "%s/silence", http_server_url(f->server));
    struct http_request request = {.method = "GET", .url = f->url, .stall_timeout_ms = 20};
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "nothing moved for 20 ms"));

    request.stall_timeout_ms = 0;
    request.timeout_ms = 20;
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
}

static void a_limit_slows_a_body_down_and_is_no_stall(void **state)
{
    enum { RATE = 64 << 10, SIZE = 3 * THROTTLE_UNIT_BYTES };
    struct fixture *f = *state;
    struct error err;
    struct throttle limit;
    char body[SIZE + 1];
    memset(body, 'b', SIZE);
    body[SIZE] = '\0';
    snprintf(f->url, sizeof(f->url), "%s/echo", http_server_url(f->server));
    struct http_request request = {.method = "PUT",
                                   .url = f->url,
                                   .body = body,
                                   .body_size = SIZE,
                                   .response_max = SIZE,
                                   .send_limit = &limit,
                                   .stall_timeout_ms = 100}; /* a part takes longer */
    for (int i = 0; i < 2; i++) {
        int64_t started_ms = clock_monotonic_ms();
        throttle_init(&limit, RATE);
        if (http_perform(f->http, &request, &f->response, &err) < 0)
            fail_msg("%s", err.text);
        assert_body(f, body);
        assert_true(clock_monotonic_ms() - started_ms >= 1000 * SIZE / RATE);
        throttle_done(&limit);
        request.send_limit = NULL;
        request.receive_limit = &limit;
    }
}

static void cancelling_wakes_a_body_that_waits_for_its_limit(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct throttle limit;
    pthread_t thread;
    throttle_init(&limit, 1); /* hours for a part */
    snprintf(f->url, sizeof(f->url), "%s/echo", http_server_url(f->server));
    const struct http_request request = {.method = "PUT",
                                         .url = f->url,
                                         .body = "x",
                                         .body_size = 1,
                                         .response_max = 100,
                                         .receive_limit = &limit};
    throttle_take(&limit, THROTTLE_UNIT_BYTES, clock_monotonic_ms());
    assert_int_equal(pthread_create(&thread, NULL, trigger, &f->cancel), 0);
    assert_int_equal(http_perform(f->http, &request, &f->response, &err), -1);
    pthread_join(thread, NULL);
    assert_int_equal(err.kind, ERROR_CANCELED);
    throttle_done(&limit);
}

static void an_identity_that_is_no_pem_is_told(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(http_freep) struct http *http = NULL;
    const struct http_options options = {
        .cancel = &f->cancel, .certificate_pem = "no", .key_pem = "pem"};
    const struct http_request request = {.method = "GET", .url = f->url};
    snprintf(f->url, sizeof(f->url), "https%s/echo", http_server_url(f->server) + 4);
    assert_int_equal(http_new(&http, &options, &err), 0);
    assert_int_equal(http_perform(http, &request, &f->response, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "check our certificate and its key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_body_goes_there_and_back),
        TEST(any_status_is_an_answer),
        TEST(headers_are_found_by_their_name_in_lower_case),
        TEST(headers_of_an_interim_answer_do_not_count),
        TEST(headers_of_the_request_are_sent_and_no_expectation),
        TEST(a_redirect_is_not_followed),
        TEST(a_connection_is_used_again),
        TEST(what_a_network_does_is_transient),
        TEST(a_server_that_stalls_is_given_up),
        TEST(garbage_is_an_error),
        TEST(a_server_that_is_not_there_is_transient_and_named),
        TEST(a_body_larger_than_agreed_is_refused),
        TEST(a_stream_may_be_longer_than_what_would_be_kept),
        TEST(an_error_is_kept_and_not_streamed),
        TEST(a_strange_url_is_permanent),
        TEST(a_ca_file_that_is_not_there_is_named),
        TEST(progress_counts_bytes_both_ways),
        TEST(a_body_is_never_sent_twice),
        TEST(cancelling_ends_a_request_at_once),
        TEST(many_threads_share_one_http),
        TEST(a_request_may_have_limits_of_its_own),
        TEST(a_limit_slows_a_body_down_and_is_no_stall),
        TEST(cancelling_wakes_a_body_that_waits_for_its_limit),
        TEST(an_identity_that_is_no_pem_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
