// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/azure_failure.h"

static struct error failure(int status, const char *code, bool identity)
{
    struct error err;
    const struct azure_target target = {"h", "c", identity};
    CLEANUP(own_freep)
    char *body =
        own_format("<Error><Code>%s</Code><Message>M.</Message></Error>", code ? code : "");
    const struct azure_answer answer = {
        .status = status, .body = body, .size = strlen(body), .code = code};
    assert_int_equal(azure_failure_set(&err, &target, &answer), -1);
    return err;
}

static void each_answer_has_its_kind_and_remedy(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        enum error_kind kind;
        const char *text;
    } table[] = {
        {404, "BlobNotFound", ERROR_NOT_FOUND, "no such object"},
        {404, "ContainerNotFound", ERROR_PERMANENT, "create the container"},
        {404, "ResourceNotFound", ERROR_PERMANENT, "correct azure.container"},
        {404, NULL, ERROR_PERMANENT, "Azure 404"}, /* not one of theirs: no such object is worse */
        {409, "BlobAlreadyExists", ERROR_CONFLICT, "the object exists already"},
        {412, "ConditionNotMet", ERROR_CONFLICT, "the object exists already"},
        {403, "UnauthorizedBlobOverwrite", ERROR_CONFLICT, "the object exists already"},
        {412, "LeaseIdMissing", ERROR_PERMANENT, "break the lease"},
        {409, "BlobImmutableDueToPolicy", ERROR_PERMANENT, "protects it"},
        {409, "ContainerBeingDeleted", ERROR_PERMANENT, "create the container"},
        {403, "AuthenticationFailed", ERROR_PERMANENT, "check azure.account and the key"},
        {403, "KeyBasedAuthenticationNotPermitted", ERROR_PERMANENT, "azure.auth: WebIdentity"},
        {403, "AuthorizationPermissionMismatch", ERROR_PERMANENT, "needs the permissions rwdl"},
        {403, NULL, ERROR_PERMANENT, "needs the permissions rwdl"},
        {500, "OperationTimedOut", ERROR_TRANSIENT, "Azure 500 OperationTimedOut: M"},
        {503, "ServerBusy", ERROR_TRANSIENT, "container 'c' at 'h': Azure 503 ServerBusy: M"},
        {400, "Md5Mismatch", ERROR_TRANSIENT, "Md5Mismatch"},
        {429, NULL, ERROR_TRANSIENT, "429"},
        {502, NULL, ERROR_TRANSIENT, "502"},
        {400, "InvalidHeaderValue", ERROR_PERMANENT, "InvalidHeaderValue: M"},
        {301, NULL, ERROR_PERMANENT, "301"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct error err = failure(table[i].status, table[i].code, false);
        if (err.kind != table[i].kind || !strstr(err.text, table[i].text))
            fail_msg("%d %s: %s: %s", table[i].status, table[i].code, error_kind_name(err.kind),
                     err.text);
    }
}

static void an_identity_is_told_what_it_lacks(void **state)
{
    (void)state;
    assert_non_null(strstr(failure(403, "AuthorizationPermissionMismatch", true).text,
                           "give the identity the role Storage Blob Data Contributor"));
    assert_non_null(strstr(failure(401, "InvalidAuthenticationInfo", true).text,
                           "check azure.account and the identity of azure.auth"));
}

static void a_clock_that_is_wrong_is_told_in_place_of_the_key(void **state)
{
    (void)state;
    struct error err;
    const struct azure_target target = {"h", "c", false};
    struct azure_answer answer = {
        .status = 403, .code = "AuthenticationFailed", .clock_skew_ms = -20 * 60 * 1000};
    azure_failure_set(&err, &target, &answer);
    assert_string_equal(err.text,
                        "our clock and that of 'h' are -1200 s apart; set the clock of this "
                        "machine");
    answer.clock_skew_ms = 10 * 60 * 1000;
    azure_failure_set(&err, &target, &answer);
    assert_non_null(strstr(err.text, "check azure.account"));
}

static void the_code_may_stand_in_the_body_alone(void **state)
{
    (void)state;
    struct error err;
    static const char body[] = "<Error><Code>BlobNotFound</Code></Error>";
    const struct azure_target target = {"h", "c", false};
    const struct azure_answer answer = {.status = 404, .body = body, .size = strlen(body)};
    azure_failure_set(&err, &target, &answer);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_kind_and_remedy),
        cmocka_unit_test(an_identity_is_told_what_it_lacks),
        cmocka_unit_test(a_clock_that_is_wrong_is_told_in_place_of_the_key),
        cmocka_unit_test(the_code_may_stand_in_the_body_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
