// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers that move all the time, rounded so that a status which shows them stays the same while
 * nothing that matters changes; exact ones are metrics. Pure.
 */
#pragma once

#include <stdint.h>

enum { COARSE_FIRST_SECONDS = 60, COARSE_TIME_MS = 5 * 60 * 1000 };

/* Down to 1, 2, 4 … minutes; 0 below a minute. */
int64_t coarse_seconds(int64_t seconds);
/* Down to a power of two. */
uint64_t coarse_bytes(uint64_t bytes);
/* Down to five minutes. */
int64_t coarse_time_ms(int64_t ms);
