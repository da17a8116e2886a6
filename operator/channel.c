// SPDX-License-Identifier: Apache-2.0
#include "operator/channel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/message.h"
#include "common/metrics.h"
#include "common/own.h"
#include "common/text.h"
#include "common/tls.h"
#include "operator/agents.h"
#include "operator/connection.h"
#include "operator/reviewer.h"

enum {
    SWEEP_MS = 250,
    CLOSING_MS = 3000,
    ANSWERING_MS = 10000,
    TOKEN_MAX = 8 * 1024,
    HEADERS_MAX = TOKEN_MAX + 4 * 1024,
    RECEIVE_BYTES = 4096,
    WRITE_BYTES = 16 * 1024,
    METRICS_BYTES_MAX = 32 << 20,
    DESCRIPTORS_OF_OUR_OWN = 16, /* listening sockets, wake-up pipe … */
};

#define SUBPROTOCOL "lifeboat.v1"

struct verdict {
    uint64_t connection;
    enum review_verdict verdict;
    struct agent_identity who;
    struct verdict *next;
};

struct channel {
    struct channel_options options;
    struct lws_context *lws;
    struct lws_vhost *secure, *probes;
    lws_sorted_usec_list_t sweep;
    struct ssl_ctx_st *tls;       /* libwebsockets' of the vhost secure */
    struct ssl_ctx_st *no_client; /* see listen_at */
    struct connections connections;
    struct metrics_process process;
    struct metric_family *strangers, *closed;
    bool stopping;
    int64_t stopped_ms; /* when it began to stop */

    pthread_mutex_t lock; /* guards what follows */
    struct verdict *verdicts, **last_verdict;
    char *certificate, *key; /* to be shown from now on; NULL: no news */
};

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value ? value : fallback;
}

static int64_t in_ms(unsigned ms)
{
    return clock_monotonic_ms() + ms;
}

/* Leaving: a connection is told why, or gets an answer, when its socket can be written. */

static void count_close(struct channel *channel, int code)
{
    CLEANUP(own_freep) char *text = own_format("%d", code);
    metric_add(channel->closed, (const char *const[]){text}, 1);
}

static void leave(struct channel *channel, const struct connection *connection)
{
    if (connection->state == CONNECTION_READY)
        agents_leave(channel->options.agents, connection->who.uid, connection->id);
}

static void close_with(struct channel *channel, struct connection *connection, int code,
                       const char *reason)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    bool reads = connection->state != CONNECTION_REVIEW;
    leave(channel, connection);
    connection_close(&channel->connections, connection, code, reason);
    connection->deadline_ms = in_ms(CLOSING_MS);
    count_close(channel, code);
    if (!reads)
        lws_rx_flow_control(connection->socket, 1); /* the peer's answer to the close */
    lws_callback_on_writable(connection->socket);
}

static void answer_with(struct channel *channel, struct connection *connection, int status,
                        const char *type, const char *body)
{
    connection_enter(&channel->connections, connection, CONNECTION_ANSWERING, in_ms(ANSWERING_MS));
    connection_answer(connection, status, type, body);
    lws_callback_on_writable(connection->socket);
}

static void answer_text(struct channel *channel, struct connection *connection, int status,
                        const char *body)
{
    answer_with(channel, connection, status, "text/plain; charset=utf-8", body);
}

