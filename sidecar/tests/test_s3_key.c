// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"

static int parse(struct credential *key, const char *text, struct error *err)
{
    return s3_key_parse_json(key, text, strlen(text), err);
}

static void the_answers_of_metadata_and_of_agents_are_read(void **state)
{
    (void)state;
    CLEANUP(credential_done) struct credential machine = {0}, agent = {0}, endless = {0};
    struct error err;
    assert_int_equal(parse(&machine,
                           "{\"Code\":\"Success\",\"LastUpdated\":\"2012-04-26T16:39:16Z\","
                           "\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA\",\"SecretAccessKey\":"
                           "\"s/e+c\",\"Token\":\"t==\",\"Expiration\":\"2017-05-17T15:09:54Z\"}",
                           &err),
                     0);
    assert_string_equal(credential_text(&machine.id), "ASIA");
    assert_string_equal(credential_text(&machine.secret), "s/e+c");
    assert_string_equal(credential_text(&machine.session), "t==");
    assert_int_equal(machine.expires_ms, 1495033794000);
    assert_int_equal(parse(&agent,
                           "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                           "\"AccountId\":\"1\",\"Expiration\":\"2017-05-17T15:09:54.5Z\"}",
                           &err),
                     0);
    assert_int_equal(agent.expires_ms, 1495033794500);
    assert_int_equal(parse(&endless, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}", &err), 0);
    assert_int_equal(endless.expires_ms, 0);
    assert_string_equal(credential_text(&endless.session), "");
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
        struct credential key = {0};
        struct error err = {0};
        if (parse(&key, texts[i], &err) == 0 || err.kind != ERROR_CORRUPT ||
            strstr(err.text, "secret"))
            fail_msg("%s: %s", texts[i], err.text);
        assert_null(key.id.data);
    }
}

static void a_refusal_says_why(void **state)
{
    (void)state;
    struct credential key = {0};
    struct error err;
    assert_int_equal(parse(&key,
                           "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot "
                           "assume the role shop\"}",
                           &err),
                     -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role shop");
}

static void answers_have_bounds(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *text = own_alloc(CREDENTIAL_ANSWER_MAX + 2);
    struct credential key = {0};
    struct error err;
    memset(text, ' ', CREDENTIAL_ANSWER_MAX + 1);
    memcpy(text, "{", 1);
    text[CREDENTIAL_ANSWER_MAX] = '}';
    assert_int_equal(parse(&key, text, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answers_of_metadata_and_of_agents_are_read),
        cmocka_unit_test(what_makes_no_sense_is_corrupt_and_not_repeated),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(answers_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
