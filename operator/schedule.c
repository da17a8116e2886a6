// SPDX-License-Identifier: Apache-2.0
#include "operator/schedule.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/cron.h"
#include "common/digest.h"
#include "common/own.h"
#include "operator/zone.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

/* A slot so far in the future was handled by a clock that was wrong. */
static const int64_t clock_trust_ms = INT64_C(24) * HOUR_MS;

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The first slot after a moment. Minutes that the clock shows for the second time are over. */
static int64_t slot_after(const struct schedule_facts *facts, int64_t ms)
{
    struct civil_minute at = zone_civil(facts->zone, ms);
    while (cron_next(facts->cron, at, &at)) {
        int64_t slot = zone_moment(facts->zone, at);
        if (slot > ms)
            return slot;
        at.minute++;
    }
    return SCHEDULE_NEVER;
}

/* The newest slot of [first, last], where first is one: looked for from the end, in longer and
 * longer steps, because years may have gone by. */
static int64_t newest_slot(const struct schedule_facts *facts, int64_t first, int64_t last)
{
    int64_t newest = first;
    for (int64_t span = HOUR_MS; newest == first; span *= 4) {
        int64_t from = max_of(first, last - span);
        for (int64_t slot = slot_after(facts, from); slot <= last; slot = slot_after(facts, slot))
            newest = slot;
        if (from == first)
            break;
    }
    return newest;
}

static unsigned count_slots(const struct schedule_facts *facts, int64_t first, int64_t last)
{
    unsigned count = 0;
    for (int64_t slot = first; slot <= last && count < SCHEDULE_MISSED_MAX; count++)
        slot = slot_after(facts, slot);
    return count;
}

/* The first slot that was not handled yet; SCHEDULE_NEVER: nothing was promised that still holds.
 */
static int64_t promised(const struct schedule_facts *facts, int64_t floor)
{
    if (facts->next_ms == SCHEDULE_NEVER)
        return SCHEDULE_NEVER;
    if (slot_after(facts, facts->next_ms - 1) != facts->next_ms)
        return SCHEDULE_NEVER; /* of another expression */
    if (slot_after(facts, max_of(facts->now_ms, floor)) < facts->next_ms)
        return SCHEDULE_NEVER; /* likewise: this one has earlier slots */
    return facts->next_ms;
}

struct schedule_plan schedule_plan(const struct schedule_facts *facts)
{
    bool handled = facts->last_slot_ms != SCHEDULE_NEVER;
    bool trusted = handled && facts->last_slot_ms <= facts->now_ms + clock_trust_ms;
    int64_t floor = trusted ? facts->last_slot_ms : INT64_MIN;
    struct schedule_plan plan = {
        .last_slot_ms = facts->last_slot_ms, .next_ms = SCHEDULE_NEVER, .wake_ms = SCHEDULE_NEVER};
    if (facts->suspended)
        return plan;

    int64_t first = promised(facts, floor);
    if (first == SCHEDULE_NEVER || first <= floor)
        first = slot_after(facts, max_of(facts->since_ms, floor));
    int64_t reached_ms = facts->now_ms - facts->jitter_ms;
    plan.next_ms = first;
    if (first <= reached_ms) {
        int64_t newest = newest_slot(facts, first, reached_ms);
        int64_t late_ms = reached_ms - newest;
        plan.due = facts->starting_deadline_ms == 0 || late_ms <= facts->starting_deadline_ms;
        plan.last_slot_ms = newest;
        plan.missed = count_slots(facts, first, newest) - plan.due;
        plan.next_ms = slot_after(facts, newest);
    }
    if (plan.next_ms != SCHEDULE_NEVER)
        plan.wake_ms = plan.next_ms + facts->jitter_ms;
    return plan;
}

/* The same for the same two texts, and for no other two, as far as 64 bits go. */
static uint64_t hash_of(const char *policy, const char *schedule)
{
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    uint8_t hash[DIGEST_BYTES];
    digest_update_field(digest, policy, strlen(policy));
    digest_update_field(digest, schedule, strlen(schedule));
    digest_get(digest, hash);
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(number); i++)
        number = number << 8 | hash[i];
    return number;
}

int64_t schedule_jitter_ms(const char *policy_uid, const char *schedule, unsigned seconds)
{
    return (int64_t)(hash_of(policy_uid, schedule) % ((uint64_t)seconds + 1)) * 1000;
}

char *schedule_backup_name(const char *policy, const char *schedule, int64_t slot_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_format_basic(slot_ms, text); /* 20261121T082118Z */
    return own_format("%s-%s-%.8s%.4s", policy, schedule, text, text + strlen("20261121T"));
}

char *schedule_other_backup_name(const char *policy, const char *schedule, int64_t slot_ms)
{
    CLEANUP(own_freep) char *name = schedule_backup_name(policy, schedule, slot_ms);
    return own_format("%s-%05x", name, (unsigned)(hash_of(policy, schedule) & 0xfffff));
}
