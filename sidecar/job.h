// SPDX-License-Identifier: Apache-2.0
/*
 * A command of our own command line as a child process, so that whatever becomes of it, out of
 * memory or a crash, becomes of nothing else; the kernel is told to take it before anything else,
 * and it dies with us. What it logs goes to our stderr, a line at a time; its result is the JSON
 * that it prints. Nothing here waits: whoever owns a job polls it.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

struct job;

enum {
    JOB_POLL_FDS = 3,
    JOB_OUTPUT_MAX = 8 << 20, /* bytes of a result; a manifest has 1 MiB */
    JOB_GRACE_MS = 10 * 1000, /* between SIGTERM and SIGKILL */
};

struct job_options {
    const char *name;             /* "backup": for messages; static */
    const char *program;          /* NULL: /proc/self/exe */
    const char *const *arguments; /* after the program's name, NULL-terminated; lent for the call */
    int64_t deadline_ms;          /* it is killed after so long; 0: never */
    int input;                    /* its standard input, lent for the call; 0: /dev/null */
};

struct job_progress {
    char phase[32];
    uint64_t bytes, total_bytes, files;
};

/* To be called by a thread that lives as long as the job: the kernel kills it when that ends. */
MUST_CHECK int job_start(struct job **ret_job, const struct job_options *options,
                         struct error *err);
void job_freep(struct job **job); /* kills what still runs */

/* What to wait for; unused ones are negative, and all of them if job is NULL. */
void job_poll_fds(const struct job *job, struct pollfd ret_fds[JOB_POLL_FDS]);
/* When job_step has something to do at the latest, whatever happens (clock_monotonic_ms);
 * INT64_MAX: never. */
int64_t job_due_ms(const struct job *job);
/* Does what can be done now; true once the job has ended. */
bool job_step(struct job *job);
/* What it said last. */
const struct job_progress *job_progress(const struct job *job);
/* What one that receives WAL said last of how it goes (wal_news), as it said it; lent. NULL:
 * nothing yet. */
json_t *job_archiving(const struct job *job);

/* SIGTERM now, SIGKILL after grace_ms. The first reason stays, the shortest grace counts. */
void job_cancel(struct job *job, const char *reason, int grace_ms);

/* After its end: the result (the caller's reference), or -1 and why there is none: as it said
 * itself; CANCELED and the reason; TRANSIENT if a signal ended it. */
MUST_CHECK int job_result(struct job *job, json_t **ret_result, struct error *err);
/* After its end: it ended without a word of its own, so nobody knows how far it came. */
bool job_is_doubtful(const struct job *job);
