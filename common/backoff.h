// SPDX-License-Identifier: Apache-2.0
/* How long to wait before trying again: exponential with full jitter, pure. */
#pragma once

#include <stdint.h>

struct backoff {
    uint32_t base_ms, cap_ms;
    uint32_t attempt; /* failed attempts so far */
};

/* A delay in [0, min(cap, base << attempt)], drawn with random (any 32-bit value); counts the
 * attempt. A server's wish (Retry-After; 0 if none) is a lower bound, itself bounded by 10 × cap.
 */
uint32_t backoff_next_ms(struct backoff *backoff, uint32_t random, uint32_t wish_ms);
void backoff_reset(struct backoff *backoff);
/* A random number that is good enough for jitter (getrandom(2)). */
uint32_t backoff_random(void);