/* Asynchronously, so that it is safe for any connection in any callback. */
static void drop(struct channel *channel, struct connection *connection)
{
    leave(channel, connection);
    connection_enter(&channel->connections, connection, CONNECTION_EVICTED, 0);
    lws_set_timeout(connection->socket, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/* Coming. */

/* Strangers are bounded. When too many came, the one that has been one for longest goes: however
 * many sit there silent, whoever knows what to say gets in. */
static int on_accept(struct channel *channel, struct lws *socket)
{
    const struct channel_limits *limits = &channel->options.limits;
    struct connections *connections = &channel->connections;
    if (channel->stopping || connections->count >= limits->connections)
        return -1;
    if (connections->strangers >= limits->strangers)
        drop(channel, connection_oldest_stranger(connections));
    struct connection *connection = connection_add(connections, socket);
    connection->deadline_ms = in_ms(limits->opening_ms);
    lws_set_opaque_user_data(socket, connection);
    return 0;
}

static void on_destroy(struct channel *channel, struct lws *socket, struct connection *connection)
{
    leave(channel, connection);
    connection_remove(&channel->connections, connection);
    lws_set_opaque_user_data(socket, NULL);
}

/* The token of "Authorization: Bearer <token>", or NULL. */
static char *copy_token(struct lws *socket)
{
    static const char scheme[] = "Bearer ";
    char value[TOKEN_MAX];
    int size = lws_hdr_copy(socket, value, sizeof(value), WSI_TOKEN_HTTP_AUTHORIZATION);
    bool bearer = size > 0 && strncasecmp(value, scheme, sizeof(scheme) - 1) == 0;
    char *token = bearer ? own_strdup(value + sizeof(scheme) - 1) : NULL;
    buf_wipe(value, sizeof(value));
    return token;
}

/* Called by a worker of the reviewer. */
static void on_verdict(void *arg, uint64_t id, enum review_verdict verdict,
                       const struct agent_identity *who)
{
    struct channel *channel = arg;
    struct verdict *news = own_alloc(sizeof(*news));
    *news = (struct verdict){.connection = id, .verdict = verdict, .who = *who};
    pthread_mutex_lock(&channel->lock);
    *channel->last_verdict = news;
    channel->last_verdict = &news->next;
    pthread_mutex_unlock(&channel->lock);
    lws_cancel_service(channel->lws);
}

static int ask(struct channel *channel, const struct connection *connection,
               enum review_purpose purpose)
{
    struct error err;
    const struct review review = {
        .purpose = purpose, .token = connection->token, .on_verdict = on_verdict, .arg = channel};
    return reviewer_ask(channel->options.reviewer, &review, connection->id, &err);
}

/* An upgrade is granted for the one path and subprotocol; who it is comes later. */
static int on_upgrade(struct lws *socket, struct connection *connection)
{
    char path[32];
    int size = lws_hdr_copy(socket, path, sizeof(path), WSI_TOKEN_GET_URI);
    if (size <= 0 || strcmp(path, "/channel") != 0 ||
        strcmp(lws_get_protocol(socket)->name, SUBPROTOCOL) != 0)
        return -1;
    connection->token = copy_token(socket);
    return 0;
}

static void on_established(struct channel *channel, struct connection *connection)
{
    const struct channel_options *options = &channel->options;
    connection_enter(&channel->connections, connection, CONNECTION_REVIEW,
                     in_ms(options->limits.review_ms));
    lws_rx_flow_control(connection->socket, 0);
    if (channel->stopping)
        close_with(channel, connection, MESSAGE_CLOSE_GOING_AWAY, "shutting down");
    else if (!options->leading(options->arg))
        close_with(channel, connection, MESSAGE_CLOSE_NOT_LEADER, "not leader");
    else if (!connection->token)
        close_with(channel, connection, MESSAGE_CLOSE_UNAUTHENTICATED, "no bearer token");
    else if (ask(channel, connection, REVIEW_CHANNEL) < 0)
        close_with(channel, connection, MESSAGE_CLOSE_TRY_AGAIN, "too many reviews wait");
}

/* A pod's connections are bounded too: it is one sidecar, and what it opened before, without a
 * hello, is of no use to it any more. (One that said hello is replaced by the next that does.) */
static void drop_silent_ones_of(struct channel *channel, const char *uid)
{
    for (struct connection *at = channel->connections.oldest; at; at = at->newer)
        if (at->state == CONNECTION_HELLO && strcmp(at->who.uid, uid) == 0)
            drop(channel, at);
}

static void admit(struct channel *channel, struct connection *connection,
                  const struct verdict *verdict)
{
    switch (verdict->verdict) {
    case REVIEW_SIDECAR:
        drop_silent_ones_of(channel, verdict->who.uid);
        connection->who = verdict->who;
        connection_enter(&channel->connections, connection, CONNECTION_HELLO,
                         in_ms(channel->options.limits.hello_ms));
        lws_rx_flow_control(connection->socket, 1);
        return;
    case REVIEW_UNAUTHENTICATED:
        return close_with(channel, connection, MESSAGE_CLOSE_UNAUTHENTICATED,
                          "no valid token for audience lifeboat.dev");
    case REVIEW_READER:
    case REVIEW_FORBIDDEN:
        return close_with(channel, connection, MESSAGE_CLOSE_UNKNOWN_POD,
                          "not a pod of a policy or a restore");
    case REVIEW_UNAVAILABLE:
        return close_with(channel, connection, MESSAGE_CLOSE_TRY_AGAIN,
                          "the API server did not review the token");
    }
}

/* HTTP. */

static void answer_metrics(struct channel *channel, struct connection *connection)
{
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(METRICS_BYTES_MAX);
    metric_set(channel->strangers, NULL, (double)channel->connections.strangers);
    metrics_process_update(&channel->process);
    if (metrics_format(channel->options.metrics, &text, &err) < 0) {
        log_error(&err, "Failed to answer a request for metrics");
        return answer_text(channel, connection, 503, "unavailable\n");
    }
    CLEANUP(own_freep) char *body = buf_string(&text);
    answer_with(channel, connection, 200, "text/plain; version=0.0.4; charset=utf-8", body);
}

static void answer_reader(struct channel *channel, struct connection *connection,
                          enum review_verdict verdict)
{
    switch (verdict) {
    case REVIEW_READER:
        return answer_metrics(channel, connection);
    case REVIEW_UNAUTHENTICATED:
        return answer_text(channel, connection, 401, "unauthorized\n");
    case REVIEW_SIDECAR:
    case REVIEW_FORBIDDEN:
        return answer_text(channel, connection, 403, "forbidden\n");
    case REVIEW_UNAVAILABLE:
        return answer_text(channel, connection, 503, "unavailable\n");
    }
}

static void on_metrics(struct channel *channel, struct connection *connection)
{
    connection->token = copy_token(connection->socket);
    connection_enter(&channel->connections, connection, CONNECTION_ASKING,
                     in_ms(channel->options.limits.review_ms));
    if (!connection->token)
        answer_text(channel, connection, 401, "unauthorized\n");
    else if (ask(channel, connection, REVIEW_METRICS) < 0)
        answer_text(channel, connection, 503, "unavailable\n");
}

static void on_probe(struct channel *channel, struct connection *connection, const char *path)
{
    const struct channel_options *options = &channel->options;
    bool live = strcmp(path, "/livez") == 0, ready = strcmp(path, "/readyz") == 0;
    if (!live && !ready)
        answer_text(channel, connection, 404, "not found\n");
    else if (live ? options->live(options->arg) : options->ready(options->arg))
        answer_text(channel, connection, 200, "ok");
    else
        answer_text(channel, connection, 503, live ? "not live" : "not ready");
}

static void on_request(struct channel *channel, struct connection *connection, const char *path)
{
    bool get = lws_hdr_total_length(connection->socket, WSI_TOKEN_GET_URI) > 0;
    if (connection->state != CONNECTION_OPENING)
        return;
    if (get && lws_get_vhost(connection->socket) == channel->probes)
        on_probe(channel, connection, path);
    else if (get && strcmp(path, "/metrics") == 0)
        on_metrics(channel, connection);
    else
        answer_text(channel, connection, 404, "not found\n");
}

/* Writing. Only here do bytes go to a socket. */

/* libwebsockets writes its framing before the text. */
static int write_bytes(struct lws *socket, const char *data, size_t size,
                       enum lws_write_protocol how)
{
    CLEANUP(own_freep) unsigned char *space = own_alloc(LWS_PRE + size);
    memcpy(space + LWS_PRE, data, size);
    return lws_write(socket, space + LWS_PRE, size, how) < (int)size ? -1 : 0;
}

/* -1 when all is written: there is one answer a connection. */
static int write_answer(struct connection *connection)
{
    size_t left = connection->out_size - connection->out_sent;
    size_t size = left < WRITE_BYTES ? left : WRITE_BYTES;
    if (write_bytes(connection->socket, connection->out + connection->out_sent, size,
                    LWS_WRITE_HTTP) < 0)
        return -1;
    connection->out_sent += size;
    if (size == left)
        return -1;
    lws_callback_on_writable(connection->socket);
    return 0;
}

/* Looks for what is to be sent to an agent. */
static void fetch(struct channel *channel, struct connection *connection)
{
    int code = 0;
    if (connection->state != CONNECTION_READY || connection->out)
        return;
    connection->out =
        agents_next(channel->options.agents, connection->who.uid, connection->id, &code);
    if (code != 0)
        close_with(channel, connection, code,
                   code == MESSAGE_CLOSE_REPLACED ? "replaced by a newer connection"
                                                  : "the pod is gone");
    else if (connection->out)
        lws_callback_on_writable(connection->socket);
}

static int write_message(struct channel *channel, struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSING) {
        lws_close_reason(connection->socket, (enum lws_close_status)connection->close_code,
                         (unsigned char *)connection->close_reason,
                         strlen(connection->close_reason));
        return -1;
    }
    /* libwebsockets 4.1 as a client leaves pings without payload unanswered */
    static const char payload[] = "ping";
    if (connection->ping) {
        connection->ping = false;
        lws_callback_on_writable(connection->socket);
        return write_bytes(connection->socket, payload, sizeof(payload) - 1, LWS_WRITE_PING);
    }
    CLEANUP(own_freep) char *text = TAKE(connection->out);
    if (text && write_bytes(connection->socket, text, strlen(text), LWS_WRITE_TEXT) < 0)
        return -1;
    fetch(channel, connection);
    return 0;
}

/* Reading. */

/* Pings are ours: libwebsockets would send none while the peer does, nor tell of the peer's. */
static void note_life(const struct channel *channel, struct connection *connection)
{
    if (connection->state == CONNECTION_READY)
        connection->deadline_ms = in_ms(1000 * channel->options.limits.hang_up_seconds);
}

/* The token says who it is; a hello that says something else is a mistake worth knowing. */
static bool is_hello_of(const struct message *message, const struct agent_identity *who)
{
    const struct message_hello *hello = &message->hello;
    return strcmp(hello->namespace, who->namespace) == 0 && strcmp(hello->pod, who->pod) == 0 &&
           strcmp(hello->uid, who->uid) == 0;
}

static void on_hello(struct channel *channel, struct connection *connection,
                     const struct message *message)
{
    if (message->type != MESSAGE_HELLO)
        return close_with(channel, connection, MESSAGE_CLOSE_PROTOCOL, "expected hello first");
    if (!is_hello_of(message, &connection->who))
        return close_with(channel, connection, MESSAGE_CLOSE_UNKNOWN_POD,
                          "hello names another pod than the token");
    connection_enter(&channel->connections, connection, CONNECTION_READY, 0);
    note_life(channel, connection);
    log_info("Connected sidecar", S("namespace", connection->who.namespace),
             S("pod", connection->who.pod), S("version", message->hello.sidecar_version));
    agents_join(channel->options.agents, &connection->who, connection->id);
}

static void on_message(struct channel *channel, struct connection *connection)
{
    struct error err;
    CLEANUP(message_clear) struct message message = {0};
    if (message_parse(&message, (const char *)connection->in.data, connection->in.size, &err) < 0)
        close_with(channel, connection, MESSAGE_CLOSE_PROTOCOL, err.text);
    else if (connection->state == CONNECTION_HELLO)
        on_hello(channel, connection, &message);
    else if (agents_hear(channel->options.agents, connection->who.uid, connection->id, &message,
                         &err) < 0)
        close_with(channel, connection, MESSAGE_CLOSE_PROTOCOL, err.text);
}

static void on_receive(struct channel *channel, struct connection *connection, const void *data,
                       size_t size)
{
    int code = 0;
    if (connection->state != CONNECTION_HELLO && connection->state != CONNECTION_READY)
        return;
    const struct connection_piece piece = {
        .data = data,
        .size = size,
        .final = lws_is_final_fragment(connection->socket),
        .binary = lws_frame_is_binary(connection->socket),
    };
    note_life(channel, connection);
    int taken = connection_take(connection, &piece, &code);
    if (taken < 0)
        close_with(channel, connection, code, NULL);
    else if (taken > 0)
        on_message(channel, connection);
    if (taken != 0)
        buf_done(&connection->in); /* idle connections keep no memory */
}

/* What other threads brought, and time. */

static void take_verdicts(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    struct verdict *verdict = TAKE(channel->verdicts);
    channel->last_verdict = &channel->verdicts;
    pthread_mutex_unlock(&channel->lock);
    while (verdict) {
        CLEANUP(own_freep) struct verdict *at = verdict;
        verdict = at->next;
        struct connection *connection = connection_find(&channel->connections, at->connection);
        if (connection && connection->state == CONNECTION_REVIEW)
            admit(channel, connection, at);
        else if (connection && connection->state == CONNECTION_ASKING)
            answer_reader(channel, connection, at->verdict);
    }
}

static void take_certificate(struct channel *channel)
{
    struct error err;
    pthread_mutex_lock(&channel->lock);
    CLEANUP(own_freep) char *certificate = TAKE(channel->certificate);
    CLEANUP(own_freep) char *key = TAKE(channel->key);
    pthread_mutex_unlock(&channel->lock);
    if (!certificate)
        return;
    if (tls_server_set(channel->tls, certificate, key, &err) < 0)
        log_error(&err, "Failed to change the certificate");
    buf_wipe(key, strlen(key));
}

static void on_wake(struct channel *channel)
{
    take_certificate(channel);
    take_verdicts(channel);
    for (struct connection *at = channel->connections.oldest; at; at = at->newer)
        fetch(channel, at);
}

static void on_deadline(struct channel *channel, struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_REVIEW:
        return close_with(channel, connection, MESSAGE_CLOSE_TRY_AGAIN,
                          "the API server did not review the token in time");
    case CONNECTION_HELLO:
        return close_with(channel, connection, MESSAGE_CLOSE_PROTOCOL, "no hello in time");
    case CONNECTION_ASKING:
        return answer_text(channel, connection, 503, "unavailable\n");
    case CONNECTION_OPENING:
    case CONNECTION_READY:
    case CONNECTION_CLOSING:
    case CONNECTION_ANSWERING:
    case CONNECTION_EVICTED:
        return drop(channel, connection);
    }
}

