// SPDX-License-Identifier: Apache-2.0
/*
 * One connection after the other, each with a libwebsockets context of its own: so all that belongs
 * to it (CA, token, queues) is made when it is tried and gone when it ends.
 */
#include "sidecar/channel_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "common/backoff.h"
#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tls.h"
#include "sidecar/channel_address.h"
#include "sidecar/channel_box.h"

enum {
    OPENING_SECONDS = 10,
    CLOSING_MS = 3000,
    TOKEN_MAX = 8 * 1024,
    RECEIVE_BYTES = 4096,
    DESCRIPTORS_MAX = 16,
    WATCH_MS = 250, /* how often the loop looks at time */
};

struct channel_client {
    struct channel_client_options options;
    struct channel_box *box;
    int wake; /* eventfd: there is a new target */

    pthread_mutex_t lock; /* guards what follows */
    char *endpoint, *ca;  /* NULL: nowhere */
    int64_t epoch;
    struct lws_context *lws; /* of the present attempt; NULL: none */
};

/* One attempt to connect, and the connection that comes of it. Of the client's thread. */
struct attempt {
    struct channel_client *client;
    const struct channel_addresses *addresses;
    const char *address;
    struct lws_context *lws;
    struct lws *socket;
    lws_sorted_usec_list_t watch;
    struct buf token;
    struct buf in; /* a message of which more is to come */
    bool established, ended, paused;
    bool served;        /* it was the leader: it said something */
    int closing;        /* code to close with; 0: none */
    int64_t ping_ms;    /* when a ping is due */
    bool ping;          /* it is: write one */
    int64_t heard_ms;   /* from the operator, pongs too */
    int64_t closing_ms; /* when that began */
    int peer_code;      /* what the operator closed with; 0: nothing */
    char text[160];     /* why it ended, for a person */
};

static void end(struct attempt *attempt, const char *text, size_t size)
{
    attempt->ended = true;
    if (attempt->text[0] == '\0' && size > 0)
        snprintf(attempt->text, sizeof(attempt->text), "%.*s", (int)size, text);
}

static void close_with(struct attempt *attempt, int code)
{
    if (attempt->closing != 0)
        return;
    attempt->closing = code;
    attempt->closing_ms = clock_monotonic_ms();
    if (attempt->established)
        lws_callback_on_writable(attempt->socket);
    else
        attempt->ended = true;
}

/* false: somebody else leads, and this one does not know it yet. */
static bool accept_epoch(struct channel_client *client, int64_t epoch)
{
    pthread_mutex_lock(&client->lock);
    bool accepted = epoch >= client->epoch;
    if (accepted)
        client->epoch = epoch;
    pthread_mutex_unlock(&client->lock);
    return accepted;
}

static void on_message(struct attempt *attempt)
{
    struct error err;
    CLEANUP(message_clear) struct message message = {0};
    if (message_parse(&message, (const char *)attempt->in.data, attempt->in.size, &err) < 0 ||
        !message_from_operator(message.type)) {
        close_with(attempt, MESSAGE_CLOSE_PROTOCOL);
        return;
    }
    if (!accept_epoch(attempt->client, message.epoch)) {
        close_with(attempt, MESSAGE_CLOSE_STALE_EPOCH);
        return;
    }
    attempt->served = true;
    channel_box_put(attempt->client->box, CHANNEL_MESSAGE, &message);
    if (!channel_box_full(attempt->client->box))
        return;
    attempt->paused = true; /* until the user took something */
    lws_rx_flow_control(attempt->socket, 0);
}

static void on_receive(struct attempt *attempt, const void *data, size_t size)
{
    struct error err;
    attempt->heard_ms = clock_monotonic_ms();
    if (attempt->closing != 0)
        return;
    if (lws_frame_is_binary(attempt->socket)) {
        close_with(attempt, MESSAGE_CLOSE_UNSUPPORTED);
        return;
    }
    if (buf_append(&attempt->in, data, size, &err) < 0) {
        close_with(attempt, MESSAGE_CLOSE_TOO_LARGE);
        return;
    }
    if (!lws_is_final_fragment(attempt->socket))
        return;
    on_message(attempt);
    buf_clear(&attempt->in);
}

static int write_text(struct lws *socket, const char *text)
{
    size_t size = strlen(text);
    CLEANUP(own_freep) unsigned char *space = own_alloc(LWS_PRE + size);
    memcpy(space + LWS_PRE, text, size);
    return lws_write(socket, space + LWS_PRE, size, LWS_WRITE_TEXT) < (int)size ? -1 : 0;
}

