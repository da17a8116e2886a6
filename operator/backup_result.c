// SPDX-License-Identifier: Apache-2.0
#include "operator/backup_result.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/backup_object.h"
#include "operator/lookup.h"
#include "operator/run_status.h"

enum { REGION_MAX = 63 };

/* Texts of the summary, their names in the status, and how long the schema lets them be. */
static const struct {
    const char *from, *to;
    size_t max;
} texts[] = {
    {"id", "backupID", 32},
    {"parent", "parent", 32},
    {"changeSource", "changeSource", 32},
    {"startLSN", "startLSN", 17},
    {"stopLSN", "stopLSN", 17},
    {"systemIdentifier", "systemIdentifier", 20},
    {"sha256", "manifestSHA256", 64},
    {"fallback", "fallback", RUN_MESSAGE_BYTES * 4}, /* cut when it is put */
};

/* A list of the schema's type "set": each once. */
static void put_regions(json_t *status, const json_t *summary, const char *name)
{
    json_auto_t *once = json_object();
    json_t *regions = json_array();
    size_t index;
    json_t *region;
    json_array_foreach(json_object_get(summary, name), index, region)
    {
        const char *text = json_string_value(region);
        if (!text || strlen(text) > REGION_MAX || json_object_get(once, text))
            continue;
        json_object_set(once, text, region);
        json_array_append(regions, region);
    }
    if (json_array_size(regions) > 0)
        json_object_set(status, name, regions);
    json_decref(regions);
}

/* In our own form, which the schema takes and whose texts compare as times do. */
static bool put_time(json_t *status, const json_t *summary, const char *name, int64_t *ret_ms)
{
    const char *text = lookup_text(summary, name);
    bool there = text && clock_parse(text, ret_ms);
    if (there)
        run_status_set_time(status, name, *ret_ms);
    return there;
}

static void put_times(json_t *status, const json_t *summary)
{
    int64_t started_ms, finished_ms;
    bool started = put_time(status, summary, "started", &started_ms);
    bool finished = put_time(status, summary, "finished", &finished_ms);
    if (started && finished)
        run_status_set_duration(status, "duration", finished_ms - started_ms);
}

void backup_result_names(const json_t *regions, char ret_names[BACKUP_RESULT_NAMES_BYTES])
{
    size_t index, used = 0;
    json_t *region;
    ret_names[0] = '\0';
    json_array_foreach(regions, index, region)
    {
        const char *name = json_string_value(region);
        if (name && used < BACKUP_RESULT_NAMES_BYTES)
            used += (size_t)snprintf(ret_names + used, BACKUP_RESULT_NAMES_BYTES - used, "%s%s",
                                     used > 0 ? ", " : "", name);
    }
}

void backup_result_put(json_t *status, const json_t *summary)
{
    static const char *const numbers[] = {"timeline",    "bytesTotal",  "bytesRead",
                                          "bytesStored", "bytesReused", "files",
                                          "pageErrors",  "versionNum",  NULL};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *text = lookup_text(summary, texts[i].from);
        if (text && strlen(text) <= texts[i].max)
            run_status_set_text(status, texts[i].to, text);
    }
    run_status_set_text(status, "type", backup_object_type_name(lookup_text(summary, "type")));
    run_status_take_over(status, summary, numbers);
    char names[BACKUP_RESULT_NAMES_BYTES];
    put_regions(status, summary, "regions");
    backup_result_names(json_object_get(status, "regions"), names);
    run_status_set_text(status, "regionNames", names);
    put_regions(status, summary, "missingRegions");
    put_times(status, summary);
    json_int_t stored = json_integer_value(json_object_get(summary, "bytesStored"));
    run_status_set_size(status, "size", stored > 0 ? (uint64_t)stored : 0);
}
