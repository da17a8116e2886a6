// SPDX-License-Identifier: Apache-2.0
#include "operator/kube.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http.h"
#include "common/own.h"
#include "operator/kube_config.h"
#include "operator/kube_json.h"
#include "operator/kube_status.h"
#include "operator/kube_stream.h"

enum {
    TIMEOUT_MS = 30000,
    OBJECT_MAX = KUBE_STREAM_LINE_MAX,
    PAGE_MAX = 16 << 20,
    WATCH_GRACE_MS = 30000, /* for the server to end a watch itself */
    WISH_SECONDS_MAX = 300,
};

#define USER_AGENT "User-Agent: lifeboat-operator/" LIFEBOAT_VERSION

struct kube {
    struct kube_config *config;
    struct http *http;
    int timeout_ms;
    _Atomic int64_t retry_at_ms; /* before this time of clock_monotonic_ms the server does not wish
                                    to be asked again */
};

/* One request; what is not set is not sent. */
struct call {
    const char *verb; /* for messages */
    const struct kube_ref *ref;
    const char *method, *content_type;
    const char *path; /* with query */
    const json_t *body;
    size_t response_max;
    struct kube_stream *stream; /* where the answer goes; NULL: kept */
    int timeout_ms;
};

static void note_wish(struct kube *kube, const struct http_response *response)
{
    char text[16];
    if (!http_header(response, "retry-after", text, sizeof(text)) ||
        !isdigit((unsigned char)text[0]))
        return;
    unsigned long seconds = strtoul(text, NULL, 10);
    seconds = seconds < WISH_SECONDS_MAX ? seconds : WISH_SECONDS_MAX;
    kube->retry_at_ms = clock_monotonic_ms() + INT64_C(1000) * (int64_t)seconds;
}

/* "Authorization: Bearer …" with its NUL, or nothing. */
static int format_authorization(struct kube *kube, struct buf *ret_header, struct error *err)
{
    static const char scheme[] = "Authorization: Bearer ";
    CLEANUP(buf_done) struct buf token = BUF_SECRET(KUBE_CONFIG_TOKEN_MAX);
    if (kube_config_token(kube->config, &token, err) < 0)
        return -1;
    if (token.size == 0)
        return 0;
    if (buf_append(ret_header, scheme, sizeof(scheme) - 1, err) < 0 ||
        buf_append(ret_header, token.data, token.size, err) < 0)
        return -1;
    return buf_append(ret_header, "", 1, err);
}

static int feed_stream(void *arg, const void *data, size_t size, struct error *err)
{
    return kube_stream_feed(arg, data, size, err);
}

static int send_request(struct kube *kube, const struct call *call, struct http_response *response,
                        struct error *err)
{
    CLEANUP(buf_done) struct buf authorization = BUF_SECRET(KUBE_CONFIG_TOKEN_MAX + 64);
    if (format_authorization(kube, &authorization, err) < 0)
        return -1;
    CLEANUP(own_freep) char *url = own_format("%s%s", kube_config_server(kube->config), call->path);
    CLEANUP(own_freep) char *type = own_format("Content-Type: %s", call->content_type);
    CLEANUP(own_freep) char *body = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
    const char *headers[5] = {USER_AGENT, "Accept: application/json"};
    size_t count = 2;
    if (body)
        headers[count++] = type;
    if (authorization.size > 0)
        headers[count] = (const char *)authorization.data;
    int timeout_ms = call->timeout_ms ? call->timeout_ms : kube->timeout_ms;
    const struct http_request request = {
        .method = call->method,
        .url = url,
        .headers = headers,
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .response_max = call->response_max,
        /* Where nothing changes, a watch is silent to its end: the API server sends bookmarks only
         * when it has something new to say. Keepalive finds a connection that is dead. */
        .stall_timeout_ms = timeout_ms,
        .timeout_ms = timeout_ms,
        .sink = call->stream ? feed_stream : NULL,
        .sink_arg = call->stream,
    };
    return http_perform(kube->http, &request, response, err);
}

