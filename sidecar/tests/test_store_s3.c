// SPDX-License-Identifier: Apache-2.0
/* Against a real S3 server, which e2e/s3.py starts and names in the environment; skipped without.
 */
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
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_contract.h"

enum { SKIPPED = 77 };

static void open_path_style(struct helper_store *helper)
{
    helper_store_open_environment(helper, true);
}

static void open_host_style(struct helper_store *helper)
{
    helper_store_open_environment(helper, false);
}

/* A put to such a bucket fails with that, and is not tried again unless it is worth it. */
static void assert_refused(const struct policy_s3 *s3, const char *access_key,
                           const char *secret_key, enum error_kind kind, const char *text)
{
    struct helper_store helper;
    struct error err;
    const struct store_bytes bytes = helper_store_text("x");
    helper_store_open_s3(&helper, s3, access_key, secret_key);
    helper.store->retries = 1;
    int result = store_put(helper.store, "a", &bytes, &err);
    helper_store_close(&helper);
    assert_int_equal(result, -1);
    if (err.kind != kind || !strstr(err.text, text) ||
        (kind == ERROR_TRANSIENT) != !!strstr(err.text, "gave up after 2 attempts"))
        fail_msg("%s: %s", error_kind_name(err.kind), err.text);
}

static void wrong_credentials_are_told(void **state)
{
    (void)state;
    const struct policy_s3 s3 = helper_store_s3_of_environment(true);
    const char *access_key = getenv("LIFEBOAT_TEST_S3_ACCESS_KEY");
    struct helper_store helper;
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(100);
    helper_store_open_s3(&helper, &s3, access_key, "wrong");
    assert_int_equal(store_get_all(helper.store, "a", &got, &err), -1);
    helper_store_close(&helper);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "SignatureDoesNotMatch"));
    assert_non_null(strstr(err.text, "check the two keys that s3.credentials names"));
    helper_store_open_s3(&helper, &s3, "nobody", "wrong");
    assert_int_equal(store_get_all(helper.store, "a", &got, &err), -1);
    helper_store_close(&helper);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "check the two keys that s3.credentials names"));
}

static void a_bucket_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct policy_s3 s3 = helper_store_s3_of_environment(true);
    s3.bucket = "no-such-bucket";
    assert_refused(&s3, getenv("LIFEBOAT_TEST_S3_ACCESS_KEY"),
                   getenv("LIFEBOAT_TEST_S3_SECRET_KEY"), ERROR_PERMANENT,
                   "S3 404 NoSuchBucket: The specified bucket does not exist; create the bucket, "
                   "or correct s3.bucket");
}

static void a_certificate_of_an_unknown_authority_is_refused(void **state)
{
    (void)state;
    struct policy_s3 s3 = helper_store_s3_of_environment(true);
    s3.ca_key = NULL;
    assert_refused(&s3, "a", "b", ERROR_PERMANENT,
                   "check that the CA given is the one that signed this certificate");
}

static void a_server_that_is_not_there_is_told_and_tried_again(void **state)
{
    (void)state;
    struct policy_s3 s3 = helper_store_s3_of_environment(true);
    s3.endpoint = "https://127.0.0.1:1";
    assert_refused(&s3, "a", "b", ERROR_TRANSIENT,
                   "put 'a' in region 'test': gave up after 2 attempts: bucket 'lifeboat': request "
                   "to '127.0.0.1:1': ");
}

static void a_port_that_speaks_tls_gets_no_plain_text(void **state)
{
    (void)state;
    struct policy_s3 s3 = helper_store_s3_of_environment(true);
    CLEANUP(own_freep) char *plain = own_format("http%s", s3.endpoint + strlen("https"));
    s3.endpoint = plain;
    assert_refused(&s3, "a", "b", ERROR_TRANSIENT, "Empty reply");
}

/* In a bucket with Object Lock, or one without, for a day. */
static void open_locking(struct helper_store *helper, const char *bucket_variable)
{
    struct policy_s3 s3 = helper_store_s3_of_environment(true);
    s3.bucket = getenv(bucket_variable);
    s3.lock_mode = "GOVERNANCE";
    s3.lock_days = 1;
    helper_store_open_s3(helper, &s3, getenv("LIFEBOAT_TEST_S3_ACCESS_KEY"),
                         getenv("LIFEBOAT_TEST_S3_SECRET_KEY"));
}

static void what_is_put_with_retention_stays(void **state)
{
    (void)state;
    enum { HOUR_MS = 60 * 60 * 1000 };
    struct helper_store helper;
    struct store_bytes passing = helper_store_text("heartbeat");
    struct error err;
    int64_t until_ms, left_ms;
    open_locking(&helper, "LIFEBOAT_TEST_S3_LOCKED_BUCKET");
    passing.passing = true;
    helper_store_assert_put(helper.store, "a", "bytes");
    assert_int_equal(store_put(helper.store, "running/b/0", &passing, &err), 0);
    assert_int_equal(store_locked_until(helper.store, "a", &until_ms, &err), 0);
    left_ms = until_ms - clock_now_ms();
    assert_true(left_ms > 23 * HOUR_MS && left_ms <= 24 * HOUR_MS);
    assert_int_equal(store_remove(helper.store, "a", &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_non_null(strstr(err.text, "locked until 20"));
    helper_store_assert_content(helper.store, "a", "bytes");
    assert_int_equal(store_locked_until(helper.store, "running/b/0", &until_ms, &err), 0);
    assert_int_equal(until_ms, 0);
    assert_int_equal(store_locked_until(helper.store, "nowhere", &until_ms, &err), 0);
    assert_int_equal(until_ms, 0);
    assert_int_equal(store_remove(helper.store, "running/b/0", &err), 0);
    CLEANUP(own_freep) char *names = helper_store_names(helper.store, "", STORE_DEEP);
    assert_string_equal(names, "a ");
    helper_store_close(&helper);
}

static void a_bucket_without_object_lock_is_told(void **state)
{
    (void)state;
    struct helper_store helper;
    const struct store_bytes bytes = helper_store_text("bytes");
    struct error err;
    int64_t until_ms;
    open_locking(&helper, "LIFEBOAT_TEST_S3_BUCKET");
    assert_int_equal(store_put(helper.store, "a", &bytes, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "ObjectLockConfiguration"));
    assert_int_equal(store_locked_until(helper.store, "a", &until_ms, &err), 0);
    assert_int_equal(until_ms, 0);
    helper_store_close(&helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_credentials_are_told),
        cmocka_unit_test(a_bucket_that_is_not_there_is_told),
        cmocka_unit_test(a_certificate_of_an_unknown_authority_is_refused),
        cmocka_unit_test(a_server_that_is_not_there_is_told_and_tried_again),
        cmocka_unit_test(what_is_put_with_retention_stays),
        cmocka_unit_test(a_bucket_without_object_lock_is_told),
        cmocka_unit_test(a_port_that_speaks_tls_gets_no_plain_text),
    };
    if (!getenv("LIFEBOAT_TEST_S3_ENDPOINT"))
        return SKIPPED;
    log_set_level(LOG_LEVEL_ERROR);
    return helper_store_contract("contract over S3, path style", open_path_style) +
           helper_store_contract("contract over S3, virtual-host style", open_host_style) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
