// SPDX-License-Identifier: Apache-2.0
#include "sidecar/azure_pass_source.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/azure_pass.h"
#include "sidecar/connection.h"
#include "sidecar/credential.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"
#include "sidecar/token_exchange.h"

enum {
    TIMEOUT_MS = 30 * 1000,
    METADATA_CONNECT_MS = 2000, /* it is on this machine, or not there at all */
};

static const char storage[] = "https://storage.azure.com/";

struct azure_pass_source {
    const struct policy_region *region;
    const struct secrets *secrets;
    struct http *http; /* NULL for Static */
    char *url;         /* who gives tokens */
    char *client_id, *token_file;
};

static int fetch_static(const struct azure_pass_source *source, struct credential *ret_pass,
                        struct error *err)
{
    CLEANUP(secrets_azure_done) struct secrets_azure keys = {0};
    if (secrets_get_azure(source->secrets, source->region, &keys, err) < 0)
        return -1;
    bool is_key = keys.account_key.size > 0;
    const struct buf *text = is_key ? &keys.account_key : &keys.sas_token;
    int result = is_key ? azure_pass_of_key(ret_pass, text->data, text->size, err)
                        : azure_pass_of_signature(ret_pass, text->data, text->size, err);
    if (result == 0)
        return 0;
    err->kind = ERROR_PERMANENT; /* a person wrote it */
    return error_wrap(err, "region '%s': azure.credentials '%s': %s", source->region->name,
                      source->region->azure.credentials, is_key ? "account-key" : "sas-token");
}

/* What an answer without a token means. What instance metadata cannot say while it starts or is
 * busy (404, 410, 429) it can say a little later. */
static int refuse(const struct azure_pass_source *source, const struct http_response *response,
                  struct error *err)
{
    bool metadata = !source->token_file;
    int status = response->status;
    bool later = status == 408 || status == 429 || status >= 500 ||
                 (metadata && (status == 404 || status == 410));
    char text[256];
    azure_pass_parse_error(text, response->body.data, response->body.size);
    return error_set(err, later ? ERROR_TRANSIENT : ERROR_PERMANENT, "%s gave no token: %d%s%s%s",
                     metadata ? "instance metadata" : "Microsoft Entra ID", status,
                     text[0] ? " " : "", text,
                     later      ? ""
                     : metadata ? "; give this machine a managed identity (AZURE_CLIENT_ID names "
                                  "one of several)"
                                : "; check AZURE_CLIENT_ID, AZURE_TENANT_ID and the federated "
                                  "credential of the application");
}

static int ask(const struct azure_pass_source *source, const struct http_request *request,
               struct credential *ret_pass, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {.body = {.secret = true}};
    if (http_perform(source->http, request, &response, err) < 0)
        return error_wrap(err, "token for '%s'", storage);
    if (response.status != 200)
        return refuse(source, &response, err);
    if (azure_pass_parse_token(ret_pass, response.body.data, response.body.size, clock_now_ms(),
                               err) < 0)
        return error_wrap(err, "answer of '%s'", source->url);
    return 0;
}

