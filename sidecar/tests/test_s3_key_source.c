// SPDX-License-Identifier: Apache-2.0
/* Where keys come from, asked of a server that plays STS, instance metadata and a pod's agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_http_play.h"
#include "common/tests/helper_http_server.h"
#include "sidecar/credential.h"
#include "sidecar/policy.h"
#include "sidecar/s3_key.h"
#include "sidecar/s3_key_source.h"
#include "sidecar/secrets.h"

/* what a step leaves out is nothing */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define LENT                                                                                       \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"      \
    "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:aws:x</Arn></AssumedRoleUser>"     \
    "<Credentials><SessionToken>token</SessionToken><SecretAccessKey>secret</SecretAccessKey>"     \
    "<Expiration>2030-01-01T00:00:00Z</Expiration><AccessKeyId>ASIA</AccessKeyId></Credentials>"   \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define REFUSED                                                                                    \
    "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>"                   \
    "<Message>No OpenIDConnect provider found.</Message></Error></ErrorResponse>"
#define BUSY "<ErrorResponse><Error><Code>IDPCommunicationError</Code></Error></ErrorResponse>"
#define ROLE_KEY                                                                                   \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":\"secret\","               \
    "\"Token\":\"token\",\"Expiration\":\"2030-01-01T00:00:00Z\"}"

struct fixture {
    char *directory, *token_file;
    struct secrets *secrets;
    struct cancel cancel;
    struct policy_region region;
};

static const char *const variables[] = {
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
};

static int set_up(void **state)
{
    struct fixture *fixture = own_alloc(sizeof(*fixture));
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        unsetenv(variables[i]);
    fixture->directory = helper_directory_new();
    fixture->token_file = own_format("%s/token", fixture->directory);
    helper_directory_write(fixture->directory, "token", "ey.J/+\n");
    fixture->region = (struct policy_region){
        .name = "eu",
        .store = POLICY_STORE_S3,
        .s3 = {.bucket = "bucket", .region = "eu-west-1", .auth = POLICY_S3_WEB_IDENTITY},
    };
    *state = fixture;
    if (secrets_open(&fixture->secrets, fixture->directory, &err) < 0)
        return -1;
    return cancel_init(&fixture->cancel, &err);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    secrets_closep(&fixture->secrets);
    cancel_done(&fixture->cancel);
    helper_directory_remove(fixture->directory);
    own_freep(&fixture->token_file);
    own_freep(&fixture);
    return 0;
}

/* The key that the source of the region gives after these steps, else the error. */
static int fetch(struct fixture *fixture, struct http_play *play, struct credential *ret_key,
                 struct error *err)
{
    CLEANUP(s3_key_source_closep) struct s3_key_source *source = NULL;
    int result =
        s3_key_source_open(&source, &fixture->region, fixture->secrets, &fixture->cancel, err);
    if (result == 0)
        result = s3_key_source_fetch(source, ret_key, err);
    if (play)
        http_play_end(play);
    return result;
}

static void assert_lent(struct fixture *fixture, struct http_play *play)
{
    CLEANUP(credential_done) struct credential key = {0};
    struct error err;
    if (fetch(fixture, play, &key, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(credential_text(&key.id), "ASIA");
    assert_string_equal(credential_text(&key.secret), "secret");
    assert_string_equal(credential_text(&key.session), "token");
    assert_int_equal(key.expires_ms, 1893456000000);
}

static void assert_fails(struct fixture *fixture, struct http_play *play, enum error_kind kind,
                         const char *text)
{
    struct credential key = {0};
    struct error err = {0};
    assert_int_equal(fetch(fixture, play, &key, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s: %s", error_kind_name(err.kind), err.text);
    assert_null(key.id.data);
}

static void play_sts(struct fixture *fixture, struct http_play *play)
{
    http_play_start(play);
    fixture->region.s3.endpoint = http_server_url(play->server);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", fixture->token_file, 1);
}

static void a_token_is_exchanged_for_the_key_of_a_role(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY(
        {"POST", "POST / HTTP/1.1\r\n", 200, NULL, LENT,
         .expects_body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                         "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fshop&RoleSessionName=lifeboat"
                         "&WebIdentityToken=ey.J%2F%2B",
         .refuses = "Authorization"});
    play_sts(fixture, &play);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/shop", 1);
    assert_lent(fixture, &play);
}

static void a_service_of_ones_own_may_know_the_role_by_the_token(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"POST", "Content-Type: application/x-www-form-urlencoded\r\n", 200, NULL, LENT,
                   .expects_body = "2011-06-15&RoleSessionName=me%40shop&WebIdentityToken="});
    play_sts(fixture, &play);
    setenv("AWS_ROLE_SESSION_NAME", "me@shop", 1);
    assert_lent(fixture, &play);
}

static void the_environment_may_say_where_sts_is(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY({"POST", "POST /sts/ HTTP/1.1\r\n", 200, NULL, LENT});
    play_sts(fixture, &play);
    CLEANUP(own_freep) char *url = own_format("%s/sts", fixture->region.s3.endpoint);
    fixture->region.s3.endpoint = NULL;
    setenv("AWS_ENDPOINT_URL_STS", url, 1);
    assert_lent(fixture, &play);
}

/* Kubernetes writes the token anew before its hour is over. */
static void the_token_is_read_anew_each_time(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"POST", NULL, 200, NULL, LENT, .expects_body = "WebIdentityToken=ey.J%2F%2B"},
                  {"POST", NULL, 200, NULL, LENT, .expects_body = "WebIdentityToken=second"});
    CLEANUP(s3_key_source_closep) struct s3_key_source *source = NULL;
    struct error err;
    play_sts(fixture, &play);
    assert_int_equal(
        s3_key_source_open(&source, &fixture->region, fixture->secrets, &fixture->cancel, &err), 0);
    for (int i = 0; i < 2; i++) {
        CLEANUP(credential_done) struct credential key = {0};
        assert_int_equal(s3_key_source_fetch(source, &key, &err), 0);
        helper_directory_write(fixture->directory, "token", "second");
    }
    http_play_end(&play);
}

