// SPDX-License-Identifier: Apache-2.0
#include "sidecar/fanout.h"

#include <assert.h>

static bool takes(const struct fanout *fanout, size_t region)
{
    return fanout->taking & UINT32_C(1) << region;
}

/* Whether the job could go on now but for the regions that have something left to put. */
static bool is_held_back(const struct fanout *fanout)
{
    size_t idle = 0;
    for (size_t i = 0; i < FANOUT_REGIONS_MAX; i++)
        idle += takes(fanout, i) && fanout->regions[i].pending == 0;
    return fanout->waiters > 0 && idle >= fanout->quorum;
}

static bool holds_back(const struct fanout *fanout, size_t region)
{
    return takes(fanout, region) && fanout->regions[region].pending > 0 && is_held_back(fanout);
}

/* Accounts for the time since the last change, during which all was as it is. */
static void advance(struct fanout *fanout, int64_t now_ms)
{
    int64_t passed_ms = now_ms - fanout->now_ms;
    if (passed_ms <= 0) /* of two threads that looked at the clock the later one came first */
        return;
    fanout->now_ms = now_ms;
    for (size_t i = 0; i < FANOUT_REGIONS_MAX; i++) {
        if (!holds_back(fanout, i))
            continue;
        fanout->regions[i].held_ms += passed_ms;
        fanout->regions[i].silent_ms += passed_ms;
    }
}

struct fanout fanout_new(uint32_t taking, size_t quorum, int64_t now_ms)
{
    struct fanout fanout = {
        .taking = taking,
        .quorum = quorum,
        .patience_ms = FANOUT_PATIENCE_MS,
        .begun_ms = now_ms,
        .now_ms = now_ms,
    };
    for (size_t i = 0; i < FANOUT_REGIONS_MAX; i++)
        fanout.regions[i].ended_ms = now_ms;
    return fanout;
}

void fanout_keep(struct fanout *fanout, uint32_t taking, int64_t now_ms)
{
    advance(fanout, now_ms);
    fanout->taking &= taking;
}

void fanout_begin(struct fanout *fanout, struct fanout_put *put, int64_t now_ms)
{
    advance(fanout, now_ms);
    *put = (struct fanout_put){.pending = fanout->taking};
    for (size_t i = 0; i < FANOUT_REGIONS_MAX; i++)
        fanout->regions[i].pending += takes(fanout, i);
}

bool fanout_end(struct fanout *fanout, struct fanout_put *put, size_t region, bool stored,
                int64_t now_ms)
{
    struct fanout_region *at = &fanout->regions[region];
    const uint32_t bit = UINT32_C(1) << region;
    assert(put->pending & bit && at->pending > 0);
    advance(fanout, now_ms);
    at->pending--;
    at->silent_ms = 0;
    at->ended_ms = now_ms;
    put->pending &= ~bit;
    if (stored)
        put->stored |= bit;
    return put->pending == 0;
}

bool fanout_enough(const struct fanout *fanout, const struct fanout_put *put)
{
    return (size_t)__builtin_popcount(put->stored) >= fanout->quorum;
}

void fanout_wait(struct fanout *fanout, int64_t now_ms)
{
    advance(fanout, now_ms);
    fanout->waiters++;
}

void fanout_go_on(struct fanout *fanout, int64_t now_ms)
{
    assert(fanout->waiters > 0);
    advance(fanout, now_ms);
    fanout->waiters--;
}

enum fanout_verdict fanout_judge(struct fanout *fanout, size_t region, int64_t now_ms)
{
    const struct fanout_region *at = &fanout->regions[region];
    advance(fanout, now_ms);
    if (!holds_back(fanout, region))
        return FANOUT_IN_TIME;
    if (at->silent_ms >= fanout->patience_ms)
        return FANOUT_HANGS;
    int64_t without_ms = fanout->now_ms - fanout->begun_ms - at->held_ms;
    return at->held_ms >= without_ms + fanout->patience_ms ? FANOUT_TOO_SLOW : FANOUT_IN_TIME;
}
