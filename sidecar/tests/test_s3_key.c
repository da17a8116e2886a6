// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/s3_key.h"

static int parse(struct s3_key *key, const char *text, struct error *err)
{
    return s3_key_parse_json(key, text, strlen(text), err);
}

static void the_answers_of_metadata_and_of_agents_are_read(void **state)
{
    (void)state;
    CLEANUP(s3_key_done) struct s3_key machine = {0}, agent = {0}, endless = {0};
    struct error err;
    assert_int_equal(parse(&machine,
                           "{\"Code\":\"Success\",\"LastUpdated\":\"2012-04-26T16:39:16Z\","
                           "\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":"
                           "\"s/e+c\",\"Token\":\"t==\",\"Expiration\":\"2017-05-17T15:09:54Z\"}",
                           &err),
                     0);
    assert_string_equal(s3_key_text(&machine.access_key_id), "ASIA");
    assert_string_equal(s3_key_text(&machine.secret_access_key), "s/e+c");
    assert_string_equal(s3_key_text(&machine.session_token), "t==");
    assert_int_equal(machine.expires_ms, 1495033794000);
    assert_int_equal(parse(&agent,
                           "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                           "\"AccountId\":\"1\",\"Expiration\":\"2017-05-17T15:09:54.5Z\"}",
                           &err),
                     0);
    assert_int_equal(agent.expires_ms, 1495033794500);
    assert_int_equal(parse(&endless, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}", &err), 0);
    assert_int_equal(endless.expires_ms, 0);
    assert_string_equal(s3_key_text(&endless.session_token), "");
}

static void what_makes_no_sense_is_corrupt_and_not_repeated(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "<html>",
        "[]",
        "{\"AccessKeyId\":\"secret\",",
        "{}",
        "{\"AccessKeyId\":\"secret\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\\r\\nHost: evil\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\",\"Token\":\"t \"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\",\"Token\":5}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"secret\",\"Expiration\":\"soon\"}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct s3_key key = {0};
        struct error err = {0};
        if (parse(&key, texts[i], &err) == 0 || err.kind != ERROR_CORRUPT ||
            strstr(err.text, "secret"))
            fail_msg("%s: %s", texts[i], err.text);
        assert_null(key.access_key_id.data);
    }
}

static void a_refusal_says_why(void **state)
{
    (void)state;
    struct s3_key key = {0};
    struct error err;
    assert_int_equal(parse(&key,
                           "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot "
                           "assume the role shop\"}",
                           &err),
                     -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role shop");
}

static void answers_and_texts_have_bounds(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *text = own_alloc(S3_KEY_ANSWER_MAX + 2);
    CLEANUP(s3_key_done) struct s3_key key = {0};
    struct error err;
    memset(text, ' ', S3_KEY_ANSWER_MAX + 1);
    memcpy(text, "{", 1);
    text[S3_KEY_ANSWER_MAX] = '}';
    assert_int_equal(parse(&key, text, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    memset(text, 'k', S3_KEY_TEXT_MAX + 1);
    assert_int_equal(s3_key_set(&key.session_token, "Token", text, S3_KEY_TEXT_MAX, &err), 0);
    assert_int_equal(strlen(s3_key_text(&key.session_token)), S3_KEY_TEXT_MAX);
    assert_int_equal(s3_key_set(&key.session_token, "Token", text, S3_KEY_TEXT_MAX + 1, &err), -1);
    assert_int_equal(key.session_token.size, S3_KEY_TEXT_MAX);
}

static void a_copy_is_the_same_until_one_text_differs(void **state)
{
    (void)state;
    CLEANUP(s3_key_done) struct s3_key key = {.expires_ms = 5}, copy = {0};
    struct error err;
    assert_int_equal(s3_key_set(&key.access_key_id, "id", "a", 1, &err), 0);
    assert_int_equal(s3_key_set(&key.secret_access_key, "secret", "b", 1, &err), 0);
    s3_key_copy(&copy, &key);
    assert_true(s3_key_is_same(&copy, &key));
    assert_ptr_not_equal(copy.access_key_id.data, key.access_key_id.data);
    assert_int_equal(copy.expires_ms, 5);
    assert_int_equal(s3_key_set(&copy.session_token, "token", "c", 1, &err), 0);
    assert_false(s3_key_is_same(&copy, &key));
    s3_key_copy(&copy, &key);
    assert_true(s3_key_is_same(&copy, &key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answers_of_metadata_and_of_agents_are_read),
        cmocka_unit_test(what_makes_no_sense_is_corrupt_and_not_repeated),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(answers_and_texts_have_bounds),
        cmocka_unit_test(a_copy_is_the_same_until_one_text_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
