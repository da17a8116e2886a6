// SPDX-License-Identifier: Apache-2.0
/* The Azure driver before servers that misbehave, or refuse, in ways that no real one does on
 * request; one server plays the store and those who give tokens. */
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

#define BUSY "<Error><Code>ServerBusy</Code><Message>Please</Message></Error>"
#define EXISTS "<Error><Code>BlobAlreadyExists</Code></Error>"
#define NO_BLOB "<Error><Code>BlobNotFound</Code></Error>"
#define REFUSED "<Error><Code>AuthenticationFailed</Code><Message>No</Message></Error>"
#define TOKEN(text, seconds) "{\"access_token\":\"" text "\",\"expires_in\":" seconds "}"
#define TOKEN_PATH "POST /the-tenant/oauth2/v2.0/token HTTP"
#define METADATA_PATH "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource="

static char *directory; /* of the service account's token */
static char *token_file;

struct play {
    struct http_play http;
    struct helper_store helper;
};

static struct policy_azure policy_of(struct play *play)
{
    http_play_start(&play->http);
    log_set_level(LOG_LEVEL_ERROR);
    return (struct policy_azure){
        .container = "box",
        .account = "shop",
        .prefix = "pre/fix",
        .endpoint = http_server_url(play->http.server),
    };
}

static void start(struct play *play)
{
    const struct policy_azure azure = policy_of(play);
    helper_store_open_azure(&play->helper, &azure, "account-key", "a2V5");
}

static void start_with_signature(struct play *play)
{
    const struct policy_azure azure = policy_of(play);
    helper_store_open_azure(&play->helper, &azure, "sas-token", "?sv=1&sig=a%2Bb");
}

static void start_with_identity(struct play *play, enum policy_azure_auth auth)
{
    struct policy_azure azure = policy_of(play);
    azure.auth = auth;
    setenv("AZURE_AUTHORITY_HOST", azure.endpoint, 1);
    setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.endpoint, 1);
    helper_store_open_azure(&play->helper, &azure, NULL, NULL);
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

static struct error remove_error(struct play *play)
{
    struct error err = {0};
    assert_int_equal(store_remove(play->helper.store, "a", &err), -1);
    return err;
}

static void a_put_says_where_what_and_how(void **state)
{
    (void)state;
    struct play play =
        PLAY({"PUT", "PUT /shop/box/pre/fix/a HTTP/1.1\r\n", 503, NULL, BUSY},
             {"GET", NULL, 404, NULL, NO_BLOB}, {"PUT", "If-None-Match: *\r\n", 503, NULL, BUSY},
             {"GET", NULL, 404, NULL, NO_BLOB},
             {"PUT", "x-ms-blob-type: BlockBlob\r\n", 503, NULL, BUSY},
             {"GET", NULL, 404, NULL, NO_BLOB}, {"PUT", "Authorization: SharedKey shop:", 201});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    end(&play);
}

static void what_exists_is_a_conflict(void **state)
{
    (void)state;
    struct play play = PLAY({"PUT", NULL, 409, NULL, EXISTS});
    start(&play);
    struct error err = put_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void what_a_busy_or_broken_server_does_is_tried_again(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", NULL, 503, NULL, BUSY}, //
             {"GET", NULL, 500},             //
             {"GET", NULL, 408},             //
             {"GET", NULL, .reset = true},   //
             {"GET", NULL, 0},
             {"GET", NULL,
              .raw = "HTTP/1.1 206 OK\r\nContent-Length: 5\r\n"
                     "Content-Range: bytes 0-4/5\r\n\r\nhal"},
             {"GET", "Range: bytes=0-", 206, "Content-Range: bytes 0-4/5\r\n", "whole"});
    start(&play);
    helper_store_assert_content(play.helper.store, "a", "whole");
    end(&play);
}

static void a_put_whose_answer_got_lost_is_found_there(void **state)
{
    (void)state;
    struct play play =
        PLAY({"PUT", NULL, 0}, {"GET", NULL, 404, NULL, NO_BLOB}, {"PUT", NULL, 409, NULL, EXISTS},
             {"GET", "Range: bytes=0-5\r\n", 206, "Content-Range: bytes 0-4/5\r\n", "bytes"});
    start(&play);
    helper_store_assert_put(play.helper.store, "a", "bytes");
    end(&play);
}

