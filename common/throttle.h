// SPDX-License-Identifier: Apache-2.0
/*
 * A limit in bytes per second that any number of threads share: whoever is about to move bytes
 * waits here until they may, in the order of asking. It is a token bucket that may go into debt
 * (the generic cell rate algorithm, ITU-T I.371): all it keeps is the moment at which what was
 * granted so far is paid for. Bytes are paid for before they move, so that after any time t no more
 * than rate × t bytes have moved since the first was asked for, plus what was saved up meanwhile by
 * not asking, which is never more than a tenth of a second's.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;

struct throttle {
    uint64_t bytes_per_second; /* 0: no limit; set by throttle_init */
    pthread_mutex_t lock;      /* guards what follows */
    int64_t paid_ns; /* of the monotonic clock: when all that was granted so far is paid for */
};

/* What is moved at once is a multiple of it: a page of PostgreSQL's is not torn by us. */
enum { THROTTLE_UNIT_BYTES = 8192 };

void throttle_init(struct throttle *throttle, uint64_t bytes_per_second);
void throttle_done(struct throttle *throttle);

/* Pure but for the struct itself: grants size bytes (below 2 GiB), and says how many ms after
 * now_ms (clock_monotonic_ms) they may move. There must be a limit; the caller holds the lock or is
 * alone. */
int64_t throttle_take(struct throttle *throttle, size_t size, int64_t now_ms);
/* How many of size bytes to move at once: about a twentieth of a second's, at least a unit, so that
 * neither the disk nor the network sees bursts. */
size_t throttle_part(const struct throttle *throttle, size_t size);

/* Waits until the next part of *size bytes may move, and says its size there. throttle NULL or
 * without limit: all of them, now. CANCELED. */
MUST_CHECK int throttle_wait(struct throttle *throttle, size_t *size, const struct cancel *cancel,
                             struct error *err);
