// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_source.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LACK_BYTES = 256 };

static void say(char lack[LACK_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(char lack[LACK_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(lack, LACK_BYTES, format, args);
    va_end(args);
}

/* What it lacks to make a backup, its role aside; false: nothing. */
static bool lacks(const struct source_facts *facts, const struct source_candidate *pod,
                  char lack[LACK_BYTES])
{
    if (facts->region && strcmp(pod->region, facts->region) != 0)
        say(lack, "is in region '%s'", pod->region);
    else if (pod->unusable)
        say(lack, "%s", pod->unusable);
    else if (!pod->connected)
        say(lack, "its sidecar is not connected");
    else if (!pod->fresh)
        say(lack, "its sidecar has not said yet how it is");
    else if (pod->config_error)
        say(lack, "its sidecar refuses the policy: %s", pod->config_error);
    else if (pod->generation < facts->generation)
        say(lack, "its sidecar has generation %" PRId64 " of the policy, not %" PRId64 " yet",
            pod->generation, facts->generation);
    else if (!pod->reachable)
        say(lack, "PostgreSQL cannot be reached: %s",
            pod->database_error ? pod->database_error : "no reason given");
    else if (pod->busy)
        say(lack, "is busy with '%s'", pod->busy);
    else
        return false;
    return true;
}

static bool is_preferred(const struct source_facts *facts, const struct source_candidate *pod)
{
    return pod->standby != facts->prefer_primary;
}

/* It may still turn out to be one of the preferred role. */
static bool may_come(const struct source_facts *facts, const struct source_candidate *pod)
{
    if (facts->region && strcmp(pod->region, facts->region) != 0)
        return false;
    return !pod->fresh || !pod->connected || !pod->reachable || is_preferred(facts, pod);
}

static bool is_better(const struct source_facts *facts, const struct source_candidate *a,
                      const struct source_candidate *b)
{
    bool avoid_a = facts->avoid && strcmp(a->uid, facts->avoid) == 0;
    bool avoid_b = facts->avoid && strcmp(b->uid, facts->avoid) == 0;
    if (avoid_a != avoid_b)
        return avoid_b;
    uint64_t lag_a = (uint64_t)a->lag_seconds, lag_b = (uint64_t)b->lag_seconds; /* -1: last */
    if (lag_a != lag_b)
        return lag_a < lag_b;
    return strcmp(a->pod, b->pod) < 0;
}

/* The best that lacks nothing and has that role; -1: none. */
static ssize_t find_best(const struct source_facts *facts, bool preferred)
{
    char lack[LACK_BYTES];
    ssize_t best = -1;
    for (size_t i = 0; i < facts->count; i++) {
        const struct source_candidate *pod = &facts->candidates[i];
        if (is_preferred(facts, pod) != preferred || lacks(facts, pod, lack))
            continue;
        if (best < 0 || is_better(facts, pod, &facts->candidates[best]))
            best = (ssize_t)i;
    }
    return best;
}

static bool any_may_come(const struct source_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (may_come(facts, &facts->candidates[i]))
            return true;
    }
    return false;
}

/* Appends what each pod lacks, as far as there is room. */
static void tell_lacks(const struct source_facts *facts, char *message, size_t capacity)
{
    size_t room = capacity - 24; /* to say how many more there are */
    for (size_t i = 0; i < facts->count; i++) {
        const struct source_candidate *pod = &facts->candidates[i];
        char lack[LACK_BYTES];
        if (!lacks(facts, pod, lack))
            say(lack, "is the %s", pod->standby ? "standby" : "primary");
        size_t used = strlen(message);
        int needed =
            snprintf(message + used, room - used, "%s'%s' %s", i > 0 ? "; " : ": ", pod->pod, lack);
        if (needed < 0 || (size_t)needed >= room - used) {
            snprintf(message + used, capacity - used, " (and %zu more)", facts->count - i);
            return;
        }
    }
}

/* Whether all that stands in the way is that nobody has the preferred role. */
static bool only_role_lacks(const struct source_facts *facts)
{
    return !facts->fallback && find_best(facts, false) >= 0;
}

static void choose_none(const struct source_facts *facts, struct source_choice *choice)
{
    const char *role = facts->prefer_primary ? "primary" : "standby";
    bool role_lacks = only_role_lacks(facts);
    choice->verdict = facts->waited_ms < SOURCE_GRACE_MS ? SOURCE_WAIT : SOURCE_GIVE_UP;
    choice->reason = !role_lacks ? "NoMember" : facts->prefer_primary ? "NoPrimary" : "NoStandby";
    char *message = choice->message;
    size_t capacity = sizeof(choice->message);
    if (facts->count == 0)
        snprintf(message, capacity,
                 "no pod has the policy's label: add 'lifeboat.dev/policy' to the database's pods");
    else if (role_lacks)
        snprintf(message, capacity,
                 "no %s can make the backup; set source.fallback: true to take the other", role);
    else if (facts->fallback && find_best(facts, false) >= 0)
        snprintf(message, capacity, "a %s is waited for before the other is taken", role);
    else
        snprintf(message, capacity, "no pod%s%s can make the backup",
                 facts->region ? " in source.region " : "", facts->region ? facts->region : "");
    tell_lacks(facts, message, capacity);
}

static void choose_one(const struct source_facts *facts, ssize_t index,
                       struct source_choice *choice)
{
    const struct source_candidate *pod = &facts->candidates[index];
    choice->verdict = SOURCE_CHOSEN;
    choice->index = (size_t)index;
    snprintf(choice->message, sizeof(choice->message), "on %s '%s'%s%s",
             pod->standby ? "standby" : "primary", pod->pod, pod->region[0] ? " in " : "",
             pod->region);
}

void source_choose(const struct source_facts *facts, struct source_choice *ret_choice)
{
    *ret_choice = (struct source_choice){0};
    ssize_t preferred = find_best(facts, true);
    ssize_t other = facts->fallback ? find_best(facts, false) : -1;
    if (preferred >= 0)
        return choose_one(facts, preferred, ret_choice);
    if (other >= 0 && (facts->waited_ms >= SOURCE_FALLBACK_GRACE_MS || !any_may_come(facts)))
        return choose_one(facts, other, ret_choice);
    choose_none(facts, ret_choice);
    if (other >= 0)
        ret_choice->verdict = SOURCE_WAIT;
}
