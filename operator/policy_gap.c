// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_gap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/message.h"
#include "common/own.h"
#include "operator/condition.h"
#include "operator/lookup.h"
#include "operator/run.h"

enum {
    AGAIN_MS = 10 * 60 * 1000, /* after the first Backup that did not help, then twice as long … */
    AGAIN_MAX_MS = 6 * 60 * 60 * 1000,
    NUMBER_MAX = 9999,
};

static uint64_t lsn_at(const json_t *object, const char *name)
{
    const char *text = lookup_text(object, name);
    uint64_t lsn;
    return text && message_lsn(text, &lsn) ? lsn : 0;
}

static json_int_t timeline_of(const json_t *object)
{
    return json_integer_value(json_object_get(object, "timeline"));
}

/* Places in the WAL of one database system mean nothing in that of another. */
static bool is_of_system(const json_t *object, const char *system)
{
    const char *own = lookup_text(object, "systemIdentifier");
    return !own || !system || strcmp(own, system) == 0;
}

bool policy_gap_same(const json_t *one, const json_t *other)
{
    return one && other && is_of_system(one, lookup_text(other, "systemIdentifier")) &&
           timeline_of(one) == timeline_of(other) &&
           lsn_at(one, "fromLSN") == lsn_at(other, "fromLSN") &&
           lsn_at(one, "toLSN") == lsn_at(other, "toLSN");
}

static json_t *read_gap(const struct policy_gap_facts *facts)
{
    const struct message_archiving *archiving = facts->state ? &facts->state->archiving : NULL;
    char found[CLOCK_TEXT_BYTES];
    if (!archiving || !archiving->gap.from || !archiving->gap.to)
        return NULL;
    clock_format(facts->now_ms, found);
    return json_pack("{s:s*, s:I, s:s, s:s, s:s}", "systemIdentifier",
                     archiving->gap.system_identifier, "timeline",
                     (json_int_t)archiving->gap.timeline, "fromLSN", archiving->gap.from, "toLSN",
                     archiving->gap.to, "found", found);
}

/* What was told before is told again: a sidecar keeps its last gap for ever. */
static bool is_newer(const json_t *gap, const json_t *before)
{
    return timeline_of(gap) > timeline_of(before) || lsn_at(gap, "toLSN") > lsn_at(before, "toLSN");
}

/* Nothing within an open one and what came after can be recovered to before a backup is made. */
static void begin_with(json_t *gap, const json_t *open)
{
    if (lsn_at(open, "fromLSN") < lsn_at(gap, "fromLSN"))
        json_object_set(gap, "fromLSN", json_object_get(open, "fromLSN"));
}

/* All WAL from its start on is there, also of the timelines that came after. One that starts on
 * such a timeline may do so at a lower LSN: then what is missing above was left behind at the fork.
 */
static bool starts_behind(const json_t *backup, const json_t *gap)
{
    const json_t *status = json_object_get(backup, "status");
    if (!condition_is_true(backup, "Succeeded") || !lookup_text(status, "backupID") ||
        !lookup_text(status, "startLSN") ||
        !is_of_system(status, lookup_text(gap, "systemIdentifier")))
        return false;
    return timeline_of(status) > timeline_of(gap) ||
           (timeline_of(status) == timeline_of(gap) &&
            lsn_at(status, "startLSN") >= lsn_at(gap, "toLSN"));
}

/* The first one that closed it, which stays. */
static void close_gap(json_t *gap, const json_t *backups)
{
    const char *first = NULL;
    size_t index;
    const json_t *backup;
    if (!policy_gap_open(gap))
        return;
    json_array_foreach(backups, index, backup)
    {
        const char *id = lookup_text(json_object_get(backup, "status"), "backupID");
        if (starts_behind(backup, gap) && (!first || strcmp(id, first) < 0))
            first = id;
    }
    if (first)
        json_object_set_new(gap, "closedBy", json_string(first));
}

json_t *policy_gap(const struct policy_gap_facts *facts)
{
    const char *system = facts->state ? facts->state->database.system_identifier : NULL;
    const json_t *before = is_of_system(facts->before, system) ? facts->before : NULL;
    json_t *gap = read_gap(facts);
    if (!gap || !is_of_system(gap, system) || (before && !is_newer(gap, before))) {
        json_decref(gap);
        gap = json_deep_copy(before);
    } else if (policy_gap_open(before)) {
        begin_with(gap, before);
    }
    close_gap(gap, facts->backups);
    return gap;
}

bool policy_gap_open(const json_t *gap)
{
    return gap && !json_object_get(gap, "closedBy");
}

static const json_t *find_backup(const json_t *backups, const char *name)
{
    size_t index;
    const json_t *backup;
    json_array_foreach(backups, index, backup)
    {
        const char *found = lookup_text(json_object_get(backup, "metadata"), "name");
        if (found && strcmp(found, name) == 0)
            return backup;
    }
    return NULL;
}

/* Which one of the gap's it is. */
static unsigned number_of(const char *backup, const char *first)
{
    const size_t length = strlen(first);
    if (strncmp(backup, first, length) != 0 || backup[length] != '-')
        return 1;
    const unsigned long number = strtoul(backup + length + 1, NULL, 10);
    return number > 1 && number < NUMBER_MAX ? (unsigned)number : 1;
}

static int64_t delay_after(unsigned number)
{
    int64_t delay_ms = AGAIN_MS;
    while (--number > 0 && delay_ms < AGAIN_MAX_MS)
        delay_ms *= 2;
    return delay_ms < AGAIN_MAX_MS ? delay_ms : AGAIN_MAX_MS;
}

/* One that was removed was not wanted. */
char *policy_gap_due(const json_t *gap, const struct policy_gap_facts *facts, const char *policy,
                     int64_t *ret_wait_ms)
{
    CLEANUP(own_freep)
    char *first = own_format("%s-gap-%" JSON_INTEGER_FORMAT "-%016" PRIx64, policy,
                             timeline_of(gap), lsn_at(gap, "toLSN"));
    const char *made = lookup_text(gap, "backup");
    int64_t ended_ms;
    if (!policy_gap_open(gap))
        return NULL;
    if (!made)
        return TAKE(first);
    const json_t *backup = find_backup(facts->backups, made);
    const json_t *succeeded = condition_find(backup, "Succeeded");
    const char *ended = lookup_text(succeeded, "lastTransitionTime");
    if (!run_has_ended(backup) || !ended || !clock_parse(ended, &ended_ms))
        return NULL;
    const unsigned number = number_of(made, first);
    const int64_t wait_ms = ended_ms + delay_after(number) - facts->now_ms;
    if (wait_ms <= 0)
        return own_format("%s-%u", first, number + 1);
    *ret_wait_ms = wait_ms;
    return NULL;
}

void policy_gap_text(const json_t *gap, char ret_text[POLICY_GAP_TEXT_BYTES])
{
    const char *from = lookup_text(gap, "fromLSN"), *to = lookup_text(gap, "toLSN");
    snprintf(ret_text, POLICY_GAP_TEXT_BYTES, "%.17s to %.17s of timeline %" JSON_INTEGER_FORMAT,
             from ? from : "", to ? to : "", timeline_of(gap));
}