/* Pings are ours: libwebsockets would send none while the operator does. */
static int write_ping(struct attempt *attempt)
{
    unsigned char space[LWS_PRE + 4] = {0}; /* any payload */
    attempt->ping = false;
    lws_callback_on_writable(attempt->socket);
    return lws_write(attempt->socket, space + LWS_PRE, 4, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int on_writable(struct attempt *attempt)
{
    if (attempt->ping)
        return write_ping(attempt);
    CLEANUP(own_freep) char *text = channel_box_next(attempt->client->box);
    if (text) { /* also before a close: a result that waits shall still go */
        lws_callback_on_writable(attempt->socket);
        return write_text(attempt->socket, text);
    }
    if (attempt->closing == 0)
        return 0;
    lws_close_reason(attempt->socket, (enum lws_close_status)attempt->closing, NULL, 0);
    return -1;
}

static int add_token(struct attempt *attempt, unsigned char **at, unsigned char *end_of_space)
{
    static const char scheme[] = "Bearer ";
    struct error err;
    CLEANUP(buf_done) struct buf value = BUF_SECRET(TOKEN_MAX + sizeof(scheme));
    if (buf_append(&value, scheme, sizeof(scheme) - 1, &err) < 0 ||
        buf_append(&value, attempt->token.data, attempt->token.size, &err) < 0)
        return -1;
    return lws_add_http_header_by_token(attempt->socket, WSI_TOKEN_HTTP_AUTHORIZATION, value.data,
                                        (int)value.size, at, end_of_space);
}

static void on_established(struct attempt *attempt)
{
    struct channel_client *client = attempt->client;
    const struct channel_client_options *options = &client->options;
    struct error err;
    attempt->established = true;
    attempt->heard_ms = clock_monotonic_ms();
    const struct message hello = {.type = MESSAGE_HELLO,
                                  .hello = {.namespace = options->namespace,
                                            .pod = options->pod,
                                            .uid = options->uid,
                                            .sidecar_version = options->version,
                                            .epoch = channel_client_epoch(client)}};
    channel_box_open(client->box, true);
    if (channel_box_send(client->box, &hello, &err) < 0)
        log_error(&err, "Failed to say hello");
    channel_box_put(client->box, CHANNEL_CONNECTED, NULL);
    lws_callback_on_writable(attempt->socket);
}

static void on_peer_close(struct attempt *attempt, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    attempt->peer_code = data[0] << 8 | data[1];
    snprintf(attempt->text, sizeof(attempt->text), "closed with %d %.*s", attempt->peer_code,
             (int)(size - 2), (const char *)data + 2);
}

static void on_wake(struct attempt *attempt)
{
    if (!attempt->established || attempt->ended)
        return;
    lws_callback_on_writable(attempt->socket);
    if (!attempt->paused || channel_box_full(attempt->client->box))
        return;
    attempt->paused = false;
    lws_rx_flow_control(attempt->socket, 1);
}

static void on_watch(lws_sorted_usec_list_t *watch)
{
    static const char silent[] = "the operator answers no pings";
    struct attempt *attempt = lws_container_of(watch, struct attempt, watch);
    int64_t now_ms = clock_monotonic_ms();
    if (cancel_requested(attempt->client->options.cancel))
        close_with(attempt, MESSAGE_CLOSE_GOING_AWAY);
    if (attempt->established && attempt->ping_ms <= now_ms) {
        attempt->ping = true;
        attempt->ping_ms = now_ms + INT64_C(1000) * attempt->client->options.ping_seconds;
        lws_callback_on_writable(attempt->socket);
    }
    if (attempt->established &&
        now_ms - attempt->heard_ms > INT64_C(1000) * attempt->client->options.hang_up_seconds)
        end(attempt, silent, sizeof(silent) - 1);
    if (attempt->closing != 0 && now_ms - attempt->closing_ms > CLOSING_MS)
        end(attempt, NULL, 0);
    lws_sul_schedule(attempt->lws, 0, watch, on_watch, WATCH_MS * LWS_US_PER_MS);
}

static int on_event(struct lws *socket, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    (void)user;
    struct attempt *attempt = lws_context_user(lws_get_context(socket));
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        attempt->socket = socket;
        return add_token(attempt, in, *(unsigned char **)in + size);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        end(attempt, in ? in : "", in ? size : 0);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        attempt->socket = socket;
        on_established(attempt);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        on_receive(attempt, in, size);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        attempt->heard_ms = clock_monotonic_ms();
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(attempt);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        on_peer_close(attempt, in, size);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        end(attempt, NULL, 0);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        on_wake(attempt);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "lifeboat.v1", .callback = on_event, .rx_buffer_size = RECEIVE_BYTES},
    {0},
};

static int read_token(struct attempt *attempt, struct error *err)
{
    struct buf *token = &attempt->token;
    if (buf_read_file(token, AT_FDCWD, attempt->client->options.token_file, err) < 0)
        return error_wrap(err, "service account token");
    while (token->size > 0 && strchr("\r\n ", token->data[token->size - 1]))
        token->size--;
    return 0;
}

/* Each context of libwebsockets that prepares OpenSSL takes indexes of it for good, which would be
 * memory for each attempt: one does, and goes. */
static int prepare_tls(struct error *err)
{
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .fd_limit_per_thread = DESCRIPTORS_MAX,
    };
    struct lws_context *lws = lws_create_context(&info);
    if (!lws)
        return error_set(err, ERROR_PERMANENT, "libwebsockets does not start");
    lws_context_destroy(lws);
    return 0;
}

