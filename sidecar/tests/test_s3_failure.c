// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/s3_failure.h"

static const struct s3_target target = {"s3.example.org", "backups", "us-east-1", false};

static struct error failure(int status, const char *body, const char *bucket_region)
{
    struct error err = {0};
    const struct s3_answer answer = {.status = status,
                                     .body = body,
                                     .size = body ? strlen(body) : 0,
                                     .bucket_region = bucket_region,
                                     .clock_skew_ms = -1234567};
    assert_false(s3_failure_is_none(&answer));
    assert_int_equal(s3_failure_set(&err, &target, &answer), -1);
    return err;
}

static void each_answer_has_its_kind_and_remedy(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code; /* NULL: no body */
        enum error_kind kind;
        const char *text;
    } table[] = {
        {404, "NoSuchKey", ERROR_NOT_FOUND, "no such object"},
        {404, NULL, ERROR_NOT_FOUND, "no such object"},
        {404, "NoSuchBucket", ERROR_PERMANENT, "create the bucket, or correct s3.bucket"},
        {404, "SomethingElse", ERROR_PERMANENT, "S3 404 SomethingElse: why"},
        {403, "SignatureDoesNotMatch", ERROR_PERMANENT, "s3.credentials"},
        {403, "InvalidAccessKeyId", ERROR_PERMANENT, "s3.credentials"},
        {403, "AccessDenied", ERROR_PERMANENT, "right to get, put, list and delete"},
        {403, NULL, ERROR_PERMANENT, "right to get, put, list and delete"},
        {400, "ExpiredToken", ERROR_PERMANENT, "session token"},
        {403, "RequestTimeTooSkewed", ERROR_PERMANENT, "-1234 s apart; set the clock"},
        {400, "InvalidStorageClass", ERROR_PERMANENT, "s3.storageClass"},
        {412, "PreconditionFailed", ERROR_CONFLICT, "exists already"},
        {412, NULL, ERROR_CONFLICT, "exists already"},
        {409, "ConditionalRequestConflict", ERROR_TRANSIENT, "S3 409 ConditionalRequestConflict"},
        {503, "SlowDown", ERROR_TRANSIENT, "S3 503 SlowDown: why"},
        {200, "InternalError", ERROR_TRANSIENT, "S3 200 InternalError"},
        {400, "RequestTimeout", ERROR_TRANSIENT, "S3 400 RequestTimeout"},
        {400, "XAmzContentSHA256Mismatch", ERROR_TRANSIENT, "S3 400"},
        {408, NULL, ERROR_TRANSIENT, "S3 408"},
        {429, NULL, ERROR_TRANSIENT, "S3 429"},
        {500, NULL, ERROR_TRANSIENT, "S3 500"},
        {502, NULL, ERROR_TRANSIENT, "S3 502"},
        {503, NULL, ERROR_TRANSIENT, "S3 503"},
        {504, NULL, ERROR_TRANSIENT, "S3 504"},
        {501, "NotImplemented", ERROR_PERMANENT, "S3 501 NotImplemented: why"},
        {400, "InvalidArgument", ERROR_PERMANENT, "bucket 'backups' at 's3.example.org': S3 400"},
        {302, NULL, ERROR_PERMANENT, "S3 302"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char body[256];
        snprintf(body, sizeof(body), "<Error><Code>%s</Code><Message>why</Message></Error>",
                 table[i].code);
        struct error err = failure(table[i].status, table[i].code ? body : NULL, NULL);
        if (err.kind != table[i].kind || !strstr(err.text, table[i].text))
            fail_msg("%d %s: %s: %s", table[i].status, table[i].code, error_kind_name(err.kind),
                     err.text);
    }
}

