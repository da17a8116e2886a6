// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_gap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/message.h"
#include "common/own.h"
#include "operator/condition.h"
#include "operator/lookup.h"

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

bool policy_gap_same(const json_t *one, const json_t *other)
{
    return one && other && timeline_of(one) == timeline_of(other) &&
           lsn_at(one, "fromLSN") == lsn_at(other, "fromLSN") &&
           lsn_at(one, "toLSN") == lsn_at(other, "toLSN");
}

static json_t *read_gap(const struct policy_gap_facts *facts)
{
    const struct message_archiving *archiving = facts->archiving;
    char found[CLOCK_TEXT_BYTES];
    if (!archiving || !archiving->gap.from || !archiving->gap.to)
        return NULL;
    clock_format(facts->now_ms, found);
    return json_pack("{s:I, s:s, s:s, s:s}", "timeline", (json_int_t)archiving->gap.timeline,
                     "fromLSN", archiving->gap.from, "toLSN", archiving->gap.to, "found", found);
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

/* All WAL from its start on is there, also of the timelines that came after. */
static bool starts_behind(const json_t *backup, const json_t *gap)
{
    const json_t *status = json_object_get(backup, "status");
    return condition_is_true(backup, "Succeeded") && lookup_text(status, "backupID") &&
           lookup_text(status, "startLSN") && timeline_of(status) >= timeline_of(gap) &&
           lsn_at(status, "startLSN") >= lsn_at(gap, "toLSN");
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
    json_t *gap = read_gap(facts);
    if (!gap || (facts->before && !is_newer(gap, facts->before))) {
        json_decref(gap);
        gap = json_deep_copy(facts->before);
    } else if (policy_gap_open(facts->before)) {
        begin_with(gap, facts->before);
    }
    close_gap(gap, facts->backups);
    return gap;
}

bool policy_gap_open(const json_t *gap)
{
    return gap && !json_object_get(gap, "closedBy");
}

char *policy_gap_backup_name(const json_t *gap, const char *policy)
{
    return own_format("%s-gap-%" JSON_INTEGER_FORMAT "-%016" PRIx64, policy, timeline_of(gap),
                      lsn_at(gap, "toLSN"));
}

void policy_gap_text(const json_t *gap, char ret_text[POLICY_GAP_TEXT_BYTES])
{
    const char *from = lookup_text(gap, "fromLSN"), *to = lookup_text(gap, "toLSN");
    snprintf(ret_text, POLICY_GAP_TEXT_BYTES, "%.17s to %.17s of timeline %" JSON_INTEGER_FORMAT,
             from ? from : "", to ? to : "", timeline_of(gap));
}
