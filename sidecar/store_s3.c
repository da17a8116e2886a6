// SPDX-License-Identifier: Apache-2.0
#include "sidecar/store_s3.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/credential.h"
#include "sidecar/credentials.h"
#include "sidecar/policy.h"
#include "sidecar/s3_failure.h"
#include "sidecar/s3_xml.h"
#include "sidecar/secrets.h"
#include "sidecar/sigv4.h"
#include "sidecar/store.h"
#include "sidecar/store_http.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

enum {
    ANSWER_BYTES = 64 * 1024, /* room for an error document, whatever was asked for */
    HEADERS_MAX = 14,         /* of a request */
    DAY_MS = 24 * 60 * 60 * 1000,
    HEX_BYTES = 2 * DIGEST_BYTES + 1,
};

/* Whether the service refuses a put of a name that exists (If-None-Match: *). */
enum promise { PROMISE_UNKNOWN, PROMISE_TRYING, PROMISE_KEPT, PROMISE_BROKEN };

struct store_s3 {
    struct store store;
    struct http *http;
    char *scheme; /* "https" */
    char *host;   /* as in the header Host, with the bucket in front in virtual-host style */
    char *base;   /* path before keys: "/" or "/bucket/" */
    char *prefix; /* before names: "" or "some/where/" */
    char *bucket, *region, *storage_class, *server_side_encryption, *kms_key;
    struct credentials *credentials;
    bool by_role;          /* they are no keys of the Secret */
    const char *lock_mode; /* of what is put, lent; NULL: the bucket's */
    unsigned lock_days;
    _Atomic(enum store_http_locks) locks;
    _Atomic(enum promise) promise;
    atomic_bool needs_checksum; /* of what is put: buckets with Object Lock */
};

/* A request; what is NULL or zero is not there. */
struct ask {
    const char *method;
    const char *name;  /* of an object; NULL: the bucket itself */
    const char *query; /* percent-encoded */
    const struct store_bytes *bytes;
    const char *if_none_match;
    const char *range;
    size_t answer_max;
    const struct credential *key; /* set by perform */
};

/* Headers as they are signed and sent; owns its texts. */
struct headers {
    const char *items[HEADERS_MAX + 1];
    size_t count;
};

static struct store_s3 *downcast(struct store *store)
{
    return (struct store_s3 *)store;
}

static void done_headers(struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        own_freep(&headers->items[i]);
}

/* Does nothing if there is no value. */
static void add_header(struct headers *headers, const char *name, const char *value)
{
    if (value && *value)
        headers->items[headers->count++] = own_format("%s: %s", name, value);
}

/* The end of the retention that the policy says, by the store's clock. */
static void add_lock(const struct store_s3 *s3, struct headers *headers)
{
    char until[CLOCK_TEXT_BYTES];
    if (!s3->lock_mode)
        return;
    clock_format(clock_now_ms() + s3->store.clock_skew_ms + (int64_t)s3->lock_days * DAY_MS, until);
    add_header(headers, "x-amz-object-lock-mode", s3->lock_mode);
    add_header(headers, "x-amz-object-lock-retain-until-date", until);
}

/* All headers but the signature, which is made of them. */
static void make_headers(const struct store_s3 *s3, const struct ask *ask, const char *time,
                         const char *payload_hash, struct headers *headers)
{
    add_header(headers, "Host", s3->host);
    add_header(headers, "x-amz-date", time);
    add_header(headers, "x-amz-content-sha256", payload_hash);
    add_header(headers, "x-amz-security-token", credential_text(&ask->key->session));
    add_header(headers, "Range", ask->range);
    add_header(headers, "If-None-Match", ask->if_none_match);
    if (ask->bytes) {
        CLEANUP(own_freep) char *checksum = text_base64(ask->bytes->sha256, DIGEST_BYTES);
        add_header(headers, "x-amz-checksum-sha256", s3->needs_checksum ? checksum : NULL);
        add_header(headers, "x-amz-storage-class", s3->storage_class);
        add_header(headers, "x-amz-server-side-encryption", s3->server_side_encryption);
        add_header(headers, "x-amz-server-side-encryption-aws-kms-key-id", s3->kms_key);
        if (!ask->bytes->passing)
            add_lock(s3, headers);
    }
}

