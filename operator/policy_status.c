// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_status.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/coarse.h"
#include "operator/condition.h"
#include "operator/lookup.h"
#include "operator/member.h"
#include "operator/policy_archiving.h"
#include "operator/policy_view.h"
#include "operator/policy_windows.h"

/* The bounds of the schema: what a sidecar says must never make a status that is refused. */
enum { PODS_MAX = 32, BACKUP_ID_MAX = 32 };

static json_t *integer(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *text(const char *value)
{
    char fitted[CONDITION_MESSAGE_BYTES];
    text_fit(value, fitted, sizeof(fitted));
    return json_string(fitted);
}

static json_t *size_text(uint64_t bytes)
{
    char size[16];
    text_size(bytes, size);
    return json_string(size);
}

static json_t *format_pod(const struct policy_view_pod *pod)
{
    const struct message_database *database = pod->state ? &pod->state->database : NULL;
    json_t *formatted = json_pack("{s:s, s:s, s:b}", "name", pod->member->name, "uid",
                                  pod->member->uid, "connected", pod->connected);
    if (*pod->member->region)
        json_object_set_new(formatted, "region", text(pod->member->region));
    if (database && database->reachable)
        json_object_set_new(formatted, "role",
                            json_string(database->standby ? "Standby" : "Primary"));
    if (database && database->reachable && database->standby &&
        database->lag_seconds >= COARSE_FIRST_SECONDS)
        json_object_set_new(formatted, "lagSeconds",
                            json_integer(coarse_seconds(database->lag_seconds)));
    if (pod->state)
        json_object_set_new(formatted, "generation", json_integer(pod->generation));
    if (*pod->message)
        json_object_set_new(formatted, "message", json_string(pod->message));
    return formatted;
}

json_t *policy_status_pods(const struct policy_view *view)
{
    json_t *pods = json_array();
    for (size_t i = 0; i < view->pod_count && i < PODS_MAX; i++)
        json_array_append_new(pods, format_pod(&view->pods[i]));
    return pods;
}

json_t *policy_status_members(const struct policy_view *view)
{
    char members[32];
    snprintf(members, sizeof(members), "%zu/%zu", view->connected, view->living);
    return json_string(members);
}

/* What was counted there last; a region that cannot be listed still has it, as far as we know. */
static void take_over(json_t *region, const json_t *before)
{
    static const char *const counted[] = {
        "backups", "bytes", "size", "lastBackup", "recoverableFrom", "recoverableTo", "windows"};
    for (size_t i = 0; i < ARRAY_SIZE(counted); i++)
        if (json_object_get(before, counted[i]))
            json_object_set_new(region, counted[i],
                                json_deep_copy(json_object_get(before, counted[i])));
    policy_windows_close(region);
}

/* How old the newest WAL of a region is that the stream does not get into. */
static int64_t age_seconds(const json_t *formatted, int64_t now_ms)
{
    const char *newest = lookup_text(formatted, "recoverableTo");
    int64_t newest_ms;
    return newest && clock_parse(newest, &newest_ms) ? (now_ms - newest_ms) / 1000 : 0;
}

static void add_lag(json_t *formatted, const struct policy_status_regions_facts *facts,
                    bool reaches)
{
    const struct message_archiving *archiving = facts->archiving;
    int64_t seconds = reaches ? archiving->lag_seconds : age_seconds(formatted, facts->now_ms);
    if (seconds >= COARSE_FIRST_SECONDS)
        json_object_set_new(formatted, "lagSeconds", json_integer(coarse_seconds(seconds)));
}

static void add_listing(json_t *formatted, const struct policy_view_region *region)
{
    json_object_set_new(formatted, "backups", integer(region->backups));
    json_object_set_new(formatted, "bytes", integer(region->bytes));
    json_object_set_new(formatted, "size", size_text(region->bytes));
    if (region->last_backup && strlen(region->last_backup) <= BACKUP_ID_MAX)
        json_object_set_new(formatted, "lastBackup", text(region->last_backup));
}

static json_t *format_region(const struct policy_status_regions_facts *facts,
                             const struct policy_view_region *region)
{
    const char *name = region->region->name;
    json_t *formatted = json_pack("{s:s}", "name", name);
    bool reaches = policy_archiving_reaches(facts->archiving, name);
    bool streams = facts->view->spec->wal_stream;
    if (region->told)
        json_object_set_new(formatted, "reachable", json_boolean(region->reachable));
    if (region->told && !region->reachable)
        json_object_set_new(formatted, "error",
                            text(region->error ? region->error : "no reason is known"));
    if (region->listed)
        add_listing(formatted, region);
    if (region->listed && streams)
        policy_windows_format(formatted, region,
                              policy_windows_grow(region, facts->archiving, facts->gap));
    if (!region->listed)
        take_over(formatted, lookup_element(facts->before, "name", name));
    if (streams && !region->region->read_only)
        add_lag(formatted, facts, reaches);
    return formatted;
}

json_t *policy_status_regions(const struct policy_status_regions_facts *facts)
{
    json_t *regions = json_array();
    for (size_t i = 0; i < facts->view->spec->region_count; i++)
        json_array_append_new(regions, format_region(facts, &facts->view->regions[i]));
    return regions;
}

/* RFC 3339 in UTC without fractions, as we write it: text compares as time does. */
static const char *finished(const json_t *backup)
{
    const char *time = lookup_text(json_object_get(backup, "status"), "finished");
    return time && condition_is_true(backup, "Succeeded") ? time : NULL;
}

const json_t *policy_status_newest(const json_t *backups, const char *schedule)
{
    const json_t *newest = NULL, *backup;
    size_t index;
    json_array_foreach(backups, index, backup)
    {
        const json_t *labels = json_object_get(json_object_get(backup, "metadata"), "labels");
        const char *of = lookup_text(labels, "lifeboat.dev/schedule");
        bool wanted = !schedule || (of && strcmp(of, schedule) == 0);
        if (wanted && finished(backup) &&
            (!newest || strcmp(finished(backup), finished(newest)) > 0))
            newest = backup;
    }
    return newest;
}

json_t *policy_status_last_backup(const json_t *newest, const json_t *before)
{
    static const char *const copied[] = {"backupID", "type",           "finished",
                                         "size",     "manifestSHA256", "bytesStored"};
    const char *former = lookup_text(before, "finished");
    if (!newest || (former && strcmp(former, finished(newest)) > 0))
        return json_deep_copy(before);
    const json_t *status = json_object_get(newest, "status");
    json_t *last =
        json_pack("{s:O}", "name", json_object_get(json_object_get(newest, "metadata"), "name"));
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
        if (json_object_get(status, copied[i]))
            json_object_set(last, copied[i], json_object_get(status, copied[i]));
    return last;
}
