// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_azure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/azure_failure.h"
#include "sidecar/azure_xml.h"
#include "sidecar/credential.h"
#include "sidecar/credentials.h"
#include "sidecar/policy.h"
#include "sidecar/secrets.h"
#include "sidecar/shared_key.h"
#include "sidecar/store.h"
#include "sidecar/store_http.h"
#include "sidecar/store_page.h"
#include "sidecar/token_exchange.h"
#include "sidecar/xml_document.h"

enum {
    ANSWER_BYTES = 64 * 1024, /* room for an error document, whatever was asked for */
    TEXTS_MAX = 12,           /* headers, or parameters, of a request */
};

/* Of the service; the oldest that has all we use, and puts of any size of ours. */
static const char version[] = "2021-08-06";

struct store_azure {
    struct store store;
    struct http *http;
    struct credentials *credentials;
    char *scheme; /* "https" */
    char *host;   /* as in the header Host */
    char *base;   /* path of the container: "/container" or "/account/container" */
    char *prefix; /* before names: "" or "some/where/" */
    char *account, *container;
    bool identity; /* not a key or a signature of a Secret */
    _Atomic(enum store_http_locks) locks;
    bool safe; /* nobody on the way can read what is sent */
};

/* Texts, owned; wiped, as one may be a secret. */
struct texts {
    char *items[TEXTS_MAX + 1];
    size_t count;
};

/* A request; what is NULL or zero is not there. */
struct ask {
    const char *method;
    const char *name;               /* of an object; NULL: the container itself */
    const struct texts *parameters; /* "name=value", decoded */
    const struct store_bytes *bytes;
    const char *range;
    size_t answer_max;
};

static struct store_azure *downcast(struct store *store)
{
    return (struct store_azure *)store;
}

static void wipep(char **text)
{
    if (*text)
        buf_wipe(*text, strlen(*text));
    own_freep(text);
}

static void done_texts(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        wipep(&texts->items[i]);
}

static const char *const *items_of(const struct texts *texts)
{
    return (const char *const *)texts->items;
}

/* "<name><between><value>"; nothing if there is no value. */
static void add_text(struct texts *texts, const char *name, const char *between, const char *value)
{
    if (value && *value)
        texts->items[texts->count++] = own_format("%s%s%s", name, between, value);
}

static void add_header(struct texts *headers, const char *name, const char *value)
{
    add_text(headers, name, ": ", value);
}

/* All headers but Authorization, which is made of them. */
static void make_headers(const struct ask *ask, struct texts *headers)
{
    char date[CLOCK_TEXT_BYTES];
    clock_format_http(clock_now_ms(), date);
    add_header(headers, "x-ms-date", date);
    add_header(headers, "x-ms-version", version);
    add_header(headers, "Range", ask->range);
    if (ask->bytes) {
        add_header(headers, "Content-Type", "application/octet-stream");
        add_header(headers, "If-None-Match", "*");
        add_header(headers, "x-ms-blob-type", "BlockBlob");
    }
    if (strcmp(ask->method, "DELETE") == 0) /* else a blob with snapshots stays */
        add_header(headers, "x-ms-delete-snapshots", "include");
}

static char *make_path(const struct store_azure *azure, const struct ask *ask)
{
    if (!ask->name)
        return own_strdup(azure->base);
    CLEANUP(own_freep) char *name = own_format("%s%s", azure->prefix, ask->name);
    CLEANUP(own_freep) char *encoded = text_percent(name, true);
    return own_format("%s/%s", azure->base, encoded);
}

/* "?name=value&…", percent-encoded; "" if there is none. */
static char *make_query(const struct texts *parameters, const struct credential *pass)
{
    CLEANUP(own_freep) char *query = own_strdup("");
    for (size_t i = 0; parameters && i < parameters->count; i++) {
        const char *value = strchr(parameters->items[i], '=') + 1;
        CLEANUP(own_freep) char *shorter = TAKE(query);
        CLEANUP(own_freep) char *encoded = text_percent(value, false);
        query = own_format("%s%s%.*s%s", shorter, *shorter ? "&" : "?",
                           (int)(value - parameters->items[i]), parameters->items[i], encoded);
    }
    if (pass->kind != CREDENTIAL_AZURE_SIGNATURE)
        return TAKE(query);
    return own_format("%s%s%s", query, *query ? "&" : "?", (const char *)pass->secret.data);
}

