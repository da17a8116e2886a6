// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/message.h"
#include "common/own.h"
#include "common/text.h"

/* A text as JSON; NULL, and so no member, if there is none. Errors may quote foreign bytes. */
static json_t *text_json(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;
    if (json || !text)
        return json;
    CLEANUP(own_freep) char *escaped = text_escape(text);
    return json_string(escaped);
}

static json_t *number_json(uint64_t number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

/* NULL if it is not known. */
static json_t *known_json(int64_t number)
{
    return number < 0 ? NULL : json_integer(number);
}

/* Sets a member unless value, which it takes, is NULL. */
static void set(json_t *object, const char *name, json_t *value)
{
    if (value)
        json_object_set_new(object, name, value);
}

static void set_text(json_t *object, const char *name, const char *text)
{
    set(object, name, text_json(text));
}

static const char *kind_name(enum message_kind kind)
{
    return kind == MESSAGE_KIND_BACKUP ? "backup" : "restore";
}

static json_t *texts_json(const char *const *texts, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, text_json(texts[i]));
    return array;
}

static void put_hello(json_t *root, const struct message_hello *hello)
{
    json_t *pod = json_object();
    set_text(pod, "namespace", hello->namespace);
    set_text(pod, "name", hello->pod);
    set_text(pod, "uid", hello->uid);
    set(root, "pod", pod);
    set_text(root, "sidecarVersion", hello->sidecar_version);
    set(root, "epoch", json_integer(hello->epoch));
}

/* NULL: nothing is said. */
static const char *wal_name(enum message_wal wal)
{
    static const char *const names[] = {[MESSAGE_WAL_UNSAID] = NULL,
                                        [MESSAGE_WAL_STREAM] = "stream",
                                        [MESSAGE_WAL_HOLD] = "hold",
                                        [MESSAGE_WAL_NONE] = "none"};
    return names[wal];
}

static void put_assign(json_t *root, const struct message_assign *assign)
{
    json_t *policy = json_object();
    set_text(policy, "namespace", assign->policy_namespace);
    set_text(policy, "name", assign->policy);
    set(root, "policy", policy);
    set(root, "generation", json_integer(assign->generation));
    set_text(root, "region", assign->region);
    set(root, "heartbeatSeconds", json_integer(assign->heartbeat_seconds));
    set_text(root, "wal", wal_name(assign->wal));
}

static json_t *run_backup_json(const struct message_run *run)
{
    json_t *backup = json_object();
    set_text(backup, "name", run->backup.name);
    set_text(backup, "uid", run->backup.uid);
    set_text(backup, "type", run->backup.type);
    return backup;
}

static json_t *run_restore_json(const struct message_run *run)
{
    json_t *restore = json_object();
    set_text(restore, "backup", run->restore.backup);
    set_text(restore, "region", run->restore.region);
    set(restore, "excludeRegions",
        texts_json(run->restore.exclude_regions, run->restore.exclude_count));
    set_text(restore, "to", run->restore.to);
    set(restore, "workers", json_integer(run->restore.workers));
    return restore;
}

static void put_run(json_t *root, const struct message_run *run)
{
    set_text(root, "id", run->id);
    set_text(root, "kind", kind_name(run->kind));
    set(root, "generation", json_integer(run->generation));
    set(root, "deadlineSeconds", json_integer(run->deadline_seconds));
    if (run->kind == MESSAGE_KIND_BACKUP)
        set(root, "backup", run_backup_json(run));
    else
        set(root, "restore", run_restore_json(run));
}

static void put_progress(json_t *object, const struct message_progress *progress)
{
    set_text(object, "id", progress->id);
    set_text(object, "phase", progress->phase);
    set(object, "bytes", number_json(progress->bytes));
    set(object, "totalBytes", number_json(progress->total_bytes));
    set(object, "files", number_json(progress->files));
}