static void sign(const struct store_s3 *s3, const struct ask *ask, const char *path,
                 struct headers *headers)
{
    const struct sigv4_signer signer = {
        .access_key_id = credential_text(&ask->key->id),
        .secret_access_key = credential_text(&ask->key->secret),
        .region = s3->region,
        .service = "s3",
    };
    uint8_t hash[DIGEST_BYTES];
    char hex[HEX_BYTES], time[CLOCK_TEXT_BYTES];
    digest_sha256("", 0, hash);
    text_hex(ask->bytes ? ask->bytes->sha256 : hash, DIGEST_BYTES, hex);
    clock_format_basic(clock_now_ms(), time);
    make_headers(s3, ask, time, hex, headers);
    const struct sigv4_request request = {
        .method = ask->method,
        .path = path,
        .query = ask->query ? ask->query : "",
        .headers = headers->items,
        .payload_hash = hex,
        .time = time,
    };
    CLEANUP(own_freep) char *authorization = sigv4_authorization(&signer, &request);
    add_header(headers, "Authorization", authorization);
}

static int send_request(struct store_s3 *s3, const struct ask *ask, struct http_response *response,
                        struct error *err)
{
    CLEANUP(done_headers) struct headers headers = {0};
    CLEANUP(own_freep)
    char *key = ask->name ? own_format("%s%s", s3->prefix, ask->name) : own_strdup("");
    CLEANUP(own_freep) char *encoded = text_percent(key, true);
    CLEANUP(own_freep) char *path = own_format("%s%s", s3->base, encoded);
    CLEANUP(own_freep)
    char *url = own_format("%s://%s%s%s%s", s3->scheme, s3->host, path, ask->query ? "?" : "",
                           ask->query ? ask->query : "");
    sign(s3, ask, path, &headers);
    const struct http_request request = {
        .method = ask->method,
        .url = url,
        .headers = headers.items,
        .body = ask->bytes ? (ask->bytes->size > 0 ? ask->bytes->data : "") : NULL,
        .body_size = ask->bytes ? ask->bytes->size : 0,
        .response_max = ask->answer_max > ANSWER_BYTES ? ask->answer_max : ANSWER_BYTES,
        .send_limit = &s3->store.put_limit,
        .receive_limit = &s3->store.get_limit,
        .progress = store_http_note_move,
        .progress_arg = &s3->store,
    };
    return http_perform(s3->http, &request, response, err);
}

/* One request with one key; ret_refused tells, with an error, whether another key may help. */
static int attempt(struct store_s3 *s3, const struct ask *ask, struct http_response *response,
                   bool *ret_refused, struct error *err)
{
    char bucket_region[64];
    const struct s3_target target = {s3->host, s3->bucket, s3->region, s3->by_role};
    *ret_refused = false;
    if (send_request(s3, ask, response, err) < 0)
        return error_wrap(err, "bucket '%s'", s3->bucket);
    store_http_note_clock(&s3->store, response);
    const struct s3_answer answer = {
        .status = response->status,
        .body = response->body.data,
        .size = response->body.size,
        .bucket_region =
            http_header(response, "x-amz-bucket-region", bucket_region, sizeof(bucket_region)),
        .clock_skew_ms = s3->store.clock_skew_ms,
    };
    if (s3_failure_is_none(&answer))
        return 0;
    store_http_note_wish(&s3->store, response);
    *ret_refused = s3_failure_is_refusal(&answer);
    return s3_failure_set(err, &target, &answer);
}

/* 0 with an answer of success; else the error tells what S3 said. What was refused is sent once
 * more if there are other credentials by now. */
static int perform(struct store_s3 *s3, const struct ask *ask, struct http_response *response,
                   struct error *err)
{
    CLEANUP(credential_done) struct credential key = {0};
    struct ask signed_ask = *ask;
    bool refused;
    signed_ask.key = &key;
    if (credentials_get(s3->credentials, &key, err) < 0)
        return -1;
    int result = attempt(s3, &signed_ask, response, &refused, err);
    if (result < 0 && refused && credentials_replace(s3->credentials, &key))
        result = attempt(s3, &signed_ask, response, &refused, err);
    return result;
}

