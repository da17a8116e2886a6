// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_status.h"

#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "operator/condition.h"
#include "operator/lookup.h"
#include "operator/member.h"
#include "operator/policy_view.h"

/* The bounds of the schema: what a sidecar says must never make a status that is refused. */
enum { PODS_MAX = 32, BACKUP_ID_MAX = 32, LAG_FIRST_SECONDS = 60 };

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

/* Rounded down to 1, 2, 4 … minutes, so that a standby of an idle primary does not change the
 * status all the time. */
static int64_t coarse_lag(int64_t seconds)
{
    int64_t step = LAG_FIRST_SECONDS;
    while (step <= seconds / 2)
        step *= 2;
    return step;
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
        database->lag_seconds >= LAG_FIRST_SECONDS)
        json_object_set_new(formatted, "lagSeconds",
                            json_integer(coarse_lag(database->lag_seconds)));
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
    static const char *const counted[] = {"backups", "bytes", "size", "lastBackup"};
    for (size_t i = 0; i < ARRAY_SIZE(counted); i++)
        if (json_object_get(before, counted[i]))
            json_object_set(region, counted[i], json_object_get(before, counted[i]));
}

static json_t *format_region(const struct policy_view_region *region, const json_t *before)
{
    json_t *formatted = json_pack("{s:s}", "name", region->region->name);
    if (region->told)
        json_object_set_new(formatted, "reachable", json_boolean(region->reachable));
    if (region->told && !region->reachable)
        json_object_set_new(formatted, "error",
                            text(region->error ? region->error : "no reason is known"));
    if (!region->listed) {
        take_over(formatted, before);
        return formatted;
    }
    json_object_set_new(formatted, "backups", integer(region->backups));
    json_object_set_new(formatted, "bytes", integer(region->bytes));
    json_object_set_new(formatted, "size", size_text(region->bytes));
    if (region->last_backup && strlen(region->last_backup) <= BACKUP_ID_MAX)
        json_object_set_new(formatted, "lastBackup", text(region->last_backup));
    return formatted;
}

json_t *policy_status_regions(const struct policy_view *view, const json_t *before)
{
    json_t *regions = json_array();
    for (size_t i = 0; i < view->spec->region_count; i++) {
        const struct policy_view_region *region = &view->regions[i];
        json_array_append_new(
            regions, format_region(region, lookup_element(before, "name", region->region->name)));
    }
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
