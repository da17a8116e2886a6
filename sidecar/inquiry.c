// SPDX-License-Identifier: Apache-2.0
#include "sidecar/inquiry.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"
#include "sidecar/summary.h"

enum {
    DEADLINE_MS = 3 * 60 * 1000, /* of a child: stores try for about two minutes */
    OVERVIEW_MS = 5 * 60 * 1000,
    TROUBLED_MS = 60 * 1000, /* while a region cannot be reached: so that its return is soon seen */
};

static void answer_clear(struct inquiry_answer *answer)
{
    json_decref(answer->backup);
    *answer = (struct inquiry_answer){0};
}

static void set_id(struct inquiry_answer *answer, const char *id)
{
    answer_clear(answer);
    memcpy(answer->id, id, strnlen(id, sizeof(answer->id) - 1));
}

/* Starting */

static int start(struct inquiry *inquiry, const char *const arguments[], struct error *err)
{
    const struct job_options options = {
        .name = "look into the buckets",
        .program = inquiry->options.program,
        .arguments = arguments,
        .deadline_ms = DEADLINE_MS,
    };
    return job_start(&inquiry->job, &options, err);
}

static void start_lookup(struct inquiry *inquiry, struct inquiry_answer *answer)
{
    const struct inquiry_options *options = &inquiry->options;
    const char *const arguments[] = {"show", "-f",   options->policy, "--secrets", options->secrets,
                                     "-o",   "json", answer->id,      NULL};
    inquiry->asking = answer;
    if (start(inquiry, arguments, &answer->error) < 0)
        answer->known = true;
}

/* Without a stream of WAL the backups say it. */
static void start_overview(struct inquiry *inquiry, const struct policy *policy)
{
    const bool windows = policy->wal.mode == POLICY_WAL_STREAM;
    const struct inquiry_options *options = &inquiry->options;
    const char *const arguments[] = {"list",
                                     "-f",
                                     options->policy,
                                     "--secrets",
                                     options->secrets,
                                     "-o",
                                     "json",
                                     "--regions",
                                     windows ? "--windows" : NULL,
                                     NULL};
    struct error err;
    inquiry->asking = NULL;
    inquiry->overview_at_ms = clock_monotonic_ms() + OVERVIEW_MS;
    if (start(inquiry, arguments, &err) < 0)
        log_error(&err, "Could not ask the regions");
}

static struct inquiry_answer *next_lookup(struct inquiry *inquiry)
{
    if (inquiry->settling.id[0] && !inquiry->settling.known)
        return &inquiry->settling;
    for (size_t i = 0; i < inquiry->answer_count; i++)
        if (!inquiry->answers[i].known)
            return &inquiry->answers[i];
    return NULL;
}

static bool is_overview_due(const struct inquiry *inquiry)
{
    return clock_monotonic_ms() >= inquiry->overview_at_ms;
}

/* Ending */

static void take_lookup(struct inquiry_answer *answer, struct job *job)
{
    json_auto_t *printed = NULL;
    answer->known = true;
    if (job_result(job, &printed, &answer->error) == 0)
        answer->backup = summary_backup(printed);
    else if (answer->error.kind == ERROR_NOT_FOUND)
        answer->error = (struct error){0};
}

static bool all_reachable(const json_t *regions)
{
    size_t i;
    json_t *region;
    json_array_foreach(regions, i, region)
    {
        if (!json_is_true(json_object_get(region, "reachable")))
            return false;
    }
    return true;
}

static bool take_overview(struct inquiry *inquiry, struct job *job)
{
    json_auto_t *printed = NULL;
    struct error err;
    const int64_t soon_ms = clock_monotonic_ms() + TROUBLED_MS;
    bool troubled = job_result(job, &printed, &err) < 0 || !all_reachable(printed);
    if (troubled && inquiry->overview_at_ms > soon_ms)
        inquiry->overview_at_ms = soon_ms;
    if (!printed) {
        log_error(&err, "Could not ask the regions");
        return false;
    }
    const bool news = !json_equal(printed, inquiry->regions);
    json_decref(inquiry->regions);
    inquiry->regions = TAKE(printed);
    return news;
}