static void authorize(const struct store_azure *azure, const struct credential *pass,
                      const struct shared_key_request *request, struct texts *headers)
{
    CLEANUP(wipep) char *value = NULL;
    const struct shared_key_signer signer = {
        .account = azure->account, .key = pass->secret.data, .key_size = pass->secret.size};
    if (pass->kind == CREDENTIAL_AZURE_KEY)
        value = shared_key_authorization(&signer, request);
    else if (pass->kind == CREDENTIAL_AZURE_TOKEN)
        value = own_format("Bearer %s", (const char *)pass->secret.data);
    add_header(headers, "Authorization", value);
}

static int send_request(struct store_azure *azure, const struct ask *ask,
                        const struct credential *pass, struct http_response *response,
                        struct error *err)
{
    CLEANUP(done_texts) struct texts headers = {0};
    CLEANUP(own_freep) char *path = make_path(azure, ask);
    CLEANUP(wipep) char *query = make_query(ask->parameters, pass);
    CLEANUP(wipep)
    char *url = own_format("%s://%s%s%s", azure->scheme, azure->host, path, query);
    make_headers(ask, &headers);
    const struct shared_key_request to_sign = {
        .method = ask->method,
        .path = path,
        .parameters = ask->parameters ? items_of(ask->parameters) : NULL,
        .headers = items_of(&headers),
        .body_size = ask->bytes ? ask->bytes->size : 0,
    };
    authorize(azure, pass, &to_sign, &headers);
    const struct http_request request = {
        .method = ask->method,
        .url = url,
        .headers = items_of(&headers),
        .body = ask->bytes ? (ask->bytes->size > 0 ? ask->bytes->data : "") : NULL,
        .body_size = ask->bytes ? ask->bytes->size : 0,
        .response_max = ask->answer_max > ANSWER_BYTES ? ask->answer_max : ANSWER_BYTES,
        .send_limit = &azure->store.put_limit,
        .receive_limit = &azure->store.get_limit,
        .progress = store_http_note_move,
        .progress_arg = &azure->store,
    };
    if (http_perform(azure->http, &request, response, err) < 0)
        return error_wrap(err, "container '%s'", azure->container);
    store_http_note_clock(&azure->store, response);
    return 0;
}

/* 0 with an answer of success; else the error tells what Azure said. */
static int judge(struct store_azure *azure, const struct http_response *response, struct error *err)
{
    char code[64];
    const struct azure_target target = {azure->host, azure->container, azure->identity};
    const struct azure_answer answer = {
        .status = response->status,
        .body = response->body.data,
        .size = response->body.size,
        .code = http_header(response, "x-ms-error-code", code, sizeof(code)),
        .clock_skew_ms = azure->store.clock_skew_ms,
    };
    if (response->status >= 200 && response->status < 300)
        return 0;
    store_http_note_wish(&azure->store, response);
    return azure_failure_set(err, &target, &answer);
}

/* Of who asks, or of what he may do. */
static bool is_refusal(const struct http_response *response)
{
    char code[64];
    return response->status == 401 || response->status == 403 ||
           (http_header(response, "x-ms-error-code", code, sizeof(code)) &&
            strcmp(code, "InvalidAuthenticationInfo") == 0);
}

/* Credentials that were changed a moment ago may be refused: once with those that count now. */
static int perform(struct store_azure *azure, const struct ask *ask, struct http_response *response,
                   struct error *err)
{
    CLEANUP(credential_done) struct credential pass = {0};
    if (credentials_get(azure->credentials, &pass, err) < 0)
        return -1;
    if (!azure->safe && pass.kind != CREDENTIAL_AZURE_KEY)
        return error_set(err, ERROR_PERMANENT,
                         "azure.endpoint: a token or a shared access signature would be read by "
                         "others on its way to '%s': use https://",
                         azure->host);
    if (send_request(azure, ask, &pass, response, err) < 0)
        return -1;
    if (is_refusal(response) && credentials_replace(azure->credentials, &pass) &&
        send_request(azure, ask, &pass, response, err) < 0)
        return -1;
    return judge(azure, response, err);
}

static int azure_put(struct store *base, const char *name, const struct store_bytes *bytes,
                     struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {.method = "PUT", .name = name, .bytes = bytes};
    return perform(downcast(base), &ask, &response, err);
}