static void somebody_elses_object_is_no_answer_that_got_lost(void **state)
{
    (void)state;
    struct play play =
        PLAY({"PUT", NULL, 0},
             {"GET", "Range: bytes=0-0\r\n", 206, "Content-Range: bytes 0-0/5\r\n", "B"},
             {"GET", "Range: bytes=0-5\r\n", 206, "Content-Range: bytes 0-4/5\r\n", "Bytes"});
    start(&play);
    struct error err = put_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_CONFLICT);
}

static void a_range_that_was_not_asked_for_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *range, *body;
    } table[] = {
        {"", "23456"},
        {"Content-Range: bytes 0-4/10\r\n", "23456"},
        {"Content-Range: bytes 2-6/10\r\n", "23456"}, /* shorter than asked before the end */
        {"Content-Range: bytes 6-2/7\r\n", "23456"},
        {"", ""}, /* an end that nobody tells */
        {"Content-Range: bytes 2-1/10\r\n", ""},
        {"Content-Range: bytes 3-2/3\r\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct play play =
            PLAY({"GET", "Range: bytes=2-9\r\n", 206, table[i].range, table[i].body});
        struct error err = {0};
        CLEANUP(buf_done) struct buf got = BUF(100);
        start(&play);
        assert_int_equal(store_get(play.helper.store, "a", 2, 8, &got, &err), -1);
        end(&play);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_int_equal(got.size, 0);
    }
}

static void an_object_that_ends_before_the_part_gives_nothing(void **state)
{
    (void)state;
    struct play play = PLAY({"GET", NULL, 416, "x-ms-error-code: InvalidRange\r\n"},
                            {"GET", NULL, 206, "Content-Range: bytes 2-1/2\r\n", ""});
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(100);
    start(&play);
    assert_int_equal(store_get(play.helper.store, "a", 2, 3, &got, &err), 0);
    assert_int_equal(store_get(play.helper.store, "a", 2, 3, &got, &err), 0);
    end(&play);
    assert_int_equal(got.size, 0);
}

#define PAGE(name, marker)                                                                         \
    "<EnumerationResults><Blobs><Blob><Name>" name                                                 \
    "</Name><Properties><Content-Length>1</Content-Length><Last-Modified>Wed, 09 Sep 2009 "        \
    "09:20:02 GMT</Last-Modified></Properties></Blob></Blobs><NextMarker>" marker                  \
    "</NextMarker></EnumerationResults>"

static void a_page_that_fails_is_asked_for_again_and_given_once(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET",
              "/shop/box?comp=list&restype=container&maxresults=1000&prefix=pre%2Ffix%2Fd%2F HTTP",
              200, NULL, PAGE("pre/fix/d/1", "2!76!a/b+c")},
             {"GET", "&marker=2%2176%21a%2Fb%2Bc HTTP", 503, NULL, BUSY},
             {"GET", "&marker=2%2176%21a%2Fb%2Bc HTTP", 200, NULL, PAGE("elsewhere/d/2", "next")},
             {"GET", "&marker=next HTTP", 200, NULL, /* a page may be empty and not the last */
              "<EnumerationResults><Blobs/><NextMarker>more</NextMarker></EnumerationResults>"},
             {"GET", "&marker=more HTTP", 200, NULL, PAGE("pre/fix/d/3", "")});
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
                              {"GET", "marker=x", 200, NULL, PAGE("b", "x")});
    struct play html = PLAY({"GET", NULL, 200, NULL, "<html>Log in here</html>"});
    struct play nothing = PLAY({"GET", NULL, 404, NULL, NO_BLOB});
    assert_int_equal(list_error(&circle).kind, ERROR_CORRUPT);
    assert_int_equal(list_error(&html).kind, ERROR_CORRUPT);
    struct error err = list_error(&nothing);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "knows no container 'box'"));
}

