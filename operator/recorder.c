// SPDX-License-Identifier: Apache-2.0
#include "operator/recorder.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/kube.h"

enum {
    QUEUE_MAX = 1024,
    SERIES_MAX = 1024,      /* events that we remember, to count the same one again */
    SERIES_MS = 10 * 60000, /* for so long after its last time */
    NOTE_BYTES = 1024,      /* with NUL; limits of the API for note, action and reason */
    WORD_BYTES = 128,
    NAME_MAX_BYTES = 200, /* of the object's, in the event's */
    WRITE_TRIES = 5,
    RETRY_MS = 1000,
    RETRY_MAX_MS = 15000,
};

/* An event that the API server has, or that is about to be sent there. */
struct event {
    json_t *regarding;
    const char *type;      /* static */
    const char *namespace; /* lent from regarding */
    char reason[WORD_BYTES], action[WORD_BYTES];
    char note[NOTE_BYTES];
    char *name; /* of the Event; NULL: not sent yet */
    unsigned count;
    int64_t seen_ms;
};

struct recorder {
    struct kube *kube;
    const struct cancel *cancel;
    char *identity;
    struct fifo *orders;
    pthread_mutex_t lock; /* guards what follows */
    size_t queued, dropped;
    struct event *sent[SERIES_MAX]; /* only the recorder's thread, as the next */
    size_t sent_count;
};

static void event_free(struct event *event)
{
    if (!event)
        return;
    json_decref(event->regarding);
    free(event->name);
    free(event);
}

static void event_freep(struct event **event)
{
    event_free(*event);
}

static void copy_member(json_t *to, const char *name, const json_t *from)
{
    json_t *value = json_object_get(from, name);
    if (json_is_string(value))
        json_object_set(to, name, value);
}

static json_t *make_regarding(const json_t *about)
{
    static const char *const names[] = {"namespace", "name", "uid", "resourceVersion"};
    json_t *regarding = json_object();
    copy_member(regarding, "apiVersion", about);
    copy_member(regarding, "kind", about);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        copy_member(regarding, names[i], json_object_get(about, "metadata"));
    return regarding;
}

static const char *regarding_text(const struct event *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event->regarding, name));
    return text ? text : "";
}

static void __attribute__((format(printf, 2, 0)))
format_note(struct event *event, const char *format, va_list args)
{
    char *raw = NULL;
    if (vasprintf(&raw, format, args) < 0)
        abort();
    text_fit(raw, event->note, sizeof(event->note));
    free(raw);
}

static bool is_same(const struct event *a, const struct event *b)
{
    return a->type == b->type && strcmp(a->reason, b->reason) == 0 &&
           strcmp(a->action, b->action) == 0 && strcmp(a->note, b->note) == 0 &&
           strcmp(regarding_text(a, "uid"), regarding_text(b, "uid")) == 0;
}

static void forget(struct recorder *recorder, size_t index)
{
    event_free(recorder->sent[index]);
    recorder->sent[index] = recorder->sent[--recorder->sent_count];
}

/* Also forgets what is too old to be counted again. */
static struct event *find_same(struct recorder *recorder, const struct event *event)
{
    struct event *found = NULL;
    for (size_t i = recorder->sent_count; i-- > 0;) {
        if (recorder->sent[i]->seen_ms < event->seen_ms - SERIES_MS)
            forget(recorder, i);
        else if (is_same(recorder->sent[i], event))
            found = recorder->sent[i];
    }
    return found;
}

/* Takes event. */
static void remember(struct recorder *recorder, struct event *event)
{
    if (recorder->sent_count == SERIES_MAX) {
        size_t oldest = 0;
        for (size_t i = 1; i < SERIES_MAX; i++)
            if (recorder->sent[i]->seen_ms < recorder->sent[oldest]->seen_ms)
                oldest = i;
        forget(recorder, oldest);
    }
    recorder->sent[recorder->sent_count++] = event;
}

static json_t *format_event(const struct recorder *recorder, const struct event *event)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format_us(event->seen_ms, time);
    return json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O}",
                     "apiVersion", "events.k8s.io/v1", "kind", "Event", "metadata", "namespace",
                     event->namespace, "name", event->name, "eventTime", time, "type", event->type,
                     "reason", event->reason, "action", event->action, "note", event->note,
                     "reportingController", "lifeboat.dev/operator", "reportingInstance",
                     recorder->identity, "regarding", event->regarding);
}

static int create(struct recorder *recorder, const struct event *event, struct error *err)
{
    json_auto_t *object = format_event(recorder, event);
    struct kube_ref collection = {&kube_events, event->namespace, NULL, NULL};
    return kube_create(recorder->kube, &collection, object, NULL, err);
}

