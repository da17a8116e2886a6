// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_operator.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/channel_client.h"

enum { QUEUE_MAX = 256, PATIENCE_MS = 60000, EPOCH = 1 };

static struct {
    pthread_mutex_t lock;
    int for_server, for_test; /* eventfds */
    bool connected;
    struct channel_event events[QUEUE_MAX]; /* for the server */
    size_t event_count;
    json_t *said; /* by the server, an array */
    char *endpoint;
    const struct cancel *cancel;
} line = {.lock = PTHREAD_MUTEX_INITIALIZER, .for_server = -1, .for_test = -1};

static void ring(int bell)
{
    const ssize_t put = write(bell, &(uint64_t){1}, sizeof(uint64_t));
    (void)put;
}

static void open_line(void)
{
    pthread_mutex_lock(&line.lock);
    if (line.for_server < 0) {
        line.for_server = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        line.for_test = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        line.said = json_array();
    }
    pthread_mutex_unlock(&line.lock);
}

/* The test's end */

static void push(enum channel_event_type type, struct message message)
{
    if (line.event_count == QUEUE_MAX)
        abort();
    line.events[line.event_count++] = (struct channel_event){.type = type, .message = message};
    ring(line.for_server);
}

void helper_operator_connect(void)
{
    open_line();
    pthread_mutex_lock(&line.lock);
    line.connected = true;
    push(CHANNEL_CONNECTED, (struct message){0});
    pthread_mutex_unlock(&line.lock);
}

void helper_operator_disconnect(void)
{
    pthread_mutex_lock(&line.lock);
    line.connected = false;
    push(CHANNEL_GONE, (struct message){0});
    pthread_mutex_unlock(&line.lock);
}

void helper_operator_say(json_t *body)
{
    struct message message;
    struct error err;
    json_object_set_new(body, "version", json_integer(MESSAGE_VERSION));
    json_object_set_new(body, "epoch", json_integer(EPOCH));
    CLEANUP(own_freep) char *text = json_dumps(body, 0);
    json_decref(body);
    if (message_parse(&message, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, err.text);
    pthread_mutex_lock(&line.lock);
    push(CHANNEL_MESSAGE, message);
    pthread_mutex_unlock(&line.lock);
}

/* The first of what was said that is wanted; it and all before it are dropped. */
json_t *helper_operator_heard(const char *type, bool (*is_wanted)(const json_t *message))
{
    json_t *found = NULL;
    pthread_mutex_lock(&line.lock);
    while (!found && json_array_size(line.said) > 0) {
        json_t *message = json_incref(json_array_get(line.said, 0));
        json_array_remove(line.said, 0);
        if (strcmp(json_string_value(json_object_get(message, "type")), type) == 0 &&
            (!is_wanted || is_wanted(message)))
            found = message;
        else
            json_decref(message);
    }
    pthread_mutex_unlock(&line.lock);
    return found;
}

json_t *helper_operator_hear(const char *type, bool (*is_wanted)(const json_t *message))
{
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    for (;;) {
        uint64_t count;
        const ssize_t got = read(line.for_test, &count, sizeof(count));
        (void)got;
        json_t *message = helper_operator_heard(type, is_wanted);
        if (message)
            return message;
        if (clock_monotonic_ms() >= until_ms)
            fail_msg("no such '%s' within %d ms", type, PATIENCE_MS);
        poll(&(struct pollfd){.fd = line.for_test, .events = POLLIN}, 1, 100);
    }
}

void helper_operator_forget(void)
{
    pthread_mutex_lock(&line.lock);
    json_array_clear(line.said);
    pthread_mutex_unlock(&line.lock);
}

char *helper_operator_endpoint(void)
{
    pthread_mutex_lock(&line.lock);
    char *endpoint = own_strdup(line.endpoint ? line.endpoint : "");
    pthread_mutex_unlock(&line.lock);
    return endpoint;
}

/* The server's end: channel_client.h */

int channel_client_new(struct channel_client **ret_client,
                       const struct channel_client_options *options, struct error *err)
{
    (void)err;
    open_line();
    line.cancel = options->cancel;
    *ret_client = NULL;
    return 0;
}

void channel_client_freep(struct channel_client **client)
{
    (void)client;
    pthread_mutex_lock(&line.lock);
    for (size_t i = 0; i < line.event_count; i++)
        message_clear(&line.events[i].message);
    line.event_count = 0;
    line.connected = false;
    own_freep(&line.endpoint);
    json_array_clear(line.said);
    pthread_mutex_unlock(&line.lock);
}

int channel_client_run(void *client, struct error *err)
{
    (void)client;
    const int canceled = cancel_sleep(line.cancel, -1, err);
    (void)canceled;
    return 0;
}

void channel_client_set_target(struct channel_client *client, const char *endpoint, const char *ca)
{
    (void)client;
    (void)ca;
    pthread_mutex_lock(&line.lock);
    own_freep(&line.endpoint);
    line.endpoint = own_strdup(endpoint);
    pthread_mutex_unlock(&line.lock);
}

int channel_client_fd(const struct channel_client *client)
{
    (void)client;
    return line.for_server;
}

void channel_client_next(struct channel_client *client, struct channel_event *ret_event)
{
    uint64_t count;
    (void)client;
    pthread_mutex_lock(&line.lock);
    *ret_event = (struct channel_event){.type = CHANNEL_NONE};
    if (line.event_count > 0) {
        *ret_event = line.events[0];
        line.event_count--;
        memmove(line.events, line.events + 1, line.event_count * sizeof(line.events[0]));
    } else {
        const ssize_t got = read(line.for_server, &count, sizeof(count));
        (void)got;
    }
    pthread_mutex_unlock(&line.lock);
}

int channel_client_send(struct channel_client *client, const struct message *message,
                        struct error *err)
{
    CLEANUP(own_freep) char *text = NULL;
    struct message parsed;
    (void)client;
    if (message_format(message, &text, err) < 0 ||
        message_parse(&parsed, text, strlen(text), err) < 0) /* as the operator will */
        abort();
    pthread_mutex_lock(&line.lock);
    if (line.connected)
        json_array_append(line.said, parsed.root);
    message_clear(&parsed); /* its references are the other thread's now */
    pthread_mutex_unlock(&line.lock);
    ring(line.for_test);
    return 0;
}

bool channel_client_connected(struct channel_client *client)
{
    (void)client;
    pthread_mutex_lock(&line.lock);
    const bool connected = line.connected;
    pthread_mutex_unlock(&line.lock);
    return connected;
}

int64_t channel_client_epoch(struct channel_client *client)
{
    (void)client;
    return EPOCH;
}