static int ask_part(struct store *base, const struct store_http_part *part,
                    struct http_response *response, struct error *err)
{
    const struct ask ask = {
        .method = "GET", .name = part->name, .range = part->range, .answer_max = part->size};
    return perform(downcast(base), &ask, response, err);
}

static int azure_get(struct store *base, const char *name, uint64_t offset, uint64_t size,
                     struct buf *data, struct error *err)
{
    struct store_http_part part = {.name = name, .offset = offset, .size = size};
    return store_http_get(base, ask_part, &part, data, err);
}

/* Asks once whether blobs of the container may have a retention of their own. Where the answer is
 * not a clear no, because the service does not say, or not to everybody, each blob is looked at. */
static int learn_locks(struct store_azure *azure, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    CLEANUP(done_texts) struct texts parameters = {0};
    char text[16];
    bool none = false;
    if (azure->locks != STORE_HTTP_LOCKS_UNKNOWN)
        return 0;
    add_text(&parameters, "restype", "=", "container");
    const struct ask ask = {.method = "GET", .parameters = &parameters};
    if (perform(azure, &ask, &response, err) == 0)
        none = http_header(&response, "x-ms-immutable-storage-with-versioning-enabled", text,
                           sizeof(text)) &&
               strcmp(text, "false") == 0;
    else if (err->kind == ERROR_TRANSIENT || err->kind == ERROR_CANCELED || !response.status)
        return -1;
    azure->locks = none ? STORE_HTTP_LOCKS_NONE : STORE_HTTP_LOCKS_POSSIBLE;
    return 0;
}

/* What the headers of a blob say (Get Blob Properties), compared with the store's clock. */
static int64_t lock_of(const struct store_azure *azure, const struct http_response *response)
{
    char text[64];
    int64_t until_ms;
    if (http_header(response, "x-ms-legal-hold", text, sizeof(text)) && strcmp(text, "true") == 0)
        return INT64_MAX;
    if (!http_header(response, "x-ms-immutability-policy-until-date", text, sizeof(text)) ||
        !clock_parse_http(text, &until_ms) ||
        until_ms <= clock_now_ms() + azure->store.clock_skew_ms)
        return 0;
    return until_ms;
}

static int azure_locked_until(struct store *base, const char *name, int64_t *ret_until_ms,
                              struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    struct store_azure *azure = downcast(base);
    const struct ask ask = {.method = "HEAD", .name = name};
    if (learn_locks(azure, err) < 0)
        return -1;
    if (azure->locks == STORE_HTTP_LOCKS_POSSIBLE && perform(azure, &ask, &response, err) == 0)
        *ret_until_ms = lock_of(azure, &response);
    else if (azure->locks == STORE_HTTP_LOCKS_POSSIBLE && err->kind != ERROR_NOT_FOUND)
        return -1;
    return 0;
}

/* A removal that failed: where retention is why, until when, as far as the blob itself tells; a
 * policy of the whole container is told by none of its blobs. */
static int explain_refusal(struct store *base, const char *name,
                           const struct http_response *response, struct error *err)
{
    char text[STORE_LOCK_TEXT_BYTES], code[64];
    struct error ignored;
    int64_t until_ms = 0;
    if (!http_header(response, "x-ms-error-code", code, sizeof(code)) ||
        strcmp(code, "BlobImmutableDueToPolicy") != 0)
        return -1;
    if (azure_locked_until(base, name, &until_ms, &ignored) < 0 || !until_ms)
        return error_set(err, ERROR_CONFLICT, "locked by a policy of the container");
    store_lock_text(until_ms, text);
    return error_set(err, ERROR_CONFLICT, "%s", text);
}

static int azure_remove(struct store *base, const char *name, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {.method = "DELETE", .name = name};
    if (perform(downcast(base), &ask, &response, err) == 0 || err->kind == ERROR_NOT_FOUND)
        return 0;
    return explain_refusal(base, name, &response, err);
}