static struct lws_vhost *create_context(struct attempt *attempt, struct ssl_ctx_st *tls)
{
    const struct lws_context_creation_info context = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .user = attempt,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8,
        .fd_limit_per_thread = DESCRIPTORS_MAX,
        .pt_serv_buf_size = TOKEN_MAX + 4096,
        .timeout_secs = OPENING_SECONDS,
    };
    const struct lws_context_creation_info vhost = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_VALIDATE_UTF8,
        .provided_client_ssl_ctx = tls,
        .connect_timeout_secs = OPENING_SECONDS,
    };
    attempt->lws = lws_create_context(&context);
    return attempt->lws ? lws_create_vhost(attempt->lws, &vhost) : NULL;
}

static int start(struct attempt *attempt, struct ssl_ctx_st *tls, struct error *err)
{
    struct lws_vhost *vhost = create_context(attempt, tls);
    if (!vhost)
        return error_set(err, ERROR_PERMANENT, "libwebsockets does not start");
    const struct lws_client_connect_info connect = {
        .context = attempt->lws,
        .vhost = vhost,
        .address = attempt->address,
        .port = attempt->addresses->port,
        .ssl_connection = LCCSCF_USE_SSL,
        .path = "/channel",
        .host = attempt->addresses->host,
        .origin = attempt->addresses->host,
        .protocol = protocols[0].name,
        .local_protocol_name = protocols[0].name,
        .ietf_version_or_minus_one = -1,
        .alpn = "http/1.1",
    };
    if (!lws_client_connect_via_info(&connect))
        attempt->ended = true;
    return 0;
}

/* So that other threads can wake the attempt while it is there. */
static void publish(struct channel_client *client, struct lws_context *lws)
{
    pthread_mutex_lock(&client->lock);
    client->lws = lws;
    pthread_mutex_unlock(&client->lock);
}

static void serve(struct attempt *attempt)
{
    publish(attempt->client, attempt->lws);
    lws_sul_schedule(attempt->lws, 0, &attempt->watch, on_watch, 1);
    while (!attempt->ended)
        lws_service(attempt->lws, 0);
    publish(attempt->client, NULL);
}

static void leave(struct attempt *attempt)
{
    channel_box_open(attempt->client->box, false);
    if (attempt->established)
        channel_box_put(attempt->client->box, CHANNEL_GONE, NULL);
    if (attempt->lws)
        lws_context_destroy(attempt->lws);
    buf_done(&attempt->token);
    buf_done(&attempt->in);
}

/* One address: until its connection ends. -1: there was none, or it was refused. */
static int try_address(struct channel_client *client, const struct channel_addresses *addresses,
                       size_t index, const char *ca, struct error *err)
{
    CLEANUP(tls_freep) struct ssl_ctx_st *tls = NULL;
    CLEANUP(leave)
    struct attempt attempt = {.client = client,
                              .addresses = addresses,
                              .address = addresses->items[index],
                              .token = BUF_SECRET(TOKEN_MAX),
                              .in = BUF(MESSAGE_BYTES_MAX)};
    if (tls_client_new(&tls, ca, err) < 0 || read_token(&attempt, err) < 0 ||
        start(&attempt, tls, err) < 0)
        return -1;
    serve(&attempt);
    if (attempt.served)
        return 0;
    return error_set(err, ERROR_TRANSIENT, "%s: %s", attempt.address,
                     attempt.text[0] ? attempt.text : "connection ended");
}

/* All addresses, one after the other, beginning anywhere. 0: one of them was the leader, and its
 * connection has ended; -1: none was. */
static int try_all(struct channel_client *client, const char *endpoint, const char *ca,
                   struct error *err)
{
    struct channel_addresses addresses;
    if (channel_endpoint_resolve(endpoint, &addresses, err) < 0)
        return -1;
    size_t first = backoff_random() % addresses.count;
    for (size_t i = 0; i < addresses.count; i++) {
        if (cancel_check(client->options.cancel, err) < 0)
            return -1;
        if (try_address(client, &addresses, (first + i) % addresses.count, ca, err) == 0)
            return 0;
    }
    return -1;
}