/* 1, 0 or -1 */
static int exists(struct store_s3 *s3, const char *name, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {.method = "HEAD", .name = name};
    if (perform(s3, &ask, &response, err) == 0)
        return 1;
    return err->kind == ERROR_NOT_FOUND ? 0 : -1;
}

/* "InvalidRequest: Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests
 * with Object Lock parameters". Not every service knows that header, so it is sent only then. */
static bool wants_checksum(const struct http_response *response)
{
    struct s3_xml_error error;
    return response->status == 400 &&
           s3_xml_parse_error(&error, response->body.data, response->body.size) &&
           strcmp(error.code, "InvalidRequest") == 0;
}

/* With ret_unable only if there is no such object yet; it becomes true, along with an error, where
 * the service says that it cannot do that. */
static int put_object(struct store_s3 *s3, const char *name, const struct store_bytes *bytes,
                      bool *ret_unable, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {
        .method = "PUT",
        .name = name,
        .bytes = bytes,
        .if_none_match = ret_unable ? "*" : NULL,
    };
    int result = perform(s3, &ask, &response, err);
    if (result < 0 && !s3->needs_checksum && wants_checksum(&response)) {
        s3->needs_checksum = true;
        result = perform(s3, &ask, &response, err);
    }
    if (ret_unable)
        *ret_unable = result < 0 && response.status == 501;
    return result;
}

static void break_promise(struct store_s3 *s3)
{
    if (atomic_exchange(&s3->promise, PROMISE_BROKEN) != PROMISE_BROKEN)
        log_warn("Found a store without conditional puts, looking before each put instead",
                 S("region", s3->store.region), S("host", s3->host), S("bucket", s3->bucket));
}

/* Puts once more what was just put, so that nothing can be lost: a service that keeps its promise
 * refuses. */
static void try_promise(struct store_s3 *s3, const char *name, const struct store_bytes *bytes)
{
    struct error err;
    bool unable;
    enum promise unknown = PROMISE_UNKNOWN;
    if (!atomic_compare_exchange_strong(&s3->promise, &unknown, PROMISE_TRYING))
        return;
    if (put_object(s3, name, bytes, &unable, &err) == 0 || unable)
        break_promise(s3);
    else
        s3->promise = err.kind == ERROR_CONFLICT ? PROMISE_KEPT : PROMISE_UNKNOWN;
}

static int s3_put(struct store *base, const char *name, const struct store_bytes *bytes,
                  struct error *err)
{
    struct store_s3 *s3 = downcast(base);
    enum promise promise = s3->promise;
    bool unable = promise == PROMISE_BROKEN;
    int there = promise == PROMISE_KEPT ? 0 : exists(s3, name, err);
    if (there > 0)
        return error_set(err, ERROR_CONFLICT, "the object exists already");
    if (there < 0)
        return -1;
    if (!unable && put_object(s3, name, bytes, &unable, err) == 0) {
        try_promise(s3, name, bytes);
        return 0;
    }
    if (!unable)
        return -1;
    break_promise(s3);
    return put_object(s3, name, bytes, NULL, err);
}

static int ask_part(struct store *base, const struct store_http_part *part,
                    struct http_response *response, struct error *err)
{
    const struct ask ask = {
        .method = "GET", .name = part->name, .range = part->range, .answer_max = part->size};
    return perform(downcast(base), &ask, response, err);
}

static int s3_get(struct store *base, const char *name, uint64_t offset, uint64_t size,
                  struct buf *data, struct error *err)
{
    struct store_http_part part = {.name = name, .offset = offset, .size = size};
    return store_http_get(base, ask_part, &part, data, err);
}

/* Asks once whether the bucket has Object Lock. Where the answer is not a clear no, because the
 * service does not know the question or not everybody may ask it, each object is looked at. */