/* 0 with the answer of a success, else what the server said. */
static int perform(struct kube *kube, const struct call *call, struct http_response *response,
                   struct error *err)
{
    if (send_request(kube, call, response, err) < 0)
        return -1;
    if (response->status / 100 == 2)
        return 0;
    note_wish(kube, response);
    if (response->status == 401)
        kube_config_refused(kube->config);
    return kube_status_fail_body(response->status, response->body.data, response->body.size, err);
}

static int parse_object(const struct http_response *response, json_t **ret_object,
                        struct error *err)
{
    char nothing[] = "", *text = response->body.data ? (char *)response->body.data : nothing;
    if (kube_json_parse(text, response->body.size, ret_object, err) < 0)
        return error_wrap(err, "the answer");
    return 0;
}

/* Puts "<verb> <object>: " before the error. -1 */
static int wrap(const struct call *call, struct error *err)
{
    char text[KUBE_TEXT_BYTES];
    kube_ref_format(call->ref, text);
    return error_wrap(err, "%s %s", call->verb, text);
}

/* One request about one object; ret_object may be NULL. */
static int perform_object(struct kube *kube, struct call *call, json_t **ret_object,
                          struct error *err)
{
    CLEANUP(http_response_done) struct http_response response = {0};
    call->response_max = OBJECT_MAX;
    if (perform(kube, call, &response, err) < 0 ||
        (ret_object && parse_object(&response, ret_object, err) < 0))
        return wrap(call, err);
    return 0;
}

/* The server leaves out of the items of a list what the list itself says. */
static void complete_items(const struct kube_resource *resource, json_t *page)
{
    char version[KUBE_VERSION_BYTES];
    size_t index;
    json_t *item;
    kube_api_version(resource, version);
    json_array_foreach(json_object_get(page, "items"), index, item)
    {
        if (json_is_object(item) && !json_object_get(item, "kind")) {
            json_object_set_new(item, "apiVersion", json_string(version));
            json_object_set_new(item, "kind", json_string(resource->kind));
        }
    }
}

static int check_page(const json_t *page, struct error *err)
{
    size_t index;
    json_t *item;
    if (!json_is_array(json_object_get(page, "items")) ||
        !json_is_object(json_object_get(page, "metadata")))
        return error_set(err, ERROR_CORRUPT, "the answer is not a list");
    json_array_foreach(json_object_get(page, "items"), index, item)
    {
        if (!json_is_object(item))
            return error_set(err, ERROR_CORRUPT, "an item of the list is not an object");
    }
    return 0;
}

int kube_new(struct kube **ret_kube, struct kube_config *config, const struct cancel *cancel,
             struct error *err)
{
    CLEANUP(kube_freep) struct kube *kube = own_alloc(sizeof(*kube));
    struct http_options options = {.cancel = cancel};
    kube_config_identify(config, &options);
    kube->config = config;
    kube->timeout_ms = TIMEOUT_MS;
    if (http_new(&kube->http, &options, err) < 0)
        return -1;
    *ret_kube = TAKE(kube);
    return 0;
}

void kube_freep(struct kube **kube)
{
    if (!*kube)
        return;
    http_freep(&(*kube)->http);
    own_freep(kube);
}

void kube_set_timeout(struct kube *kube, int timeout_ms)
{
    kube->timeout_ms = timeout_ms;
}

uint32_t kube_wish_ms(const struct kube *kube)
{
    int64_t left = kube->retry_at_ms - clock_monotonic_ms();
    return left < 0 ? 0 : (uint32_t)left;
}

int kube_get(struct kube *kube, const struct kube_ref *ref, json_t **ret_object, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path(ref);
    struct call call = {.verb = "get", .ref = ref, .method = "GET", .path = path};
    return perform_object(kube, &call, ret_object, err);
}

int kube_create(struct kube *kube, const struct kube_ref *collection, const json_t *object,
                json_t **ret_object, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_write(collection, false);
    struct call call = {.verb = "create",
                        .ref = collection,
                        .method = "POST",
                        .path = path,
                        .content_type = "application/json",
                        .body = object};
    return perform_object(kube, &call, ret_object, err);
}

