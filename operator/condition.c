// SPDX-License-Identifier: Apache-2.0
#include "operator/condition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "operator/lookup.h"

static const char *const status_names[] = {"False", "True", "Unknown"};

static json_t *format_one(const struct condition *condition, const json_t *before,
                          int64_t generation, int64_t now_ms)
{
    const char *status = status_names[condition->status];
    const char *old_status = json_string_value(json_object_get(before, "status"));
    const char *since = json_string_value(json_object_get(before, "lastTransitionTime"));
    char now[CLOCK_TEXT_BYTES];
    clock_format(now_ms, now);
    if (!since || !old_status || strcmp(old_status, status) != 0)
        since = now;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "type", condition->type, "status", status,
                     "reason", condition->reason, "message", condition->message,
                     "observedGeneration", (json_int_t)generation, "lastTransitionTime", since);
}

void condition_set(struct condition *condition, enum condition_status status, const char *reason,
                   const char *format, ...)
{
    va_list args;
    char message[4 * CONDITION_MESSAGE_BYTES]; /* so that cutting is left to text_fit */
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    text_fit(message, condition->message, sizeof(condition->message));
    condition->status = status;
    snprintf(condition->reason, sizeof(condition->reason), "%s", reason);
}

const json_t *condition_find(const json_t *object, const char *type)
{
    const json_t *status = json_object_get(object, "status");
    return lookup_element(json_object_get(status, "conditions"), "type", type);
}

bool condition_is_true(const json_t *object, const char *type)
{
    const char *status = json_string_value(json_object_get(condition_find(object, type), "status"));
    return status && strcmp(status, status_names[CONDITION_TRUE]) == 0;
}

json_t *conditions_format(const struct condition *conditions, size_t count, const json_t *before,
                          int64_t generation, int64_t now_ms)
{
    json_t *formatted = json_array();
    for (size_t i = 0; i < count; i++) {
        const json_t *old = lookup_element(before, "type", conditions[i].type);
        json_array_append_new(formatted, format_one(&conditions[i], old, generation, now_ms));
    }
    return formatted;
}