static int make_form(const struct azure_pass_source *source, struct buf *form, struct error *err)
{
    CLEANUP(buf_done) struct buf token = BUF_SECRET(CREDENTIAL_TEXT_MAX);
    CLEANUP(own_freep) char *scope = own_format("%s.default", storage);
    if (token_exchange_read(&token, source->token_file, err) < 0)
        return error_wrap(err, "AZURE_FEDERATED_TOKEN_FILE");
    const struct {
        const char *name, *value;
    } fields[] = {
        {"grant_type", "client_credentials"},
        {"client_id", source->client_id},
        {"scope", scope},
        {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
        {"client_assertion", credential_text(&token)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (token_exchange_add(form, fields[i].name, fields[i].value, err) < 0)
            return -1;
    return 0;
}

static int fetch_by_assertion(const struct azure_pass_source *source, struct credential *ret_pass,
                              struct error *err)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    CLEANUP(buf_done) struct buf form = BUF_SECRET(TOKEN_EXCHANGE_FORM_MAX);
    if (make_form(source, &form, err) < 0)
        return -1;
    const struct http_request request = {
        .method = "POST",
        .url = source->url,
        .headers = headers,
        .body = form.data,
        .body_size = form.size,
        .response_max = CREDENTIAL_ANSWER_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    return ask(source, &request, ret_pass, err);
}

static int fetch_by_metadata(const struct azure_pass_source *source, struct credential *ret_pass,
                             struct error *err)
{
    static const char *const headers[] = {"Metadata: true", NULL};
    const struct http_request request = {
        .method = "GET",
        .url = source->url,
        .headers = headers,
        .response_max = CREDENTIAL_ANSWER_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    return ask(source, &request, ret_pass, err);
}

int azure_pass_source_fetch(struct azure_pass_source *source, struct credential *ret_pass,
                            struct error *err)
{
    switch (source->region->azure.auth) {
    case POLICY_AZURE_WEB_IDENTITY:
        return fetch_by_assertion(source, ret_pass, err);
    case POLICY_AZURE_INSTANCE:
        return fetch_by_metadata(source, ret_pass, err);
    case POLICY_AZURE_STATIC:
        break;
    }
    return fetch_static(source, ret_pass, err);
}

void azure_pass_source_closep(struct azure_pass_source **source)
{
    struct azure_pass_source *s = TAKE(*source);
    if (!s)
        return;
    http_freep(&s->http);
    free(s->url);
    free(s->client_id);
    free(s->token_file);
    free(s);
}

static int open_web_identity(struct azure_pass_source *source, const struct cancel *cancel,
                             struct error *err)
{
    static const char *const names[] = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID",
                                        "AZURE_FEDERATED_TOKEN_FILE"};
    const char *authority =
        connection_environment("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/");
    const struct http_options options = {.cancel = cancel};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!connection_environment(names[i], NULL))
            return error_set(err, ERROR_PERMANENT,
                             "azure.auth: WebIdentity needs %s, which is not in the environment; "
                             "label the pod azure.workload.identity/use: \"true\"",
                             names[i]);
    if (!token_exchange_is_safe(authority))
        return error_set(err, ERROR_PERMANENT, "AZURE_AUTHORITY_HOST '%s' is not https://",
                         authority);
    CLEANUP(own_freep) char *tenant = text_percent(getenv(names[1]), false);
    source->client_id = own_strdup(getenv(names[0]));
    source->token_file = own_strdup(getenv(names[2]));
    source->url = own_format("%s%s%s/oauth2/v2.0/token", authority,
                             authority[strlen(authority) - 1] == '/' ? "" : "/", tenant);
    return http_new(&source->http, &options, err);
}

static int open_instance(struct azure_pass_source *source, const struct cancel *cancel,
                         struct error *err)
{
    const char *host =
        connection_environment("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254");
    const struct http_options options = {
        .cancel = cancel, .direct = true, .connect_timeout_ms = METADATA_CONNECT_MS};
    CLEANUP(own_freep)
    char *client_id = text_percent(connection_environment("AZURE_CLIENT_ID", ""), false);
    CLEANUP(own_freep) char *resource = text_percent(storage, false);
    source->url = own_format("%s/metadata/identity/oauth2/token?api-version=2018-02-01&resource=%s"
                             "%s%s",
                             host, resource, *client_id ? "&client_id=" : "", client_id);
    return http_new(&source->http, &options, err);
}

int azure_pass_source_open(struct azure_pass_source **ret_source,
                           const struct policy_region *region, const struct secrets *secrets,
                           const struct cancel *cancel, struct error *err)
{
    CLEANUP(azure_pass_source_closep)
    struct azure_pass_source *source = own_alloc(sizeof(*source));
    source->region = region;
    source->secrets = secrets;
    int result = 0;
    if (region->azure.auth == POLICY_AZURE_WEB_IDENTITY)
        result = open_web_identity(source, cancel, err);
    else if (region->azure.auth == POLICY_AZURE_INSTANCE)
        result = open_instance(source, cancel, err);
    if (result < 0)
        return -1;
    *ret_source = TAKE(source);
    return 0;
}
