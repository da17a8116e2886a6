// SPDX-License-Identifier: Apache-2.0
/*
 * What a Backup and a RestoreJob have in common, read from an object of the API server: who it is,
 * how it stands, and its attempts. A run is open until its condition Succeeded is True or False;
 * then it never changes again. At most the last attempt is open. Pure. Reference:
 * docs/resources.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

enum {
    RUN_ATTEMPTS_MAX = 3,        /* that we make */
    RUN_ATTEMPTS_READ_MAX = 16,  /* that a status may have */
    RUN_MESSAGE_BYTES = 512,     /* of a condition, of an attempt's error */
    RUN_POLICY_GRACE_MS = 60000, /* a policy may be created after what refers to it */
    RUN_SILENCE_MS = 60000,      /* from then on a sidecar's silence is told */
    RUN_LOST_MS = 15 * 60000,    /* a sidecar that is silent for so long is given up */
    RUN_CANCEL_GRACE_MS = 60000, /* to obey a cancel */
};

enum run_outcome { RUN_OPEN, RUN_SUCCEEDED, RUN_FAILED };

/* Texts are lent from the object; NULL if missing. */
struct run_attempt {
    const char *id; /* backup id, or the name of the RestoreJob's pod */
    const char *pod, *pod_uid, *region;
    int64_t started_ms, finished_ms; /* 0: it is open */
    const char *reason, *error;
};

struct run {
    json_t *object; /* lent */
    const char *namespace, *name, *uid;
    int64_t generation, created_ms;
    bool deleted; /* is being deleted */
    enum run_outcome outcome;
    bool seen;        /* has conditions */
    int64_t ended_ms; /* unless open */
    struct run_attempt attempts[RUN_ATTEMPTS_READ_MAX];
    size_t attempt_count;
};

/* id_member: what the id of an attempt is called ("backupID", "id"). PERMANENT: no object of ours.
 */
MUST_CHECK int run_read(struct run *ret_run, json_t *object, const char *id_member,
                        struct error *err);
/* Of the object of a run, whether it could be read or not. */
bool run_has_ended(const json_t *object);
/* The attempt that is open, or NULL. */
const struct run_attempt *run_current(const struct run *run);
/* The last attempt, or NULL. */
const struct run_attempt *run_last(const struct run *run);
/* When to try again after the last attempt ended. */
int64_t run_retry_ms(const struct run *run);
