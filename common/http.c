// SPDX-License-Identifier: Apache-2.0
#include "common/http.h"

#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "common/throttle.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    STALL_TIMEOUT_MS = 30000,
    WAKE_MS = 1000, /* how late a stall is noticed at most */
    /* a connection whose other end is gone is noticed after idle + 9 × interval (tcp(7)) */
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    HEADERS_MAX = 64 * 1024,
    TRANSFER_BUFFER_BYTES = 256 * 1024,
    HOST_BYTES = 256,
};

/* A handle with its own connections. libcurl cannot share connections between handles that are
 * used by several threads at once, but a handle that is kept keeps its connections. */
struct session {
    CURL *easy;
    CURLM *multi;
    struct session *next;
};

struct http {
    const struct cancel *cancel;
    char *ca_file;
    const char *ca_pem, *certificate_pem, *key_pem;
    bool direct;
    int connect_timeout_ms, stall_timeout_ms;
    pthread_mutex_t lock;
    struct session *idle; /* the last one used first: its connections are most likely alive */
};

/* One request on its way. */
struct transfer {
    const struct http *http;
    const struct http_request *request;
    struct http_response *response;
    CURL *easy;
    int stall_timeout_ms;
    size_t sent; /* bytes of the body that libcurl took */
    curl_off_t moved;
    int64_t moved_at_ms;
    struct error failure; /* of a callback; kind is ERROR_NONE without */
    char curl_text[CURL_ERROR_SIZE];
};

struct verdict {
    CURLcode code;
    enum error_kind kind;
    const char *remedy;
};

static void initialise_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

static void session_free(struct session *session)
{
    curl_easy_cleanup(session->easy);
    curl_multi_cleanup(session->multi);
    free(session);
}

static struct session *take_session(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    struct session *session = http->idle;
    if (session)
        http->idle = session->next;
    pthread_mutex_unlock(&http->lock);
    if (session)
        return session;
    session = own_alloc(sizeof(*session));
    session->easy = curl_easy_init();
    session->multi = curl_multi_init();
    if (!session->easy || !session->multi)
        abort(); /* out of memory */
    return session;
}

static void give_session(struct http *http, struct session *session)
{
    curl_easy_reset(session->easy); /* forgets the request, keeps the connections */
    pthread_mutex_lock(&http->lock);
    session->next = http->idle;
    http->idle = session;
    pthread_mutex_unlock(&http->lock);
}

static size_t on_header(char *line, size_t unit, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    struct buf *headers = &transfer->response->headers;
    size_t size = unit * count, whole = size;
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\n'))
        size--;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
        buf_clear(headers); /* those of an interim answer (1xx) do not count */
    const char *colon = memchr(line, ':', size);
    if (!colon)
        return whole;
    for (char *c = line; c < colon; c++)
        *c = (char)tolower((unsigned char)*c);
    if (buf_append(headers, line, size, &transfer->failure) < 0 ||
        buf_append(headers, "\n", 1, &transfer->failure) < 0) {
        error_wrap(&transfer->failure, "response headers");
        return 0;
    }
    return whole;
}

/* Keeps a piece of a body; room for all of it is made at once where its size is known. */
static int keep(struct transfer *transfer, const char *data, size_t size)
{
    struct buf *body = &transfer->response->body;
    curl_off_t length = 0;
    uint8_t *space;
    if (body->size == 0 &&
        curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) ==
            CURLE_OK &&
        length > 0 && buf_reserve(body, (size_t)length, &space, &transfer->failure) < 0)
        return -1;
    return buf_append(body, data, size, &transfer->failure);
}

/* Waits until the next part of *size bytes may move. */
static int pace(struct transfer *transfer, struct throttle *limit, size_t *size)
{
    if (!limit)
        return 0;
    int result = throttle_wait(limit, size, transfer->http->cancel, &transfer->failure);
    transfer->moved_at_ms = clock_monotonic_ms(); /* our own waiting is no stall */
    return result;
}

static int pace_all(struct transfer *transfer, struct throttle *limit, size_t size)
{
    for (size_t done = 0, part; limit && done < size; done += part) {
        part = size - done;
        if (pace(transfer, limit, &part) < 0)
            return -1;
    }
    return 0;
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    const struct http_request *request = transfer->request;
    size_t size = unit * count;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (pace_all(transfer, request->receive_limit, size) < 0)
        return 0;
    if (request->sink && status / 100 == 2)
        return request->sink(request->sink_arg, data, size, &transfer->failure) < 0 ? 0 : size;
    if (keep(transfer, data, size) < 0) {
        error_wrap(&transfer->failure, "response");
        return 0;
    }
    return size;
}

static size_t on_upload(char *space, size_t unit, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t left = transfer->request->body_size - transfer->sent, size = unit * count;
    if (size > left)
        size = left;
    if (pace(transfer, transfer->request->send_limit, &size) < 0)
        return CURL_READFUNC_ABORT;
    if (size > 0)
        memcpy(space, (const uint8_t *)transfer->request->body + transfer->sent, size);
    transfer->sent += size;
    return size;
}