static void ping(const struct channel *channel, struct connection *connection, int64_t now_ms)
{
    if (connection->state != CONNECTION_READY || connection->ping_ms > now_ms)
        return;
    connection->ping = true;
    connection->ping_ms = now_ms + INT64_C(1000) * channel->options.limits.ping_seconds;
    lws_callback_on_writable(connection->socket);
}

static void on_sweep(lws_sorted_usec_list_t *sweep)
{
    struct channel *channel = lws_container_of(sweep, struct channel, sweep);
    int64_t now_ms = clock_monotonic_ms();
    for (struct connection *at = channel->connections.oldest; at; at = at->newer) {
        if (at->deadline_ms > 0 && at->deadline_ms <= now_ms)
            on_deadline(channel, at);
        ping(channel, at, now_ms);
    }
    lws_sul_schedule(channel->lws, 0, &channel->sweep, on_sweep, SWEEP_MS * LWS_US_PER_MS);
}

static bool is_channel(enum connection_state state)
{
    return state == CONNECTION_REVIEW || state == CONNECTION_HELLO || state == CONNECTION_READY;
}

static void on_stop(struct channel *channel)
{
    channel->stopping = true;
    channel->stopped_ms = clock_monotonic_ms();
    for (struct connection *at = channel->connections.oldest; at; at = at->newer) {
        if (is_channel(at->state))
            close_with(channel, at, MESSAGE_CLOSE_GOING_AWAY, "shutting down");
        else if (at->state == CONNECTION_OPENING)
            drop(channel, at);
    }
}