/* Waits until the time is over or there is a new target. */
static int pause_before_next(struct channel_client *client, int timeout_ms, struct error *err)
{
    uint64_t count;
    if (cancel_poll(client->options.cancel, client->wake, POLLIN, timeout_ms, err) < 0)
        return -1;
    ssize_t drained = read(client->wake, &count, sizeof(count));
    (void)drained; /* EAGAIN: it was the time */
    return 0;
}

static void copy_target(struct channel_client *client, char **ret_endpoint, char **ret_ca)
{
    pthread_mutex_lock(&client->lock);
    *ret_endpoint = own_strdup(client->endpoint);
    *ret_ca = own_strdup(client->ca);
    pthread_mutex_unlock(&client->lock);
}

/* Each reason once, not at each attempt. */
static void log_failure(struct error *last, const struct error *err)
{
    if (err->kind != ERROR_CANCELED && strcmp(last->text, err->text) != 0)
        log_error(err, "Failed to reach the operator");
    *last = *err;
}

int channel_client_run(void *arg, struct error *err)
{
    struct channel_client *client = arg;
    struct backoff backoff = {.base_ms = client->options.backoff_ms,
                              .cap_ms = client->options.backoff_max_ms};
    struct error last = {0};
    while (!cancel_requested(client->options.cancel)) {
        CLEANUP(own_freep) char *endpoint = NULL, *ca = NULL;
        int delay_ms = -1;
        copy_target(client, &endpoint, &ca);
        if (endpoint && ca) {
            if (try_all(client, endpoint, ca, err) < 0) {
                log_failure(&last, err);
            } else {
                log_info("Lost the operator");
                backoff_reset(&backoff);
                last = (struct error){0};
            }
            delay_ms = (int)backoff_next_ms(&backoff, backoff_random(), 0);
        }
        if (pause_before_next(client, delay_ms, err) < 0)
            break;
    }
    return 0;
}

static void wake_attempt(struct channel_client *client)
{
    pthread_mutex_lock(&client->lock);
    if (client->lws)
        lws_cancel_service(client->lws);
    pthread_mutex_unlock(&client->lock);
}

int64_t channel_client_epoch(struct channel_client *client)
{
    pthread_mutex_lock(&client->lock);
    int64_t epoch = client->epoch;
    pthread_mutex_unlock(&client->lock);
    return epoch;
}

bool channel_client_connected(struct channel_client *client)
{
    return channel_box_is_open(client->box);
}

int channel_client_send(struct channel_client *client, const struct message *message,
                        struct error *err)
{
    if (channel_box_send(client->box, message, err) < 0)
        return -1;
    wake_attempt(client);
    return 0;
}

void channel_client_next(struct channel_client *client, struct channel_event *ret_event)
{
    if (channel_box_take(client->box, ret_event))
        wake_attempt(client);
}

int channel_client_fd(const struct channel_client *client)
{
    return channel_box_fd(client->box);
}

void channel_client_set_target(struct channel_client *client, const char *endpoint, const char *ca)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&client->lock);
    free(client->endpoint);
    free(client->ca);
    client->endpoint = own_strdup(endpoint);
    client->ca = own_strdup(ca);
    pthread_mutex_unlock(&client->lock);
    ssize_t put = write(client->wake, &one, sizeof(one));
    (void)put; /* fails only if the counter is full, and so readable already */
}

void channel_client_freep(struct channel_client **client)
{
    struct channel_client *c = TAKE(*client);
    if (!c)
        return;
    channel_box_freep(&c->box);
    own_closep(&c->wake);
    free(c->endpoint);
    free(c->ca);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void log_line(int level, const char *line)
{
    CLEANUP(own_freep) char *text = own_strdup(line);
    text[strcspn(text, "\n")] = '\0';
    log_debug("Heard from libwebsockets", I("level", level), S("text", text));
}

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value ? value : fallback;
}

int channel_client_new(struct channel_client **ret_client,
                       const struct channel_client_options *options, struct error *err)
{
    CLEANUP(channel_client_freep) struct channel_client *client = own_alloc(sizeof(*client));
    client->options = *options;
    client->options.ping_seconds = or_default(options->ping_seconds, 10);
    client->options.hang_up_seconds = or_default(options->hang_up_seconds, 30);
    client->options.backoff_ms = or_default(options->backoff_ms, 1000);
    client->options.backoff_max_ms = or_default(options->backoff_max_ms, 30000);
    pthread_mutex_init(&client->lock, NULL);
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake < 0)
        return error_errno(err, errno, "create eventfd");
    if (channel_box_new(&client->box, err) < 0 || prepare_tls(err) < 0)
        return -1;
    *ret_client = TAKE(client);
    return 0;
}
