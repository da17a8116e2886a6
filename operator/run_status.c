// SPDX-License-Identifier: Apache-2.0
#include "operator/run_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/message.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/condition.h"

enum { PROGRESS_MS = 10000 };

json_t *run_status_copy(const struct run *run)
{
    const json_t *status = json_object_get(run->object, "status");
    return json_is_object(status) ? json_deep_copy(status) : json_object();
}

void run_status_set_text(json_t *status, const char *name, const char *text)
{
    if (!text) {
        json_object_del(status, name);
        return;
    }
    char shown[RUN_MESSAGE_BYTES];
    text_fit(text, shown, sizeof(shown));
    json_object_set_new(status, name, json_string(shown));
}

void run_status_set_time(json_t *status, const char *name, int64_t ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_format(ms, text);
    json_object_set_new(status, name, json_string(text));
}

void run_status_set_size(json_t *status, const char *name, uint64_t bytes)
{
    char text[16];
    text_size(bytes, text);
    json_object_set_new(status, name, json_string(text));
}

void run_status_set_duration(json_t *status, const char *name, int64_t ms)
{
    char text[32];
    int64_t seconds = ms > 0 ? ms / 1000 : 0;
    if (seconds >= 3600)
        snprintf(text, sizeof(text), "%" PRId64 "h%02" PRId64 "m", seconds / 3600,
                 seconds / 60 % 60);
    else if (seconds >= 60)
        snprintf(text, sizeof(text), "%" PRId64 "m%02" PRId64 "s", seconds / 60, seconds % 60);
    else
        snprintf(text, sizeof(text), "%" PRId64 "s", seconds);
    json_object_set_new(status, name, json_string(text));
}

void run_status_take_over(json_t *status, const json_t *from, const char *const *names)
{
    for (; *names; names++) {
        json_t *value = json_object_get(from, *names);
        if (value && !json_is_null(value))
            json_object_set(status, *names, value);
    }
}

void run_status_set_verdict(json_t *status, const struct run *run, const struct verdict *verdict,
                            int64_t now_ms)
{
    static const enum condition_status succeeded[] = {[RUN_OPEN] = CONDITION_UNKNOWN,
                                                      [RUN_SUCCEEDED] = CONDITION_TRUE,
                                                      [RUN_FAILED] = CONDITION_FALSE};
    enum run_outcome outcome = verdict->outcome;
    struct condition conditions[] = {
        {.type = "Succeeded"}, {.type = "Reconciling"}, {.type = "Stalled"}};
    const enum condition_status values[] = {
        succeeded[outcome],
        outcome == RUN_OPEN ? CONDITION_TRUE : CONDITION_FALSE,
        outcome == RUN_FAILED ? CONDITION_TRUE : CONDITION_FALSE,
    };
    for (size_t i = 0; i < ARRAY_SIZE(conditions); i++)
        condition_set(&conditions[i], values[i], verdict->reason, "%s", verdict->message);
    json_t *before = json_object_get(json_object_get(run->object, "status"), "conditions");
    json_object_set_new(
        status, "conditions",
        conditions_format(conditions, ARRAY_SIZE(conditions), before, run->generation, now_ms));
    json_object_set_new(status, "observedGeneration", json_integer(run->generation));
}

void run_status_add_attempt(json_t *status, const char *id_member,
                            const struct run_attempt *attempt)
{
    json_t *attempts = json_object_get(status, "attempts");
    if (!attempts) {
        attempts = json_array();
        json_object_set_new(status, "attempts", attempts);
    }
    json_t *added = json_object();
    run_status_set_text(added, id_member, attempt->id);
    run_status_set_text(added, "pod", attempt->pod);
    run_status_set_text(added, "podUID", attempt->pod_uid);
    run_status_set_text(added, "region", attempt->region);
    run_status_set_time(added, "started", attempt->started_ms);
    json_array_append_new(attempts, added);
}

static json_t *last_attempt(json_t *status)
{
    json_t *attempts = json_object_get(status, "attempts");
    size_t count = json_array_size(attempts);
    return count > 0 ? json_array_get(attempts, count - 1) : NULL;
}

void run_status_set_pod(json_t *status, const char *pod, const char *pod_uid)
{
    run_status_set_text(last_attempt(status), "pod", pod);
    run_status_set_text(last_attempt(status), "podUID", pod_uid);
}

void run_status_end_attempt(json_t *status, const char *reason, const char *error, int64_t now_ms)
{
    json_t *last = last_attempt(status);
    run_status_set_time(last, "finished", now_ms);
    run_status_set_text(last, "reason", reason);
    run_status_set_text(last, "error", reason ? error : NULL);
    run_status_set_text(status, "error", reason ? error : NULL);
    json_object_del(status, "progress");
}

static bool is_recent(const json_t *before, const char *phase, int64_t now_ms)
{
    int64_t updated_ms;
    const char *updated = json_string_value(json_object_get(before, "updated"));
    const char *old_phase = json_string_value(json_object_get(before, "phase"));
    return updated && clock_parse(updated, &updated_ms) && now_ms - updated_ms < PROGRESS_MS &&
           old_phase && strcmp(old_phase, phase) == 0;
}

static void set_bytes(json_t *object, const char *name, uint64_t bytes)
{
    json_object_set_new(object, name,
                        json_integer(bytes > INT64_MAX ? INT64_MAX : (json_int_t)bytes));
}

void run_status_set_progress(json_t *status, const struct message_progress *progress,
                             int64_t now_ms)
{
    if (!progress) {
        json_object_del(status, "progress");
        return;
    }
    const char *phase = progress->phase ? progress->phase : "starting";
    if (is_recent(json_object_get(status, "progress"), phase, now_ms))
        return;
    json_t *object = json_object();
    run_status_set_text(object, "phase", phase);
    set_bytes(object, "bytes", progress->bytes);
    set_bytes(object, "files", progress->files);
    if (progress->total_bytes > 0) {
        double share = (double)progress->bytes / (double)progress->total_bytes;
        set_bytes(object, "totalBytes", progress->total_bytes);
        set_bytes(object, "percent", share >= 1 ? 100 : (uint64_t)(share * 100));
    }
    run_status_set_time(object, "updated", now_ms);
    json_object_set_new(status, "progress", object);
}