static int learn_locks(struct store_s3 *s3, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {.method = "GET", .query = "object-lock"};
    struct s3_xml_error error;
    bool enabled;
    if (s3->locks != STORE_HTTP_LOCKS_UNKNOWN)
        return 0;
    if (perform(s3, &ask, &response, err) == 0)
        enabled =
            s3_xml_parse_lock(&enabled, response.body.data, response.body.size, err) < 0 || enabled;
    else if (err->kind == ERROR_TRANSIENT || err->kind == ERROR_CANCELED || !response.status)
        return -1;
    else
        enabled = !s3_xml_parse_error(&error, response.body.data, response.body.size) ||
                  strcmp(error.code, "ObjectLockConfigurationNotFoundError") != 0;
    s3->locks = enabled ? STORE_HTTP_LOCKS_POSSIBLE : STORE_HTTP_LOCKS_NONE;
    return 0;
}

/* What the headers of an object say (HeadObject), compared with the store's clock. */
static int64_t lock_of(const struct store_s3 *s3, const struct http_response *response)
{
    char text[64];
    int64_t until_ms;
    if (http_header(response, "x-amz-object-lock-legal-hold", text, sizeof(text)) &&
        strcmp(text, "ON") == 0)
        return INT64_MAX;
    if (!http_header(response, "x-amz-object-lock-retain-until-date", text, sizeof(text)) ||
        !clock_parse(text, &until_ms) || until_ms <= clock_now_ms() + s3->store.clock_skew_ms)
        return 0;
    return until_ms;
}

static int s3_locked_until(struct store *base, const char *name, int64_t *ret_until_ms,
                           struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    struct store_s3 *s3 = downcast(base);
    const struct ask ask = {.method = "HEAD", .name = name};
    if (learn_locks(s3, err) < 0)
        return -1;
    if (s3->locks == STORE_HTTP_LOCKS_POSSIBLE && perform(s3, &ask, &response, err) == 0)
        *ret_until_ms = lock_of(s3, &response);
    else if (s3->locks == STORE_HTTP_LOCKS_POSSIBLE && err->kind != ERROR_NOT_FOUND)
        return -1;
    return 0;
}

/* Whether retention is why the store refuses to remove an object: the codes that services have for
 * it have other meanings as well. */
static int explain_refusal(struct store_s3 *s3, const char *name,
                           const struct http_response *response, struct error *err)
{
    char text[STORE_LOCK_TEXT_BYTES];
    struct s3_xml_error error = {0};
    struct error ignored;
    int64_t until_ms = 0;
    if (!s3_xml_parse_error(&error, response->body.data, response->body.size) ||
        (strcmp(error.code, "AccessDenied") != 0 && strcmp(error.code, "InvalidRequest") != 0))
        return -1;
    if (s3_locked_until(&s3->store, name, &until_ms, &ignored) < 0 || !until_ms)
        return -1;
    store_lock_text(until_ms, text);
    return error_set(err, ERROR_CONFLICT, "%s", text);
}

static int s3_remove(struct store *base, const char *name, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    const struct ask ask = {.method = "DELETE", .name = name};
    if (perform(downcast(base), &ask, &response, err) == 0 || err->kind == ERROR_NOT_FOUND)
        return 0;
    return explain_refusal(downcast(base), name, &response, err);
}

static char *list_query(const struct store_s3 *s3, const struct store_query *query)
{
    CLEANUP(own_freep) char *prefix = own_format("%s%s", s3->prefix, query->prefix);
    CLEANUP(own_freep) char *encoded = text_percent(prefix, false);
    CLEANUP(own_freep)
    char *cursor = text_percent(query->cursor ? query->cursor : "", false);
    return own_format("list-type=2&encoding-type=url&prefix=%s%s%s%s", encoded,
                      query->depth == STORE_SHALLOW ? "&delimiter=%2F" : "",
                      query->cursor ? "&continuation-token=" : "", cursor);
}