static int count_again(struct recorder *recorder, const struct event *event, struct error *err)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format_us(event->seen_ms, time);
    json_auto_t *patch =
        json_pack("{s:{s:i, s:s}}", "series", "count", (int)event->count, "lastObservedTime", time);
    struct kube_ref ref = {&kube_events, event->namespace, event->name, NULL};
    return kube_merge_patch(recorder->kube, &ref, patch, NULL, err);
}

static int write_once(struct recorder *recorder, struct event *event, struct error *err)
{
    if (event->count == 1)
        return create(recorder, event, err);
    if (count_again(recorder, event, err) == 0)
        return 0;
    if (err->kind != ERROR_NOT_FOUND)
        return -1;
    event->count = 1; /* the server forgets events after an hour */
    return create(recorder, event, err);
}

static int write_event(struct recorder *recorder, struct event *event, struct error *err)
{
    struct backoff backoff = {.base_ms = RETRY_MS, .cap_ms = RETRY_MAX_MS};
    for (int left = WRITE_TRIES;; left--) {
        if (write_once(recorder, event, err) == 0)
            return 0;
        if (err->kind != ERROR_TRANSIENT || left == 1)
            return -1;
        uint32_t wait_ms = backoff_next_ms(&backoff, backoff_random(), 0);
        if (cancel_sleep(recorder->cancel, (int)wait_ms, err) < 0)
            return -1;
    }
}

/* Takes order. */
static void carry_out(struct recorder *recorder, struct event *order)
{
    CLEANUP(event_freep) struct event *owned = order;
    struct event *event = find_same(recorder, order);
    if (event) {
        event->seen_ms = order->seen_ms;
        event->count++;
    } else {
        order->name = own_format("%.*s.%08x%08x", NAME_MAX_BYTES, regarding_text(order, "name"),
                                 backoff_random(), backoff_random());
        order->count = 1;
        event = order;
        remember(recorder, TAKE(owned));
    }
    struct error err;
    if (write_event(recorder, event, &err) < 0 && err.kind != ERROR_CANCELED)
        log_error(&err, "Failed to write event", S("namespace", event->namespace),
                  S("object", regarding_text(event, "name")), S("reason", event->reason),
                  S("note", event->note));
}

static size_t take_dropped(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    size_t dropped = recorder->dropped;
    recorder->dropped = 0;
    recorder->queued--;
    pthread_mutex_unlock(&recorder->lock);
    return dropped;
}

static bool reserve(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    bool room = recorder->queued < QUEUE_MAX;
    recorder->queued += room;
    recorder->dropped += !room;
    pthread_mutex_unlock(&recorder->lock);
    return room;
}

void recorder_event(struct recorder *recorder, const json_t *about, enum event_type type,
                    const char *reason, const char *action, const char *format, ...)
{
    if (!reserve(recorder))
        return;
    CLEANUP(event_freep) struct event *event = own_alloc(sizeof(*event));
    event->regarding = make_regarding(about);
    event->type = type == EVENT_NORMAL ? "Normal" : "Warning";
    event->seen_ms = clock_now_ms();
    snprintf(event->reason, sizeof(event->reason), "%s", reason);
    snprintf(event->action, sizeof(event->action), "%s", action);
    va_list args;
    va_start(args, format);
    format_note(event, format, args);
    va_end(args);
    event->namespace = regarding_text(event, "namespace");
    if (event->namespace[0] == '\0')
        event->namespace = "default"; /* as Kubernetes, for objects without one */
    struct error err;
    if (fifo_push(recorder->orders, event, &err) == 0) /* has room: reserved */
        (void)TAKE(event);
}

void recorder_freep(struct recorder **recorder)
{
    struct recorder *r = TAKE(*recorder);
    if (!r)
        return;
    fifo_freep(&r->orders);
    while (r->sent_count > 0)
        forget(r, 0);
    pthread_mutex_destroy(&r->lock);
    free(r->identity);
    free(r);
}

int recorder_run(void *arg, struct error *err)
{
    struct recorder *recorder = arg;
    for (void *order; fifo_pop(recorder->orders, &order, err) == 0;) {
        size_t dropped = take_dropped(recorder);
        if (dropped > 0)
            log_warn("Dropped events, too many waited", U("count", dropped));
        carry_out(recorder, order);
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

struct recorder *recorder_new(struct kube *kube, const char *identity, const struct cancel *cancel)
{
    struct recorder *recorder = own_alloc(sizeof(*recorder));
    recorder->kube = kube;
    recorder->cancel = cancel;
    recorder->identity = own_strdup(identity);
    recorder->orders = fifo_new(QUEUE_MAX, cancel);
    pthread_mutex_init(&recorder->lock, NULL);
    return recorder;
}
