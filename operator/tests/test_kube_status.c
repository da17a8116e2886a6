// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/kube_status.h"

static void each_code_says_what_to_do_now(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum error_kind kind;
    } cases[] = {
        {400, ERROR_PERMANENT}, {401, ERROR_TRANSIENT}, {403, ERROR_PERMANENT},
        {404, ERROR_NOT_FOUND}, {405, ERROR_PERMANENT}, {408, ERROR_TRANSIENT},
        {409, ERROR_CONFLICT},  {410, ERROR_TRANSIENT}, {413, ERROR_PERMANENT},
        {415, ERROR_PERMANENT}, {422, ERROR_PERMANENT}, {429, ERROR_TRANSIENT},
        {500, ERROR_TRANSIENT}, {503, ERROR_TRANSIENT}, {504, ERROR_TRANSIENT},
        {302, ERROR_PERMANENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        assert_int_equal(kube_status_fail(cases[i].code, NULL, &err), -1);
        assert_int_equal(err.kind, cases[i].kind);
    }
}

static void a_status_is_told_with_reason_and_message(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *body, *text;
    } cases[] = {
        {404,
         "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"pods "
         "\\\"x\\\" not found\",\"reason\":\"NotFound\",\"code\":404}",
         "404 NotFound: pods \"x\" not found"},
        {403, "{\"kind\":\"Status\",\"message\":\"no\\nway\"}", "403: no\\x0away"},
        {500, "{\"kind\":\"Status\",\"message\":7}", "500: no message"},
        {502, "{\"kind\":\"Pod\"}", "502: {\"kind\":\"Pod\"}"},
        {502, "<html>Bad\xff Gateway</html>\n", "502: <html>Bad\\xff Gateway</html>\\x0a"},
        {503, "", "503: no message"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        kube_status_fail_body(cases[i].code, cases[i].body, strlen(cases[i].body), &err);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void a_code_that_is_none_is_zero(void **state)
{
    (void)state;
    json_auto_t *gone = json_pack("{s:i}", "code", 410);
    json_auto_t *text = json_pack("{s:s}", "code", "410");
    json_auto_t *huge = json_pack("{s:I}", "code", (json_int_t)1 << 40);
    assert_int_equal(kube_status_code(gone), KUBE_STATUS_GONE);
    assert_int_equal(kube_status_code(text), 0);
    assert_int_equal(kube_status_code(huge), 0);
    assert_int_equal(kube_status_code(NULL), 0);
}

static void a_lack_of_rights_is_told_from_other_refusals(void **state)
{
    (void)state;
    static const char no_right[] =
        "{\"kind\": \"Status\", \"code\": 403, \"reason\": \"Forbidden\", \"message\": "
        "\"pods is forbidden: User \\\"system:serviceaccount:a:b\\\" cannot create resource "
        "\\\"pods\\\" in API group \\\"\\\" in the namespace \\\"shop\\\"\"}";
    static const char quota[] =
        "{\"kind\": \"Status\", \"code\": 403, \"reason\": \"Forbidden\", \"message\": "
        "\"pods \\\"copy-1\\\" is forbidden: exceeded quota: small, requested: pods=1\"}";
    struct error err;
    kube_status_fail_body(403, no_right, strlen(no_right), &err);
    assert_true(kube_status_forbids(&err));
    kube_status_fail_body(403, quota, strlen(quota), &err);
    assert_false(kube_status_forbids(&err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_says_what_to_do_now),
        cmocka_unit_test(a_status_is_told_with_reason_and_message),
        cmocka_unit_test(a_code_that_is_none_is_zero),
        cmocka_unit_test(a_lack_of_rights_is_told_from_other_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