static int get_page(struct store_azure *azure, const struct store_query *query,
                    struct store_page *ret_page, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    CLEANUP(done_texts) struct texts parameters = {0};
    CLEANUP(own_freep) char *prefix = own_format("%s%s", azure->prefix, query->prefix);
    add_text(&parameters, "comp", "=", "list");
    add_text(&parameters, "restype", "=", "container");
    add_text(&parameters, "maxresults", "=", "1000");
    add_text(&parameters, "prefix", "=", prefix);
    add_text(&parameters, "delimiter", "=", query->depth == STORE_SHALLOW ? "/" : "");
    add_text(&parameters, "marker", "=", query->cursor);
    const struct ask ask = {
        .method = "GET", .parameters = &parameters, .answer_max = XML_DOCUMENT_BYTES_MAX};
    if (perform(azure, &ask, &response, err) < 0) {
        if (err->kind == ERROR_NOT_FOUND)
            error_set(err, ERROR_PERMANENT, "'%s' knows no container '%s'", azure->host,
                      azure->container);
        return -1;
    }
    if (azure_xml_parse_listing(ret_page, response.body.data, response.body.size, err) < 0)
        return error_wrap(err, "answer of '%s'", azure->host);
    if (ret_page->next && query->cursor && strcmp(ret_page->next, query->cursor) == 0) {
        store_page_done(ret_page);
        return error_set(err, ERROR_CORRUPT, "answer of '%s': the listing goes round in circles",
                         azure->host);
    }
    return 0;
}

static int azure_list(struct store *base, struct store_query *query, store_each each, void *arg,
                      struct error *err)
{
    struct store_azure *azure = downcast(base);
    CLEANUP(store_page_done) struct store_page page = {0};
    if (get_page(azure, query, &page, err) < 0)
        return -1;
    own_freep(&query->cursor);
    query->cursor = TAKE(page.next);
    return store_page_give(&page, azure->prefix, each, arg, err);
}

static void azure_close(struct store *base)
{
    struct store_azure *azure = downcast(base);
    http_freep(&azure->http);
    credentials_closep(&azure->credentials);
    free(azure->scheme);
    free(azure->host);
    free(azure->base);
    free(azure->prefix);
    free(azure->account);
    free(azure->container);
    store_done(base);
    free(azure);
}

static void closep(struct store_azure **azure)
{
    if (*azure)
        azure_close(&(*azure)->store);
}

/* The account is the first label of the service's host, or else, as where the host is an address,
 * the first part of the path ("Naming and referencing containers, blobs, and metadata"; Azurite).
 */
static void set_address(struct store_azure *azure, const struct policy_azure *policy)
{
    CLEANUP(own_freep)
    char *public = own_format("https://%s.blob.core.windows.net", policy->account);
    CLEANUP(own_freep) char *label = own_format("%s.", policy->account);
    const char *endpoint = policy->endpoint ? policy->endpoint : public;
    const char *host = strstr(endpoint, "://") + 3;
    azure->safe = token_exchange_is_safe(endpoint);
    azure->scheme = own_format("%.*s", (int)(host - endpoint) - 3, endpoint);
    azure->host = own_strdup(host);
    azure->base = text_starts_with(host, label)
                      ? own_format("/%s", policy->container)
                      : own_format("/%s/%s", policy->account, policy->container);
}

int store_azure_open(struct store **ret_store, const struct policy_region *region,
                     const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    static const struct store_driver driver = {
        .put = azure_put,
        .get = azure_get,
        .list = azure_list,
        .remove = azure_remove,
        .locked_until = azure_locked_until,
        .close = azure_close,
    };
    const struct policy_azure *policy = &region->azure;
    CLEANUP(closep) struct store_azure *azure = own_alloc(sizeof(*azure));
    CLEANUP(own_freep) char *ca_file = NULL;

    store_init(&azure->store, &driver, region->name, cancel);
    set_address(azure, policy);
    azure->prefix = own_format("%s%s", policy->prefix, *policy->prefix ? "/" : "");
    azure->account = own_strdup(policy->account);
    azure->container = own_strdup(policy->container);
    azure->identity = policy->auth != POLICY_AZURE_STATIC;
    if (credentials_open(&azure->credentials, region, secrets, cancel, err) < 0 ||
        secrets_ca_path(secrets, region, &ca_file, err) < 0)
        return -1;
    const struct http_options options = {.cancel = cancel, .ca_file = ca_file};
    if (http_new(&azure->http, &options, err) < 0)
        return -1;
    *ret_store = &TAKE(azure)->store;
    return 0;
}
