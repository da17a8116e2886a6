// SPDX-License-Identifier: Apache-2.0
#include "sidecar/policy_operator.h"

#include <stdint.h>

#include "common/cron.h"
#include "common/fields.h"
#include "common/own.h"
#include "sidecar/syntax.h"

enum {
    SCHEDULES_MAX = 16,
    DRILLS_MAX = 8,
    DAY_SECONDS = 24 * 60 * 60,
    MONTH_SECONDS = 31 * DAY_SECONDS,
};

static void check_time(struct fields *fields)
{
    fields_require(fields, "cron");
    struct cron cron;
    struct error err;
    const char *text = fields_string(fields, "cron", NULL);
    if (text && cron_parse(&cron, text, &err) < 0)
        fields_fail(fields, "cron", "%s", err.text);
    syntax_string(fields, "timeZone", NULL, syntax_time_zone);
}

/* Names are unique among siblings; names[count] is where this one goes. */
static void check_name(struct fields *fields, const char **names, size_t count)
{
    fields_require(fields, "name");
    names[count] = syntax_string(fields, "name", NULL, syntax_short_name);
    if (syntax_is_among(names[count], names, count))
        fields_fail(fields, "name", "'%s' is there twice", names[count]);
}

static int check_schedules(struct fields *spec, bool possible)
{
    static const char *const types[] = {"Full", "Differential", "Incremental", NULL};
    const char *names[SCHEDULES_MAX];
    size_t count = fields_array(spec, "schedules", SCHEDULES_MAX);
    if (count > 0 && !possible)
        fields_fail(spec, "schedules",
                    "no region has access: ReadWrite, so no backup can be made: remove the "
                    "schedules, or set suspend: true");
    for (size_t i = 0; i < count; i++) {
        struct fields schedule;
        fields_array_object(spec, "schedules", i, &schedule);
        check_name(&schedule, names, i);
        fields_choice(&schedule, "type", types, 0);
        check_time(&schedule);
        fields_integer(&schedule, "jitterSeconds", 0, DAY_SECONDS, 0);
        fields_integer(&schedule, "startingDeadlineSeconds", 1, MONTH_SECONDS, 1);
        if (fields_end(&schedule) < 0)
            return -1;
    }
    return 0;
}

static int check_integers(struct fields *spec, const char *name, const char *const *members,
                          int64_t max)
{
    struct fields object;
    fields_object(spec, name, &object);
    for (; *members; members++)
        fields_integer(&object, *members, 0, max, 0);
    return fields_end(&object);
}

static int check_verification(struct fields *spec)
{
    static const char *const modes[] = {"Sample", "Full", NULL};
    struct fields verification;
    fields_object(spec, "verification", &verification);
    if (!verification.object)
        return 0;
    check_time(&verification);
    fields_choice(&verification, "mode", modes, 0);
    return fields_end(&verification);
}

/* A RestoreJob's spec. */
static int check_template(struct fields *drill)
{
    static const char *const objects[] = {"source", "recoveryTarget", "destination", "database",
                                          "pod",    "checks",         "objectives",  "parallelism"};
    struct fields template, member;
    fields_object(drill, "template", &template);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        fields_object(&template, objects[i], &member);
    fields_integer(&template, "deadlineSeconds", 1, MONTH_SECONDS, 1);
    fields_integer(&template, "ttlSecondsAfterFinished", 0, INT32_MAX, 0);
    return fields_end(&template);
}

static int check_drills(struct fields *spec)
{
    const char *names[DRILLS_MAX];
    size_t count = fields_array(spec, "drills", DRILLS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct fields drill;
        fields_array_object(spec, "drills", i, &drill);
        check_name(&drill, names, i);
        check_time(&drill);
        if (check_template(&drill) < 0 || fields_end(&drill) < 0)
            return -1;
    }
    return 0;
}

static int check_sidecar(struct fields *spec)
{
    struct fields sidecar, resources;
    fields_object(spec, "sidecar", &sidecar);
    syntax_string(&sidecar, "image", NULL, syntax_image);
    /* PostgreSQL never runs as root, and the sidecar has its uid */
    fields_integer(&sidecar, "runAsUser", 1, UINT32_MAX - 1, 1);
    fields_object(&sidecar, "resources", &resources);
    fields_skip(&resources, "limits");
    fields_skip(&resources, "requests");
    fields_skip(&resources, "claims");
    if (fields_end(&resources) < 0)
        return -1;
    return fields_end(&sidecar);
}

int policy_operator_check(struct fields *spec, bool writable)
{
    static const char *const objectives[] = {"recoveryPointSeconds", "recoveryTimeSeconds",
                                             "backupSeconds", NULL};
    bool suspended = fields_bool(spec, "suspend", false);
    fields_integer(spec, "deadlineSeconds", 1, MONTH_SECONDS, 1);
    if (check_schedules(spec, writable || suspended) < 0 ||
        check_integers(spec, "objectives", objectives, MONTH_SECONDS) < 0)
        return -1;
    if (check_verification(spec) < 0 || check_drills(spec) < 0)
        return -1;
    return check_sidecar(spec);
}
