// SPDX-License-Identifier: Apache-2.0
/* The S3 driver before a server that misbehaves in ways that no real one does on request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_http_server.h"
#include "sidecar/tests/helper_store.h"

/* what a step leaves out is nothing */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define SLOW_DOWN "<Error><Code>SlowDown</Code><Message>Please</Message></Error>"
#define NO_KEY "<Error><Code>NoSuchKey</Code></Error>"
#define FAILED "<Error><Code>PreconditionFailed</Code></Error>"

/* One request that the server expects, and what it does then. */
struct step {
    const char *method;
    const char *expects; /* in the request's head; NULL: nothing in particular */
    int status;          /* 0: sends raw, or nothing, and closes */
    const char *fields, *body;
    const char *raw;
    bool reset;
};

struct play {
    const struct step *steps;
    size_t count;
    atomic_uint done;
    char fault[512]; /* the first request that was not expected */
    struct http_server *server;
    struct helper_store helper;
};

static bool act(void *arg, int fd, const struct http_server_request *request)
{
    struct play *play = arg;
    unsigned at = play->done++;
    const struct step *step = at < play->count ? &play->steps[at] : NULL;
    if (!step || strcmp(step->method, request->method) != 0 ||
        (step->expects && !strstr(request->head, step->expects))) {
        if (!play->fault[0])
            snprintf(play->fault, sizeof(play->fault), "request %u: %s", at + 1, request->head);
        return http_server_reply(fd, 400, "", "");
    }
    if (step->reset)
        return http_server_reset(fd);
    if (step->raw)
        http_server_send(fd, step->raw);
    if (!step->status)
        return false;
    if (strcmp(request->method, "HEAD") == 0) {
        CLEANUP(own_freep)
        char *head = own_format("HTTP/1.1 %d Status\r\n%s\r\n", step->status,
                                step->fields ? step->fields : "");
        http_server_send(fd, head);
        return true;
    }
    return http_server_reply(fd, step->status, step->fields ? step->fields : "",
                             step->body ? step->body : "");
}

static void start(struct play *play)
{
    play->server = http_server_new(act, play);
    const struct policy_s3 s3 = {
        .bucket = "bucket",
        .prefix = "pre/fix",
        .endpoint = http_server_url(play->server),
        .region = "us-east-1",
        .path_style = true,
        .storage_class = "STANDARD_IA",
    };
    helper_store_open_s3(&play->helper, &s3, "access", "secret");
    log_set_level(LOG_LEVEL_ERROR);
}

/* That all steps were taken, and nothing else was asked. */
static void end(struct play *play)
{
    helper_store_close(&play->helper);
    http_server_freep(&play->server);
    if (play->fault[0])
        fail_msg("%s", play->fault);
    assert_int_equal(play->done, play->count);
}

#define PLAY(...)                                                                                  \
    {                                                                                              \
        .steps = (const struct step[]){__VA_ARGS__},                                               \
        .count = sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step),                 \
    }

static struct error put_error(struct play *play)
{
    struct error err = {0};
    const struct store_bytes bytes = helper_store_text("bytes");
    assert_int_equal(store_put(play->helper.store, "a", &bytes, &err), -1);
    return err;
}

