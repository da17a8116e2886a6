// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/azure_pass.h"
#include "sidecar/credential.h"

static int parse(struct credential *pass, const char *text, struct error *err)
{
    return azure_pass_parse_token(pass, text, strlen(text), 1000, err);
}

static void a_key_is_base64(void **state)
{
    (void)state;
    CLEANUP(credential_done) struct credential pass = {0}, none = {0};
    struct error err;
    assert_int_equal(azure_pass_of_key(&pass, "a2V5", 4, &err), 0);
    assert_int_equal(pass.kind, CREDENTIAL_AZURE_KEY);
    assert_int_equal(pass.secret.size, 3);
    assert_memory_equal(pass.secret.data, "key", 4);
    assert_int_equal(azure_pass_of_key(&none, "not a key", 9, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_int_equal(azure_pass_of_key(&none, "", 0, &err), -1);
}

static void a_signature_may_begin_with_a_question_mark(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "?", "sv=1", "sv=1&sig=a b", "sig=a#b", "sig=a\nb"};
    CLEANUP(credential_done) struct credential pass = {0};
    struct error err;
    assert_int_equal(azure_pass_of_signature(&pass, "?sv=1&sig=a%2B", 14, &err), 0);
    assert_int_equal(pass.kind, CREDENTIAL_AZURE_SIGNATURE);
    assert_string_equal((const char *)pass.secret.data, "sv=1&sig=a%2B");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct credential none = {0};
        assert_int_equal(azure_pass_of_signature(&none, bad[i], strlen(bad[i]), &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_null(strstr(err.text, "sv=1"));
    }
}

static void a_token_is_read_as_entra_and_as_instance_metadata_give_it(void **state)
{
    (void)state;
    CLEANUP(credential_done) struct credential entra = {0}, metadata = {0};
    struct error err;
    assert_int_equal(parse(&entra,
                           "{\"token_type\":\"Bearer\",\"expires_in\":3599,"
                           "\"ext_expires_in\":3599,\"access_token\":\"eyJ0.a-b_c.d\"}",
                           &err),
                     0);
    assert_int_equal(entra.kind, CREDENTIAL_AZURE_TOKEN);
    assert_string_equal((const char *)entra.secret.data, "eyJ0.a-b_c.d");
    assert_int_equal(entra.expires_ms, 1000 + 3599000);
    assert_int_equal(parse(&metadata,
                           "{\"access_token\":\"x\",\"client_id\":\"c\",\"expires_in\":\"86399\","
                           "\"expires_on\":\"1506484173\",\"resource\":\"r\"}",
                           &err),
                     0);
    assert_int_equal(metadata.expires_ms, 1000 + 86399000);
}

static void what_is_no_token_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "\"eyJ0\"",
        "{\"expires_in\":1}",
        "{\"access_token\":\"x\"}",
        "{\"access_token\":\"\",\"expires_in\":1}",
        "{\"access_token\":7,\"expires_in\":1}",
        "{\"access_token\":\"x\\r\\nHost: y\",\"expires_in\":1}",
        "{\"access_token\":\"x\",\"expires_in\":-1}",
        "{\"access_token\":\"x\",\"expires_in\":\"soon\"}",
        "{\"access_token\":\"x\",\"access_token\":\"y\",\"expires_in\":1}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct credential pass = {0};
        struct error err = {0};
        assert_int_equal(parse(&pass, texts[i], &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_int_equal(pass.kind, CREDENTIAL_NONE);
    }
}

static void an_absurd_lifetime_is_cut(void **state)
{
    (void)state;
    CLEANUP(credential_done) struct credential pass = {0};
    struct error err;
    assert_int_equal(
        parse(&pass, "{\"access_token\":\"x\",\"expires_in\":9223372036854775807}", &err), 0);
    assert_int_equal(pass.expires_ms, 1000 + 7 * 24 * 3600 * INT64_C(1000));
}

static void an_error_is_its_first_line(void **state)
{
    (void)state;
    char text[256];
    static const char json[] =
        "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700016: Application 'x' was "
        "not found.\\r\\nTrace ID: 1\\r\\n\",\"error_codes\":[700016]}";
    azure_pass_parse_error(text, json, strlen(json));
    assert_string_equal(text, "invalid_client: AADSTS700016: Application 'x' was not found");
    azure_pass_parse_error(text, "{}", 2);
    assert_string_equal(text, "");
    azure_pass_parse_error(text, "", 0);
    assert_string_equal(text, "");
    azure_pass_parse_error(text, "{\"error\":\"a\"}", 13);
    assert_string_equal(text, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_base64),
        cmocka_unit_test(a_signature_may_begin_with_a_question_mark),
        cmocka_unit_test(a_token_is_read_as_entra_and_as_instance_metadata_give_it),
        cmocka_unit_test(what_is_no_token_is_corrupt),
        cmocka_unit_test(an_absurd_lifetime_is_cut),
        cmocka_unit_test(an_error_is_its_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
