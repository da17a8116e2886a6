// SPDX-License-Identifier: Apache-2.0
#include "operator/plan_policy.h"

#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/lookup.h"
#include "operator/plan_streamer.h"
#include "operator/policy_archiving.h"
#include "operator/policy_gap.h"
#include "operator/policy_status.h"
#include "operator/policy_view.h"
#include "operator/schedule.h"

enum {
    LOOK_AGAIN_MS = 10 * 60 * 1000,
    LOOK_AT_WAL_MS = 30 * 1000, /* what moves all the time is no news */
};

static const json_t *former_status(const struct policy_facts *facts)
{
    return json_object_get(facts->object, "status");
}

static int64_t time_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    int64_t ms;
    return text && clock_parse(text, &ms) ? ms : SCHEDULE_NEVER;
}

static void set_time(json_t *object, const char *name, int64_t ms)
{
    char text[CLOCK_TEXT_BYTES];
    if (ms == SCHEDULE_NEVER)
        return;
    clock_format(ms, text);
    json_object_set_new(object, name, json_string(text));
}

static void wake_within(struct policy_plan *plan, int64_t after_ms)
{
    if (after_ms < plan->again_ms)
        plan->again_ms = after_ms > 0 ? after_ms : 1;
}

static struct schedule_plan plan_slots(const struct policy_facts *facts, size_t index,
                                       const json_t *before)
{
    const struct policy_spec *spec = facts->spec;
    const struct policy_spec_schedule *schedule = &spec->schedules[index];
    bool seen = json_object_get(former_status(facts), "observedGeneration");
    bool stopped = spec->suspend || !facts->schedules[index].valid || policy_spec_refused(spec);
    const struct schedule_facts slots = {
        .cron = &facts->schedules[index].cron,
        .zone = facts->schedules[index].zone,
        .last_slot_ms = time_at(before, "lastSlot"),
        .next_ms = time_at(before, "next"),
        .since_ms = seen ? facts->now_ms : spec->created_ms,
        .now_ms = facts->now_ms,
        .jitter_ms = schedule_jitter_ms(spec->uid, schedule->name, schedule->jitter_seconds),
        .starting_deadline_ms = schedule->starting_deadline_seconds * 1000,
        .suspended = stopped,
    };
    return schedule_plan(&slots);
}

/* The slot stays owed, with those before it. */
static void keep_owed(struct schedule_plan *slots, const json_t *before)
{
    int64_t next_ms = time_at(before, "next");
    slots->next_ms = next_ms < slots->last_slot_ms ? next_ms : slots->last_slot_ms;
    slots->last_slot_ms = time_at(before, "lastSlot");
}

static void plan_one_schedule(const struct policy_facts *facts, size_t index, json_t *status,
                              struct policy_plan *plan)
{
    const struct policy_spec_schedule *schedule = &facts->spec->schedules[index];
    const json_t *before =
        lookup_element(json_object_get(former_status(facts), "schedules"), "name", schedule->name);
    struct schedule_plan slots = plan_slots(facts, index, before);
    if (facts->schedules[index].refused)
        keep_owed(&slots, before);
    else if (slots.due || slots.missed > 0)
        plan->slots[plan->slot_count++] = (struct policy_slot){
            .schedule = schedule,
            .due = slots.due,
            .slot_ms = slots.last_slot_ms,
            .missed = slots.missed,
        };
    if (slots.wake_ms != SCHEDULE_NEVER)
        wake_within(plan, slots.wake_ms - facts->now_ms);

    json_t *formatted = json_pack("{s:s}", "name", schedule->name);
    const json_t *newest = policy_status_newest(facts->backups, schedule->name);
    int64_t success_ms = time_at(before, "lastSuccess");
    int64_t finished_ms = time_at(json_object_get(newest, "status"), "finished");
    if (success_ms == SCHEDULE_NEVER || (newest && finished_ms > success_ms))
        success_ms = finished_ms;
    set_time(formatted, "lastSlot", slots.last_slot_ms);
    set_time(formatted, "lastSuccess", success_ms);
    set_time(formatted, "next", slots.next_ms);
    json_array_append_new(json_object_get(status, "schedules"), formatted);
    int64_t earliest_ms = time_at(status, "nextBackup");
    if (slots.next_ms < earliest_ms)
        set_time(status, "nextBackup", slots.next_ms);
}

/* Of a spec that cannot be read nothing is promised, but what was run must not be run again. */
static json_t *without_promises(const json_t *schedules)
{
    json_t *kept = schedules ? json_deep_copy(schedules) : json_array(), *schedule;
    size_t index;
    json_array_foreach(kept, index, schedule) json_object_del(schedule, "next");
    return kept;
}

static void take_over(json_t *status, const json_t *before, const char *name)
{
    json_t *value = json_object_get(before, name);
    if (value)
        json_object_set_new(status, name, json_deep_copy(value));
}