/* libcurl would send a body again by itself when a reused connection breaks before the answer. The
 * first one may have taken effect; the caller must know that, so it decides itself what to do. */
static int on_rewind(void *arg, curl_off_t offset, int origin)
{
    (void)arg, (void)offset, (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

static int on_progress(void *arg, curl_off_t download_total, curl_off_t downloaded,
                       curl_off_t upload_total, curl_off_t uploaded)
{
    struct transfer *transfer = arg;
    (void)download_total, (void)upload_total;
    curl_off_t moved = downloaded + uploaded;
    if (moved == transfer->moved)
        return 0;
    if (moved > transfer->moved && transfer->request->progress)
        transfer->request->progress(transfer->request->progress_arg,
                                    (size_t)(moved - transfer->moved));
    transfer->moved = moved;
    transfer->moved_at_ms = clock_monotonic_ms();
    return 0;
}

static void freep_slist(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(list, header);
    if (!longer)
        abort(); /* out of memory */
    return longer;
}

static struct curl_slist *header_list(const struct http_request *request)
{
    /* Waiting for "100 Continue" costs a round trip, and a second where a server does not know it
     */
    struct curl_slist *list = add_header(NULL, "Expect:");
    for (const char *const *header = request->headers; header && *header; header++)
        list = add_header(list, *header);
    return list;
}

static void set_method(CURL *easy, struct transfer *transfer)
{
    const struct http_request *request = transfer->request;
    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
    }
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = {.len = pem ? strlen(pem) : 0, .flags = CURL_BLOB_NOCOPY};
    if (!pem)
        return;
    memcpy(&blob.data, &pem, sizeof(pem)); /* only read, though not declared so */
    curl_easy_setopt(easy, option, &blob);
}

static void set_identities(CURL *easy, const struct http *http)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (http->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    set_pem(easy, CURLOPT_CAINFO_BLOB, http->ca_pem);
    if (http->ca_file || http->ca_pem)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else the system's count as well */
    set_pem(easy, CURLOPT_SSLCERT_BLOB, http->certificate_pem);
    set_pem(easy, CURLOPT_SSLKEY_BLOB, http->key_pem);
}

static void set_options(CURL *easy, struct transfer *transfer, struct curl_slist *headers)
{
    const struct http *http = transfer->http;
    curl_easy_setopt(easy, CURLOPT_URL, transfer->request->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* signed as it is */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set_identities(easy, http);
    if (http->direct)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)transfer->request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "lifeboat/" LIFEBOAT_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
    set_method(easy, transfer);
}

/* "host:port" of a URL, as it is written there */
static void host_of(const char *url, char ret_host[HOST_BYTES])
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t size = strcspn(start, "/?#");
    if (size >= HOST_BYTES)
        size = HOST_BYTES - 1;
    memcpy(ret_host, start, size);
    ret_host[size] = '\0';
}

static const struct verdict *judge(CURLcode code)
{
    static const char dns[] = "; check the host's name and DNS";
    static const char route[] = "; check host, port and the network between";
    static const char ca[] = "; check that the CA given is the one that signed this certificate";
    static const struct verdict verdicts[] = {
        {CURLE_COULDNT_RESOLVE_HOST, ERROR_TRANSIENT, dns},
        {CURLE_COULDNT_RESOLVE_PROXY, ERROR_TRANSIENT, dns},
        {CURLE_COULDNT_CONNECT, ERROR_TRANSIENT, route},
        {CURLE_OPERATION_TIMEDOUT, ERROR_TRANSIENT, route},
        {CURLE_PROXY, ERROR_TRANSIENT, "; check the proxy"},
        {CURLE_SSL_CONNECT_ERROR, ERROR_TRANSIENT, "; check that this port speaks TLS"},
        {CURLE_SEND_ERROR, ERROR_TRANSIENT, ""},
        {CURLE_RECV_ERROR, ERROR_TRANSIENT, ""},
        {CURLE_SEND_FAIL_REWIND, ERROR_TRANSIENT, ""},
        {CURLE_GOT_NOTHING, ERROR_TRANSIENT, ""},
        {CURLE_PARTIAL_FILE, ERROR_TRANSIENT, ""},
        {CURLE_WEIRD_SERVER_REPLY, ERROR_TRANSIENT, ""},
        {CURLE_PEER_FAILED_VERIFICATION, ERROR_PERMANENT, ca},
        {CURLE_SSL_CACERT_BADFILE, ERROR_PERMANENT, "; check that the CA is PEM"},
        {CURLE_SSL_CERTPROBLEM, ERROR_PERMANENT, "; check our certificate and its key"},
        {CURLE_OK, ERROR_PERMANENT, ""}, /* all others */
    };
    const struct verdict *verdict = verdicts;
    while (verdict->code != code && verdict->code != CURLE_OK)
        verdict++;
    return verdict;
}