static void another_region_is_named(void **state)
{
    (void)state;
    static const char malformed[] = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m"
                                    "</Message><Region>eu-west-1</Region></Error>";
    static const char redirect[] = "<Error><Code>PermanentRedirect</Code><Message>m</Message>"
                                   "<Endpoint>backups.s3.amazonaws.com</Endpoint></Error>";
    static const char right[] =
        "bucket 'backups' is in region 'eu-west-1', not in 'us-east-1'; correct s3.region";
    assert_string_equal(failure(400, malformed, NULL).text, right);
    assert_string_equal(failure(301, redirect, "eu-west-1").text, right);
    assert_string_equal(failure(301, NULL, "eu-west-1").text, right);
    assert_int_equal(failure(301, NULL, "eu-west-1").kind, ERROR_PERMANENT);
    assert_non_null(strstr(failure(301, redirect, NULL).text, "S3 301 PermanentRedirect"));
}

static void an_html_page_of_a_proxy_is_judged_by_its_status(void **state)
{
    (void)state;
    struct error err = failure(502, "<html>Bad Gateway</html>", NULL);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_string_equal(err.text, "bucket 'backups' at 's3.example.org': S3 502");
}

static void success_is_a_status_without_an_error_in_it(void **state)
{
    (void)state;
    static const char xml[] = "<CopyObjectResult/>", bytes[] = "\x89LIFE";
    assert_true(s3_failure_is_none(&(struct s3_answer){.status = 200}));
    assert_true(s3_failure_is_none(&(struct s3_answer){.status = 204}));
    assert_true(s3_failure_is_none(&(struct s3_answer){200, xml, strlen(xml), NULL, 0}));
    assert_true(s3_failure_is_none(&(struct s3_answer){206, bytes, strlen(bytes), NULL, 0}));
}

static void keys_of_a_role_have_other_remedies(void **state)
{
    (void)state;
    struct s3_target role = target;
    role.by_role = true;
    static const struct {
        const char *code, *text;
    } table[] = {
        {"InvalidAccessKeyId", "look at the role that s3.auth stands for"},
        {"ExpiredToken", "look at the role that s3.auth stands for"},
        {"AccessDenied", "give the role that s3.auth stands for the right to get"},
        {"InvalidBucketName", "correct s3.bucket"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char body[128];
        struct error err;
        snprintf(body, sizeof(body), "<Error><Code>%s</Code></Error>", table[i].code);
        const struct s3_answer answer = {.status = 403, .body = body, .size = strlen(body)};
        assert_int_equal(s3_failure_set(&err, &role, &answer), -1);
        if (!strstr(err.text, table[i].text) || strstr(err.text, "s3.credentials"))
            fail_msg("%s: %s", table[i].code, err.text);
    }
}

static void refusals_of_the_key_are_told_from_others(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code; /* NULL: no body, as to HEAD */
        bool refusal;
    } table[] = {
        {403, "InvalidAccessKeyId", true},
        {403, "SignatureDoesNotMatch", true},
        {403, "AccessDenied", true},
        {403, NULL, true},
        {401, NULL, true},
        {400, "ExpiredToken", true},
        {400, "InvalidToken", true},
        {400, NULL, true},
        {404, "XAdminUserNotFound", true},
        {400, "InvalidArgument", false},
        {403, "RequestTimeTooSkewed", false},
        {404, "NoSuchBucket", false},
        {503, "SlowDown", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char body[128];
        snprintf(body, sizeof(body), "<Error><Code>%s</Code></Error>", table[i].code);
        const struct s3_answer answer = {
            .status = table[i].status, .body = body, .size = table[i].code ? strlen(body) : 0};
        if (s3_failure_is_refusal(&answer) != table[i].refusal)
            fail_msg("%d %s", table[i].status, table[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_kind_and_remedy),
        cmocka_unit_test(another_region_is_named),
        cmocka_unit_test(an_html_page_of_a_proxy_is_judged_by_its_status),
        cmocka_unit_test(keys_of_a_role_have_other_remedies),
        cmocka_unit_test(refusals_of_the_key_are_told_from_others),
        cmocka_unit_test(success_is_a_status_without_an_error_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
