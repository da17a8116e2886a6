// SPDX-License-Identifier: Apache-2.0
#include "sidecar/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/archiver.h"
#include "sidecar/configuration.h"
#include "sidecar/database_watch.h"
#include "sidecar/inquiry.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/results.h"
#include "sidecar/work.h"

_Static_assert(sizeof(((struct report *)0)->lsn) >= LSN_TEXT_BYTES, "an LSN fits");

static void report_configuration(struct report *report, const struct report_facts *facts)
{
    struct message_state *state = &report->message.state;
    const struct configuration *configuration = facts->configuration;
    state->generation = configuration->generation;
    state->policy_uid = configuration->policy ? configuration->policy->uid : NULL;
    enum error_kind kind = ERROR_NONE;
    if (facts->other_policy) {
        report->problem = own_strdup(facts->other_policy);
        kind = ERROR_CONFLICT;
    } else if (configuration->problem.kind != ERROR_NONE) {
        report->problem = text_escape(configuration->problem.text);
        kind = configuration->problem.kind;
    }
    state->config_error = report->problem;
    state->config_error_kind = report->problem ? error_kind_name(kind) : NULL;
}

static void report_database(struct report *report, const struct database_status *status)
{
    struct message_database *database = &report->message.state.database;
    const struct pg_standing *standing = &status->standing;
    if (!status->reachable)
        report->database_error = text_escape(status->error.text);
    *database = (struct message_database){
        .reachable = status->reachable,
        .error = report->database_error,
        .lag_seconds = -1,
    };
    if (standing->system_identifier == 0)
        return;
    snprintf(report->system_identifier, sizeof(report->system_identifier), "%" PRIu64,
             standing->system_identifier);
    lsn_format(standing->lsn, report->lsn);
    database->standby = standing->in_recovery;
    database->version_num = (int)standing->version_num;
    database->system_identifier = report->system_identifier;
    database->timeline = standing->timeline;
    database->lsn = report->lsn;
    database->lag_seconds = standing->lag_seconds;
}

static void report_work(struct message_state *state, const struct report_facts *facts)
{
    const struct results *results = facts->results;
    state->busy = work_is_busy(facts->work);
    if (state->busy) {
        state->job.id = results->running.id;
        state->job.started = results->running.started;
        state->job.kind = results->running.kind;
        state->job.progress = work_progress(facts->work);
    }
    for (size_t i = 0; i < results->count; i++)
        state->finished[state->finished_count++] = results->finished[i].done;
}

/* A backup that runs now was not committed when the buckets were asked. */
static void report_lookup(struct message_state *state, const struct report_facts *facts)
{
    const struct inquiry *inquiry = facts->inquiry;
    for (size_t i = 0; inquiry->told && i < inquiry->answer_count; i++) {
        const struct inquiry_answer *answer = &inquiry->answers[i];
        state->lookup[state->lookup_count++] = (struct message_lookup){
            .backup_id = answer->id,
            .running = strcmp(answer->id, facts->results->running.id) == 0,
            .error = answer->error.kind != ERROR_NONE ? answer->error.text : NULL,
            .backup = answer->backup,
        };
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void report_windows(struct message_region *region, const json_t *windows)
{
    size_t i;
    json_t *window;
    json_array_foreach(windows, i, window)
    {
        const json_t *from = json_object_get(window, "from"), *to = json_object_get(window, "to");
        if (region->window_count == MESSAGE_WINDOWS_MAX)
            break;
        region->windows[region->window_count++] = (struct message_window){
            .timeline = (uint32_t)json_integer_value(json_object_get(window, "timeline")),
            .from_lsn = text_of(from, "lsn"),
            .to_lsn = text_of(to, "lsn"),
            .from = text_of(from, "time"),
            .to = text_of(to, "time"),
            .ended = json_is_true(json_object_get(window, "ended")),
        };
    }
}

static void report_regions(struct message_state *state, const json_t *regions)
{
    size_t i;
    json_t *region;
    json_array_foreach(regions, i, region)
    {
        if (state->region_count == MESSAGE_REGIONS_MAX)
            break;
        struct message_region *told = &state->regions[state->region_count++];
        *told = (struct message_region){
            .name = text_of(region, "name"),
            .reachable = json_is_true(json_object_get(region, "reachable")),
            .error = text_of(region, "error"),
            .backups = (uint64_t)json_integer_value(json_object_get(region, "backups")),
            .bytes = (uint64_t)json_integer_value(json_object_get(region, "bytes")),
            .last_backup = text_of(region, "lastBackup"),
            .recoverable_from = text_of(region, "recoverableFrom"),
            .recoverable_to = text_of(region, "recoverableTo"),
        };
        report_windows(told, json_object_get(region, "windows"));
    }
}

void report_init(struct report *ret_report, const struct report_facts *facts)
{
    struct message_state *state = &ret_report->message.state;
    *ret_report = (struct report){.message.type = MESSAGE_STATE};
    report_configuration(ret_report, facts);
    report_database(ret_report, facts->database);
    report_work(state, facts);
    report_lookup(state, facts);
    report_regions(state, facts->inquiry->regions);
    archiver_report(facts->archiver, &state->archiving);
}

void report_done(struct report *report)
{
    own_freep(&report->problem);
    own_freep(&report->database_error);
}
