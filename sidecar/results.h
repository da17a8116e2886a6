// SPDX-License-Identifier: Apache-2.0
/*
 * How the last jobs ended, and which one runs: what a sidecar tells whoever asks again. Kept in
 * memory and in a ledger, a file without a name that the supervisor holds, so that a server process
 * that crashed finds it again. When the container goes, it is gone: then the buckets tell.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "common/message.h"

enum { RESULTS_ID_BYTES = 64 };

struct results_job {
    char id[RESULTS_ID_BYTES]; /* "": none */
    enum message_kind kind;
    char started[32]; /* RFC 3339 */
};

struct results {
    int ledger;                                    /* lent; negative: none */
    struct message finished[MESSAGE_FINISHED_MAX]; /* MESSAGE_DONE, oldest first */
    size_t count;
    struct results_job running;
};

/* Reads the ledger. After that, running is a job that a process before this one left behind. */
void results_init(struct results *ret_results, int ledger);
void results_done(struct results *results);

/* NULL: not among the last. Lent until the next result. */
const struct message_done *results_find(const struct results *results, const char *id);
/* From now on this one runs. */
void results_start(struct results *results, const struct results_job *job);
/* It ended: summary (taken; NULL: it failed with err) is what docs/protocol.md says of its kind.
 * Lent until the next result. */
const struct message_done *results_end(struct results *results, json_t *summary,
                                       const struct error *err);
