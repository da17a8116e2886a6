// SPDX-License-Identifier: Apache-2.0
/* The S3 driver before a server that misbehaves in ways that no real one does on request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_http_play.h"
#include "common/tests/helper_http_server.h"
#include "sidecar/tests/helper_store.h"

/* what a step leaves out is nothing */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define SLOW_DOWN "<Error><Code>SlowDown</Code><Message>Please</Message></Error>"
#define NO_KEY "<Error><Code>NoSuchKey</Code></Error>"
#define FAILED "<Error><Code>PreconditionFailed</Code></Error>"
#define DENIED "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
#define UNKNOWN_KEY "<Error><Code>InvalidAccessKeyId</Code></Error>"
#define EXPIRED "<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>"
#define NO_LOCK "<Error><Code>ObjectLockConfigurationNotFoundError</Code></Error>"
#define LOCK                                                                                       \
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"                      \
    "</ObjectLockConfiguration>"

struct play {
    struct http_play http;
    struct helper_store helper;
};

/* With what more the policy says. */
static void open_at(struct play *play, struct policy_s3 s3)
{
    s3.bucket = "bucket";
    s3.prefix = "pre/fix";
    s3.endpoint = http_server_url(play->http.server);
    s3.region = "us-east-1";
    s3.path_style = true;
    helper_store_open_s3(&play->helper, &s3, "access", "secret");
    log_set_level(LOG_LEVEL_ERROR);
}

static void start_with(struct play *play, struct policy_s3 s3)
{
    http_play_start(&play->http);
    open_at(play, s3);
}

static void start(struct play *play)
{
    start_with(play, (struct policy_s3){.storage_class = "STANDARD_IA"});
}

/* That all steps were taken, and nothing else was asked. */
static void end(struct play *play)
{
    helper_store_close(&play->helper);
    http_play_end(&play->http);
}

#define PLAY(...)                                                                                  \
    {                                                                                              \
        .http = HTTP_PLAY(__VA_ARGS__)                                                             \
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
        "Content-Range: bytes 2-6/7 or so\r\n",
        "Content-Range: bytes 2-6/unknown\r\n",
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
    assert_true(wish_ms("Retry-After: 60 or so\r\n") <= 0);
    const int64_t day_ms = 24 * 60 * 60 * 1000;
    assert_in_range(wish_ms("Retry-After: 99999999999\r\n"), day_ms - 10000, day_ms);
    assert_in_range(wish_ms("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n"), day_ms - 10000,
                    day_ms);
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
    helper_directory_write(helper->directory, "eu.session-token", "the-token\n");
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

static void how_the_service_encrypts_is_said_with_each_put(void **state)
{
    (void)state;
    struct play play =
        PLAY({"HEAD", NULL, 404, .refuses = "x-amz-server-side-encryption"},
             {"PUT", "x-amz-server-side-encryption: aws:kms\r\n", 200}, {"PUT", NULL, 412},
             {"PUT", "x-amz-date;x-amz-server-side-encryption, Signature=", 200,
              .refuses = "x-amz-storage-class"});
    start_with(&play, (struct policy_s3){.server_side_encryption = "aws:kms"});
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    end(&play);
}

static void the_key_that_the_service_encrypts_with_is_said_with_each_put(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"HEAD", NULL, 404, .refuses = "x-amz-server-side-encryption"},
        {"PUT", "x-amz-server-side-encryption-aws-kms-key-id: arn:aws:kms:eu-1:1:key/2\r\n", 200},
        {"PUT", "x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id", 412});
    start_with(&play, (struct policy_s3){.server_side_encryption = "aws:kms:dsse",
                                         .kms_key = "arn:aws:kms:eu-1:1:key/2"});
    helper_store_assert_put(play.helper.store, "a", "bytes");
    end(&play);
}

/* Credentials that change */

static void a_refusal_after_the_secret_changed_is_no_failure(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"HEAD", "Credential=access/", 404}, {"PUT", "Credential=access/", 403, NULL, UNKNOWN_KEY},
        {"PUT", "Credential=second/", 200}, {"PUT", "Credential=second/", 412}, //
        {"PUT", "Credential=second/", 400, NULL, EXPIRED},
        {"PUT", "x-amz-security-token: fresh\r\n", 200, .expects_body = "bytes"},
        {"DELETE", "x-amz-security-token: fresh\r\n", 403}, {"DELETE", "Credential=third/", 204});
    struct error err;
    start(&play);
    const char *directory = play.helper.directory;
    helper_directory_write(directory, "eu.access-key-id", "second");
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_directory_write(directory, "eu.session-token", "fresh");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    helper_directory_write(directory, "eu.access-key-id", "third");
    assert_int_equal(store_remove(play.helper.store, "b", &err), 0);
    end(&play);
}