static void put_done(json_t *object, const struct message_done *done)
{
    set_text(object, "id", done->id);
    set_text(object, "kind", kind_name(done->kind));
    set(object, "ok", json_boolean(done->ok));
    if (!done->ok) {
        json_t *failure = json_object();
        set_text(failure, "kind", done->error_kind);
        set_text(failure, "text", done->error);
        set(object, "error", failure);
    } else if (done->kind == MESSAGE_KIND_BACKUP) {
        set(object, "backup", json_incref(done->backup));
    } else {
        set(object, "restore", json_incref(done->restore));
    }
}

static json_t *database_json(const struct message_database *database)
{
    json_t *json = json_object();
    set(json, "reachable", json_boolean(database->reachable));
    set_text(json, "error", database->error);
    set_text(json, "role", database->standby ? "standby" : "primary");
    set(json, "versionNum", json_integer(database->version_num));
    set_text(json, "systemIdentifier", database->system_identifier);
    set(json, "timeline", json_integer(database->timeline));
    set_text(json, "lsn", database->lsn);
    set(json, "lagSeconds", known_json(database->lag_seconds));
    return json;
}

static json_t *job_json(const struct message_state *state)
{
    if (!state->busy)
        return json_null();
    json_t *job = json_object();
    put_progress(job, &state->job.progress);
    set_text(job, "id", state->job.id);
    set_text(job, "kind", kind_name(state->job.kind));
    set_text(job, "started", state->job.started);
    return job;
}

static json_t *finished_json(const struct message_state *state)
{
    json_t *array = json_array();
    for (size_t i = 0; i < state->finished_count; i++) {
        json_t *done = json_object();
        put_done(done, &state->finished[i]);
        json_array_append_new(array, done);
    }
    return array;
}

static json_t *lookup_json(const struct message_state *state)
{
    json_t *array = json_array();
    for (size_t i = 0; i < state->lookup_count; i++) {
        const struct message_lookup *lookup = &state->lookup[i];
        json_t *answer = json_object();
        set_text(answer, "backupID", lookup->backup_id);
        set(answer, "running", json_boolean(lookup->running));
        set_text(answer, "error", lookup->error);
        set(answer, "backup", json_incref(lookup->backup));
        json_array_append_new(array, answer);
    }
    return array;
}