static int explain(const struct transfer *transfer, CURLcode code, struct error *err)
{
    char host[HOST_BYTES];
    host_of(transfer->request->url, host);
    const struct verdict *verdict = judge(code);
    const char *text = transfer->curl_text[0] ? transfer->curl_text : curl_easy_strerror(code);
    if (transfer->failure.kind != ERROR_NONE)
        return error_set(err, transfer->failure.kind, "request to '%s': %s", host,
                         transfer->failure.text);
    if (code == CURLE_SEND_FAIL_REWIND)
        text = "connection broke before the answer";
    return error_set(err, verdict->kind, "request to '%s': %s%s", host, text, verdict->remedy);
}

static int check_stall(const struct transfer *transfer, struct error *err)
{
    char host[HOST_BYTES];
    if (clock_monotonic_ms() - transfer->moved_at_ms < transfer->stall_timeout_ms)
        return 0;
    host_of(transfer->request->url, host);
    return error_set(err, ERROR_TRANSIENT, "request to '%s': nothing moved for %d ms", host,
                     transfer->stall_timeout_ms);
}

/* Drives the transfer to its end; a multi handle, because its poll also waits for the cancel. */
static int drive(struct session *session, struct transfer *transfer, struct error *err)
{
    const struct http *http = transfer->http;
    struct curl_waitfd stop[CANCEL_FDS];
    int fds[CANCEL_FDS];
    unsigned stops = (unsigned)cancel_fds(http->cancel, fds);
    int wake_ms = transfer->stall_timeout_ms < WAKE_MS ? transfer->stall_timeout_ms : WAKE_MS;
    int running = 1, left;
    for (unsigned i = 0; i < stops; i++)
        stop[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    transfer->moved_at_ms = clock_monotonic_ms();
    for (;;) {
        CURLMcode code = curl_multi_perform(session->multi, &running);
        if (code == CURLM_OK && !running)
            break;
        if (cancel_check(http->cancel, err) < 0 || check_stall(transfer, err) < 0)
            return -1;
        if (code == CURLM_OK)
            code = curl_multi_poll(session->multi, stop, stops, wake_ms, NULL);
        if (code != CURLM_OK)
            return error_set(err, ERROR_TRANSIENT, "drive request: %s", curl_multi_strerror(code));
    }
    CURLMsg *done = curl_multi_info_read(session->multi, &left);
    CURLcode result = done ? done->data.result : CURLE_RECV_ERROR;
    return result == CURLE_OK ? 0 : explain(transfer, result, err);
}

int http_new(struct http **ret_http, const struct http_options *options, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise_curl);
    if (options->ca_file && access(options->ca_file, R_OK) < 0)
        return error_set(err, ERROR_PERMANENT, "cannot read CA file '%s'", options->ca_file);
    struct http *http = own_alloc(sizeof(*http));
    http->cancel = options->cancel;
    http->ca_file = own_strdup(options->ca_file);
    http->ca_pem = options->ca_pem;
    http->certificate_pem = options->certificate_pem;
    http->key_pem = options->key_pem;
    http->direct = options->direct;
    http->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    http->stall_timeout_ms =
        options->stall_timeout_ms ? options->stall_timeout_ms : STALL_TIMEOUT_MS;
    pthread_mutex_init(&http->lock, NULL);
    *ret_http = http;
    return 0;
}

void http_freep(struct http **http)
{
    if (!*http)
        return;
    struct session *session = (*http)->idle;
    while (session) {
        struct session *next = session->next;
        session_free(session);
        session = next;
    }
    pthread_mutex_destroy(&(*http)->lock);
    free((*http)->ca_file);
    free(*http);
    *http = NULL;
}

void http_response_done(struct http_response *response)
{
    buf_done(&response->body);
    buf_done(&response->headers);
}

const char *http_header(const struct http_response *response, const char *name, char *value,
                        size_t value_size)
{
    const char *line = (const char *)response->headers.data;
    const char *end = line ? line + response->headers.size : NULL;
    size_t name_size = strlen(name);
    while (line < end) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        const char *from = line + name_size + 1, *to = next - 1;
        if (from <= to && memcmp(line, name, name_size) == 0 && line[name_size] == ':') {
            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            size_t size = (size_t)(to - from);
            if (size >= value_size)
                return NULL;
            memcpy(value, from, size);
            value[size] = '\0';
            return value;
        }
        line = next;
    }
    return NULL;
}

int http_perform(struct http *http, const struct http_request *request,
                 struct http_response *response, struct error *err)
{
    struct session *session = take_session(http);
    struct transfer transfer = {
        .http = http, .request = request, .response = response, .easy = session->easy};
    transfer.stall_timeout_ms =
        request->stall_timeout_ms ? request->stall_timeout_ms : http->stall_timeout_ms;
    CLEANUP(freep_slist) struct curl_slist *headers = header_list(request);
    long status = 0;

    response->body.limit = request->response_max;
    response->headers.limit = HEADERS_MAX;
    buf_clear(&response->body);
    buf_clear(&response->headers);
    set_options(session->easy, &transfer, headers);
    if (curl_multi_add_handle(session->multi, session->easy) != CURLM_OK)
        abort(); /* out of memory */
    int result = drive(session, &transfer, err);
    curl_easy_getinfo(session->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(session->multi, session->easy); /* closes what is not at its end */
    give_session(http, session);
    response->status = (int)status;
    return result;
}