static void retry_after_and_the_clock_of_the_store_are_noted(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"DELETE", NULL, 503, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: 60\r\n", BUSY},
        {"DELETE", NULL, 403, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", REFUSED});
    start(&play);
    play.helper.store->retries = 0;
    remove_error(&play);
    int64_t wish_ms = play.helper.store->retry_at_ms - clock_monotonic_ms();
    int64_t skew_ms = play.helper.store->clock_skew_ms, expected_ms = 784111777000 - clock_now_ms();
    struct error err = remove_error(&play);
    end(&play);
    assert_true(wish_ms > 50000 && wish_ms <= 60000);
    assert_true(skew_ms - expected_ms < 60000 && expected_ms - skew_ms < 60000);
    assert_non_null(strstr(err.text, "s apart; set the clock of this machine"));
}

static void a_missing_object_is_no_matter_to_a_removal(void **state)
{
    (void)state;
    struct play play = PLAY({"DELETE", "x-ms-delete-snapshots: include\r\n", 404, NULL, NO_BLOB});
    struct error err;
    start(&play);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

static void an_object_under_a_lease_is_not_removed(void **state)
{
    (void)state;
    struct play play = PLAY({"DELETE", NULL, 412, "x-ms-error-code: LeaseIdMissing\r\n"});
    start(&play);
    struct error err = remove_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "break the lease"));
}

#define LOCKED "x-ms-error-code: BlobImmutableDueToPolicy\r\n"

/* The raw text is a whole answer to HEAD, whose length is that of what it leaves out. */
#define HEAD_ANSWER(fields)                                                                        \
    .raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n" fields "\r\n"

#define CONTAINER_PATH "GET /shop/box?restype=container HTTP"
#define VERSIONED(text) "x-ms-immutable-storage-with-versioning-enabled: " text "\r\n"
#define UNTIL_2100                                                                                 \
    HEAD_ANSWER("x-ms-immutability-policy-until-date: Fri, 31 Dec 2100 23:59:59 GMT\r\n")

static void assert_locked_until(struct play *play, int64_t expected_ms)
{
    struct error err;
    int64_t until_ms = -1;
    if (store_locked_until(play->helper.store, "a", &until_ms, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(until_ms, expected_ms);
}

static void a_container_without_retention_of_blobs_is_asked_once(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", CONTAINER_PATH, 503}, {"GET", CONTAINER_PATH, 200, VERSIONED("false")},
             {"DELETE", NULL, 202});
    struct error err;
    start(&play);
    assert_locked_until(&play, 0);
    assert_locked_until(&play, 0);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

/* As with a shared access signature. */
static void where_the_container_may_not_be_asked_each_blob_is(void **state)
{
    (void)state;
    struct play play = PLAY({"GET", CONTAINER_PATH, 403}, {"HEAD", NULL, UNTIL_2100},
                            {"HEAD", NULL, HEAD_ANSWER("x-ms-legal-hold: true\r\n")},
                            {"HEAD", NULL, HEAD_ANSWER("")});
    start(&play);
    assert_locked_until(&play, INT64_C(4133980799000));
    assert_locked_until(&play, INT64_MAX);
    assert_locked_until(&play, 0);
    end(&play);
}

static void what_retention_keeps_is_told_with_its_end(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"DELETE", NULL, 409, LOCKED}, {"GET", CONTAINER_PATH, 200, VERSIONED("true")},
        {"HEAD", "HEAD /shop/box/pre/fix/a HTTP",
         HEAD_ANSWER("x-ms-immutability-policy-until-date: Fri, 31 Dec 2100 23:59:59 GMT\r\n")},
        {"DELETE", NULL, 409, LOCKED}, {"HEAD", NULL, HEAD_ANSWER("x-ms-legal-hold: true\r\n")},
        {"DELETE", NULL, 409, LOCKED}, {"HEAD", NULL, HEAD_ANSWER("x-ms-legal-hold: false\r\n")});
    start(&play);
    struct error until = remove_error(&play), hold = remove_error(&play),
                 policy = remove_error(&play);
    end(&play);
    assert_int_equal(until.kind, ERROR_CONFLICT);
    assert_string_equal(until.text,
                        "remove 'a' in region 'test': locked until 2100-12-31T23:59:59Z");
    assert_int_equal(hold.kind, ERROR_CONFLICT);
    assert_string_equal(hold.text, "remove 'a' in region 'test': locked by a legal hold");
    assert_int_equal(policy.kind, ERROR_CONFLICT);
    assert_non_null(strstr(policy.text, "locked by a policy of the container"));
}

static void retention_is_asked_for_and_what_is_over_is_none(void **state)
{
    (void)state;
    struct play play = PLAY(
        {"GET", CONTAINER_PATH, 200, VERSIONED("true")},
        {"HEAD", "HEAD /shop/box/pre/fix/a HTTP",
         HEAD_ANSWER("x-ms-immutability-policy-until-date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")},
        {"HEAD", NULL,
         .raw = "HTTP/1.1 404 Not Found\r\nx-ms-error-code: BlobNotFound\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n"},
        {"HEAD", NULL, UNTIL_2100});
    start(&play);
    assert_locked_until(&play, 0);
    assert_locked_until(&play, 0);
    assert_locked_until(&play, INT64_C(4133980799000));
    end(&play);
}

