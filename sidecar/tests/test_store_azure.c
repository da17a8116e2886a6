// SPDX-License-Identifier: Apache-2.0
/* Against a real Azurite, which e2e/azure.py starts and names in the environment; skipped without.
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
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_contract.h"

enum { SKIPPED = 77 };

static const char *environment(const char *name)
{
    char variable[64];
    snprintf(variable, sizeof(variable), "LIFEBOAT_TEST_AZURE_%s", name);
    return getenv(variable);
}

static struct policy_azure azure_of_environment(void)
{
    return (struct policy_azure){
        .container = environment("CONTAINER"),
        .account = environment("ACCOUNT"),
        .endpoint = environment("ENDPOINT"),
        .ca_key = environment("CA"),
    };
}

static void open_with_key(struct helper_store *helper)
{
    const struct policy_azure azure = azure_of_environment();
    helper_store_open_azure(helper, &azure, "account-key", environment("KEY"));
}

static void open_host_style(struct helper_store *helper)
{
    struct policy_azure azure = azure_of_environment();
    azure.endpoint = environment("HOST_ENDPOINT");
    helper_store_open_azure(helper, &azure, "account-key", environment("KEY"));
}

static void open_with_signature(struct helper_store *helper)
{
    const struct policy_azure azure = azure_of_environment();
    CLEANUP(own_freep) char *text = own_format("?%s", environment("SAS"));
    helper_store_open_azure(helper, &azure, "sas-token", text);
}

static void open_with_identity(struct helper_store *helper)
{
    struct policy_azure azure = azure_of_environment();
    azure.auth = POLICY_AZURE_WEB_IDENTITY;
    helper_store_open_azure(helper, &azure, NULL, NULL);
}

/* A get from such a container fails with that, and is not tried again unless it is worth it. */
static void assert_refused(const struct policy_azure *azure, const char *key, enum error_kind kind,
                           const char *text)
{
    struct helper_store helper;
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(100);
    helper_store_open_azure(&helper, azure, "account-key", key);
    helper.store->retries = 1;
    int result = store_get_all(helper.store, "a", &got, &err);
    helper_store_close(&helper);
    assert_int_equal(result, -1);
    if (err.kind != kind || !strstr(err.text, text) ||
        (kind == ERROR_TRANSIENT) != !!strstr(err.text, "gave up after 2 attempts"))
        fail_msg("%s: %s", error_kind_name(err.kind), err.text);
}

static void a_wrong_key_is_told(void **state)
{
    (void)state;
    const struct policy_azure azure = azure_of_environment();
    assert_refused(&azure, "d3Jvbmc=", ERROR_PERMANENT,
                   "check azure.account and the key or the shared access signature that "
                   "azure.credentials names");
}

static void an_account_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct policy_azure azure = azure_of_environment();
    azure.account = "nobody";
    assert_refused(&azure, environment("KEY"), ERROR_PERMANENT,
                   "Azure 404 ResourceNotFound: The specified resource does not exist; correct "
                   "azure.container, azure.account and azure.endpoint");
}

static void a_container_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct policy_azure azure = azure_of_environment();
    azure.container = "no-such-container";
    assert_refused(&azure, environment("KEY"), ERROR_PERMANENT,
                   "Azure 404 ContainerNotFound: The specified container does not exist; create "
                   "the container, or correct azure.container");
}

static void a_signature_that_does_not_allow_it_is_told(void **state)
{
    (void)state;
    const struct policy_azure azure = azure_of_environment();
    struct helper_store helper;
    struct error err;
    const struct store_bytes bytes = helper_store_text("x");
    CLEANUP(own_freep) char *text = own_strdup(environment("SAS"));
    char *permissions = strstr(text, "sp=");
    assert_non_null(permissions);
    permissions[3] = 'l'; /* no longer what was signed */
    helper_store_open_azure(&helper, &azure, "sas-token", text);
    int result = store_put(helper.store, "a", &bytes, &err);
    helper_store_close(&helper);
    assert_int_equal(result, -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "Azure 403 "));
    assert_null(strstr(err.text, "sig="));
}

static void a_certificate_of_an_unknown_authority_is_refused(void **state)
{
    (void)state;
    struct policy_azure azure = azure_of_environment();
    azure.ca_key = NULL;
    assert_refused(&azure, "a2V5", ERROR_PERMANENT,
                   "check that the CA given is the one that signed this certificate");
}

static void a_server_that_is_not_there_is_told_and_tried_again(void **state)
{
    (void)state;
    struct policy_azure azure = azure_of_environment();
    azure.endpoint = "https://127.0.0.1:1";
    assert_refused(&azure, "a2V5", ERROR_TRANSIENT,
                   "get 'a' in region 'test': gave up after 2 attempts: container 'lifeboat': "
                   "request to '127.0.0.1:1': ");
}

static void a_key_that_is_replaced_is_taken_at_once(void **state)
{
    (void)state;
    const struct policy_azure azure = azure_of_environment();
    struct helper_store helper;
    struct error err;
    helper_store_open_azure(&helper, &azure, "account-key", "d3Jvbmc=");
    helper_directory_write(helper.directory, "eu.account-key", environment("KEY"));
    helper_store_assert_put(helper.store, "a", "bytes");
    assert_int_equal(store_remove(helper.store, "a", &err), 0);
    helper_store_close(&helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_key_is_told),
        cmocka_unit_test(an_account_that_is_not_there_is_told),
        cmocka_unit_test(a_container_that_is_not_there_is_told),
        cmocka_unit_test(a_signature_that_does_not_allow_it_is_told),
        cmocka_unit_test(a_certificate_of_an_unknown_authority_is_refused),
        cmocka_unit_test(a_server_that_is_not_there_is_told_and_tried_again),
        cmocka_unit_test(a_key_that_is_replaced_is_taken_at_once),
    };
    if (!environment("ENDPOINT"))
        return SKIPPED;
    log_set_level(LOG_LEVEL_ERROR);
    return helper_store_contract("contract over Azure, key", open_with_key) +
           helper_store_contract("contract over Azure, account in the host", open_host_style) +
           helper_store_contract("contract over Azure, signature", open_with_signature) +
           helper_store_contract("contract over Azure, identity", open_with_identity) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
