// SPDX-License-Identifier: Apache-2.0
/*
 * Keys that wait lie in a heap by the time at which they are due; a tree finds a key's entry,
 * which lives as long as it waits, is worked on, or has failures behind it. An eventfd wakes the
 * workers, because they wait for the cancel's own as well: one worker for each new key, and the one
 * that takes a key wakes another for what is left, so that somebody always waits for the next date.
 */
#include "operator/workqueue.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"

enum {
    BACKOFF_BASE_MS = 1000,
    BACKOFF_CAP_MS = 5 * 60 * 1000,
    WAIT_MAX_MS = 60 * 60 * 1000, /* what poll(2) is told at most */
};

struct work {
    struct work_key key;
    int64_t due_ms; /* of clock_monotonic_ms */
    uint64_t order; /* among those that are due at the same time: first come, first served */
    size_t place;   /* in the heap, from 1; 0: not waiting */
    bool working, again;
    int64_t again_ms; /* due then, if again */
    struct backoff backoff;
};

struct workqueue {
    const struct cancel *cancel;
    int wake;
    pthread_mutex_t lock; /* guards what follows */
    void *tree;           /* of all entries, tsearch(3) */
    struct work **heap;   /* from 1 */
    size_t count, capacity;
    uint64_t orders;
};

static int compare_keys(const void *a, const void *b)
{
    const struct work_key *one = a, *other = b; /* the first member of an entry */
    if (one->kind != other->kind)
        return one->kind < other->kind ? -1 : 1;
    int order = strcmp(one->namespace, other->namespace);
    return order ? order : strcmp(one->name, other->name);
}

static bool comes_before(const struct work *one, const struct work *other)
{
    if (one->due_ms != other->due_ms)
        return one->due_ms < other->due_ms;
    return one->order < other->order;
}

static void place(struct workqueue *queue, size_t at, struct work *entry)
{
    queue->heap[at] = entry;
    entry->place = at;
}

/* Moves the entry from the free place at up or down to where it belongs. */
static void settle(struct workqueue *queue, size_t at, struct work *entry)
{
    while (at > 1 && comes_before(entry, queue->heap[at / 2])) {
        place(queue, at, queue->heap[at / 2]);
        at /= 2;
    }
    for (size_t child = 2 * at; child <= queue->count; child = 2 * at) {
        if (child < queue->count && comes_before(queue->heap[child + 1], queue->heap[child]))
            child++;
        if (!comes_before(queue->heap[child], entry))
            break;
        place(queue, at, queue->heap[child]);
        at = child;
    }
    place(queue, at, entry);
}

static void enqueue(struct workqueue *queue, struct work *entry, int64_t due_ms)
{
    if (queue->count + 2 > queue->capacity) {
        queue->capacity = queue->capacity ? 2 * queue->capacity : 64;
        queue->heap = own_resize(queue->heap, queue->capacity, sizeof(*queue->heap));
    }
    entry->due_ms = due_ms;
    entry->order = queue->orders++;
    settle(queue, ++queue->count, entry);
}

static struct work *dequeue(struct workqueue *queue)
{
    struct work *first = queue->heap[1], *last = queue->heap[queue->count--];
    if (last != first)
        settle(queue, 1, last);
    first->place = 0;
    return first;
}

static void wake_one(struct workqueue *queue)
{
    ssize_t put = write(queue->wake, &(uint64_t){1}, sizeof(uint64_t));
    assert(put == sizeof(uint64_t));
    (void)put;
}

static struct work *find(struct workqueue *queue, const struct work_key *key)
{
    struct work **found = tfind(key, &queue->tree, compare_keys);
    return found ? *found : NULL;
}

static struct work *find_or_add(struct workqueue *queue, const struct work_key *key)
{
    struct work *entry = find(queue, key);
    if (entry)
        return entry;
    entry = own_alloc(sizeof(*entry));
    entry->key = *key;
    entry->backoff = (struct backoff){.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS};
    if (!tsearch(entry, &queue->tree, compare_keys))
        abort(); /* out of memory */
    return entry;
}

static void schedule(struct workqueue *queue, struct work *entry, int64_t due_ms)
{
    if (entry->working) {
        if (!entry->again || due_ms < entry->again_ms)
            entry->again_ms = due_ms;
        entry->again = true;
    } else if (entry->place == 0) {
        enqueue(queue, entry, due_ms);
    } else if (due_ms < entry->due_ms) {
        entry->due_ms = due_ms;
        settle(queue, entry->place, entry);
    }
}

