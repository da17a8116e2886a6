// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
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
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_http_play.h"
#include "common/tests/helper_http_server.h"
#include "sidecar/credential.h"
#include "sidecar/credentials.h"
#include "sidecar/policy.h"
#include "sidecar/s3_key.h"
#include "sidecar/secrets.h"

/* what a step leaves out is nothing */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define NOON 1800000000000 /* 2027-01-15T08:00:00Z */
#define LENT(id, expires)                                                                          \
    "{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\""      \
    "2027-01-15T" expires "Z\"}"

struct fixture {
    char *directory;
    struct secrets *secrets;
    struct cancel cancel;
    struct policy_region region;
    struct credentials *credentials;
};

static int set_up(void **state)
{
    struct fixture *fixture = own_alloc(sizeof(*fixture));
    struct error err;
    log_set_level(LOG_LEVEL_ERROR);
    fixture->directory = helper_directory_new();
    helper_directory_write(fixture->directory, "eu.access-key-id", "first");
    helper_directory_write(fixture->directory, "eu.secret-access-key", "s");
    fixture->region = (struct policy_region){
        .name = "eu",
        .store = POLICY_STORE_S3,
        .s3 = {.bucket = "bucket", .region = "eu-west-1", .credentials = "eu"},
    };
    clock_fake(NOON);
    *state = fixture;
    if (secrets_open(&fixture->secrets, fixture->directory, &err) < 0)
        return -1;
    return cancel_init(&fixture->cancel, &err);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    clock_fake(-1);
    credentials_closep(&fixture->credentials);
    secrets_closep(&fixture->secrets);
    cancel_done(&fixture->cancel);
    helper_directory_remove(fixture->directory);
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    own_freep(&fixture);
    return 0;
}

static void open_credentials(struct fixture *fixture)
{
    struct error err;
    if (credentials_open(&fixture->credentials, &fixture->region, fixture->secrets,
                         &fixture->cancel, &err) < 0)
        fail_msg("%s", err.text);
}

static void open_agent(struct fixture *fixture, struct http_play *play)
{
    http_play_start(play);
    fixture->region.s3.auth = POLICY_S3_INSTANCE;
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_server_url(play->server), 1);
    open_credentials(fixture);
}