static int get_page(struct store_s3 *s3, const struct store_query *query,
                    struct store_page *ret_page, struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    CLEANUP(own_freep) char *text = list_query(s3, query);
    const struct ask ask = {.method = "GET", .query = text, .answer_max = XML_DOCUMENT_BYTES_MAX};
    if (perform(s3, &ask, &response, err) < 0) {
        if (err->kind == ERROR_NOT_FOUND)
            error_set(err, ERROR_PERMANENT, "'%s' knows no bucket '%s'", s3->host, s3->bucket);
        return -1;
    }
    if (s3_xml_parse_listing(ret_page, response.body.data, response.body.size, err) < 0)
        return error_wrap(err, "answer of '%s'", s3->host);
    if (ret_page->next && query->cursor && strcmp(ret_page->next, query->cursor) == 0) {
        store_page_done(ret_page);
        return error_set(err, ERROR_CORRUPT, "answer of '%s': the listing goes round in circles",
                         s3->host);
    }
    return 0;
}

static int s3_list(struct store *base, struct store_query *query, store_each each, void *arg,
                   struct error *err)
{
    struct store_s3 *s3 = downcast(base);
    CLEANUP(store_page_done) struct store_page page = {0};
    if (get_page(s3, query, &page, err) < 0)
        return -1;
    own_freep(&query->cursor);
    query->cursor = TAKE(page.next);
    return store_page_give(&page, s3->prefix, each, arg, err);
}

static void s3_close(struct store *base)
{
    struct store_s3 *s3 = downcast(base);
    http_freep(&s3->http);
    credentials_closep(&s3->credentials);
    free(s3->scheme);
    free(s3->host);
    free(s3->base);
    free(s3->prefix);
    free(s3->bucket);
    free(s3->region);
    free(s3->storage_class);
    free(s3->server_side_encryption);
    free(s3->kms_key);
    store_done(base);
    free(s3);
}

static void closep(struct store_s3 **s3)
{
    if (*s3)
        s3_close(&(*s3)->store);
}

/* The service's host, its scheme and the style of addressing. A bucket with dots fits no wildcard
 * certificate, so it never becomes part of the host. */
static void set_address(struct store_s3 *s3, const struct policy_s3 *policy)
{
    CLEANUP(own_freep)
    char *amazon = own_format("https://s3.%s.amazonaws.com%s", policy->region,
                              text_starts_with(policy->region, "cn-") ? ".cn" : "");
    const char *endpoint = policy->endpoint ? policy->endpoint : amazon;
    const char *host = strstr(endpoint, "://") + 3;
    bool path_style = policy->path_style || strchr(policy->bucket, '.');
    s3->scheme = own_format("%.*s", (int)(host - endpoint) - 3, endpoint);
    s3->host = own_format("%s%s%s", path_style ? "" : policy->bucket, path_style ? "" : ".", host);
    s3->base = path_style ? own_format("/%s/", policy->bucket) : own_strdup("/");
}

int store_s3_open(struct store **ret_store, const struct policy_region *region,
                  const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    static const struct store_driver driver = {
        .put = s3_put,
        .get = s3_get,
        .list = s3_list,
        .remove = s3_remove,
        .locked_until = s3_locked_until,
        .close = s3_close,
    };
    const struct policy_s3 *policy = &region->s3;
    CLEANUP(closep) struct store_s3 *s3 = own_alloc(sizeof(*s3));
    CLEANUP(own_freep) char *ca_file = NULL;

    store_init(&s3->store, &driver, region->name, cancel);
    set_address(s3, policy);
    s3->prefix = own_format("%s%s", policy->prefix, *policy->prefix ? "/" : "");
    s3->bucket = own_strdup(policy->bucket);
    s3->region = own_strdup(policy->region);
    s3->storage_class = own_strdup(policy->storage_class);
    s3->server_side_encryption = own_strdup(policy->server_side_encryption);
    s3->kms_key = own_strdup(policy->kms_key);
    s3->by_role = policy->auth != POLICY_S3_STATIC;
    s3->lock_mode = policy->lock_mode;
    s3->lock_days = policy->lock_days;
    s3->needs_checksum = policy->lock_mode != NULL;
    if (credentials_open(&s3->credentials, region, secrets, cancel, err) < 0 ||
        secrets_ca_path(secrets, region, &ca_file, err) < 0)
        return -1;
    const struct http_options options = {.cancel = cancel, .ca_file = ca_file};
    if (http_new(&s3->http, &options, err) < 0)
        return -1;
    *ret_store = &TAKE(s3)->store;
    return 0;
}
