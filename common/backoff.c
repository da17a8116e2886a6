// SPDX-License-Identifier: Apache-2.0
#include "common/backoff.h"

#include <sys/random.h>
#include <time.h>

uint32_t backoff_random(void)
{
    uint32_t value;
    if (getrandom(&value, sizeof(value), 0) == sizeof(value))
        return value;
    struct timespec now; /* only on kernels that forbid getrandom(2): still spreads retries */
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_nsec * 2654435761u;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->attempt = 0;
}

uint32_t backoff_next_ms(struct backoff *backoff, uint32_t random, uint32_t wish_ms)
{
    uint64_t cap = backoff->cap_ms;
    uint64_t ceiling = backoff->attempt < 32 ? (uint64_t)backoff->base_ms << backoff->attempt : cap;
    if (ceiling > cap)
        ceiling = cap;
    if (backoff->attempt < UINT32_MAX)
        backoff->attempt++;
    uint64_t delay = random * (ceiling + 1) >> 32;
    uint64_t wish = wish_ms < 10 * cap ? wish_ms : 10 * cap;
    return (uint32_t)(wish > delay ? wish : delay);
}