static void what_sts_refuses_says_where_to_look(void **state)
{
    struct fixture *fixture = *state;
    struct http_play refused = HTTP_PLAY({"POST", NULL, 400, NULL, REFUSED}),
                     busy = HTTP_PLAY({"POST", NULL, 400, NULL, BUSY}),
                     down = HTTP_PLAY({"POST", NULL, 503}), lost = HTTP_PLAY({"POST", NULL, 0}),
                     html = HTTP_PLAY({"POST", NULL, 200, NULL, "<html>Log in</html>"});
    play_sts(fixture, &refused);
    assert_fails(fixture, &refused, ERROR_PERMANENT,
                 ": 400 InvalidIdentityToken: No OpenIDConnect provider found; look at the role "
                 "that AWS_ROLE_ARN names and at whom it trusts");
    play_sts(fixture, &busy);
    assert_fails(fixture, &busy, ERROR_TRANSIENT, "400 IDPCommunicationError");
    play_sts(fixture, &down);
    assert_fails(fixture, &down, ERROR_TRANSIENT, ": 503");
    play_sts(fixture, &lost);
    assert_fails(fixture, &lost, ERROR_TRANSIENT, "request to '127.0.0.1:");
    play_sts(fixture, &html);
    assert_fails(fixture, &html, ERROR_CORRUPT, "the key that was lent");
}

static void a_web_identity_that_is_not_set_up_is_told(void **state)
{
    struct fixture *fixture = *state;
    assert_fails(fixture, NULL, ERROR_PERMANENT,
                 "s3.auth: WebIdentity: AWS_WEB_IDENTITY_TOKEN_FILE is not set: give the pod a "
                 "service account with a role");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", fixture->token_file, 1);
    fixture->region.s3.endpoint = "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com";
    assert_fails(fixture, NULL, ERROR_PERMANENT, "WebIdentity: AWS_ROLE_ARN is not set");
    fixture->region.s3.endpoint = "https://s3.example.org";
    helper_directory_write(fixture->directory, "token", "\n");
    assert_fails(fixture, NULL, ERROR_PERMANENT, "the file holds no token");
    helper_directory_write(fixture->directory, "token", "a\nb");
    assert_fails(fixture, NULL, ERROR_PERMANENT, "the file holds no token");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token", 1);
    assert_fails(fixture, NULL, ERROR_NOT_FOUND, "token '/nowhere/token'");
}

static void play_metadata(struct fixture *fixture, struct http_play *play)
{
    http_play_start(play);
    fixture->region.s3.auth = POLICY_S3_INSTANCE;
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", http_server_url(play->server), 1);
}

static void metadata_is_asked_in_a_session(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"PUT", "PUT /latest/api/token HTTP/1.1\r\n", 200, NULL, "the-session=="},
                  {"GET", "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n", 200, NULL,
                   "shop-role\nanother"},
                  {"GET", "GET /latest/meta-data/iam/security-credentials/shop-role HTTP/1.1\r\n",
                   200, NULL, ROLE_KEY});
    play_metadata(fixture, &play);
    assert_lent(fixture, &play);
}

static void each_question_of_a_session_carries_its_token(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"PUT", "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n", 200, NULL, "session"},
                  {"GET", "X-aws-ec2-metadata-token: session\r\n", 200, NULL, "r"},
                  {"GET", "X-aws-ec2-metadata-token: session\r\n", 200, NULL, ROLE_KEY});
    play_metadata(fixture, &play);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* never asked */
    assert_lent(fixture, &play);
    unsetenv("http_proxy");
}

