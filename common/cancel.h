// SPDX-License-Identifier: Apache-2.0
/*
 * The one thing that stops a job: a flag and an eventfd that becomes readable with it. A signal
 * handler, an error in a worker or a person triggers it; every blocking call takes it or has a
 * time-out. It is never reset. One below another stops a part of what the other stops.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct cancel {
    atomic_bool requested;
    int fd;                      /* eventfd(2), for poll(2) */
    const struct cancel *parent; /* triggered with it; NULL: none */
};

MUST_CHECK int cancel_init(struct cancel *cancel, struct error *err);
/* One that counts as triggered as soon as parent is, which is lent and has none itself. */
MUST_CHECK int cancel_init_below(struct cancel *cancel, const struct cancel *parent,
                                 struct error *err);
void cancel_done(struct cancel *cancel);

void cancel_trigger(
    struct cancel *cancel); /* async-signal-safe, from any thread, any number of times */
bool cancel_requested(const struct cancel *cancel);
/* CANCELED "stopped on request" once triggered. */
MUST_CHECK int cancel_check(const struct cancel *cancel, struct error *err);

/* What is readable once it is triggered; gives how many. */
enum { CANCEL_FDS = 2 };
size_t cancel_fds(const struct cancel *cancel, int ret_fds[CANCEL_FDS]);

/* Waits until fd has one of events (poll(2)): 1; until timeout_ms (negative: no limit) passed: 0;
 * CANCELED: -1. */
MUST_CHECK int cancel_poll(const struct cancel *cancel, int fd, short events, int timeout_ms,
                           struct error *err);
/* Sleeps; CANCELED when triggered meanwhile. */
MUST_CHECK int cancel_sleep(const struct cancel *cancel, int timeout_ms, struct error *err);
