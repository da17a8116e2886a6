// SPDX-License-Identifier: Apache-2.0
/*
 * What tests leave to chance, so that it can be repeated, and how much of it. A program's random
 * numbers come from one seed, which it prints as "LIFEBOAT_SEED=…" before the first of them; that
 * in its environment gives the same ones again. With LIFEBOAT_FULL=1 (`e2e/test --full`) tests try
 * everything, or much more, instead of a sample. For one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool helper_chance_full(void);
/* At how many random moments each thing is killed that may be: 10, or 200. */
unsigned helper_chance_kills(void);
/* A random number below bound, which is not 0. */
uint64_t helper_chance_below(uint64_t bound);
