// SPDX-License-Identifier: Apache-2.0
#include "common/cancel.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/own.h"

static int time_left(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_monotonic_ms();
    return left > 0 ? (int)left : 0;
}

int cancel_sleep(const struct cancel *cancel, int timeout_ms, struct error *err)
{
    return cancel_poll(cancel, -1, 0, timeout_ms, err);
}

int cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    int parent =
        cancel->parent ? cancel->parent->fd : -1; /* poll(2) ignores negative descriptors */
    struct pollfd fds[] = {{.fd = cancel->fd, .events = POLLIN},
                           {.fd = parent, .events = POLLIN},
                           {.fd = fd, .events = events}};
    for (int wait_ms = timeout_ms;;) {
        int ready = poll(fds, ARRAY_SIZE(fds), wait_ms);
        if (cancel_check(cancel, err) < 0)
            return -1;
        if (ready < 0 && errno != EINTR)
            return error_errno(err, errno, "poll");
        if (ready >= 0)
            return ready > 0;
        if (timeout_ms >= 0)
            wait_ms = time_left(deadline_ms);
    }
}

int cancel_check(const struct cancel *cancel, struct error *err)
{
    if (cancel_requested(cancel))
        return error_set(err, ERROR_CANCELED, "stopped on request");
    return 0;
}

size_t cancel_fds(const struct cancel *cancel, int ret_fds[CANCEL_FDS])
{
    size_t count = 0;
    for (; cancel; cancel = cancel->parent)
        ret_fds[count++] = cancel->fd;
    return count;
}

bool cancel_requested(const struct cancel *cancel)
{
    return atomic_load(&cancel->requested) ||
           (cancel->parent && atomic_load(&cancel->parent->requested));
}

void cancel_trigger(struct cancel *cancel)
{
    int saved = errno; /* a signal handler may have interrupted anything */
    atomic_store(&cancel->requested, true);
    ssize_t put = write(cancel->fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)put; /* fails only if the counter is full, and so readable already */
    errno = saved;
}

void cancel_done(struct cancel *cancel)
{
    own_closep(&cancel->fd);
}

int cancel_init(struct cancel *cancel, struct error *err)
{
    atomic_init(&cancel->requested, false);
    cancel->parent = NULL;
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->fd < 0)
        return error_errno(err, errno, "create eventfd");
    return 0;
}

int cancel_init_below(struct cancel *cancel, const struct cancel *parent, struct error *err)
{
    assert(!parent->parent);
    if (cancel_init(cancel, err) < 0)
        return -1;
    cancel->parent = parent;
    return 0;
}