static void conditional_puts_are_tried_once_and_remembered(void **state)
{
    (void)state;
    struct play play = PLAY({"HEAD", NULL, 404},                                //
                            {"PUT", "If-None-Match: *\r\n", 200},               //
                            {"PUT", "If-None-Match: *\r\n", 412, NULL, FAILED}, //
                            {"PUT", "If-None-Match: *\r\n", 200},               //
                            {"PUT", "If-None-Match: *\r\n", 412, NULL, FAILED});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    struct error err = put_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void where_conditions_are_ignored_each_put_looks_first(void **state)
{
    (void)state;
    struct play play = PLAY({"HEAD", NULL, 404}, {"PUT", "If-None-Match: *\r\n", 200},
                            {"PUT", "If-None-Match: *\r\n", 200}, //
                            {"HEAD", NULL, 404}, {"PUT", NULL, 200}, {"HEAD", NULL, 200});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    struct error err = put_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void where_conditions_are_not_implemented_each_put_looks_first(void **state)
{
    (void)state;
    struct play play = PLAY({"HEAD", NULL, 404}, {"PUT", "If-None-Match: *\r\n", 501},
                            {"PUT", NULL, 200}, {"HEAD", NULL, 404}, {"PUT", NULL, 200});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    end(&play);
}

static void an_object_is_not_lost_to_a_store_not_known_yet(void **state)
{
    (void)state;
    struct play play = PLAY({"HEAD", "/bucket/pre/fix/a HTTP", 200});
    start(&play);
    struct error err = put_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void a_put_says_where_what_and_how(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"HEAD", NULL, 404}, {"PUT", "PUT /bucket/pre/fix/a HTTP/1.1\r\n", 503, NULL, SLOW_DOWN},
        {"GET", NULL, 404}, {"HEAD", NULL, 404},              //
        {"PUT", "x-amz-storage-class: STANDARD_IA\r\n", 503}, //
        {"GET", NULL, 404}, {"HEAD", NULL, 404},
        {"PUT",
         "x-amz-content-sha256: "
         "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9\r\n",
         503},
        {"GET", NULL, 404}, {"HEAD", NULL, 404}, //
        {"PUT", "Authorization: AWS4-HMAC-SHA256 Credential=access/", 200}, {"PUT", NULL, 412});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    end(&play);
}

static void a_bucket_that_wants_a_checksum_gets_one(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"HEAD", NULL, 404},
        {"PUT", NULL, 400, NULL, "<Error><Code>InvalidRequest</Code><Message>M</Message></Error>"},
        {"PUT", "x-amz-checksum-sha256: J3CJ2RwL308uaGK6fkoHYFEZQx9dE/cm3TUrBvGyBqk=\r\n", 200},
        {"PUT", "x-amz-checksum-sha256: ", 412}, {"PUT", "x-amz-checksum-sha256: ", 200});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    end(&play);
}

static void what_a_busy_or_broken_server_does_is_tried_again(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", NULL, 503, NULL, SLOW_DOWN}, //
             {"GET", NULL, 500},                  //
             {"GET", NULL, 200, NULL, SLOW_DOWN}, //
             {"GET", NULL, .reset = true},        //
             {"GET", NULL, 0},
             {"GET", NULL,
              .raw = "HTTP/1.1 206 OK\r\nContent-Length: 5\r\n"
                     "Content-Range: bytes 0-4/5\r\n\r\nhal"},
             {"GET", "Range: bytes=0-", 206, "Content-Range: bytes 0-4/5\r\n", "whole"});
    start(&play);
    helper_store_assert_content(play.helper.store, "a", "whole");
    end(&play);
}

