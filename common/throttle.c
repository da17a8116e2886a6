// SPDX-License-Identifier: Apache-2.0
#include "common/throttle.h"

#include <limits.h>

#include "common/cancel.h"
#include "common/clock.h"

enum { MS_NS = 1000000, SECOND_NS = 1000000000, SAVED_NS = SECOND_NS / 10, PARTS_A_SECOND = 20 };

int64_t throttle_take(struct throttle *throttle, size_t size, int64_t now_ms)
{
    int64_t now_ns = now_ms * MS_NS;
    if (throttle->paid_ns < now_ns - SAVED_NS)
        throttle->paid_ns = now_ns - SAVED_NS;
    throttle->paid_ns += (int64_t)((uint64_t)size * SECOND_NS / throttle->bytes_per_second);
    int64_t left_ns = throttle->paid_ns - now_ns;
    return left_ns > 0 ? (left_ns + MS_NS - 1) / MS_NS : 0;
}

size_t throttle_part(const struct throttle *throttle, size_t size)
{
    uint64_t part = throttle->bytes_per_second / PARTS_A_SECOND;
    part -= part % THROTTLE_UNIT_BYTES;
    if (part == 0)
        part = THROTTLE_UNIT_BYTES;
    return size < part ? size : (size_t)part;
}

int throttle_wait(struct throttle *throttle, size_t *size, const struct cancel *cancel,
                  struct error *err)
{
    if (!throttle || throttle->bytes_per_second == 0 || *size == 0)
        return 0;
    *size = throttle_part(throttle, *size);
    pthread_mutex_lock(&throttle->lock);
    int64_t wait_ms = throttle_take(throttle, *size, clock_monotonic_ms());
    pthread_mutex_unlock(&throttle->lock);
    if (wait_ms == 0)
        return cancel_check(cancel, err);
    return cancel_sleep(cancel, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX, err);
}

void throttle_done(struct throttle *throttle)
{
    pthread_mutex_destroy(&throttle->lock);
}

void throttle_init(struct throttle *throttle, uint64_t bytes_per_second)
{
    *throttle = (struct throttle){.bytes_per_second = bytes_per_second};
    pthread_mutex_init(&throttle->lock, NULL);
    throttle->paid_ns = clock_monotonic_ms() * MS_NS; /* nothing is saved up yet */
}
