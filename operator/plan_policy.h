// SPDX-License-Identifier: Apache-2.0
/*
 * From what is known of a policy to what has to be done and what its status says. Pure: no clock
 * but facts.now_ms. The same facts give the same status, so that one that is in force already is
 * not written again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/cron.h"
#include "operator/policy_conditions.h"
#include "operator/policy_spec.h"

struct policy_view;
struct policy_view_pod;
struct zone;

struct policy_schedule_facts { /* of the schedule with the same index */
    bool valid;                /* cron and zone are */
    struct cron cron;
    const struct zone *zone;
    bool refused; /* the Backup of a slot that is due could not be made */
};

struct policy_facts {
    const json_t *object;           /* the policy with its status of before */
    const struct policy_spec *spec; /* NULL: it could not be read, invalid says why */
    const struct policy_schedule_facts *schedules;
    const struct policy_view *view; /* NULL if spec is */
    const char *invalid;            /* NULL: nothing is */
    const char *config_map_error;   /* NULL: it is written */
    const char *not_created;        /* why a Backup could not be made; NULL: all could */
    bool gap_refused;               /* … the one for the gap */
    const json_t *backups;          /* the Backups of this policy: an array */
    int64_t now_ms;
};

/* Slots of one schedule that are over with this plan. */
struct policy_slot {
    const struct policy_spec_schedule *schedule;
    bool due;        /* a Backup is to be made for slot_ms */
    int64_t slot_ms; /* the newest of them */
    unsigned missed; /* so many others went by without a Backup */
};

struct policy_plan {
    struct policy_slot slots[POLICY_SPEC_SCHEDULES_MAX];
    size_t slot_count;
    const struct policy_view_pod *streamer; /* of WAL, lent from the view; NULL: none */
    json_t *gap;      /* for which a full Backup is to be made; lent from status; NULL: none */
    bool gap_found;   /* status.gap is another one than before */
    json_t *status;   /* to be in force after the Backups were made */
    int64_t again_ms; /* look again after so long, at the latest; at least 1 */
};

/* Lends all of facts. */
void plan_policy(const struct policy_facts *facts, struct policy_plan *ret_plan);
void policy_plan_done(struct policy_plan *plan); /* for CLEANUP; zeroed is empty */