static void an_error_behind_status_200_is_an_error_of_every_call(void **state)
{
    (void)state;
    struct play play = PLAY({"HEAD", NULL, 404}, {"PUT", NULL, 200, NULL, SLOW_DOWN}, //
                            {"GET", NULL, 404}, {"HEAD", NULL, 404}, {"PUT", NULL, 200},
                            {"PUT", NULL, 412}, {"GET", "list-type=2", 200, NULL, SLOW_DOWN},
                            {"GET", "list-type=2", 200, NULL, "<ListBucketResult/>"},
                            {"DELETE", NULL, 200, NULL, SLOW_DOWN}, {"DELETE", NULL, 204});
    struct error err;
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    CLEANUP(own_freep) char *names = helper_store_names(play.helper.store, "", STORE_DEEP);
    assert_string_equal(names, "");
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

/* The connection is an old one, so libcurl would like to send the put again by itself. */
static void a_put_whose_answer_got_lost_is_found_there(void **state)
{
    (void)state;
    struct play play =
        PLAY({"HEAD", NULL, 404}, {"PUT", NULL, 200}, {"PUT", NULL, 412}, //
             {"PUT", "/pre/fix/b ", 0}, {"GET", NULL, 404},               //
             {"PUT", "/pre/fix/b ", 412, NULL, FAILED},
             {"GET", "Range: bytes=0-5\r\n", 206, "Content-Range: bytes 0-4/5\r\n", "bytes"});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    end(&play);
}

/* As a server does that refuses before it has read all that is sent. */
static void a_refusal_that_got_lost_is_found_out_before_more_is_sent(void **state)
{
    (void)state;
    struct play play =
        PLAY({"HEAD", NULL, 404}, {"PUT", NULL, 200}, {"PUT", NULL, 412}, //
             {"PUT", "/pre/fix/b ", 0},
             {"GET", "Range: bytes=0-0\r\n", 206, "Content-Range: bytes 0-0/5\r\n", "B"},
             {"GET", "Range: bytes=0-5\r\n", 206, "Content-Range: bytes 0-4/5\r\n", "Bytes"});
    const struct store_bytes bytes = helper_store_text("bytes");
    struct error err;
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    assert_int_equal(store_put(play.helper.store, "b", &bytes, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    end(&play);
}

static void a_range_that_was_not_asked_for_is_refused(void **state)
{
    (void)state;
    static const char *const ranges[] = {
        "",
        "Content-Range: bytes 0-4/10\r\n",
        "Content-Range: bytes 2-5/10\r\n",
        "Content-Range: bytes 2-6/10\r\n", /* right, but shorter than asked before the end */
        "Content-Range: bytes 2-6\r\n",
        "Content-Range: pages 2-6/7\r\n",
        "Content-Range: bytes 6-2/7\r\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        struct play play = PLAY({"GET", "Range: bytes=2-9\r\n", 206, ranges[i], "23456"});
        struct error err = {0};
        CLEANUP(buf_done) struct buf got = BUF(100);
        start(&play);
        assert_int_equal(store_get(play.helper.store, "a", 2, 8, &got, &err), -1);
        end(&play);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_int_equal(got.size, 0);
    }
}

static void a_range_that_is_not_heeded_is_cut_out(void **state)
{
    (void)state;
    struct play play = PLAY({"GET", NULL, 200, NULL, "0123456789"}, //
                            {"GET", NULL, 200, NULL, "0123456789"});
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(100);
    start(&play);
    assert_int_equal(store_get(play.helper.store, "a", 2, 3, &got, &err), 0);
    assert_int_equal(store_get(play.helper.store, "a", 20, 3, &got, &err), 0);
    end(&play);
    assert_int_equal(got.size, 3);
    assert_memory_equal(got.data, "234", 3);
}

#define PAGE(key, token)                                                                           \
    "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>" token               \
    "</NextContinuationToken><Contents><Key>" key                                                  \
    "</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"             \
    "</ListBucketResult>"

static void a_page_that_fails_is_asked_for_again_and_given_once(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"GET", "?list-type=2&encoding-type=url&prefix=pre%2Ffix%2Fd%2F HTTP", 200, NULL,
         PAGE("pre/fix/d/1", "a/b+c")},
        {"GET", "&continuation-token=a%2Fb%2Bc HTTP", 503},
        {"GET", "&continuation-token=a%2Fb%2Bc HTTP", 200, NULL, PAGE("elsewhere/d/2", "next")},
        {"GET", "&continuation-token=next HTTP", 200, NULL,
         "<ListBucketResult><Contents><Key>pre/fix/d/3</Key><Size>1</Size>"
         "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>"});
    start(&play);
    CLEANUP(own_freep) char *names = helper_store_names(play.helper.store, "d/", STORE_DEEP);
    end(&play);
    assert_string_equal(names, "d/1 d/3 ");
}

static int ignore(void *arg, const struct store_object *object, struct error *err)
{
    (void)arg, (void)object, (void)err;
    return 0;
}

static struct error list_error(struct play *play)
{
    struct error err = {0};
    start(play);
    assert_int_equal(store_list(play->helper.store, "", STORE_SHALLOW, ignore, NULL, &err), -1);
    end(play);
    return err;
}

static void a_listing_that_makes_no_sense_is_corrupt(void **state)
{
    (void)state;
    struct play circle = PLAY({"GET", "&delimiter=%2F HTTP", 200, NULL, PAGE("a", "x")},
                              {"GET", "token=x", 200, NULL, PAGE("b", "x")});
    struct play html = PLAY({"GET", NULL, 200, NULL, "<html>Log in here</html>"});
    struct play nothing = PLAY({"GET", NULL, 404, NULL, "not here"});
    assert_int_equal(list_error(&circle).kind, ERROR_CORRUPT);
    assert_int_equal(list_error(&html).kind, ERROR_CORRUPT);
    struct error err = list_error(&nothing);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "knows no bucket 'bucket'"));
}