static void assert_key(struct fixture *fixture, const char *id)
{
    CLEANUP(credential_done) struct credential key = {0};
    struct error err;
    if (credentials_get(fixture->credentials, &key, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(credential_text(&key.id), id);
}

static enum error_kind get_error(struct fixture *fixture)
{
    struct credential key = {0};
    struct error err;
    assert_int_equal(credentials_get(fixture->credentials, &key, &err), -1);
    return err.kind;
}

/* What becomes of a key of that id that was refused; NULL if there is no other. */
static void assert_replaced(struct fixture *fixture, const char *id, const char *by)
{
    CLEANUP(credential_done) struct credential key = {.kind = CREDENTIAL_S3_KEY};
    struct error err;
    assert_int_equal(credential_set(&key.id, "id", id, strlen(id), &err), 0);
    assert_int_equal(credential_set(&key.secret, "secret", "s", 1, &err), 0);
    if (fixture->region.s3.auth != POLICY_S3_STATIC)
        assert_int_equal(credential_set(&key.session, "token", "t", 1, &err), 0);
    assert_int_equal(credentials_replace(fixture->credentials, &key), by != NULL);
    assert_string_equal(credential_text(&key.id), by ? by : id);
}

static void a_key_of_the_secret_is_looked_at_again_after_a_while(void **state)
{
    struct fixture *fixture = *state;
    open_credentials(fixture);
    helper_directory_write(fixture->directory, "eu.access-key-id", "second");
    assert_key(fixture, "first");
    clock_fake(NOON + 14999);
    assert_key(fixture, "first");
    clock_fake(NOON + 15000);
    assert_key(fixture, "second");
}

static void a_key_that_was_refused_is_read_again_at_once(void **state)
{
    struct fixture *fixture = *state;
    open_credentials(fixture);
    assert_replaced(fixture, "first", NULL);
    helper_directory_write(fixture->directory, "eu.access-key-id", "second");
    assert_replaced(fixture, "first", "second");
    assert_replaced(fixture, "first", "second"); /* another thread had the old one as well */
    assert_replaced(fixture, "second", NULL);
    assert_key(fixture, "second");
}

/* As the kubelet does it: all files at once, by a link. */
static void a_secret_that_kubernetes_replaces_is_read_through_its_link(void **state)
{
    struct fixture *fixture = *state;
    static const char *const keys[] = {"eu.access-key-id", "eu.secret-access-key"};
    CLEANUP(own_freep) char *data = own_format("%s/..data", fixture->directory);
    CLEANUP(own_freep) char *next = own_format("%s/..next", fixture->directory);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        CLEANUP(own_freep) char *file = own_format("%s/%s", fixture->directory, keys[i]);
        CLEANUP(own_freep) char *target = own_format("..data/%s", keys[i]);
        assert_return_code(unlink(file), errno);
        assert_return_code(symlink(target, file), errno);
    }
    helper_directory_write(fixture->directory, "..1/eu.access-key-id", "first");
    helper_directory_write(fixture->directory, "..1/eu.secret-access-key", "s");
    helper_directory_write(fixture->directory, "..2/eu.access-key-id", "second");
    helper_directory_write(fixture->directory, "..2/eu.secret-access-key", "s");
    assert_return_code(symlink("..1", data), errno);
    open_credentials(fixture);
    assert_key(fixture, "first");
    assert_return_code(symlink("..2", next), errno);
    assert_return_code(rename(next, data), errno);
    assert_replaced(fixture, "first", "second");
    assert_key(fixture, "second");
}

static void a_secret_that_is_broken_for_a_while_does_no_harm(void **state)
{
    struct fixture *fixture = *state;
    open_credentials(fixture);
    helper_directory_write(fixture->directory, "eu.access-key-id", "");
    clock_fake(NOON + 15000);
    assert_key(fixture, "first");
    assert_replaced(fixture, "first", NULL);
    helper_directory_write(fixture->directory, "eu.access-key-id", "second");
    assert_key(fixture, "first");
    clock_fake(NOON + 45000);
    assert_key(fixture, "second");
}

static void a_key_that_is_lent_is_renewed_before_its_end(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY({"GET", NULL, 200, NULL, LENT("hour", "09:00:00")},
                                      {"GET", NULL, 200, NULL, LENT("short", "08:56:00")},
                                      {"GET", NULL, 200, NULL, LENT("third", "12:00:00")});
    open_agent(fixture, &play);
    assert_key(fixture, "hour");
    clock_fake(NOON + 55 * 60000 - 1);
    assert_key(fixture, "hour");
    clock_fake(NOON + 55 * 60000);
    assert_key(fixture, "short"); /* lasts a minute, 45 s of it are for use */
    assert_key(fixture, "short");
    clock_fake(NOON + 55 * 60000 + 45000);
    assert_key(fixture, "third");
    http_play_end(&play);
}

static void an_old_key_serves_until_its_end_where_there_is_no_new_one(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY(
        {"GET", NULL, 200, NULL, LENT("hour", "09:00:00")}, {"GET", NULL, 500}, {"GET", NULL, 403},
        {"GET", NULL, 500}, {"GET", NULL, 403}, {"GET", NULL, 200, NULL, LENT("late", "12:00:00")});
    open_agent(fixture, &play);
    assert_key(fixture, "hour");
    clock_fake(NOON + 56 * 60000);
    assert_key(fixture, "hour");
    assert_key(fixture, "hour"); /* not asked again so soon */
    clock_fake(NOON + 57 * 60000);
    assert_key(fixture, "hour");
    clock_fake(NOON + 60 * 60000);
    assert_int_equal(get_error(fixture), ERROR_TRANSIENT);
    assert_int_equal(get_error(fixture), ERROR_PERMANENT);
    assert_key(fixture, "late");
    http_play_end(&play);
}

static void a_key_that_is_past_its_end_by_our_clock_alone_is_used(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY({"GET", NULL, 200, NULL, LENT("past", "07:00:00")},
                                      {"GET", NULL, 200, NULL, LENT("next", "07:00:30")});
    open_agent(fixture, &play);
    assert_key(fixture, "past");
    clock_fake(NOON + 29999);
    assert_key(fixture, "past");
    clock_fake(NOON + 30000);
    assert_key(fixture, "next");
    http_play_end(&play);
}

static void a_key_that_is_lent_is_doubted_only_when_it_is_old(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play =
        HTTP_PLAY({"GET", NULL, 200, NULL, LENT("first", "09:00:00")},
                  {"GET", NULL, 200, NULL, LENT("second", "09:00:00")},
                  {"GET", NULL, 200, NULL, LENT("second", "09:00:00")}, {"GET", NULL, 500});
    open_agent(fixture, &play);
    assert_key(fixture, "first");
    assert_replaced(fixture, "first", NULL);
    clock_fake(NOON + 30000);
    assert_replaced(fixture, "first", "second");
    assert_replaced(fixture, "second", NULL);
    clock_fake(NOON + 60000);
    assert_replaced(fixture, "second", NULL);
    clock_fake(NOON + 90000);
    assert_replaced(fixture, "second", NULL);
    http_play_end(&play);
}

static void a_key_that_ended_on_its_way_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct http_play play = HTTP_PLAY({"GET", NULL, 200, NULL, LENT("first", "08:00:02")},
                                      {"GET", NULL, 200, NULL, LENT("second", "09:00:00")});
    open_agent(fixture, &play);
    assert_key(fixture, "first");
    clock_fake(NOON + 1999);
    assert_replaced(fixture, "first", NULL);
    clock_fake(NOON + 2000);
    assert_replaced(fixture, "first", "second");
    assert_key(fixture, "second");
    http_play_end(&play);
}

