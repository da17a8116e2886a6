// SPDX-License-Identifier: Apache-2.0
/*
 * The one thing that stops a job: a flag and an eventfd that becomes readable with it. A signal
 * handler, an error in a worker or a person triggers it; every blocking call takes it or has a
 * time-out. It is never reset.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "common/error.h"

struct cancel {
    atomic_bool requested;
    int fd; /* eventfd(2), for poll(2) */
};

MUST_CHECK int cancel_init(struct cancel *cancel, struct error *err);
void cancel_done(struct cancel *cancel);

void cancel_trigger(
    struct cancel *cancel); /* async-signal-safe, from any thread, any number of times */
bool cancel_requested(const struct cancel *cancel);
/* CANCELED "stopped on request" once triggered. */
MUST_CHECK int cancel_check(const struct cancel *cancel, struct error *err);

/* Waits until fd has one of events (poll(2)): 1; until timeout_ms (negative: no limit) passed: 0;
 * CANCELED: -1. */
MUST_CHECK int cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                           struct error *err);
/* Sleeps; CANCELED when triggered meanwhile. */
MUST_CHECK int cancel_sleep(const struct cancel *cancel, int timeout_ms, struct error *err);