static void a_machine_without_role_or_reach_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct http_play none = HTTP_PLAY({"PUT", NULL, 200, NULL, "session"}, {"GET", NULL, 404}),
                     empty = HTTP_PLAY({"PUT", NULL, 200, NULL, "session"},
                                       {"GET", NULL, 200, NULL, "\n"}),
                     strange = HTTP_PLAY({"PUT", NULL, 200, NULL, "ses sion"}),
                     failing = HTTP_PLAY({"PUT", NULL, 200, NULL, "session"},
                                         {"GET", NULL, 200, NULL, "r"},
                                         {"GET", NULL, 200, NULL, "{\"Code\":\"Failed\"}"}),
                     silent = HTTP_PLAY({"PUT", NULL, 0});
    play_metadata(fixture, &none);
    assert_fails(fixture, &none, ERROR_PERMANENT, ": 404; give the machine a role");
    play_metadata(fixture, &empty);
    assert_fails(fixture, &empty, ERROR_CORRUPT, "expected one line of text");
    play_metadata(fixture, &strange);
    assert_fails(fixture, &strange, ERROR_CORRUPT, "expected one line of text");
    play_metadata(fixture, &failing);
    assert_fails(fixture, &failing, ERROR_PERMANENT, "security-credentials/r': Failed");
    play_metadata(fixture, &silent);
    assert_fails(fixture, &silent, ERROR_TRANSIENT, "HttpPutResponseHopLimit");
}

static void an_agent_gives_the_key_of_the_pod(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"GET", "\r\nAuthorization: ey.J/+\r\n", 200, NULL, ROLE_KEY});
    http_play_start(&play);
    fixture->region.s3.auth = POLICY_S3_INSTANCE;
    CLEANUP(own_freep) char *url = own_format("%s/v1/credentials", http_server_url(play.server));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", fixture->token_file, 1);
    assert_lent(fixture, &play);
}

static void an_agent_may_want_the_token_of_the_environment_or_none(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
                         HTTP_PLAY({"GET", "\r\nAuthorization: Basic-x\r\n", 200, NULL, ROLE_KEY}),
                     open =
                         HTTP_PLAY({"GET", NULL, 200, NULL, ROLE_KEY, .refuses = "Authorization"}),
                     refused = HTTP_PLAY({"GET", NULL, 403, NULL, "no association"});
    fixture->region.s3.auth = POLICY_S3_INSTANCE;
    http_play_start(&play);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic-x", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_server_url(play.server), 1);
    assert_lent(fixture, &play);
    unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    http_play_start(&open);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_server_url(open.server), 1);
    assert_lent(fixture, &open);
    http_play_start(&refused);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_server_url(refused.server), 1);
    assert_fails(fixture, &refused, ERROR_PERMANENT,
                 ": 403; look at the role that goes with the pod's service account");
}

/* The token must not travel in the clear to whoever the environment names. */
static void an_agent_elsewhere_must_speak_tls(void **state)
{
    struct fixture *fixture = *state;
    static const char *const urls[] = {"http://10.0.0.1/c", "http://169.254.170.2.example.org/",
                                       "http://127.0.0.1@example.org/",
                                       "http://127.0.0.1:80@example.org/",

                                       "ftp://127.0.0.1/"};
    fixture->region.s3.auth = POLICY_S3_INSTANCE;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", urls[i], 1);
        assert_fails(fixture, NULL, ERROR_PERMANENT,
                     "expected https:// or an address of this machine, not '");
    }
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\nb", 1);
    assert_fails(fixture, NULL, ERROR_CORRUPT, "AWS_CONTAINER_AUTHORIZATION_TOKEN has characters");
}

static void static_keys_are_those_of_the_secret(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(credential_done) struct credential key = {0};
    struct error err;
    fixture->region.s3.auth = POLICY_S3_STATIC;
    fixture->region.s3.credentials = "eu";
    assert_fails(fixture, NULL, ERROR_NOT_FOUND, "region 'eu': s3.credentials 'eu.access-key-id'");
    helper_directory_write(fixture->directory, "eu.access-key-id", "AKIA\n");
    helper_directory_write(fixture->directory, "eu.secret-access-key", "s\n");
    assert_int_equal(fetch(fixture, NULL, &key, &err), 0);
    assert_string_equal(credential_text(&key.id), "AKIA");
    assert_string_equal(credential_text(&key.session), "");
    assert_int_equal(key.expires_ms, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_exchanged_for_the_key_of_a_role),
        TEST(a_service_of_ones_own_may_know_the_role_by_the_token),
        TEST(the_environment_may_say_where_sts_is),
        TEST(the_token_is_read_anew_each_time),
        TEST(what_sts_refuses_says_where_to_look),
        TEST(a_web_identity_that_is_not_set_up_is_told),
        TEST(metadata_is_asked_in_a_session),
        TEST(each_question_of_a_session_carries_its_token),
        TEST(a_machine_without_role_or_reach_is_told),
        TEST(an_agent_gives_the_key_of_the_pod),
        TEST(an_agent_may_want_the_token_of_the_environment_or_none),
        TEST(an_agent_elsewhere_must_speak_tls),
        TEST(static_keys_are_those_of_the_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
