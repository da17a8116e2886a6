// SPDX-License-Identifier: Apache-2.0
/*
 * The one backup or restore that a sidecar is doing: a child process (job), from the operator's run
 * to its result. A backup whose process ended without a word may be committed all the same: then
 * the buckets are asked before anything is said of it.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"
#include "sidecar/job.h"
#include "sidecar/results.h"

struct inquiry;

struct work_options {          /* all lent */
    const char *program;       /* NULL: ours */
    const char *policy;        /* file */
    const char *secrets;       /* directory */
    const char *host, *pgdata; /* of backups; may be NULL */
    const char *pod;           /* may be NULL */
};

struct work {
    struct work_options options;
    struct results *results; /* lent; running is what this works on */
    struct job *job;
    bool settling;    /* the buckets are asked what became of it */
    struct error end; /* why it failed, while settling */
};

/* A job that an earlier process left behind in results is settled. */
void work_init(struct work *ret_work, const struct work_options *options, struct results *results,
               struct inquiry *inquiry);
void work_done(struct work *work); /* kills what still runs */

bool work_is_busy(const struct work *work);
/* Starts what the run says; region: of this pod, may be NULL. */
MUST_CHECK int work_start(struct work *work, const struct message_run *run, const char *region,
                          struct error *err);
void work_cancel(struct work *work, const char *reason, int grace_ms);
/* Does what can be done now. Once it has ended: its result, lent from results; else NULL. */
const struct message_done *work_step(struct work *work, struct inquiry *inquiry);

void work_poll_fds(const struct work *work, struct pollfd ret_fds[JOB_POLL_FDS]);
int64_t work_due_ms(const struct work *work); /* as job_due_ms */
/* Texts are lent. */
struct message_progress work_progress(const struct work *work);
