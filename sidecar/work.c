// SPDX-License-Identifier: Apache-2.0
#include "sidecar/work.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/inquiry.h"
#include "sidecar/summary.h"

enum {
    ARGUMENTS_MAX = 60,
    /* after its deadline, by which it ends by itself */
    PATIENCE_MS = 20 * 1000,
    NUMBER_BYTES = 16,
};

/* What the child is called with; numbers are kept here. */
struct arguments {
    const char *texts[ARGUMENTS_MAX + 1];
    size_t count;
    char deadline[NUMBER_BYTES], workers[NUMBER_BYTES];
};

/* An option and its value; none where there is no value. */
static void add(struct arguments *arguments, const char *option, const char *value)
{
    if (!value)
        return;
    assert(arguments->count + 2 <= ARGUMENTS_MAX);
    arguments->texts[arguments->count++] = option;
    arguments->texts[arguments->count++] = value;
}

static void add_common(struct arguments *arguments, const struct work_options *options,
                       const struct message_run *run)
{
    static const char *const commands[] = {"backup", "restore"};
    snprintf(arguments->deadline, sizeof(arguments->deadline), "%u", run->deadline_seconds);
    arguments->texts[arguments->count++] = commands[run->kind];
    add(arguments, "-f", options->policy);
    add(arguments, "--secrets", options->secrets);
    add(arguments, "-o", "json");
    add(arguments, "--progress", "json");
    add(arguments, "--deadline", arguments->deadline);
}

static void add_backup(struct arguments *arguments, const struct work_options *options,
                       const struct message_run *run)
{
    add(arguments, "--id", run->id);
    add(arguments, "--type", run->backup.type);
    add(arguments, "--backup-name", run->backup.name);
    add(arguments, "--backup-uid", run->backup.uid);
    add(arguments, "--pod", options->pod);
    add(arguments, "--pgdata", options->pgdata);
    add(arguments, "--host", options->host);
}

static void add_restore(struct arguments *arguments, const struct message_run *run)
{
    add(arguments, "--to", run->restore.to);
    add(arguments, "--backup", run->restore.backup);
    add(arguments, "--first-region", run->restore.region);
    for (size_t i = 0; i < run->restore.exclude_count; i++)
        add(arguments, "--exclude-region", run->restore.exclude_regions[i]);
    snprintf(arguments->workers, sizeof(arguments->workers), "%u", run->restore.workers);
    add(arguments, "--workers", run->restore.workers > 0 ? arguments->workers : NULL);
}

int work_start(struct work *work, const struct message_run *run, const char *region,
               struct error *err)
{
    struct arguments arguments = {0};
    struct results_job job = {.kind = run->kind};
    assert(!work_is_busy(work) && strlen(run->id) < sizeof(job.id));
    memcpy(job.id, run->id, strlen(run->id) + 1);
    clock_format_ms(clock_now_ms(), job.started);
    add_common(&arguments, &work->options, run);
    if (run->kind == MESSAGE_KIND_BACKUP) {
        add_backup(&arguments, &work->options, run);
        add(&arguments, "--source-region", region);
    } else {
        add_restore(&arguments, run);
    }
    const struct job_options options = {
        .name = run->kind == MESSAGE_KIND_BACKUP ? "backup" : "restore",
        .program = work->options.program,
        .arguments = arguments.texts,
        .deadline_ms = (int64_t)run->deadline_seconds * 1000 + PATIENCE_MS,
    };
    if (job_start(&work->job, &options, err) < 0)
        return -1;
    log_info("Started a job", S("job", run->id), S("kind", options.name),
             U("deadlineSeconds", run->deadline_seconds));
    results_start(work->results, &job);
    return 0;
}

void work_cancel(struct work *work, const char *reason, int grace_ms)
{
    if (!work->job)
        return;
    log_warn("Stopped a job", S("job", work->results->running.id), S("reason", reason));
    job_cancel(work->job, reason, grace_ms);
}

/* Ending */

static const struct message_done *end(struct work *work, json_t *summary, const struct error *err)
{
    const struct results_job job = work->results->running;
    work->settling = false;
    if (summary)
        log_info("Finished a job", S("job", job.id), S("started", job.started));
    else
        log_error(err, "Failed a job", S("job", job.id), S("started", job.started));
    return results_end(work->results, summary, err);
}

/* What the buckets say is true, whatever happened here. */
static const struct message_done *take_settlement(struct work *work, struct inquiry *inquiry)
{
    struct inquiry_answer *answer = &inquiry->settling;
    if (!answer->known || strcmp(answer->id, work->results->running.id) != 0)
        return NULL;
    if (answer->error.kind != ERROR_NONE)
        log_error(&answer->error, "Could not tell whether a backup is committed",
                  S("backup", answer->id));
    return end(work, json_incref(answer->backup), &work->end);
}

static const struct message_done *take_result(struct work *work, struct inquiry *inquiry)
{
    CLEANUP(job_freep) struct job *job = TAKE(work->job);
    const enum message_kind kind = work->results->running.kind;
    json_auto_t *printed = NULL;
    struct error err;
    if (job_result(job, &printed, &err) == 0)
        return end(work,
                   kind == MESSAGE_KIND_BACKUP ? summary_backup(printed) : summary_restore(printed),
                   NULL);
    if (kind != MESSAGE_KIND_BACKUP || !job_is_doubtful(job))
        return end(work, NULL, &err);
    work->settling = true;
    work->end = err;
    inquiry_settle(inquiry, work->results->running.id);
    return NULL;
}

const struct message_done *work_step(struct work *work, struct inquiry *inquiry)
{
    if (work->settling)
        return take_settlement(work, inquiry);
    if (work->job && job_step(work->job))
        return take_result(work, inquiry);
    return NULL;
}

/* What others see */

bool work_is_busy(const struct work *work)
{
    return work->results->running.id[0] != '\0';
}

struct message_progress work_progress(const struct work *work)
{
    static const struct job_progress none;
    const struct job_progress *progress = work->job ? job_progress(work->job) : &none;
    return (struct message_progress){
        .id = work->results->running.id,
        .phase = work->settling       ? "settling"
                 : progress->phase[0] ? progress->phase
                                      : "starting",
        .bytes = progress->bytes,
        .total_bytes = progress->total_bytes,
        .files = progress->files,
    };
}

void work_poll_fds(const struct work *work, struct pollfd ret_fds[JOB_POLL_FDS])
{
    job_poll_fds(work->job, ret_fds);
}

int64_t work_due_ms(const struct work *work)
{
    return work->job ? job_due_ms(work->job) : INT64_MAX;
}

void work_done(struct work *work)
{
    job_freep(&work->job);
}

void work_init(struct work *ret_work, const struct work_options *options, struct results *results,
               struct inquiry *inquiry)
{
    *ret_work = (struct work){.options = *options, .results = results};
    if (!work_is_busy(ret_work))
        return;
    error_set(&ret_work->end, ERROR_TRANSIENT,
              "the sidecar's server process ended while the job ran, and the job with it");
    if (results->running.kind == MESSAGE_KIND_BACKUP) {
        ret_work->settling = true;
        inquiry_settle(inquiry, results->running.id);
    } else {
        end(ret_work, NULL, &ret_work->end);
    }
}