/* A new leader does not know yet who is connected; until the sidecars had time to find it, what the
 * former one wrote is true. */
static bool is_settling(const struct policy_facts *facts)
{
    const json_t *before = former_status(facts);
    return facts->view && facts->view->settling && !facts->invalid && !facts->config_map_error &&
           !facts->not_created && json_object_get(before, "conditions") &&
           json_integer_value(json_object_get(before, "observedGeneration")) ==
               facts->spec->generation;
}

/* The gap, with the Backup that is made for it, and not while none may be. */
static void plan_gap(const struct policy_facts *facts, struct policy_plan *plan)
{
    const json_t *before = json_object_get(former_status(facts), "gap");
    if (!facts->spec || !facts->spec->wal_stream)
        return;
    const struct policy_gap_facts known = {
        .before = before,
        .state = policy_archiving_teller(facts->view, plan->streamer),
        .backups = facts->backups,
        .now_ms = facts->now_ms,
    };
    json_t *gap = policy_gap(&known);
    if (!gap)
        return;
    json_object_set_new(plan->status, "gap", gap);
    plan->gap_found = !policy_gap_same(gap, before);
    if (facts->spec->suspend || policy_spec_refused(facts->spec) || facts->gap_refused)
        return;
    int64_t wait_ms = LOOK_AGAIN_MS;
    CLEANUP(own_freep) char *name = policy_gap_due(gap, &known, facts->spec->name, &wait_ms);
    wake_within(plan, wait_ms);
    if (!name)
        return;
    json_object_set_new(gap, "backup", json_string(name));
    plan->gap = gap;
}

static void show_members(const struct policy_facts *facts, const struct policy_plan *plan)
{
    json_t *status = plan->status;
    const json_t *before = former_status(facts);
    const json_t *newest = policy_status_newest(facts->backups, NULL);
    if (is_settling(facts)) {
        static const char *const kept[] = {"conditions", "members", "regions", "pods"};
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
            take_over(status, before, kept[i]);
        return;
    }
    const struct policy_conditions_facts told = {.spec = facts->spec,
                                                 .view = facts->view,
                                                 .invalid = facts->invalid,
                                                 .config_map_error = facts->config_map_error,
                                                 .not_created = facts->not_created,
                                                 .newest = newest,
                                                 .streamer = plan->streamer,
                                                 .gap = json_object_get(status, "gap"),
                                                 .before = json_object_get(before, "conditions"),
                                                 .now_ms = facts->now_ms};
    struct condition conditions[POLICY_CONDITIONS];
    policy_conditions(&told, conditions);
    int64_t generation =
        json_integer_value(json_object_get(json_object_get(facts->object, "metadata"), //
                                           "generation"));
    json_object_set_new(status, "conditions",
                        conditions_format(conditions, POLICY_CONDITIONS,
                                          json_object_get(before, "conditions"), generation,
                                          facts->now_ms));
    if (!facts->view)
        return;
    json_object_set_new(status, "members", policy_status_members(facts->view));
    const struct policy_status_regions_facts regions = {
        .view = facts->view,
        .archiving = policy_archiving_told(facts->view, plan->streamer),
        .gap = json_object_get(status, "gap"),
        .before = json_object_get(before, "regions"),
        .now_ms = facts->now_ms,
    };
    json_object_set_new(status, "regions", policy_status_regions(&regions));
    json_object_set_new(status, "pods", policy_status_pods(facts->view));
}

void plan_policy(const struct policy_facts *facts, struct policy_plan *ret_plan)
{
    const json_t *before = former_status(facts);
    const json_t *metadata = json_object_get(facts->object, "metadata");
    *ret_plan = (struct policy_plan){.again_ms = LOOK_AGAIN_MS};
    json_t *status = ret_plan->status =
        json_pack("{s:O}", "observedGeneration", json_object_get(metadata, "generation"));
    if (facts->view)
        ret_plan->streamer = streamer_choose(facts->view);
    plan_gap(facts, ret_plan);
    show_members(facts, ret_plan);
    if (facts->spec && facts->spec->wal_stream)
        wake_within(ret_plan, LOOK_AT_WAL_MS);
    if (facts->view && facts->view->again_ms > 0)
        wake_within(ret_plan, facts->view->again_ms);

    json_object_set_new(status, "schedules",
                        facts->spec ? json_array()
                                    : without_promises(json_object_get(before, "schedules")));
    for (size_t i = 0; facts->spec && i < facts->spec->schedule_count; i++)
        plan_one_schedule(facts, i, status, ret_plan);

    json_t *last = policy_status_last_backup(policy_status_newest(facts->backups, NULL),
                                             json_object_get(before, "lastBackup"));
    if (last)
        json_object_set_new(status, "lastBackup", last);
}

void policy_plan_done(struct policy_plan *plan)
{
    json_decref(plan->status);
    *plan = (struct policy_plan){.status = NULL};
}
