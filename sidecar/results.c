// SPDX-License-Identifier: Apache-2.0
#include "sidecar/results.h"

#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"

enum { LEDGER_BYTES_MAX = MESSAGE_FINISHED_MAX * MESSAGE_BYTES_MAX };

static const char *const kind_names[] = {"backup", "restore"};

static void append(struct results *results, struct message *done)
{
    if (results->count == MESSAGE_FINISHED_MAX) {
        message_clear(&results->finished[0]);
        results->count--;
        memmove(results->finished, results->finished + 1,
                results->count * sizeof(results->finished[0]));
    }
    results->finished[results->count++] = *done;
    *done = (struct message){0};
}

/* The ledger */

static json_t *to_json(const struct results *results)
{
    const struct results_job *running = &results->running;
    json_t *finished = json_array();
    for (size_t i = 0; i < results->count; i++)
        json_array_append(finished, results->finished[i].root);
    return json_pack("{s:o, s:{s:s, s:s, s:s}}", "finished", finished, "running", "id", running->id,
                     "kind", kind_names[running->kind], "started", running->started);
}

/* A ledger that cannot be written is no reason to stop: the buckets tell, too. */
static void save(const struct results *results)
{
    struct error err;
    if (results->ledger < 0)
        return;
    json_auto_t *json = to_json(results);
    CLEANUP(own_freep) char *text = json_dumps(json, JSON_COMPACT);
    if (!text || ftruncate(results->ledger, 0) < 0 ||
        buf_pwrite(results->ledger, text, strlen(text), 0, &err) < 0)
        log_warn("Could not write the ledger");
}

static void read_running(struct results_job *running, const json_t *json)
{
    const char *id = json_string_value(json_object_get(json, "id"));
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const char *started = json_string_value(json_object_get(json, "started"));
    if (!id || !kind || !started || strlen(id) >= sizeof(running->id) ||
        strlen(started) >= sizeof(running->started))
        return;
    memcpy(running->id, id, strlen(id) + 1);
    memcpy(running->started, started, strlen(started) + 1);
    running->kind = strcmp(kind, kind_names[MESSAGE_KIND_RESTORE]) == 0 ? MESSAGE_KIND_RESTORE
                                                                        : MESSAGE_KIND_BACKUP;
}

static void load(struct results *results)
{
    CLEANUP(buf_done) struct buf text = BUF(LEDGER_BYTES_MAX);
    struct error err;
    uint8_t *space;
    if (buf_reserve(&text, LEDGER_BYTES_MAX, &space, &err) < 0)
        return;
    const ssize_t size = buf_pread(results->ledger, space, LEDGER_BYTES_MAX, 0, &err);
    json_auto_t *json = size > 0 ? json_loadb((const char *)space, (size_t)size, 0, NULL) : NULL;
    size_t i;
    json_t *body;
    json_array_foreach(json_object_get(json, "finished"), i, body)
    {
        CLEANUP(message_clear) struct message done = {0};
        if (message_read(&done, json_incref(body), &err) == 0 && done.type == MESSAGE_DONE)
            append(results, &done);
    }
    read_running(&results->running, json_object_get(json, "running"));
}

/* Users' side */

const struct message_done *results_find(const struct results *results, const char *id)
{
    for (size_t i = 0; i < results->count; i++)
        if (strcmp(results->finished[i].done.id, id) == 0)
            return &results->finished[i].done;
    return NULL;
}

void results_start(struct results *results, const struct results_job *job)
{
    results->running = *job;
    save(results);
}

static json_t *body_of(const struct results_job *job, json_t *summary, const struct error *err)
{
    const char *kind = kind_names[job->kind];
    json_t *body = json_pack("{s:i, s:s, s:s, s:s, s:b}", "version", MESSAGE_VERSION, "type",
                             "done", "id", job->id, "kind", kind, "ok", summary != NULL);
    if (summary) {
        json_object_set_new(body, kind, summary);
        return body;
    }
    CLEANUP(own_freep) char *text = text_escape(err->text);
    json_object_set_new(body, "error",
                        json_pack("{s:s, s:s}", "kind", error_kind_name(err->kind), "text", text));
    return body;
}

const struct message_done *results_end(struct results *results, json_t *summary,
                                       const struct error *err)
{
    CLEANUP(message_clear) struct message done = {0};
    struct error strange;
    if (message_read(&done, body_of(&results->running, summary, err), &strange) < 0) {
        log_error(&strange, "Dropped what a job said", S("job", results->running.id));
        error_wrap(&strange, "its result is not as it should be");
        if (message_read(&done, body_of(&results->running, NULL, &strange), &strange) < 0)
            return NULL;
    }
    append(results, &done);
    results->running = (struct results_job){0};
    save(results);
    return &results->finished[results->count - 1].done;
}

void results_done(struct results *results)
{
    for (size_t i = 0; i < results->count; i++)
        message_clear(&results->finished[i]);
    results->count = 0;
}

void results_init(struct results *ret_results, int ledger)
{
    *ret_results = (struct results){.ledger = ledger};
    if (ledger >= 0)
        load(ret_results);
}
