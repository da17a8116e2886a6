// SPDX-License-Identifier: Apache-2.0
#include "operator/coarse.h"

int64_t coarse_seconds(int64_t seconds)
{
    int64_t step = COARSE_FIRST_SECONDS;
    if (seconds < step)
        return 0;
    while (step <= seconds / 2)
        step *= 2;
    return step;
}

uint64_t coarse_bytes(uint64_t bytes)
{
    uint64_t step = bytes > 0;
    while (step > 0 && step <= bytes / 2)
        step *= 2;
    return step;
}

int64_t coarse_time_ms(int64_t ms)
{
    return ms - ms % COARSE_TIME_MS;
}