static json_t *windows_json(const struct message_region *region)
{
    json_t *array = region->window_count > 0 ? json_array() : NULL;
    for (size_t i = 0; i < region->window_count; i++) {
        const struct message_window *window = &region->windows[i];
        json_t *json = json_object();
        set(json, "timeline", json_integer(window->timeline));
        set_text(json, "fromLSN", window->from_lsn);
        set_text(json, "toLSN", window->to_lsn);
        set_text(json, "from", window->from);
        set_text(json, "to", window->to);
        set(json, "ended", window->ended ? json_true() : NULL);
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *regions_json(const struct message_state *state)
{
    json_t *array = json_array();
    for (size_t i = 0; i < state->region_count; i++) {
        const struct message_region *region = &state->regions[i];
        json_t *json = json_object();
        set_text(json, "name", region->name);
        set(json, "reachable", json_boolean(region->reachable));
        set_text(json, "error", region->error);
        set(json, "backups", number_json(region->backups));
        set(json, "bytes", number_json(region->bytes));
        set_text(json, "lastBackup", region->last_backup);
        set_text(json, "recoverableFrom", region->recoverable_from);
        set_text(json, "recoverableTo", region->recoverable_to);
        set(json, "windows", windows_json(region));
        json_array_append_new(array, json);
    }
    return array;
}

static json_t *gap_json(const struct message_archiving *archiving)
{
    if (!archiving->gap.from)
        return NULL;
    json_t *gap = json_object();
    set_text(gap, "systemIdentifier", archiving->gap.system_identifier);
    set(gap, "timeline", json_integer(archiving->gap.timeline));
    set_text(gap, "from", archiving->gap.from);
    set_text(gap, "to", archiving->gap.to);
    return gap;
}

json_t *message_format_archiving(const struct message_archiving *archiving)
{
    json_t *json = json_object();
    set_text(json, "mode", wal_name(archiving->mode));
    set(json, "streaming", json_boolean(archiving->streaming));
    set_text(json, "slot", archiving->slot);
    set_text(json, "since", archiving->since);
    set_text(json, "error", archiving->error);
    set_text(json, "errorKind", archiving->error_kind);
    set(json, "timeline", json_integer(archiving->timeline));
    set_text(json, "serverLSN", archiving->server_lsn);
    set_text(json, "receivedLSN", archiving->received_lsn);
    set_text(json, "durableLSN", archiving->durable_lsn);
    set(json, "lagSeconds", known_json(archiving->lag_seconds));
    set(json, "keptBytes", number_json(archiving->kept_bytes));
    set(json, "leftBytes", known_json(archiving->left_bytes));
    set(json, "leftSeconds", known_json(archiving->left_seconds));
    set(json, "gap", gap_json(archiving));
    set(json, "lostRegions", texts_json(archiving->lost_regions, archiving->lost_count));
    return json;
}

static void put_state(json_t *root, const struct message_state *state)
{
    set(root, "generation", json_integer(state->generation));
    set_text(root, "policyUID", state->policy_uid);
    set_text(root, "configError", state->config_error);
    set_text(root, "configErrorKind", state->config_error_kind);
    set(root, "database", database_json(&state->database));
    set(root, "job", job_json(state));
    set(root, "finished", finished_json(state));
    set(root, "lookup", lookup_json(state));
    set(root, "regions", regions_json(state));
    if (state->archiving.mode != MESSAGE_WAL_UNSAID)
        set(root, "archiving", message_format_archiving(&state->archiving));
}

static void put_body(json_t *root, const struct message *message)
{
    switch (message->type) {
    case MESSAGE_HELLO:
        return put_hello(root, &message->hello);
    case MESSAGE_ASSIGN:
        return put_assign(root, &message->assign);
    case MESSAGE_RUN:
        return put_run(root, &message->run);
    case MESSAGE_CANCEL:
        set_text(root, "id", message->cancel.id);
        return set_text(root, "reason", message->cancel.reason);
    case MESSAGE_QUESTION:
        return set(root, "lookup",
                   texts_json(message->question.lookup, message->question.lookup_count));
    case MESSAGE_STATE:
        return put_state(root, &message->state);
    case MESSAGE_PROGRESS:
        return put_progress(root, &message->progress);
    case MESSAGE_DONE:
        return put_done(root, &message->done);
    }
}

int message_format(const struct message *message, char **ret_text, struct error *err)
{
    static const char *const types[] = {
        [MESSAGE_HELLO] = "hello",       [MESSAGE_ASSIGN] = "assign",  [MESSAGE_RUN] = "run",
        [MESSAGE_CANCEL] = "cancel",     [MESSAGE_QUESTION] = "state", [MESSAGE_STATE] = "state",
        [MESSAGE_PROGRESS] = "progress", [MESSAGE_DONE] = "done"};
    json_auto_t *root =
        json_pack("{s:i, s:s}", "version", MESSAGE_VERSION, "type", types[message->type]);
    if (message_from_operator(message->type))
        set(root, "epoch", json_integer(message->epoch));
    put_body(root, message);
    CLEANUP(own_freep) char *text = json_dumps(root, JSON_COMPACT);
    size_t max = message->type == MESSAGE_HELLO ? MESSAGE_HELLO_BYTES_MAX : MESSAGE_BYTES_MAX;
    if (strlen(text) > max)
        return error_set(err, ERROR_PERMANENT, "message of %zu bytes, %zu are allowed",
                         strlen(text), max);
    *ret_text = TAKE(text);
    return 0;
}
