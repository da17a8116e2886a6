// SPDX-License-Identifier: Apache-2.0
#include "common/message.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"

/* Bounds of docs/protocol.md, in bytes of text. */
enum {
    NAMESPACE_MAX = 63,
    NAME_MAX_BYTES = 253, /* of a Kubernetes object */
    WORD_MAX = 63,        /* ids, regions, versions, phases */
    TEXT_MAX = 2048,      /* errors, reasons */
    PATH_MAX_BYTES = 1024,
    SECONDS_MAX = 366 * 24 * 60 * 60,
    HEARTBEAT_SECONDS_MAX = 3600,
    WORKERS_MAX = 64,
    VERSION_NUM_MAX = 999999,
};

static const char *const kinds[] = {"backup", "restore", NULL};

/* Each reader gives what it read or, once the fields are bad, something harmless. */

static const char *bounded(struct fields *fields, const char *name, size_t max)
{
    const char *text = fields_string(fields, name, NULL);
    if (text && strlen(text) > max) {
        fields_fail(fields, name, "expected at most %zu bytes, not %zu", max, strlen(text));
        return NULL;
    }
    return text;
}

static const char *word(struct fields *fields, const char *name, size_t max)
{
    const char *text = bounded(fields, name, max);
    if (!text || text_is_word(text))
        return text;
    fields_refuse(fields, name, "letters, digits, '.', '_' and '-', a letter or digit first");
    return NULL;
}

static const char *required_word(struct fields *fields, const char *name, size_t max)
{
    fields_require(fields, name);
    return word(fields, name, max);
}

static const char *element_word(struct fields *fields, const char *name, size_t index)
{
    const char *text = fields_array_string(fields, name, index);
    if (text && strlen(text) <= WORD_MAX && text_is_word(text))
        return text;
    fields_fail(fields, name, "expected names of letters, digits, '.', '_' and '-'");
    return NULL;
}

static const char *time_text(struct fields *fields, const char *name)
{
    int64_t ms;
    const char *text = bounded(fields, name, WORD_MAX);
    if (!text || clock_parse(text, &ms))
        return text;
    fields_refuse(fields, name, "a time like 2026-11-21T08:21:18Z");
    return NULL;
}

bool message_lsn(const char *text, uint64_t *ret_lsn)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t high = strspn(text, digits);
    size_t low = text[high] == '/' ? strspn(text + high + 1, digits) : 0;
    if (high < 1 || high > 8 || low < 1 || low > 8 || text[high + 1 + low] != '\0')
        return false;
    *ret_lsn = strtoull(text, NULL, 16) << 32 | strtoull(text + high + 1, NULL, 16);
    return true;
}

static const char *lsn_text(struct fields *fields, const char *name)
{
    uint64_t lsn;
    const char *text = fields_string(fields, name, NULL);
    if (!text || message_lsn(text, &lsn))
        return text;
    fields_refuse(fields, name, "an LSN like 0/3000028");
    return NULL;
}

static uint64_t counter(struct fields *fields, const char *name)
{
    return (uint64_t)fields_integer(fields, name, 0, INT64_MAX, 0);
}

static const char *decimal_text(struct fields *fields, const char *name)
{
    fields_decimal(fields, name, 0); /* checks it */
    return fields_string(fields, name, NULL);
}

static enum message_kind read_kind(struct fields *fields)
{
    fields_require(fields, "kind");
    return (enum message_kind)fields_choice(fields, "kind", kinds, MESSAGE_KIND_BACKUP);
}

/* Messages of the sidecar. */

static void read_hello(struct fields *fields, struct message_hello *hello)
{
    struct fields pod;
    fields_require(fields, "pod");
    fields_object(fields, "pod", &pod);
    hello->namespace = required_word(&pod, "namespace", NAMESPACE_MAX);
    hello->pod = required_word(&pod, "name", NAME_MAX_BYTES);
    hello->uid = required_word(&pod, "uid", WORD_MAX);
    if (fields_end_open(&pod) < 0)
        return;
    hello->sidecar_version = bounded(fields, "sidecarVersion", WORD_MAX);
    hello->epoch = fields_integer(fields, "epoch", 0, INT64_MAX, 0);
}

static void check_words(struct fields *fields, const char *name)
{
    size_t count = fields_array(fields, name, MESSAGE_REGIONS_MAX);
    for (size_t i = 0; i < count && !fields->bad; i++)
        element_word(fields, name, i);
}

