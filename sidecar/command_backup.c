// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/backup.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/connection.h"
#include "sidecar/manifest.h"
#include "sidecar/output.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/session.h"

/* how far the clock of whoever chose an id may be ahead, and how long it may have been on its way
 */
enum { ID_AHEAD_MAX_MS = 10 * 60 * 1000, ID_BEHIND_MAX_MS = 60 * 60 * 1000 };

/* The regions of a bit mask over spec.regions. */
static json_t *region_names(const struct policy *policy, uint32_t mask)
{
    json_t *names = json_array();
    for (size_t i = 0; i < policy->region_count; i++)
        if (mask & 1u << i)
            json_array_append_new(names, json_string(policy->regions[i].name));
    return names;
}

static json_t *losses_of(const struct policy *policy, const struct backup_result *done)
{
    json_t *losses = json_array();
    for (size_t i = 0; i < policy->region_count; i++) {
        char since[CLOCK_TEXT_BYTES];
        if (!(done->lost_regions & 1u << i))
            continue;
        CLEANUP(own_freep) char *text = text_escape(done->losses[i].error.text);
        clock_format(done->losses[i].at_ms, since);
        json_array_append_new(losses,
                              json_pack("{s:s, s:s, s:s}", "region", policy->regions[i].name,
                                        "since", since, "error", text));
    }
    return losses;
}

static int print(const struct policy *policy, const struct backup_result *done, bool json,
                 struct error *err)
{
    json_auto_t *regions = region_names(policy, done->regions);
    json_auto_t *missing = region_names(policy, done->lost_regions);
    json_auto_t *losses = losses_of(policy, done);
    const struct output_backup output = {
        .manifest = &done->manifest,
        .losses = losses,
        .regions = regions,
        .missing_regions = missing,
    };
    return output_backup_done(&output, json, err);
}

/* The time in an id decides which backup is the newest, so it must be now. */
static int check_id_time(const char *id, struct error *err)
{
    enum backup_type type;
    int64_t start_ms;
    if (!id || !backup_id_parse(id, &type, &start_ms))
        return 0;
    int64_t ahead_ms = start_ms - clock_now_ms();
    if (ahead_ms <= ID_AHEAD_MAX_MS && ahead_ms >= -ID_BEHIND_MAX_MS)
        return 0;
    char now[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms(), now);
    return error_set(err, ERROR_PERMANENT,
                     "--id '%s': its time is not that of now, %s: check both clocks", id, now);
}

int command_backup(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(connection_done) struct connection connection = {0};
    const struct connection_choice choice = {
        .host = options->host, .port = options->port, .user = options->user};
    if (check_id_time(options->id, err) < 0 || session_init(&session, options, err) < 0 ||
        connection_init(&connection, &session.policy->connection, &choice, session.secrets, err) <
            0)
        return -1;
    session_stand_back(&session);
    connection.pg.cancel = cancel;
    CLEANUP(progress_freep)
    struct progress *progress = progress_new("Backing up", cli_progress(options));
    struct backup_options backup = {
        .policy = session.policy,
        .secrets = session.secrets,
        .pg = &connection.pg,
        .pgdata = options->pgdata ? options->pgdata : connection_environment("PGDATA", NULL),
        .type = options->type,
        .origin =
            {
                .id = options->id,
                .backup_name = options->backup_name,
                .backup_uid = options->backup_uid,
                .pod = options->pod,
                .region = options->source_region,
            },
        .cancel = cancel,
        .progress = progress,
    };
    struct backup_result done;
    if (backup_run(&backup, &done, err) < 0)
        return -1;
    progress_freep(&progress);
    int printed = print(session.policy, &done, options->json, err);
    manifest_done(&done.manifest);
    return printed;
}