static void a_signature_is_sent_as_it_is_and_never_told(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", "/shop/box/pre/fix/a?sv=1&sig=a%2Bb HTTP", 206,
              "Content-Range: bytes 0-0/1\r\n", "x"},
             {"GET", "&prefix=pre%2Ffix%2F&sv=1&sig=a%2Bb HTTP", 200, NULL, PAGE("x", "")},
             {"DELETE", "DELETE /shop/box/pre/fix/a?sv=1&sig=a%2Bb HTTP", 403, NULL, REFUSED});
    start_with_signature(&play);
    helper_store_assert_content(play.helper.store, "a", "x");
    CLEANUP(own_freep) char *names = helper_store_names(play.helper.store, "", STORE_DEEP);
    struct error err = remove_error(&play);
    end(&play);
    assert_string_equal(names, "");
    assert_null(strstr(err.text, "sig="));
}

/* A key only signs; what else lets requests through goes with them. */
static void what_others_could_use_travels_by_tls(void **state)
{
    (void)state;
    struct play play = PLAY({0});
    play.http.count = 0;
    struct policy_azure azure = policy_of(&play);
    azure.endpoint = "http://shop.blob.example.com";
    helper_store_open_azure(&play.helper, &azure, "sas-token", "?sv=1&sig=a%2Bb");
    struct error err = remove_error(&play);
    end(&play);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "on its way to 'shop.blob.example.com': use https://"));
}

static void a_refused_key_is_tried_again_only_if_it_was_replaced(void **state)
{
    (void)state;
    struct play play =
        PLAY({"DELETE", NULL, 403, NULL, REFUSED},
             {"DELETE", "SharedKey shop:", 403, NULL, REFUSED}, {"DELETE", "SharedKey shop:", 202});
    struct error err;
    start(&play);
    assert_int_equal(remove_error(&play).kind, ERROR_PERMANENT);
    helper_directory_write(play.helper.directory, "eu.account-key", "b3RoZXI=");
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

static void a_key_that_cannot_be_read_for_a_while_is_used_on(void **state)
{
    (void)state;
    struct play play = PLAY({"DELETE", "SharedKey shop:", 202}, {"DELETE", "SharedKey shop:", 202},
                            {"DELETE", NULL, 403, NULL, REFUSED});
    struct error err;
    start(&play);
    int64_t now_ms = clock_now_ms();
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    helper_directory_write(play.helper.directory, "eu.account-key", "");
    clock_fake(now_ms + 60 * 1000 + clock_monotonic_ms());
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    remove_error(&play);
    clock_fake(-1);
    end(&play);
}

static void write_token(const char *text)
{
    helper_directory_write(directory, "token", text);
}

static void a_token_is_asked_for_once_and_used(void **state)
{
    (void)state;
    write_token("the.pods.own\n");
    struct play play = PLAY({"POST", TOKEN_PATH, 200, NULL, TOKEN("first", "3600")},
                            {"DELETE", "Authorization: Bearer first\r\n", 202},
                            {"DELETE", "Authorization: Bearer first\r\n", 202});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_WEB_IDENTITY);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

static void a_token_is_asked_for_with_that_of_the_pod(void **state)
{
    (void)state;
    write_token("the.pods.own+1\n");
    struct play play = PLAY(
        {"POST", NULL, 200, NULL, TOKEN("first", "3600"),
         .expects_body =
             "grant_type=client_credentials&client_id=the-client&scope=https%3A%2F%2Fstorage.azure"
             ".com%2F.default&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion"
             "-type%3Ajwt-bearer&client_assertion=the.pods.own%2B1"},
        {"DELETE", NULL, 202});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_WEB_IDENTITY);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

static void a_token_is_renewed_before_it_ends_and_the_old_one_used_meanwhile(void **state)
{
    (void)state;
    write_token("the.pods.own");
    struct play play =
        PLAY({"POST", NULL, 200, NULL, TOKEN("first", "3600")}, {"DELETE", "Bearer first", 202},
             {"POST", NULL, 503}, //
             {"DELETE", "Bearer first", 202}, {"POST", NULL, 200, NULL, TOKEN("second", "3600")},
             {"DELETE", "Bearer second", 202});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_WEB_IDENTITY);
    clock_fake(INT64_C(1000000000000));
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    clock_fake(INT64_C(1000000000000) + 3500 * 1000);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    clock_fake(INT64_C(1000000000000) + 3540 * 1000);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    clock_fake(-1);
    end(&play);
}