static bool take_answer(struct inquiry *inquiry)
{
    CLEANUP(job_freep) struct job *job = TAKE(inquiry->job);
    struct inquiry_answer *answer = TAKE(inquiry->asking);
    if (!answer)
        return take_overview(inquiry, job);
    take_lookup(answer, job);
    return answer == &inquiry->settling;
}

static bool is_complete(const struct inquiry *inquiry)
{
    for (size_t i = 0; i < inquiry->answer_count; i++)
        if (!inquiry->answers[i].known)
            return false;
    return inquiry->answer_count > 0;
}

static void refuse_all(struct inquiry *inquiry)
{
    for (struct inquiry_answer *answer; (answer = next_lookup(inquiry));) {
        answer->known = true;
        error_set(&answer->error, ERROR_TRANSIENT,
                  "there is no policy to ask the buckets with: see configError");
    }
}

bool inquiry_step(struct inquiry *inquiry, const struct policy *policy, bool idle)
{
    bool news = inquiry->job && job_step(inquiry->job) && take_answer(inquiry);
    struct inquiry_answer *next = next_lookup(inquiry);
    if (!inquiry->job && !policy)
        refuse_all(inquiry);
    else if (!inquiry->job && next)
        start_lookup(inquiry, next);
    else if (!inquiry->job && idle && is_overview_due(inquiry))
        start_overview(inquiry, policy);
    if (!inquiry->told && is_complete(inquiry))
        news = inquiry->told = true;
    return news;
}

void inquiry_poll_fds(const struct inquiry *inquiry, struct pollfd ret_fds[JOB_POLL_FDS])
{
    job_poll_fds(inquiry->job, ret_fds);
}

/* Questions */

/* A child that works on a question that was replaced answers nobody. */
static void drop(struct inquiry *inquiry, const struct inquiry_answer *first, size_t count)
{
    if (!inquiry->asking || inquiry->asking < first || inquiry->asking >= first + count)
        return;
    job_freep(&inquiry->job);
    inquiry->asking = NULL;
}

/* A question that is asked again while it is worked on, which may take longer than the operator
 * waits. */
static bool is_being_asked(const struct inquiry *inquiry, const struct message_question *question)
{
    bool same = !inquiry->told && question->lookup_count > 0 &&
                question->lookup_count == inquiry->answer_count;
    for (size_t i = 0; same && i < question->lookup_count; i++)
        same = strcmp(inquiry->answers[i].id, question->lookup[i]) == 0;
    return same;
}

void inquiry_ask(struct inquiry *inquiry, const struct message_question *question)
{
    if (is_being_asked(inquiry, question))
        return;
    drop(inquiry, inquiry->answers, MESSAGE_LOOKUP_MAX);
    for (size_t i = 0; i < MESSAGE_LOOKUP_MAX; i++)
        answer_clear(&inquiry->answers[i]);
    inquiry->told = false;
    inquiry->answer_count = question->lookup_count;
    for (size_t i = 0; i < question->lookup_count; i++)
        set_id(&inquiry->answers[i], question->lookup[i]);
}

void inquiry_settle(struct inquiry *inquiry, const char *id)
{
    drop(inquiry, &inquiry->settling, 1);
    set_id(&inquiry->settling, id);
}

void inquiry_refresh(struct inquiry *inquiry)
{
    inquiry->overview_at_ms = 0;
}

void inquiry_done(struct inquiry *inquiry)
{
    job_freep(&inquiry->job);
    answer_clear(&inquiry->settling);
    for (size_t i = 0; i < MESSAGE_LOOKUP_MAX; i++)
        answer_clear(&inquiry->answers[i]);
    json_decref(inquiry->regions);
}

void inquiry_init(struct inquiry *ret_inquiry, const struct inquiry_options *options)
{
    *ret_inquiry = (struct inquiry){.options = *options};
}
