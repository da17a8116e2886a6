// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_lag.h"

#include <string.h>

enum { RATE_MS = 60 * 1000, STEP_MS = 1000, MS_IN_S = 1000 };

static const double rate_min = 1e-3; /* a byte in a second is none */

static void forget(struct wal_lag *lag, uint64_t durable_lsn)
{
    size_t stored = 0;
    while (stored < lag->count && lag->looks[stored].lsn <= durable_lsn)
        stored++;
    lag->count -= stored;
    memmove(lag->looks, lag->looks + stored, lag->count * sizeof(lag->looks[0]));
    if (lag->count == 0)
        lag->step_ms = STEP_MS;
}

/* Two become one, which is as old as the older one of them. */
static void thin_out(struct wal_lag *lag)
{
    for (size_t i = 0; i < WAL_LAG_LOOKS / 2; i++) {
        lag->looks[i].ms = lag->looks[2 * i].ms;
        lag->looks[i].lsn = lag->looks[2 * i + 1].lsn;
    }
    lag->count = WAL_LAG_LOOKS / 2;
    lag->step_ms *= 2;
}

static void add(struct wal_lag *lag, int64_t now_ms, uint64_t lsn)
{
    if (lag->count > 0 && now_ms - lag->looks[lag->count - 1].ms < lag->step_ms) {
        lag->looks[lag->count - 1].lsn = lsn;
        return;
    }
    if (lag->count == WAL_LAG_LOOKS)
        thin_out(lag);
    lag->looks[lag->count].lsn = lsn;
    lag->looks[lag->count++].ms = now_ms;
}

/* A mean that forgets: what was a minute ago counts for a third. */
static void measure(struct wal_lag *lag, int64_t now_ms, uint64_t lsn)
{
    const double passed_ms = (double)(now_ms - lag->last_ms);
    if (passed_ms <= 0)
        return;
    const double rate = (double)(lsn - lag->last_lsn) / passed_ms;
    lag->rate += (rate - lag->rate) * passed_ms / (passed_ms + RATE_MS);
    lag->last_ms = now_ms;
}

void wal_lag_look(struct wal_lag *lag, int64_t now_ms, uint64_t lsn, uint64_t durable_lsn)
{
    if (lag->last_lsn == 0 || lsn < lag->last_lsn) /* the first one, or another server */
        *lag = (struct wal_lag){.first_lsn = lsn, .last_lsn = lsn, .last_ms = now_ms};
    measure(lag, now_ms, lsn);
    forget(lag, durable_lsn);
    if (lsn == lag->last_lsn)
        return;
    lag->last_lsn = lsn;
    if (lsn <= durable_lsn)
        return;
    add(lag, now_ms, lsn);
}

int64_t wal_lag_seconds(const struct wal_lag *lag, int64_t now_ms, uint64_t durable_lsn)
{
    if (lag->last_lsn == 0 || durable_lsn == 0)
        return WAL_LAG_UNKNOWN;
    if (durable_lsn >= lag->last_lsn)
        return 0;
    if (durable_lsn < lag->first_lsn)
        return WAL_LAG_UNKNOWN;
    for (size_t i = 0; i < lag->count; i++)
        if (lag->looks[i].lsn > durable_lsn)
            return (now_ms - lag->looks[i].ms) / MS_IN_S;
    return WAL_LAG_UNKNOWN; /* it was stored once, and is not any more */
}

int64_t wal_lag_lasts_seconds(const struct wal_lag *lag, int64_t bytes)
{
    if (bytes < 0 || lag->rate < rate_min)
        return WAL_LAG_UNKNOWN;
    const double seconds = (double)bytes / lag->rate / MS_IN_S;
    return seconds < INT32_MAX ? (int64_t)seconds : INT32_MAX;
}
