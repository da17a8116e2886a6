// SPDX-License-Identifier: Apache-2.0
/*
 * Scenes that plan_policy is asked about: a policy with its pods, what their sidecars said, and the
 * status of before, as a line of a table. What goes wrong fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"
#include "operator/agents.h"
#include "operator/member.h"
#include "operator/plan_policy.h"
#include "operator/policy_view.h"

enum { PODS_MAX = 4 };

/* A pod as the scenes below name it; the fields that are NULL have a value that is fine. */
struct pod {
    const char *name, *region;
    const char *config_map;
    const char *sidecar; /* "none", "waiting", else running */
    bool terminating;
    const char *state; /* members of a state message; NULL: never heard of */
    int64_t silent_ms; /* not connected for so long; 0: connected */
    const char *region_error;
};

struct scene {
    const char *why;
    const char *spec; /* NULL: two regions, eu and us */
    struct pod pods[PODS_MAX];
    const char *config_map_error;
    const char *not_created; /* … a Backup of the first schedule */
    bool gap_refused;
    const char *backups; /* an array */
    const char *status;  /* of before */
    int64_t leading_ms;  /* for so long; 0: ten minutes */
    const char *condition, *expected, *reason, *text;
};

struct facts {
    json_t *object, *backups;
    struct policy_spec spec;
    struct member members[PODS_MAX];
    struct agent_view agents[PODS_MAX];
    json_t *pods[PODS_MAX];
    size_t pod_count;
    struct policy_view view;
    struct policy_schedule_facts schedules[POLICY_SPEC_SCHEDULES_MAX];
    struct zone *zone;
    bool readable;
    struct error invalid;
};

#define REGIONS                                                                                    \
    "\"regions\": [{\"name\": \"eu\", \"s3\": {\"bucket\": \"b\", \"credentials\": \"eu\"}},"      \
    " {\"name\": \"us\", \"s3\": {\"bucket\": \"b\", \"credentials\": \"us\"}}]"

#define DATABASE(role)                                                                             \
    "\"database\": {\"reachable\": true, \"role\": \"" role "\", \"versionNum\": 170002,"          \
    " \"systemIdentifier\": \"7\", \"timeline\": 1}"
#define DOWN "\"database\": {\"reachable\": false, \"error\": \"connection refused\"}"
#define REGION(name, backups, last)                                                                \
    "{\"name\": \"" name "\", \"reachable\": true, \"backups\": " backups ", \"bytes\": 1000,"     \
    " \"lastBackup\": \"" last "\"}"
#define BAD_REGION(name)                                                                           \
    "{\"name\": \"" name "\", \"reachable\": false, \"error\": \"403 AccessDenied\","              \
    " \"backups\": 0, \"bytes\": 0}"
#define OLD "20261120T030000Z-full-aaaa"
#define NEW "20261121T030000Z-full-bbbb"
#define BOTH "\"regions\": [" REGION("eu", "2", NEW) "," REGION("us", "2", NEW) "]"
#define LOADED "\"generation\": 3,"
#define FINE LOADED DATABASE("primary") "," BOTH
#define STANDBY LOADED DATABASE("standby") "," BOTH

json_t *load_json(const char *text); /* the caller's */
/* now: a time. The caller's (facts_done, policy_plan_done). */
void plan_scene(const struct scene *scene, struct facts *ret_facts, const char *now,
                struct policy_plan *ret_plan);
void facts_done(struct facts *facts); /* for CLEANUP */
/* The condition is as the scene expects it. */
void check_scene(const struct scene *scene);
void check_scenes(const struct scene *scenes, size_t count);