static void check_backup_sizes(struct fields *backup)
{
    static const char *const members[] = {"bytesTotal",  "bytesRead", "bytesStored",
                                          "bytesReused", "files",     "pageErrors"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        counter(backup, members[i]);
    fields_integer(backup, "timeline", 1, UINT32_MAX, 1);
    fields_integer(backup, "versionNum", 0, VERSION_NUM_MAX, 0);
}

/* The summary of a committed backup: every member that is there has its type and bound. */
static json_t *read_backup(struct fields *parent)
{
    static const char *const types[] = {"full", "differential", "incremental", NULL};
    struct fields backup;
    fields_object(parent, "backup", &backup);
    if (!backup.object)
        return NULL;
    required_word(&backup, "id", WORD_MAX);
    fields_require(&backup, "type");
    fields_choice(&backup, "type", types, 0);
    word(&backup, "parent", WORD_MAX);
    lsn_text(&backup, "startLSN");
    lsn_text(&backup, "stopLSN");
    time_text(&backup, "started");
    time_text(&backup, "finished");
    check_backup_sizes(&backup);
    word(&backup, "changeSource", WORD_MAX);
    bounded(&backup, "fallback", TEXT_MAX);
    check_words(&backup, "regions");
    check_words(&backup, "missingRegions");
    bounded(&backup, "missingBecause", TEXT_MAX);
    fields_decimal(&backup, "systemIdentifier", 0);
    word(&backup, "sha256", 64);
    return fields_end_open(&backup) < 0 ? NULL : backup.object;
}

static json_t *read_restore(struct fields *parent)
{
    struct fields restore;
    fields_object(parent, "restore", &restore);
    if (!restore.object)
        return NULL;
    required_word(&restore, "backup", WORD_MAX);
    word(&restore, "region", WORD_MAX);
    counter(&restore, "files");
    counter(&restore, "bytes");
    counter(&restore, "fetchedBytes");
    counter(&restore, "seconds");
    return fields_end_open(&restore) < 0 ? NULL : restore.object;
}

static void read_failure(struct fields *fields, struct message_done *done)
{
    struct fields failure;
    fields_require(fields, "error");
    fields_object(fields, "error", &failure);
    done->error_kind = required_word(&failure, "kind", WORD_MAX);
    fields_require(&failure, "text");
    done->error = bounded(&failure, "text", TEXT_MAX);
    fields_end_open(&failure);
}

static void read_done(struct fields *fields, struct message_done *done)
{
    done->id = required_word(fields, "id", WORD_MAX);
    done->kind = read_kind(fields);
    fields_require(fields, "ok");
    done->ok = fields_bool(fields, "ok", false);
    if (!done->ok) {
        read_failure(fields, done);
    } else if (done->kind == MESSAGE_KIND_BACKUP) {
        fields_require(fields, "backup");
        done->backup = read_backup(fields);
    } else {
        fields_require(fields, "restore");
        done->restore = read_restore(fields);
    }
}

static void read_progress(struct fields *fields, struct message_progress *progress)
{
    progress->id = required_word(fields, "id", WORD_MAX);
    progress->phase = word(fields, "phase", WORD_MAX);
    progress->bytes = counter(fields, "bytes");
    progress->total_bytes = counter(fields, "totalBytes");
    progress->files = counter(fields, "files");
}

static void read_database(struct fields *state, struct message_database *database)
{
    static const char *const roles[] = {"primary", "standby", NULL};
    struct fields fields;
    fields_require(state, "database");
    fields_object(state, "database", &fields);
    fields_require(&fields, "reachable");
    database->reachable = fields_bool(&fields, "reachable", false);
    database->error = bounded(&fields, "error", TEXT_MAX);
    if (database->reachable)
        fields_require(&fields, "role");
    database->standby = fields_choice(&fields, "role", roles, 0) == 1;
    database->version_num = (int)fields_integer(&fields, "versionNum", 0, VERSION_NUM_MAX, 0);
    database->system_identifier = decimal_text(&fields, "systemIdentifier");
    database->timeline = (uint32_t)fields_integer(&fields, "timeline", 0, UINT32_MAX, 0);
    database->lsn = lsn_text(&fields, "lsn");
    database->lag_seconds = fields_integer(&fields, "lagSeconds", 0, INT64_MAX, -1);
    fields_end_open(&fields);
}

static void read_job(struct fields *fields, struct message_state *state)
{
    struct fields job;
    fields_object(fields, "job", &job);
    state->busy = job.object;
    if (!state->busy)
        return;
    read_progress(&job, &state->job.progress);
    state->job.id = state->job.progress.id;
    state->job.kind = read_kind(&job);
    state->job.started = time_text(&job, "started");
    fields_end_open(&job);
}

static void read_finished(struct fields *fields, struct message_state *state)
{
    size_t count = fields_array(fields, "finished", MESSAGE_FINISHED_MAX);
    for (size_t i = 0; i < count; i++) {
        struct fields done;
        fields_array_object(fields, "finished", i, &done);
        read_done(&done, &state->finished[i]);
        if (fields_end_open(&done) < 0)
            return;
    }
    state->finished_count = count;
}

static void read_lookup(struct fields *fields, struct message_state *state)
{
    size_t count = fields_array(fields, "lookup", MESSAGE_LOOKUP_MAX);
    for (size_t i = 0; i < count; i++) {
        struct fields answer;
        fields_array_object(fields, "lookup", i, &answer);
        state->lookup[i].backup_id = required_word(&answer, "backupID", WORD_MAX);
        state->lookup[i].running = fields_bool(&answer, "running", false);
        state->lookup[i].error = bounded(&answer, "error", TEXT_MAX);
        state->lookup[i].backup = read_backup(&answer);
        if (fields_end_open(&answer) < 0)
            return;
    }
    state->lookup_count = count;
}

static uint32_t required_timeline(struct fields *fields)
{
    fields_require(fields, "timeline");
    return (uint32_t)fields_integer(fields, "timeline", 1, UINT32_MAX, 1);
}

static const char *required_lsn(struct fields *fields, const char *name)
{
    fields_require(fields, name);
    return lsn_text(fields, name);
}

static void read_windows(struct fields *fields, struct message_region *region)
{
    size_t count = fields_array(fields, "windows", MESSAGE_WINDOWS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct message_window *window = &region->windows[i];
        struct fields child;
        fields_array_object(fields, "windows", i, &child);
        window->timeline = required_timeline(&child);
        window->from_lsn = required_lsn(&child, "fromLSN");
        window->to_lsn = required_lsn(&child, "toLSN");
        window->from = time_text(&child, "from");
        window->to = time_text(&child, "to");
        window->ended = fields_bool(&child, "ended", false);
        if (fields_end_open(&child) < 0)
            return;
    }
    region->window_count = count;
}

static void read_regions(struct fields *fields, struct message_state *state)
{
    size_t count = fields_array(fields, "regions", MESSAGE_REGIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct message_region *region = &state->regions[i];
        struct fields child;
        fields_array_object(fields, "regions", i, &child);
        region->name = required_word(&child, "name", WORD_MAX);
        fields_require(&child, "reachable");
        region->reachable = fields_bool(&child, "reachable", false);
        region->error = bounded(&child, "error", TEXT_MAX);
        region->backups = counter(&child, "backups");
        region->bytes = counter(&child, "bytes");
        region->last_backup = word(&child, "lastBackup", WORD_MAX);
        region->recoverable_from = time_text(&child, "recoverableFrom");
        region->recoverable_to = time_text(&child, "recoverableTo");
        read_windows(&child, region);
        if (fields_end_open(&child) < 0)
            return;
    }
    state->region_count = count;
}

static void read_gap(struct fields *fields, struct message_archiving *archiving)
{
    struct fields gap;
    fields_object(fields, "gap", &gap);
    if (!gap.object)
        return;
    archiving->gap.system_identifier = decimal_text(&gap, "systemIdentifier");
    archiving->gap.timeline = required_timeline(&gap);
    archiving->gap.from = required_lsn(&gap, "from");
    archiving->gap.to = required_lsn(&gap, "to");
    fields_end_open(&gap);
}

static void read_archiving(struct fields *fields, struct message_archiving *archiving)
{
    static const char *const modes[] = {"stream", "hold", NULL};
    static const enum message_wal values[] = {MESSAGE_WAL_STREAM, MESSAGE_WAL_HOLD};
    fields_require(fields, "mode");
    archiving->mode = values[fields_choice(fields, "mode", modes, 0)];
    fields_require(fields, "streaming");
    archiving->streaming = fields_bool(fields, "streaming", false);
    archiving->slot = word(fields, "slot", WORD_MAX);
    archiving->since = time_text(fields, "since");
    archiving->error = bounded(fields, "error", TEXT_MAX);
    archiving->error_kind = word(fields, "errorKind", WORD_MAX);
    archiving->timeline = (uint32_t)fields_integer(fields, "timeline", 0, UINT32_MAX, 0);
    archiving->server_lsn = lsn_text(fields, "serverLSN");
    archiving->received_lsn = lsn_text(fields, "receivedLSN");
    archiving->durable_lsn = lsn_text(fields, "durableLSN");
    archiving->lag_seconds = fields_integer(fields, "lagSeconds", 0, INT64_MAX, -1);
    archiving->kept_bytes = counter(fields, "keptBytes");
    archiving->left_bytes = fields_integer(fields, "leftBytes", 0, INT64_MAX, -1);
    archiving->left_seconds = fields_integer(fields, "leftSeconds", 0, INT64_MAX, -1);
    read_gap(fields, archiving);
    size_t count = fields_array(fields, "lostRegions", MESSAGE_REGIONS_MAX);
    for (size_t i = 0; i < count; i++)
        archiving->lost_regions[i] = element_word(fields, "lostRegions", i);
    archiving->lost_count = count;
}

static void read_state(struct fields *fields, struct message_state *state)
{
    struct fields archiving;
    fields_require(fields, "generation");
    state->generation = fields_integer(fields, "generation", 0, INT64_MAX, 0);
    state->policy_uid = word(fields, "policyUID", WORD_MAX);
    state->config_error = bounded(fields, "configError", TEXT_MAX);
    state->config_error_kind = word(fields, "configErrorKind", WORD_MAX);
    read_database(fields, &state->database);
    read_job(fields, state);
    read_finished(fields, state);
    read_lookup(fields, state);
    read_regions(fields, state);
    fields_object(fields, "archiving", &archiving);
    if (archiving.object)
        read_archiving(&archiving, &state->archiving);
    fields_end_open(&archiving);
}

/* Messages of the operator. */

static enum message_wal read_wal(struct fields *fields)
{
    static const char *const words[] = {"stream", "hold", "none", NULL};
    static const enum message_wal values[] = {MESSAGE_WAL_STREAM, MESSAGE_WAL_HOLD,
                                              MESSAGE_WAL_NONE};
    const int word = fields_choice(fields, "wal", words, -1);
    return word < 0 ? MESSAGE_WAL_UNSAID : values[word];
}

static void read_assign(struct fields *fields, struct message_assign *assign)
{
    struct fields policy;
    fields_require(fields, "policy");
    fields_object(fields, "policy", &policy);
    assign->policy_namespace = required_word(&policy, "namespace", NAMESPACE_MAX);
    assign->policy = required_word(&policy, "name", WORD_MAX);
    if (fields_end_open(&policy) < 0)
        return;
    assign->generation = fields_integer(fields, "generation", 0, INT64_MAX, 0);
    assign->region = word(fields, "region", WORD_MAX);
    fields_require(fields, "heartbeatSeconds");
    assign->heartbeat_seconds =
        (unsigned)fields_integer(fields, "heartbeatSeconds", 1, HEARTBEAT_SECONDS_MAX, 1);
    assign->wal = read_wal(fields);
}

static void read_run_backup(struct fields *fields, struct message_run *run)
{
    static const char *const types[] = {"full", "differential", "incremental", NULL};
    struct fields backup;
    fields_require(fields, "backup");
    fields_object(fields, "backup", &backup);
    run->backup.name = required_word(&backup, "name", NAME_MAX_BYTES);
    run->backup.uid = required_word(&backup, "uid", WORD_MAX);
    fields_require(&backup, "type");
    run->backup.type = types[fields_choice(&backup, "type", types, 0)];
    fields_end_open(&backup);
}

static void read_run_restore(struct fields *fields, struct message_run *run)
{
    struct fields restore;
    fields_require(fields, "restore");
    fields_object(fields, "restore", &restore);
    run->restore.backup = required_word(&restore, "backup", WORD_MAX);
    run->restore.region = word(&restore, "region", WORD_MAX);
    size_t count = fields_array(&restore, "excludeRegions", MESSAGE_REGIONS_MAX);
    for (size_t i = 0; i < count; i++)
        run->restore.exclude_regions[i] = element_word(&restore, "excludeRegions", i);
    run->restore.exclude_count = count;
    fields_require(&restore, "to");
    run->restore.to = bounded(&restore, "to", PATH_MAX_BYTES);
    if (run->restore.to && run->restore.to[0] != '/')
        fields_refuse(&restore, "to", "an absolute path");
    run->restore.workers = (unsigned)fields_integer(&restore, "workers", 0, WORKERS_MAX, 0);
    fields_end_open(&restore);
}

static void read_run(struct fields *fields, struct message_run *run)
{
    run->id = required_word(fields, "id", WORD_MAX);
    run->kind = read_kind(fields);
    run->generation = fields_integer(fields, "generation", 0, INT64_MAX, 0);
    fields_require(fields, "deadlineSeconds");
    run->deadline_seconds = (unsigned)fields_integer(fields, "deadlineSeconds", 1, SECONDS_MAX, 1);
    if (run->kind == MESSAGE_KIND_BACKUP)
        read_run_backup(fields, run);
    else
        read_run_restore(fields, run);
}

static void read_cancel(struct fields *fields, struct message_cancel *cancel)
{
    cancel->id = required_word(fields, "id", WORD_MAX);
    cancel->reason = bounded(fields, "reason", TEXT_MAX);
}

static void read_question(struct fields *fields, struct message_question *question)
{
    size_t count = fields_array(fields, "lookup", MESSAGE_LOOKUP_MAX);
    for (size_t i = 0; i < count; i++)
        question->lookup[i] = element_word(fields, "lookup", i);
    question->lookup_count = count;
}

bool message_from_operator(enum message_type type)
{
    return type == MESSAGE_ASSIGN || type == MESSAGE_RUN || type == MESSAGE_CANCEL ||
           type == MESSAGE_QUESTION;
}

static int read_envelope(struct message *message, struct error *err)
{
    static const char *const types[] = {"hello", "assign",   "run",  "cancel",
                                        "state", "progress", "done", NULL};
    static const enum message_type values[] = {MESSAGE_HELLO,  MESSAGE_ASSIGN, MESSAGE_RUN,
                                               MESSAGE_CANCEL, MESSAGE_STATE,  MESSAGE_PROGRESS,
                                               MESSAGE_DONE};
    struct fields fields;
    fields_init(&fields, message->root, NULL, ERROR_CORRUPT, err);
    fields_require(&fields, "version");
    fields_integer(&fields, "version", MESSAGE_VERSION, MESSAGE_VERSION, 0);
    fields_require(&fields, "type");
    message->type = values[fields_choice(&fields, "type", types, 0)];
    if (message->type == MESSAGE_STATE && fields_has(&fields, "epoch"))
        message->type = MESSAGE_QUESTION;
    if (message_from_operator(message->type))
        fields_require(&fields, "epoch");
    message->epoch = fields_integer(&fields, "epoch", 0, INT64_MAX, 0);
    return fields_end_open(&fields);
}

static void read_body(struct fields *fields, struct message *message)
{
    switch (message->type) {
    case MESSAGE_HELLO:
        return read_hello(fields, &message->hello);
    case MESSAGE_ASSIGN:
        return read_assign(fields, &message->assign);
    case MESSAGE_RUN:
        return read_run(fields, &message->run);
    case MESSAGE_CANCEL:
        return read_cancel(fields, &message->cancel);
    case MESSAGE_QUESTION:
        return read_question(fields, &message->question);
    case MESSAGE_STATE:
        return read_state(fields, &message->state);
    case MESSAGE_PROGRESS:
        return read_progress(fields, &message->progress);
    case MESSAGE_DONE:
        return read_done(fields, &message->done);
    }
}

int64_t message_state_generation(const struct message_state *state, const char *policy_uid)
{
    bool other = state->policy_uid && strcmp(state->policy_uid, policy_uid) != 0;
    return other ? 0 : state->generation;
}

int message_read_archiving(struct message_archiving *ret_archiving, json_t *object,
                           struct error *err)
{
    struct message_archiving archiving = {0};
    struct fields fields;
    fields_init(&fields, object, NULL, ERROR_CORRUPT, err);
    read_archiving(&fields, &archiving);
    if (fields_end_open(&fields) < 0)
        return -1;
    *ret_archiving = archiving;
    return 0;
}

void message_clear(struct message *message)
{
    json_decref(message->root);
    *message = (struct message){0};
}

int message_read(struct message *ret_message, json_t *root, struct error *err)
{
    CLEANUP(message_clear) struct message message = {.root = root};
    struct fields fields;
    if (read_envelope(&message, err) < 0)
        return -1;
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    read_body(&fields, &message);
    if (fields_end_open(&fields) < 0)
        return -1;
    *ret_message = message;
    message.root = NULL;
    return 0;
}

int message_parse(struct message *ret_message, const char *text, size_t size, struct error *err)
{
    struct message message;
    json_error_t json_error;
    if (size > MESSAGE_BYTES_MAX)
        return error_set(err, ERROR_CORRUPT, "message of %zu bytes, %d are allowed", size,
                         MESSAGE_BYTES_MAX);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &json_error);
    if (!root)
        return error_set(err, ERROR_CORRUPT, "not JSON: %s", json_error.text);
    if (message_read(&message, root, err) < 0)
        return -1;
    if (message.type == MESSAGE_HELLO && size > MESSAGE_HELLO_BYTES_MAX) {
        message_clear(&message);
        return error_set(err, ERROR_CORRUPT, "hello of %zu bytes, %d are allowed", size,
                         MESSAGE_HELLO_BYTES_MAX);
    }
    *ret_message = message;
    return 0;
}