static int use(void *arg, struct error *err)
{
    struct fixture *fixture = arg;
    for (int i = 0; i < 200; i++) {
        CLEANUP(credential_done) struct credential key = {0};
        if (credentials_get(fixture->credentials, &key, err) < 0)
            return -1;
        credentials_replace(fixture->credentials, &key);
        if (key.id.size == 0)
            return error_set(err, ERROR_PERMANENT, "a key without id");
    }
    return 0;
}

static void many_threads_share_them(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    open_credentials(fixture);
    CLEANUP(crew_freep) struct crew *crew = crew_new(&fixture->cancel);
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_start(crew, "user", use, fixture, &err), 0);
    clock_fake(NOON + 15000);
    helper_directory_write(fixture->directory, "eu.access-key-id", "second");
    if (crew_join(crew, &err) < 0)
        fail_msg("%s", err.text);
    clock_fake(NOON + 60000);
    assert_key(fixture, "second");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_of_the_secret_is_looked_at_again_after_a_while),
        TEST(a_key_that_was_refused_is_read_again_at_once),
        TEST(a_secret_that_kubernetes_replaces_is_read_through_its_link),
        TEST(a_secret_that_is_broken_for_a_while_does_no_harm),
        TEST(a_key_that_is_lent_is_renewed_before_its_end),
        TEST(an_old_key_serves_until_its_end_where_there_is_no_new_one),
        TEST(a_key_that_is_past_its_end_by_our_clock_alone_is_used),
        TEST(a_key_that_is_lent_is_doubted_only_when_it_is_old),
        TEST(a_key_that_ended_on_its_way_is_replaced),
        TEST(many_threads_share_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