/* How long the store wishes to be left alone, after one failed call with these headers. */
static int64_t wish_ms(const char *fields)
{
    struct play play = PLAY({"DELETE", NULL, 503, fields, SLOW_DOWN});
    struct error err;
    start(&play);
    play.helper.store->retries = 0;
    assert_int_equal(store_remove(play.helper.store, "a", &err), -1);
    int64_t wish = play.helper.store->retry_at_ms - clock_monotonic_ms();
    end(&play);
    return wish;
}

static void retry_after_is_noted_in_seconds_or_as_a_date_of_the_store(void **state)
{
    (void)state;
    int64_t seconds = wish_ms("Retry-After: 60\r\n");
    int64_t date = wish_ms("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                           "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n");
    assert_true(seconds > 50000 && seconds <= 60000);
    assert_true(date > 50000 && date <= 60000);
    assert_true(wish_ms("") <= 0);
    assert_true(wish_ms("Retry-After: soon\r\n") <= 0);
}

static void the_clock_of_the_store_is_noted(void **state)
{
    (void)state;
    struct play play =
        PLAY({"DELETE", NULL, 204, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"}, //
             {"DELETE", NULL, 403, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
              "<Error><Code>RequestTimeTooSkewed</Code><Message>M</Message></Error>"});
    struct error err;
    start(&play);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    int64_t skew_ms = play.helper.store->clock_skew_ms;
    int64_t expected_ms = 784111777000 - clock_now_ms();
    assert_int_equal(store_remove(play.helper.store, "a", &err), -1);
    end(&play);
    assert_true(skew_ms - expected_ms < 60000 && expected_ms - skew_ms < 60000);
    assert_non_null(strstr(err.text, "s apart; set the clock of this machine"));
}

static void a_session_token_is_sent_and_signed(void **state)
{
    (void)state;
    struct play play = PLAY({"DELETE", "x-amz-security-token: the-token\r\n", 503},
                            {"DELETE", "x-amz-date;x-amz-security-token, Signature=", 204});
    struct error err;
    struct store *store = NULL;
    start(&play);
    struct helper_store *helper = &play.helper;
    CLEANUP(own_freep) char *path = own_format("%s/eu.session-token", helper->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("the-token\n", file);
    fclose(file);
    assert_int_equal(store_open(&store, &helper->region, helper->secrets, &helper->cancel, &err),
                     0);
    store->backoff_ms = 0;
    assert_int_equal(store_remove(store, "a", &err), 0);
    store_closep(&store);
    end(&play);
}

static void a_missing_object_is_no_matter_to_a_removal(void **state)
{
    (void)state;
    struct play play = PLAY({"DELETE", NULL, 404, NULL, NO_KEY});
    struct error err;
    start(&play);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditional_puts_are_tried_once_and_remembered),
        cmocka_unit_test(where_conditions_are_ignored_each_put_looks_first),
        cmocka_unit_test(where_conditions_are_not_implemented_each_put_looks_first),
        cmocka_unit_test(an_object_is_not_lost_to_a_store_not_known_yet),
        cmocka_unit_test(a_put_says_where_what_and_how),
        cmocka_unit_test(a_bucket_that_wants_a_checksum_gets_one),
        cmocka_unit_test(what_a_busy_or_broken_server_does_is_tried_again),
        cmocka_unit_test(an_error_behind_status_200_is_an_error_of_every_call),
        cmocka_unit_test(a_put_whose_answer_got_lost_is_found_there),
        cmocka_unit_test(a_refusal_that_got_lost_is_found_out_before_more_is_sent),
        cmocka_unit_test(a_range_that_was_not_asked_for_is_refused),
        cmocka_unit_test(a_range_that_is_not_heeded_is_cut_out),
        cmocka_unit_test(a_page_that_fails_is_asked_for_again_and_given_once),
        cmocka_unit_test(a_listing_that_makes_no_sense_is_corrupt),
        cmocka_unit_test(retry_after_is_noted_in_seconds_or_as_a_date_of_the_store),
        cmocka_unit_test(the_clock_of_the_store_is_noted),
        cmocka_unit_test(a_session_token_is_sent_and_signed),
        cmocka_unit_test(a_missing_object_is_no_matter_to_a_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
