// SPDX-License-Identifier: Apache-2.0
#include "sidecar/archiver.h"

#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/policy.h"

enum {
    ARGUMENTS_MAX = 16,
    BACKOFF_MS = 1000,
    BACKOFF_CAP_MS = 60 * 1000,
    SETTLED_MS = 60 * 1000, /* a child that ran so long was well */
    STOP_MS = 15 * 1000,    /* more than what it takes to end in good order */
    DROP_MS = 60 * 1000,    /* for dropping a slot */
};

static const char name[] = "WAL receiver";

/* What is known by an object's member as well. */
static bool is_same(json_t *a, json_t *b, const char *member)
{
    json_t *of_a = json_object_get(a, member), *of_b = json_object_get(b, member);
    return of_a ? json_equal(of_a, of_b) : !of_b;
}

/* What makes a difference to wal-receive; schedules, retention … do not. */
static json_t *setup_of(const struct policy *policy)
{
    static const char *const members[] = {"connection", "regions",     "quorum", "compression",
                                          "encryption", "parallelism", "limits", "wal"};
    json_t *setup = json_object();
    json_t *spec = json_object_get(policy->document.root, "spec");
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        json_object_set(setup, members[i], json_object_get(spec, members[i]));
    return setup;
}

/* Starting */

struct arguments {
    const char *texts[ARGUMENTS_MAX + 1];
    size_t count;
};

static void add(struct arguments *arguments, const char *option, const char *value)
{
    if (!value)
        return;
    arguments->texts[arguments->count++] = option;
    arguments->texts[arguments->count++] = value;
}

static struct arguments arguments_of(const struct archiver *archiver,
                                     const struct archiver_wish *wish)
{
    const struct archiver_options *options = &archiver->options;
    struct arguments arguments = {.texts = {"wal-receive"}, .count = 1};
    add(&arguments, "-f", "/proc/self/fd/0");
    add(&arguments, "--secrets", options->secrets);
    add(&arguments, "-o", "json");
    add(&arguments, "--progress", "json");
    add(&arguments, "--host", options->host);
    add(&arguments, "--pgdata", wish->pgdata);
    if (wish->duty == WAL_DUTY_HOLD)
        arguments.texts[arguments.count++] = "--hold";
    if (wish->duty == WAL_DUTY_NONE)
        arguments.texts[arguments.count++] = "--drop-slot";
    return arguments;
}

static const char *duty_name(enum wal_duty duty)
{
    static const char *const names[] = {[WAL_DUTY_LEAVE] = "leave",
                                        [WAL_DUTY_STOP] = "stop",
                                        [WAL_DUTY_STREAM] = "stream",
                                        [WAL_DUTY_HOLD] = "hold",
                                        [WAL_DUTY_NONE] = "none"};
    return names[duty];
}

static bool wants_child(const struct archiver *archiver, const struct archiver_wish *wish)
{
    return wish->duty == WAL_DUTY_STREAM || wish->duty == WAL_DUTY_HOLD ||
           (wish->duty == WAL_DUTY_NONE && !archiver->dropped);
}

static void wait_for_next(struct archiver *archiver, int64_t now_ms)
{
    archiver->start_at_ms = now_ms + backoff_next_ms(&archiver->backoff, backoff_random(), 0);
}

/* Whether the problem is another one than before. */
static bool note_problem(struct archiver *archiver, const struct error *problem)
{
    const bool news = strcmp(archiver->problem.text, problem->text) != 0;
    if (news)
        log_error(problem, "Lost the process for WAL, starting another",
                  S("duty", duty_name(archiver->duty)));
    archiver->problem = *problem;
    return news;
}

/* What an earlier child said of another duty is no more true. */
static void change_duty(struct archiver *archiver, const struct archiver_wish *wish)
{
    if (archiver->duty != wish->duty) {
        json_decref(TAKE(archiver->said));
        archiver->problem = (struct error){0};
    }
    archiver->duty = wish->duty;
    json_decref(archiver->setup);
    archiver->setup = setup_of(wish->policy);
}

static bool start(struct archiver *archiver, const struct archiver_wish *wish, int64_t now_ms)
{
    const struct arguments arguments = arguments_of(archiver, wish);
    const struct job_options options = {
        .name = name,
        .program = archiver->options.program,
        .arguments = arguments.texts,
        .deadline_ms = wish->duty == WAL_DUTY_NONE ? DROP_MS : 0,
        .input = wish->policy_file,
    };
    struct error err;
    change_duty(archiver, wish);
    if (job_start(&archiver->job, &options, &err) < 0) {
        wait_for_next(archiver, now_ms);
        return note_problem(archiver, &err);
    }
    archiver->started_ms = now_ms;
    archiver->dropped = false;
    log_info("Started the process for WAL", S("duty", duty_name(wish->duty)));
    return true;
}

/* While it runs */

/* The last gap is kept over the life of a child. */
static void keep_gap(json_t *before, json_t *now)
{
    json_t *gap = json_object_get(before, "gap");
    if (gap && !json_object_get(now, "gap"))
        json_object_set(now, "gap", gap);
}

/* And what one after the other finds does not work is as old as the first one says. */
static void keep_since(json_t *before, json_t *now)
{
    json_t *since = json_object_get(before, "since");
    if (since && json_is_false(json_object_get(before, "streaming")) &&
        json_is_false(json_object_get(now, "streaming")))
        json_object_set(now, "since", since);
}

