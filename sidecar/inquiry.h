// SPDX-License-Identifier: Apache-2.0
/*
 * What the buckets are asked on behalf of the operator, by short child processes, one at a time:
 * whether a backup is committed ("show"), and what each region holds ("list --regions"), and, where
 * WAL is streamed, can be recovered from each. Nothing here waits.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/message.h"
#include "sidecar/job.h"
#include "sidecar/results.h"

struct policy;

struct inquiry_options { /* all lent */
    const char *program; /* NULL: ours */
    const char *policy;  /* file */
    const char *secrets; /* directory */
};

struct inquiry_answer {
    char id[RESULTS_ID_BYTES];
    bool known;
    json_t *backup;     /* its summary; NULL: no region has it */
    struct error error; /* the buckets could not be asked; kind NONE: they were */
};

struct inquiry {
    struct inquiry_options options;
    struct job *job;                                   /* NULL: none runs */
    struct inquiry_answer *asking;                     /* whom it answers; NULL: the overview */
    struct inquiry_answer settling;                    /* our own question; its id is "" without */
    struct inquiry_answer answers[MESSAGE_LOOKUP_MAX]; /* the operator's */
    size_t answer_count;
    bool told;              /* the answers are complete, and inquiry_step has said so */
    json_t *regions;        /* the last overview, an array; NULL: none yet */
    int64_t overview_at_ms; /* monotonic */
};

void inquiry_init(struct inquiry *ret_inquiry, const struct inquiry_options *options);
void inquiry_done(struct inquiry *inquiry);

/* The operator's question, which replaces the one before, unless it is the same and not answered
 * yet. */
void inquiry_ask(struct inquiry *inquiry, const struct message_question *question);
/* Our own: is this backup committed, whatever became of its job? Answered in settling. */
void inquiry_settle(struct inquiry *inquiry, const char *id);
/* The overview is wanted again, now. */
void inquiry_refresh(struct inquiry *inquiry);

/* Does what can be done now; true if there is news to tell. policy: to ask with, in the file of
 * that name; NULL: there is none. idle: no job runs, so that there is memory for an overview. */
bool inquiry_step(struct inquiry *inquiry, const struct policy *policy, bool idle);
void inquiry_poll_fds(const struct inquiry *inquiry, struct pollfd ret_fds[JOB_POLL_FDS]);