static void a_refusal_of_what_the_secret_still_says_is_told(void **state)
{
    (void)state;
    struct play play = PLAY({"GET", NULL, 403, NULL, UNKNOWN_KEY});
    CLEANUP(buf_done) struct buf got = BUF(100);
    struct error err;
    start(&play);
    assert_int_equal(store_get(play.helper.store, "a", 0, 1, &got, &err), -1);
    end(&play);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "check the two keys that s3.credentials names"));
}

/* The play is the agent that lends the keys as well. */
static void a_key_of_a_role_signs_and_is_named_in_errors(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", "GET /agent HTTP", 200, NULL,
              "{\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"s\",\"Token\":\"lent\"}"},
             {"GET", "x-amz-security-token: lent\r\n", 200, NULL, "b"},
             {"GET", "Credential=ASIA/", 403, NULL, UNKNOWN_KEY}, {"GET", NULL, 403, NULL, DENIED});
    CLEANUP(buf_done) struct buf got = BUF(100);
    struct error err;
    http_play_start(&play.http);
    CLEANUP(own_freep) char *url = own_format("%s/agent", http_server_url(play.http.server));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    open_at(&play, (struct policy_s3){.auth = POLICY_S3_INSTANCE});
    assert_int_equal(store_get(play.helper.store, "a", 0, 1, &got, &err), 0);
    assert_int_equal(store_get(play.helper.store, "a", 0, 1, &got, &err), -1);
    assert_non_null(strstr(err.text, "look at the role that s3.auth stands for"));
    assert_int_equal(store_get(play.helper.store, "a", 0, 1, &got, &err), -1);
    assert_non_null(strstr(err.text, "give the role that s3.auth stands for the right to get"));
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    end(&play);
}

static void missing_credentials_are_no_missing_object(void **state)
{
    (void)state;
    struct play play = PLAY({0});
    struct error got = {0}, removed = {0};
    bool there;
    play.http.count = 0;
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token", 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x", 1);
    start_with(&play, (struct policy_s3){.auth = POLICY_S3_WEB_IDENTITY});
    assert_int_equal(store_has(play.helper.store, "a", &there, &got), -1);
    assert_int_equal(store_remove(play.helper.store, "a", &removed), -1);
    unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
    unsetenv("AWS_ROLE_ARN");
    end(&play);
    assert_int_equal(got.kind, ERROR_PERMANENT);
    assert_int_equal(removed.kind, ERROR_PERMANENT);
    assert_non_null(strstr(got.text, "credentials: "));
}

/* Object Lock */

static void each_object_is_put_with_the_retention_of_the_policy(void **state)
{
    (void)state;
    struct play play =
        PLAY({"HEAD", NULL, 404}, {"PUT", "x-amz-object-lock-mode: COMPLIANCE\r\n", 200},
             {"PUT", NULL, 412}, //
             {"PUT", "x-amz-object-lock-retain-until-date: 2027-02-14T08:00:00Z\r\n", 503},
             {"GET", NULL, 404}, {"PUT", "x-amz-checksum-sha256: ", 200},
             {"PUT", NULL, 200, .refuses = "x-amz-object-lock"});
    struct store_bytes bytes = helper_store_text("bytes");
    struct error err;
    clock_fake(1800000000000); /* 2027-01-15T08:00:00Z */
    start_with(&play, (struct policy_s3){.lock_mode = "COMPLIANCE", .lock_days = 30});
    helper_store_assert_put(play.helper.store, "a", "bytes");
    helper_store_assert_put(play.helper.store, "b", "bytes");
    bytes.passing = true;
    assert_int_equal(store_put(play.helper.store, "running/c/0", &bytes, &err), 0);
    clock_fake(-1);
    end(&play);
}

