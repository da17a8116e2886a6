// SPDX-License-Identifier: Apache-2.0
/*
 * Two counting eventfds stand for what a side waits for: "items" counts the items (and one more
 * once closed), "room" the free places. Unlike a condition variable they can be waited for together
 * with the cancel's own eventfd, so that cancelling wakes both sides without polling.
 */
#include "common/fifo.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cancel.h"
#include "common/own.h"

struct fifo {
    const struct cancel *cancel;
    int items, room;
    pthread_mutex_t lock; /* guards what follows */
    bool closed;
    size_t first, count, capacity;
    void *ring[];
};

static int counter_new(unsigned value)
{
    int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    if (fd < 0)
        abort(); /* out of descriptors is as out of memory */
    return fd;
}

static void counter_add(int fd)
{
    ssize_t put = write(fd, &(uint64_t){1}, sizeof(uint64_t));
    assert(put == sizeof(uint64_t));
    (void)put;
}

/* Waits until the counter is above zero and takes one off: 1; not within timeout_ms: 0. Whoever
 * loses the race for the last one waits anew. */
static int counter_take(const struct fifo *fifo, int fd, int timeout_ms, struct error *err)
{
    if (cancel_check(fifo->cancel, err) < 0)
        return -1;
    uint64_t one;
    while (read(fd, &one, sizeof(one)) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "read eventfd");
        int ready = cancel_poll(fifo->cancel, fd, POLLIN, timeout_ms, err);
        if (ready <= 0)
            return ready;
    }
    return 1;
}

void fifo_close(struct fifo *fifo)
{
    pthread_mutex_lock(&fifo->lock);
    bool was_closed = fifo->closed;
    fifo->closed = true;
    pthread_mutex_unlock(&fifo->lock);
    if (!was_closed)
        counter_add(fifo->items);
}

int fifo_pop_within(struct fifo *fifo, int timeout_ms, void **ret_item, struct error *err)
{
    int taken = counter_take(fifo, fifo->items, timeout_ms, err);
    if (taken <= 0)
        return taken;
    pthread_mutex_lock(&fifo->lock);
    bool found = fifo->count > 0;
    if (found) {
        *ret_item = fifo->ring[fifo->first];
        fifo->first = (fifo->first + 1) % fifo->capacity;
        fifo->count--;
    }
    pthread_mutex_unlock(&fifo->lock);
    counter_add(found ? fifo->room : fifo->items); /* the closing one is for all readers */
    return found ? 1 : error_set(err, ERROR_NOT_FOUND, "queue is closed");
}

int fifo_pop(struct fifo *fifo, void **ret_item, struct error *err)
{
    return fifo_pop_within(fifo, -1, ret_item, err) < 0 ? -1 : 0;
}

int fifo_push(struct fifo *fifo, void *item, struct error *err)
{
    if (counter_take(fifo, fifo->room, -1, err) < 0)
        return -1;
    pthread_mutex_lock(&fifo->lock);
    assert(!fifo->closed && fifo->count < fifo->capacity);
    fifo->ring[(fifo->first + fifo->count++) % fifo->capacity] = item;
    pthread_mutex_unlock(&fifo->lock);
    counter_add(fifo->items);
    return 0;
}

void *fifo_take_left(struct fifo *fifo)
{
    void *item = NULL;
    pthread_mutex_lock(&fifo->lock);
    if (fifo->count > 0) {
        item = fifo->ring[fifo->first];
        fifo->first = (fifo->first + 1) % fifo->capacity;
        fifo->count--;
    }
    pthread_mutex_unlock(&fifo->lock);
    return item;
}

void fifo_freep(struct fifo **fifo)
{
    fifo_free(*fifo);
    *fifo = NULL;
}

void fifo_free(struct fifo *fifo)
{
    if (!fifo)
        return;
    own_closep(&fifo->items);
    own_closep(&fifo->room);
    pthread_mutex_destroy(&fifo->lock);
    free(fifo);
}

struct fifo *fifo_new(size_t capacity, const struct cancel *cancel)
{
    assert(capacity > 0 && capacity <= UINT32_MAX);
    struct fifo *fifo = own_alloc(sizeof(*fifo) + capacity * sizeof(fifo->ring[0]));
    fifo->cancel = cancel;
    fifo->capacity = capacity;
    fifo->items = counter_new(0);
    fifo->room = counter_new((unsigned)capacity);
    pthread_mutex_init(&fifo->lock, NULL);
    return fifo;
}