/* It does what it is there for, so whatever ended the one before is over. */
static bool works(const struct message_archiving *archiving)
{
    return archiving->streaming ||
           (archiving->mode == MESSAGE_WAL_HOLD && archiving->timeline > 0 && !archiving->error);
}

static bool take_news(struct archiver *archiver)
{
    static const char *const members[] = {"streaming", "error", "gap", "lostRegions"};
    struct message_archiving archiving;
    struct error err;
    json_t *now = job_archiving(archiver->job);
    bool news = false;
    if (!now || now == archiver->said || message_read_archiving(&archiving, now, &err) < 0)
        return false;
    if (works(&archiving))
        archiver->problem = (struct error){0};
    keep_gap(archiver->said, now);
    keep_since(archiver->said, now);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        news |= !is_same(archiver->said, now, members[i]);
    json_decref(archiver->said);
    archiver->said = json_incref(now);
    return news;
}

static bool has_other_setup(const struct archiver *archiver, const struct archiver_wish *wish)
{
    if (!wish->policy)
        return false;
    json_auto_t *setup = setup_of(wish->policy);
    return !json_equal(setup, archiver->setup);
}

static void end_what_is_not_wanted(struct archiver *archiver, const struct archiver_wish *wish)
{
    if (wish->duty == WAL_DUTY_LEAVE)
        return;
    if (wish->duty != archiver->duty)
        archiver_stop(archiver, "something else is to be done about WAL");
    else if (has_other_setup(archiver, wish))
        archiver_stop(archiver, "the policy has changed");
}

/* Until the next one does. */
static void stream_no_more(struct archiver *archiver)
{
    char since[CLOCK_TEXT_BYTES];
    if (!json_is_true(json_object_get(archiver->said, "streaming")))
        return;
    clock_format(clock_now_ms(), since);
    json_object_set_new(archiver->said, "since", json_string(since));
    json_object_set_new(archiver->said, "streaming", json_false());
}

/* One that was told to end is followed at once, one that failed after a while. */
static bool take_end(struct archiver *archiver, int64_t now_ms)
{
    CLEANUP(job_freep) struct job *job = TAKE(archiver->job);
    json_auto_t *result = NULL;
    struct error err;
    stream_no_more(archiver);
    if (job_result(job, &result, &err) == 0) {
        archiver->dropped = archiver->duty == WAL_DUTY_NONE;
        archiver->problem = (struct error){0};
        return true;
    }
    if (err.kind == ERROR_CANCELED) {
        archiver->problem = (struct error){0};
        return true;
    }
    if (now_ms - archiver->started_ms >= SETTLED_MS)
        backoff_reset(&archiver->backoff);
    wait_for_next(archiver, now_ms);
    return note_problem(archiver, &err);
}

bool archiver_step(struct archiver *archiver, const struct archiver_wish *wish)
{
    const int64_t now_ms = clock_monotonic_ms();
    bool news = false;
    if (archiver->job) {
        end_what_is_not_wanted(archiver, wish);
        const bool ended = job_step(archiver->job);
        news = take_news(archiver);
        if (ended)
            news |= take_end(archiver, now_ms);
    }
    if (!archiver->job && wish->duty == WAL_DUTY_STOP)
        archiver->duty = WAL_DUTY_STOP;
    if (!archiver->job && wants_child(archiver, wish) && wish->ready && wish->policy &&
        now_ms >= archiver->start_at_ms)
        news |= start(archiver, wish, now_ms);
    return news;
}

void archiver_retry(struct archiver *archiver)
{
    backoff_reset(&archiver->backoff);
    archiver->start_at_ms = 0;
}

enum wal_duty archiver_duty(const struct archiver *archiver)
{
    return archiver->job ? archiver->duty : WAL_DUTY_LEAVE;
}

void archiver_stop(struct archiver *archiver, const char *reason)
{
    if (archiver->job)
        job_cancel(archiver->job, reason, STOP_MS);
}

void archiver_report(const struct archiver *archiver, struct message_archiving *ret_archiving)
{
    struct error ignored; /* it was read before */
    *ret_archiving = (struct message_archiving){0};
    if (archiver->duty != WAL_DUTY_STREAM && archiver->duty != WAL_DUTY_HOLD)
        return;
    *ret_archiving =
        (struct message_archiving){.lag_seconds = -1, .left_bytes = -1, .left_seconds = -1};
    if (archiver->said && message_read_archiving(ret_archiving, archiver->said, &ignored) < 0)
        return;
    ret_archiving->mode = archiver->duty == WAL_DUTY_STREAM ? MESSAGE_WAL_STREAM : MESSAGE_WAL_HOLD;
    if (ret_archiving->error || archiver->problem.kind == ERROR_NONE)
        return;
    ret_archiving->error = archiver->problem.text;
    ret_archiving->error_kind = error_kind_name(archiver->problem.kind);
}

void archiver_poll_fds(const struct archiver *archiver, struct pollfd ret_fds[JOB_POLL_FDS])
{
    job_poll_fds(archiver->job, ret_fds);
}

void archiver_done(struct archiver *archiver)
{
    job_freep(&archiver->job);
    json_decref(archiver->setup);
    json_decref(archiver->said);
}

void archiver_init(struct archiver *ret_archiver, const struct archiver_options *options)
{
    *ret_archiver = (struct archiver){
        .options = *options,
        .backoff = {.base_ms = options->backoff_ms > 0 ? options->backoff_ms : BACKOFF_MS,
                    .cap_ms = BACKOFF_CAP_MS},
    };
}