int kube_update(struct kube *kube, const struct kube_ref *ref, const json_t *object,
                json_t **ret_object, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_write(ref, false);
    struct call call = {.verb = "update",
                        .ref = ref,
                        .method = "PUT",
                        .path = path,
                        .content_type = "application/json",
                        .body = object};
    return perform_object(kube, &call, ret_object, err);
}

int kube_merge_patch(struct kube *kube, const struct kube_ref *ref, const json_t *patch,
                     json_t **ret_object, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_write(ref, false);
    struct call call = {.verb = "patch",
                        .ref = ref,
                        .method = "PATCH",
                        .path = path,
                        .content_type = "application/merge-patch+json",
                        .body = patch};
    return perform_object(kube, &call, ret_object, err);
}

int kube_apply(struct kube *kube, const struct kube_ref *ref, const json_t *object,
               json_t **ret_object, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_write(ref, true);
    struct call call = {.verb = "apply",
                        .ref = ref,
                        .method = "PATCH",
                        .path = path,
                        .content_type = "application/apply-patch+yaml", /* JSON is YAML */
                        .body = object};
    return perform_object(kube, &call, ret_object, err);
}

int kube_delete(struct kube *kube, const struct kube_ref *ref, const char *uid, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path(ref);
    json_auto_t *options = json_pack("{s:s, s:s, s:s}", "apiVersion", "v1", "kind", "DeleteOptions",
                                     "propagationPolicy", "Background");
    if (uid)
        json_object_set_new(options, "preconditions", json_pack("{s:s}", "uid", uid));
    struct call call = {.verb = "delete",
                        .ref = ref,
                        .method = "DELETE",
                        .path = path,
                        .content_type = "application/json",
                        .body = options};
    return perform_object(kube, &call, NULL, err);
}

int kube_list(struct kube *kube, const struct kube_list *list, json_t **ret_page,
              enum kube_list_outcome *ret_outcome, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_list(list);
    CLEANUP(http_response_done) struct http_response response = {0};
    json_auto_t *page = NULL;
    const struct call call = {.verb = "list",
                              .ref = &list->collection,
                              .method = "GET",
                              .path = path,
                              .response_max = PAGE_MAX};
    int result = perform(kube, &call, &response, err);
    bool too_large = result < 0 && response.status == 200 && err->kind == ERROR_PERMANENT;
    *ret_outcome = response.status == KUBE_STATUS_GONE ? KUBE_LIST_EXPIRED
                   : too_large                         ? KUBE_LIST_TOO_LARGE
                                                       : KUBE_LIST_DONE;
    if (*ret_outcome != KUBE_LIST_DONE)
        return 0;
    if (result < 0 || parse_object(&response, &page, err) < 0 || check_page(page, err) < 0)
        return wrap(&call, err);
    complete_items(list->collection.resource, page);
    *ret_page = TAKE(page);
    return 0;
}

int kube_watch(struct kube *kube, const struct kube_watch *watch, kube_on_event on_event, void *arg,
               enum kube_watch_outcome *ret_outcome, struct error *err)
{
    CLEANUP(own_freep) char *path = kube_path_watch(watch);
    CLEANUP(http_response_done) struct http_response response = {0};
    CLEANUP(kube_stream_done) struct kube_stream stream;
    kube_stream_init(&stream, on_event, arg);
    const struct call call = {.verb = "watch",
                              .ref = &watch->collection,
                              .method = "GET",
                              .path = path,
                              .response_max = OBJECT_MAX,
                              .stream = &stream,
                              .timeout_ms = (int)watch->timeout_seconds * 1000 + WATCH_GRACE_MS};
    int result = perform(kube, &call, &response, err);
    bool expired = response.status == KUBE_STATUS_GONE || stream.expired;
    *ret_outcome = expired ? KUBE_WATCH_EXPIRED : KUBE_WATCH_ENDED;
    if (expired)
        return 0;
    if (result < 0 || kube_stream_end(&stream, err) < 0)
        return wrap(&call, err);
    return 0;
}