static void a_token_that_ended_is_not_used(void **state)
{
    (void)state;
    write_token("the.pods.own");
    struct play play =
        PLAY({"POST", NULL, 200, NULL, TOKEN("first", "3600")}, {"DELETE", "Bearer first", 202},
             {"POST", NULL, 503}, {"POST", NULL, 503});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_WEB_IDENTITY);
    play.helper.store->retries = 1;
    clock_fake(INT64_C(1000000000000));
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    clock_fake(INT64_C(1000000000000) + 3601 * 1000);
    err = remove_error(&play);
    clock_fake(-1);
    end(&play);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_non_null(strstr(err.text, "Microsoft Entra ID gave no token: 503"));
}

static void a_refused_token_is_replaced_unless_it_is_fresh(void **state)
{
    (void)state;
    write_token("the.pods.own");
    struct play play =
        PLAY({"POST", NULL, 200, NULL, TOKEN("first", "3600")},
             {"DELETE", "Bearer first", 401, NULL, REFUSED},
             {"DELETE", "Bearer first", 401, NULL, REFUSED},
             {"POST", NULL, 200, NULL, TOKEN("second", "3600")}, {"DELETE", "Bearer second", 202});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_WEB_IDENTITY);
    clock_fake(INT64_C(1000000000000));
    err = remove_error(&play);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "check azure.account and the identity of azure.auth"));
    clock_fake(INT64_C(1000000000000) + 60 * 1000);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    clock_fake(-1);
    end(&play);
}

static struct error token_error(struct play *play, enum policy_azure_auth auth)
{
    start_with_identity(play, auth);
    play->helper.store->retries = 1;
    struct error err = remove_error(play);
    end(play);
    return err;
}

static void those_who_give_no_token_are_told(void **state)
{
    (void)state;
    write_token("the.pods.own");
    struct play refused =
        PLAY({"POST", NULL, 401, NULL,
              "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS70021: No matching "
              "federated identity record.\\r\\nTrace ID: 1\"}"});
    struct play html = PLAY({"POST", NULL, 200, NULL, "<html>Log in here</html>"});
    struct play nothing = PLAY({"GET", METADATA_PATH, 404}, {"GET", METADATA_PATH, 404});
    struct play none = PLAY({"GET", METADATA_PATH, 400, NULL,
                             "{\"error\":\"invalid_request\",\"error_description\":\"Identity not "
                             "found\"}"});
    struct error err = token_error(&refused, POLICY_AZURE_WEB_IDENTITY);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "Microsoft Entra ID gave no token: 401 invalid_client: "
                                     "AADSTS70021: No matching federated identity record; check "
                                     "AZURE_CLIENT_ID"));
    assert_int_equal(token_error(&html, POLICY_AZURE_WEB_IDENTITY).kind, ERROR_CORRUPT);
    assert_int_equal(token_error(&nothing, POLICY_AZURE_INSTANCE).kind, ERROR_TRANSIENT);
    err = token_error(&none, POLICY_AZURE_INSTANCE);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "400 invalid_request: Identity not found; give this machine "
                                     "a managed identity"));
}

static void the_machines_identity_gives_a_token(void **state)
{
    (void)state;
    struct play play =
        PLAY({"GET", METADATA_PATH "https%3A%2F%2Fstorage.azure.com%2F&client_id=the-client HTTP",
              200, NULL, TOKEN("first", "\"86399\"")},
             {"DELETE", "Bearer first", 202});
    struct error err;
    start_with_identity(&play, POLICY_AZURE_INSTANCE);
    assert_int_equal(store_remove(play.helper.store, "a", &err), 0);
    end(&play);
}

/* What cannot be opened, and why. */
static struct error open_error(const struct policy_azure *azure)
{
    struct error err = {0};
    struct store *store = NULL;
    struct cancel cancel;
    const struct policy_region region = {
        .name = "test", .store = POLICY_STORE_AZURE, .azure = *azure};
    assert_int_equal(cancel_init(&cancel, &err), 0);
    assert_int_equal(store_open(&store, &region, NULL, &cancel, &err), -1);
    cancel_done(&cancel);
    return err;
}

