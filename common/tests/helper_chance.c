// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_chance.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"

enum { KILLS = 10, KILLS_FULL = 200 };

bool helper_chance_full(void)
{
    const char *given = getenv("LIFEBOAT_FULL");
    return given && given[0] != '\0';
}

unsigned helper_chance_kills(void)
{
    return helper_chance_full() ? KILLS_FULL : KILLS;
}

uint64_t helper_chance_below(uint64_t bound)
{
    static bool is_seeded;
    static uint64_t state;
    if (!is_seeded) {
        const char *given = getenv("LIFEBOAT_SEED");
        state = given ? strtoull(given, NULL, 10) : (uint64_t)clock_now_ms();
        print_message("LIFEBOAT_SEED=%" PRIu64 "\n", state);
        is_seeded = true;
    }
    uint64_t number = 0;
    for (int i = 0; i < 2; i++) { /* the upper half of a step is the random one */
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        number = number << 32 | state >> 32;
    }
    return number % bound;
}
