// SPDX-License-Identifier: Apache-2.0
/*
 * The child process that does a sidecar's duty about WAL, beside the job: "wal-receive", which is
 * started anew whenever it ends, sooner or later, and whenever what it works by has changed. It
 * ends in good order, so that what came is stored. Nothing here waits.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/backoff.h"
#include "common/error.h"
#include "common/message.h"
#include "sidecar/job.h"
#include "sidecar/wal_duty.h"

struct policy;

struct archiver_options { /* all lent */
    const char *program;  /* NULL: ours */
    const char *secrets;  /* directory */
    const char *host;     /* of the database; may be NULL */
    uint32_t backoff_ms;  /* between a child's end and the next, at first; 0: 1 s */
};

struct archiver_wish {
    enum wal_duty duty;
    const struct policy *policy; /* NULL: none yet */
    int policy_file;             /* an open file that it was read from */
    bool ready;                  /* the database answers */
    const char *pgdata;          /* may be NULL */
};

struct archiver {
    struct archiver_options options;
    struct job *job;
    enum wal_duty duty;              /* of job, or of the last one; LEAVE: there was none */
    json_t *setup;                   /* the part of the policy that the job works by */
    json_t *said;                    /* what was said last; NULL: nothing */
    struct error problem;            /* why the last job ended; NONE: it did not, or was told to */
    bool dropped;                    /* the slot is known to be gone */
    int64_t started_ms, start_at_ms; /* monotonic */
    struct backoff backoff;
};

void archiver_init(struct archiver *ret_archiver, const struct archiver_options *options);
void archiver_done(struct archiver *archiver); /* kills what still runs */

/* Does what can be done now; true if there is news to tell. */
bool archiver_step(struct archiver *archiver, const struct archiver_wish *wish);
/* What stood in the way may be gone: the next child need not wait. */
void archiver_retry(struct archiver *archiver);
/* What is done at present: LEAVE: nothing. */
enum wal_duty archiver_duty(const struct archiver *archiver);
/* Tells what runs to end; it takes ten seconds at most. */
void archiver_stop(struct archiver *archiver, const char *reason);
/* Texts are lent until the next step. mode UNSAID: there is nothing to say. */
void archiver_report(const struct archiver *archiver, struct message_archiving *ret_archiving);

void archiver_poll_fds(const struct archiver *archiver, struct pollfd ret_fds[JOB_POLL_FDS]);