static void an_environment_that_lacks_something_is_told(void **state)
{
    (void)state;
    const struct policy_azure azure = {
        .container = "box", .account = "shop", .prefix = "", .auth = POLICY_AZURE_WEB_IDENTITY};
    setenv("AZURE_AUTHORITY_HOST", "http://login.example.com/", 1);
    struct error plain = open_error(&azure);
    unsetenv("AZURE_TENANT_ID");
    struct error lacking = open_error(&azure);
    setenv("AZURE_TENANT_ID", "the-tenant", 1);
    assert_int_equal(plain.kind, ERROR_PERMANENT);
    assert_non_null(strstr(plain.text, "'http://login.example.com/' is not https://"));
    assert_int_equal(lacking.kind, ERROR_PERMANENT);
    assert_non_null(strstr(lacking.text, "needs AZURE_TENANT_ID, which is not in the environment"));
}

static void a_service_account_without_a_token_is_told(void **state)
{
    (void)state;
    struct play empty = PLAY({0});
    empty.http.count = 0;
    write_token("\n");
    assert_int_equal(token_error(&empty, POLICY_AZURE_WEB_IDENTITY).kind, ERROR_PERMANENT);
    remove(token_file);
    struct play missing = PLAY({0});
    missing.http.count = 0;
    struct error err = token_error(&missing, POLICY_AZURE_WEB_IDENTITY);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "AZURE_FEDERATED_TOKEN_FILE"));
}

static int set_environment(void **state)
{
    (void)state;
    directory = helper_directory_new();
    token_file = own_format("%s/token", directory);
    setenv("AZURE_CLIENT_ID", "the-client", 1);
    setenv("AZURE_TENANT_ID", "the-tenant", 1);
    setenv("AZURE_FEDERATED_TOKEN_FILE", token_file, 1);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    own_freep(&token_file);
    helper_directory_remove(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_says_where_what_and_how),
        cmocka_unit_test(what_exists_is_a_conflict),
        cmocka_unit_test(what_a_busy_or_broken_server_does_is_tried_again),
        cmocka_unit_test(a_put_whose_answer_got_lost_is_found_there),
        cmocka_unit_test(somebody_elses_object_is_no_answer_that_got_lost),
        cmocka_unit_test(a_range_that_was_not_asked_for_is_refused),
        cmocka_unit_test(an_object_that_ends_before_the_part_gives_nothing),
        cmocka_unit_test(a_page_that_fails_is_asked_for_again_and_given_once),
        cmocka_unit_test(a_listing_that_makes_no_sense_is_corrupt),
        cmocka_unit_test(retry_after_and_the_clock_of_the_store_are_noted),
        cmocka_unit_test(a_missing_object_is_no_matter_to_a_removal),
        cmocka_unit_test(an_object_under_a_lease_is_not_removed),
        cmocka_unit_test(a_container_without_retention_of_blobs_is_asked_once),
        cmocka_unit_test(where_the_container_may_not_be_asked_each_blob_is),
        cmocka_unit_test(what_retention_keeps_is_told_with_its_end),
        cmocka_unit_test(retention_is_asked_for_and_what_is_over_is_none),
        cmocka_unit_test(a_signature_is_sent_as_it_is_and_never_told),
        cmocka_unit_test(what_others_could_use_travels_by_tls),
        cmocka_unit_test(a_refused_key_is_tried_again_only_if_it_was_replaced),
        cmocka_unit_test(a_key_that_cannot_be_read_for_a_while_is_used_on),
        cmocka_unit_test(a_token_is_asked_for_once_and_used),
        cmocka_unit_test(a_token_is_asked_for_with_that_of_the_pod),
        cmocka_unit_test(a_token_is_renewed_before_it_ends_and_the_old_one_used_meanwhile),
        cmocka_unit_test(a_token_that_ended_is_not_used),
        cmocka_unit_test(a_refused_token_is_replaced_unless_it_is_fresh),
        cmocka_unit_test(those_who_give_no_token_are_told),
        cmocka_unit_test(the_machines_identity_gives_a_token),
        cmocka_unit_test(an_environment_that_lacks_something_is_told),
        cmocka_unit_test(a_service_account_without_a_token_is_told),
    };
    return cmocka_run_group_tests(tests, set_environment, remove_directory);
}