/* The work on an entry is over: it comes again if somebody asked for it meanwhile. */
static void release(struct workqueue *queue, struct work *entry)
{
    entry->working = false;
    if (entry->again) {
        entry->again = false;
        enqueue(queue, entry, entry->again_ms);
        wake_one(queue);
    } else {
        tdelete(entry, &queue->tree, compare_keys);
        free(entry);
    }
}

/* The first entry if it is due, else NULL and how long to wait for it (-1: until woken). */
static struct work *take_due(struct workqueue *queue, int *ret_wait_ms)
{
    *ret_wait_ms = -1;
    if (queue->count == 0)
        return NULL;
    int64_t left = queue->heap[1]->due_ms - clock_monotonic_ms();
    if (left > 0) {
        *ret_wait_ms = left < WAIT_MAX_MS ? (int)left : WAIT_MAX_MS;
        return NULL;
    }
    struct work *entry = dequeue(queue);
    entry->working = true;
    if (queue->count > 0)
        wake_one(queue);
    return entry;
}

static void wait_for(struct workqueue *queue, int wait_ms)
{
    struct error stopped; /* said by the cancel itself */
    uint64_t one;
    if (cancel_poll(queue->cancel, queue->wake, POLLIN, wait_ms, &stopped) > 0)
        (void)!read(queue->wake, &one, sizeof(one)); /* unless another worker was faster */
}

struct work_key work_key(enum work_kind kind, const char *namespace, const char *name)
{
    struct work_key key = {.kind = kind};
    snprintf(key.namespace, sizeof(key.namespace), "%s", namespace);
    snprintf(key.name, sizeof(key.name), "%s", name);
    return key;
}

struct workqueue *workqueue_new(const struct cancel *cancel)
{
    struct workqueue *queue = own_alloc(sizeof(*queue));
    queue->cancel = cancel;
    queue->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (queue->wake < 0)
        abort(); /* out of descriptors is as out of memory */
    pthread_mutex_init(&queue->lock, NULL);
    return queue;
}

void workqueue_freep(struct workqueue **queue)
{
    if (!*queue)
        return;
    tdestroy((*queue)->tree, free);
    own_freep(&(*queue)->heap);
    own_closep(&(*queue)->wake);
    pthread_mutex_destroy(&(*queue)->lock);
    own_freep(queue);
}

size_t workqueue_depth(struct workqueue *queue)
{
    size_t depth = 0;
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 1; i <= queue->count; i++)
        depth += queue->heap[i]->due_ms <= now;
    pthread_mutex_unlock(&queue->lock);
    return depth;
}

void workqueue_add_after(struct workqueue *queue, const struct work_key *key, int64_t delay_ms)
{
    int64_t due_ms = clock_monotonic_ms() + (delay_ms > 0 ? delay_ms : 0);
    pthread_mutex_lock(&queue->lock);
    schedule(queue, find_or_add(queue, key), due_ms);
    pthread_mutex_unlock(&queue->lock);
    wake_one(queue);
}

void workqueue_add(struct workqueue *queue, const struct work_key *key)
{
    workqueue_add_after(queue, key, 0);
}

void workqueue_done(struct workqueue *queue, const struct work_key *key)
{
    pthread_mutex_lock(&queue->lock);
    struct work *entry = find(queue, key);
    assert(entry && entry->working);
    backoff_reset(&entry->backoff);
    release(queue, entry);
    pthread_mutex_unlock(&queue->lock);
}

void workqueue_retry(struct workqueue *queue, const struct work_key *key, uint32_t wish_ms)
{
    uint32_t least_ms = wish_ms > BACKOFF_BASE_MS ? wish_ms : BACKOFF_BASE_MS;
    pthread_mutex_lock(&queue->lock);
    struct work *entry = find(queue, key);
    assert(entry && entry->working);
    uint32_t delay_ms = backoff_next_ms(&entry->backoff, backoff_random(), least_ms);
    schedule(queue, entry, clock_monotonic_ms() + delay_ms);
    release(queue, entry);
    pthread_mutex_unlock(&queue->lock);
}

int workqueue_take(struct workqueue *queue, struct work_key *ret_key, struct error *err)
{
    for (;;) {
        int wait_ms;
        if (cancel_check(queue->cancel, err) < 0)
            return -1;
        pthread_mutex_lock(&queue->lock);
        const struct work *entry = take_due(queue, &wait_ms);
        if (entry)
            *ret_key = entry->key;
        pthread_mutex_unlock(&queue->lock);
        if (entry)
            return 0;
        wait_for(queue, wait_ms);
    }
}
