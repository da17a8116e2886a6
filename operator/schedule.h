// SPDX-License-Identifier: Apache-2.0
/*
 * When a schedule's backups are due. A slot is a moment at which the cron expression matches the
 * clock of the time zone: one that the clock skips is the moment of the skip, one that it shows
 * twice is the first of the two, so each happens once. Of slots that were missed only the newest is
 * caught up. Pure: no clock but facts.now_ms.
 *
 * What was promised is kept in the policy's status as next, the first slot that was not handled
 * yet. If that is no slot any more, the schedule was changed and counts from now on, as one that
 * was added or resumed does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cron;
struct zone;

#define SCHEDULE_NEVER INT64_MAX

struct schedule_facts {
    const struct cron *cron;
    const struct zone *zone;
    int64_t last_slot_ms; /* the newest that was handled; SCHEDULE_NEVER: none */
    int64_t next_ms;      /* what the last plan promised; SCHEDULE_NEVER: no plan, or suspended */
    int64_t since_ms;     /* without a promise: slots after this moment count */
    int64_t now_ms;
    int64_t jitter_ms;            /* a run starts so long after its slot: schedule_jitter_ms */
    int64_t starting_deadline_ms; /* a run that starts later than that does not; 0: no limit */
    bool suspended;
};

struct schedule_plan {
    bool due;
    int64_t last_slot_ms; /* the newest handled now: with due, the one to be run */
    unsigned missed;      /* slots handled now that are not run; at most SCHEDULE_MISSED_MAX */
    int64_t next_ms;      /* the next slot; SCHEDULE_NEVER if there is none within eight years */
    int64_t wake_ms;      /* when to plan again: next_ms with the jitter */
};

enum { SCHEDULE_MISSED_MAX = 1000 };

struct schedule_plan schedule_plan(const struct schedule_facts *facts);

/* From 0 to seconds, the same for the same schedule of the same policy, so that every replica and
 * every start of the operator agree. */
int64_t schedule_jitter_ms(const char *policy_uid, const char *schedule, unsigned seconds);
/* "<policy>-<schedule>-<yyyymmddhhmm>" in UTC; own_freep. */
char *schedule_backup_name(const char *policy, const char *schedule, int64_t slot_ms);
/* The same with five hex digits that tell policy and schedule apart, where that name is taken. At
 * most 80 bytes, which is what a Backup's name may have; own_freep. */
char *schedule_other_backup_name(const char *policy, const char *schedule, int64_t slot_ms);