static int on_event(struct lws *socket, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    struct channel *channel = lws_context_user(lws_get_context(socket));
    struct connection *connection = lws_get_opaque_user_data(socket);
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        channel->tls = user; /* as libwebsockets hands it to those who bring certificates */
        tls_server_init(channel->tls);
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return on_accept(channel, socket);
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        on_wake(channel);
        return 0;
    case LWS_CALLBACK_RAW_RX_FILE: /* the cancel */
        on_stop(channel);
        return -1;
    default:
        break;
    }
    if (!connection)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_WSI_DESTROY:
        on_destroy(channel, socket, connection);
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return on_upgrade(socket, connection);
    case LWS_CALLBACK_ESTABLISHED:
        on_established(channel, connection);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        on_receive(channel, connection, in, size);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        note_life(channel, connection);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_message(channel, connection);
    case LWS_CALLBACK_HTTP:
        on_request(channel, connection, in);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return connection->state == CONNECTION_ANSWERING ? write_answer(connection) : 0;
    default:
        return 0;
    }
}

/* The first one is that of HTTP. */
static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = on_event},
    {.name = SUBPROTOCOL, .callback = on_event, .rx_buffer_size = RECEIVE_BYTES},
    {0},
};

int channel_run(void *arg, struct error *err)
{
    struct channel *channel = arg;
    (void)err;
    while (!channel->stopping || (channel->connections.count > 0 &&
                                  clock_monotonic_ms() - channel->stopped_ms < CLOSING_MS))
        lws_service(channel->lws, 0);
    return 0;
}