static void assert_locked_until(struct play *play, const char *name, int64_t expected_ms)
{
    int64_t until_ms = -1;
    struct error err;
    if (store_locked_until(play->helper.store, name, &until_ms, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(until_ms, expected_ms);
}

static void a_bucket_without_lock_is_asked_once(void **state)
{
    (void)state;
    struct play play = PLAY({"GET", "GET /bucket/?object-lock HTTP", 503}, //
                            {"GET", "GET /bucket/?object-lock HTTP", 404, NULL, NO_LOCK});
    start(&play);
    assert_locked_until(&play, "a", 0);
    assert_locked_until(&play, "b", 0);
    end(&play);
}

#define UNTIL(time) "x-amz-object-lock-retain-until-date: " time "\r\n"

static void a_bucket_with_lock_tells_until_when(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", "?object-lock HTTP", 200, NULL, LOCK},
             {"HEAD", "HEAD /bucket/pre/fix/a HTTP", 200, UNTIL("2100-01-01T00:00:00.5Z")}, //
             {"HEAD", NULL, 200, UNTIL("2001-01-01T00:00:00Z")}, {"HEAD", NULL, 200},
             {"HEAD", NULL, 404}, {"HEAD", NULL, 200, "x-amz-object-lock-legal-hold: ON\r\n"},
             {"HEAD", NULL, 200, UNTIL("never")});
    start(&play);
    assert_locked_until(&play, "a", 4102444800500);
    assert_locked_until(&play, "over", 0);
    assert_locked_until(&play, "free", 0);
    assert_locked_until(&play, "gone", 0);
    assert_locked_until(&play, "held", INT64_MAX);
    assert_locked_until(&play, "strange", 0);
    end(&play);
}

static void where_the_bucket_may_not_be_asked_each_object_is(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", "?object-lock HTTP", 403, NULL, DENIED},
             {"HEAD", NULL, 200, UNTIL("2100-01-01T00:00:00Z")}, {"HEAD", NULL, 403});
    int64_t until_ms;
    struct error err;
    start(&play);
    assert_locked_until(&play, "a", 4102444800000);
    assert_int_equal(store_locked_until(play.helper.store, "b", &until_ms, &err), -1);
    end(&play);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "look at the retention of 'b' in region 'test'"));
}

static struct error remove_error(struct play *play)
{
    struct error err = {0};
    start(play);
    assert_int_equal(store_remove(play->helper.store, "a", &err), -1);
    end(play);
    return err;
}

static void a_removal_that_retention_forbids_says_until_when(void **state)
{
    (void)state;
    struct play locked = PLAY({"DELETE", NULL, 403, NULL, DENIED},
                              {"GET", "?object-lock HTTP", 200, NULL, LOCK},
                              {"HEAD", NULL, 200, UNTIL("2100-01-01T00:00:00Z")}),
                held = PLAY({"DELETE", NULL, 403, NULL, DENIED},
                            {"GET", "?object-lock HTTP", 200, NULL, LOCK},
                            {"HEAD", NULL, 200, "x-amz-object-lock-legal-hold: ON\r\n"});
    struct error err = remove_error(&locked);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.text, "remove 'a' in region 'test': locked until 2100-01-01T00:00:00Z");
    err = remove_error(&held);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.text, "remove 'a' in region 'test': locked by a legal hold");
}

static void a_removal_that_is_forbidden_otherwise_stays_so(void **state)
{
    (void)state;
    struct play denied = PLAY({"DELETE", NULL, 403, NULL, DENIED},
                              {"GET", "?object-lock HTTP", 404, NULL, NO_LOCK}),
                free_object =
                    PLAY({"DELETE", NULL, 403, NULL, DENIED},
                         {"GET", "?object-lock HTTP", 200, NULL, LOCK}, {"HEAD", NULL, 200});
    struct error err = remove_error(&denied);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "the right to get, put, list and delete objects"));
    assert_int_equal(remove_error(&free_object).kind, ERROR_PERMANENT);
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
        cmocka_unit_test(how_the_service_encrypts_is_said_with_each_put),
        cmocka_unit_test(the_key_that_the_service_encrypts_with_is_said_with_each_put),
        cmocka_unit_test(a_refusal_after_the_secret_changed_is_no_failure),
        cmocka_unit_test(a_refusal_of_what_the_secret_still_says_is_told),
        cmocka_unit_test(a_key_of_a_role_signs_and_is_named_in_errors),
        cmocka_unit_test(missing_credentials_are_no_missing_object),
        cmocka_unit_test(each_object_is_put_with_the_retention_of_the_policy),
        cmocka_unit_test(a_bucket_without_lock_is_asked_once),
        cmocka_unit_test(a_bucket_with_lock_tells_until_when),
        cmocka_unit_test(where_the_bucket_may_not_be_asked_each_object_is),
        cmocka_unit_test(a_removal_that_retention_forbids_says_until_when),
        cmocka_unit_test(a_removal_that_is_forbidden_otherwise_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
