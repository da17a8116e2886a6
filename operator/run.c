// SPDX-License-Identifier: Apache-2.0
#include "operator/run.h"

#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/condition.h"
#include "operator/lookup.h"

static int64_t moment(const json_t *object, const char *name)
{
    int64_t ms;
    const char *written = lookup_text(object, name);
    return written && clock_parse(written, &ms) ? ms : 0;
}

static void read_outcome(struct run *run)
{
    const json_t *succeeded = condition_find(run->object, "Succeeded");
    const char *status = lookup_text(succeeded, "status");
    run->seen = status;
    if (!run_has_ended(run->object))
        return;
    run->outcome = strcmp(status, "True") == 0 ? RUN_SUCCEEDED : RUN_FAILED;
    run->ended_ms = moment(succeeded, "lastTransitionTime");
}

static void read_attempts(struct run *run, const char *id_member)
{
    const json_t *status = json_object_get(run->object, "status");
    size_t index;
    json_t *attempt;
    json_array_foreach(json_object_get(status, "attempts"), index, attempt)
    {
        if (run->attempt_count == RUN_ATTEMPTS_READ_MAX)
            return;
        run->attempts[run->attempt_count++] = (struct run_attempt){
            .id = lookup_text(attempt, id_member),
            .pod = lookup_text(attempt, "pod"),
            .pod_uid = lookup_text(attempt, "podUID"),
            .region = lookup_text(attempt, "region"),
            .started_ms = moment(attempt, "started"),
            .finished_ms = moment(attempt, "finished"),
            .reason = lookup_text(attempt, "reason"),
            .error = lookup_text(attempt, "error"),
        };
    }
}

const struct run_attempt *run_last(const struct run *run)
{
    return run->attempt_count > 0 ? &run->attempts[run->attempt_count - 1] : NULL;
}

const struct run_attempt *run_current(const struct run *run)
{
    const struct run_attempt *last = run_last(run);
    return last && last->finished_ms == 0 ? last : NULL;
}

int64_t run_retry_ms(const struct run *run)
{
    static const int64_t delays_ms[] = {0, 30000, 120000}; /* after so many attempts */
    const struct run_attempt *last = run_last(run);
    if (!last)
        return 0;
    size_t index =
        run->attempt_count < ARRAY_SIZE(delays_ms) ? run->attempt_count : ARRAY_SIZE(delays_ms) - 1;
    return last->finished_ms + delays_ms[index];
}

bool run_has_ended(const json_t *object)
{
    const char *status = lookup_text(condition_find(object, "Succeeded"), "status");
    return status && strcmp(status, "Unknown") != 0;
}

int run_read(struct run *ret_run, json_t *object, const char *id_member, struct error *err)
{
    const json_t *metadata = json_object_get(object, "metadata");
    struct run run = {
        .object = object,
        .namespace = lookup_text(metadata, "namespace"),
        .name = lookup_text(metadata, "name"),
        .uid = lookup_text(metadata, "uid"),
        .generation = json_integer_value(json_object_get(metadata, "generation")),
        .created_ms = moment(metadata, "creationTimestamp"),
        .deleted = lookup_text(metadata, "deletionTimestamp"),
    };
    if (!run.namespace || !run.name || !run.uid)
        return error_set(err, ERROR_PERMANENT, "an object without namespace, name or uid");
    read_outcome(&run);
    read_attempts(&run, id_member);
    *ret_run = run;
    return 0;
}