int channel_set_certificate(struct channel *channel, const char *chain, const char *key,
                            struct error *err)
{
    if (tls_server_check(chain, key, err) < 0)
        return error_wrap(err, "certificate of the channel");
    CLEANUP(own_freep) char *certificate = own_strdup(chain);
    CLEANUP(own_freep) char *secret = own_strdup(key);
    pthread_mutex_lock(&channel->lock);
    char *before = channel->certificate, *key_before = channel->key;
    channel->certificate = TAKE(certificate);
    channel->key = TAKE(secret);
    pthread_mutex_unlock(&channel->lock);
    certificate = before;
    secret = key_before;
    if (secret)
        buf_wipe(secret, strlen(secret));
    lws_cancel_service(channel->lws);
    return 0;
}

unsigned channel_port(const struct channel *channel)
{
    return (unsigned)lws_get_vhost_listen_port(channel->secure);
}

unsigned channel_probe_port(const struct channel *channel)
{
    return (unsigned)lws_get_vhost_listen_port(channel->probes);
}

void channel_freep(struct channel **channel)
{
    struct channel *c = TAKE(*channel);
    if (!c)
        return;
    agents_set_outlet(c->options.agents, &(struct agents_outlet){0});
    if (c->lws)
        lws_context_destroy(c->lws);
    tls_freep(&c->no_client);
    for (struct verdict *next, *at = c->verdicts; at; at = next) {
        next = at->next;
        free(at);
    }
    if (c->key)
        buf_wipe(c->key, strlen(c->key));
    free(c->key);
    free(c->certificate);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void wake(void *arg)
{
    const struct channel *channel = arg;
    lws_cancel_service(channel->lws);
}

/* What libwebsockets has to say about its peers is for who looks for an error there. */
static void log_line(int level, const char *line)
{
    CLEANUP(own_freep) char *text = own_strdup(line);
    text[strcspn(text, "\n")] = '\0';
    log_debug("Heard from libwebsockets", I("level", level), S("text", text));
}

static void set_limits(struct channel_limits *limits)
{
    limits->opening_ms = or_default(limits->opening_ms, 5000);
    limits->review_ms = or_default(limits->review_ms, 7000);
    limits->hello_ms = or_default(limits->hello_ms, 5000);
    limits->ping_seconds = or_default(limits->ping_seconds, 10);
    limits->hang_up_seconds = or_default(limits->hang_up_seconds, 30);
    limits->connections = or_default(limits->connections, 2000);
    limits->strangers = or_default(limits->strangers, 256);
}

static void declare_metrics(struct channel *channel)
{
    static const char *const code[] = {"code", NULL};
    struct metrics *metrics = channel->options.metrics;
    channel->strangers =
        metrics_declare(metrics, METRIC_GAUGE, "lifeboat_channel_strangers",
                        "Connections of which nobody knows yet whose they are.", NULL, NULL);
    channel->closed =
        metrics_declare(metrics, METRIC_COUNTER, "lifeboat_channel_closed_total",
                        "Channels that the operator closed, by WebSocket code.", code, NULL);
    metrics_process_declare(&channel->process, metrics);
}

static int create_context(struct channel *channel, struct error *err)
{
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .user = channel,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
        .timeout_secs = (channel->options.limits.opening_ms + 999) / 1000,
        .max_http_header_data2 = HEADERS_MAX,
        .max_http_header_pool2 = channel->options.limits.strangers + DESCRIPTORS_OF_OUR_OWN,
        .fd_limit_per_thread = channel->options.limits.connections + DESCRIPTORS_OF_OUR_OWN,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    channel->lws = lws_create_context(&info);
    if (!channel->lws)
        return error_set(err, ERROR_PERMANENT, "libwebsockets does not start");
    return 0;
}

/* libwebsockets wants to be a client too, which reads all CAs of the machine, and loses that
 * context where other contexts of its come after: it gets one of ours, which trusts nobody. */
static int listen_at(struct channel *channel, unsigned port, bool secure, struct lws_vhost **ret,
                     struct error *err)
{
    const char *address = channel->options.address;
    uint64_t options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    if (address && strchr(address, '.'))
        options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (secure)
        options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    const struct lws_context_creation_info info = {
        .iface = address,
        .port = (int)port,
        .protocols = protocols,
        .vhost_name = secure ? "channel" : "probes",
        .alpn = "http/1.1",
        .options = options,
        .provided_client_ssl_ctx = channel->no_client,
    };
    *ret = lws_create_vhost(channel->lws, &info);
    if (!*ret)
        return error_set(err, ERROR_PERMANENT, "port %u cannot be listened at", port);
    return 0;
}

/* The cancel's eventfd becomes a connection of the probes' vhost, so that it wakes the loop. */
static int watch_cancel(struct channel *channel, struct error *err)
{
    CLEANUP(own_closep) int fd = dup(channel->options.cancel->fd);
    if (fd < 0)
        return error_set(err, ERROR_PERMANENT, "no file descriptor left");
    const lws_sock_file_fd_type file = {.filefd = fd};
    if (!lws_adopt_descriptor_vhost(channel->probes, LWS_ADOPT_RAW_FILE_DESC, file, "http", NULL))
        return error_set(err, ERROR_PERMANENT, "libwebsockets does not watch the cancel");
    TAKE_FD(fd);
    return 0;
}

int channel_new(struct channel **ret_channel, const struct channel_options *options,
                struct error *err)
{
    CLEANUP(channel_freep) struct channel *channel = own_alloc(sizeof(*channel));
    channel->options = *options;
    channel->last_verdict = &channel->verdicts;
    pthread_mutex_init(&channel->lock, NULL);
    set_limits(&channel->options.limits);
    declare_metrics(channel);
    if (tls_client_new(&channel->no_client, NULL, err) < 0 || create_context(channel, err) < 0 ||
        listen_at(channel, options->port, true, &channel->secure, err) < 0 ||
        listen_at(channel, options->probe_port, false, &channel->probes, err) < 0 ||
        watch_cancel(channel, err) < 0)
        return error_wrap(err, "channel");
    lws_sul_schedule(channel->lws, 0, &channel->sweep, on_sweep, SWEEP_MS * LWS_US_PER_MS);
    agents_set_outlet(options->agents, &(struct agents_outlet){.wake = wake, .arg = channel});
    *ret_channel = TAKE(channel);
    return 0;
}
