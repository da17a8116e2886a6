// SPDX-License-Identifier: Apache-2.0
/*
 * PostgreSQL's restore_command: asks at a Unix socket for a file of WAL (wal_protocol) until there
 * is an answer, and writes it, all of it or nothing. Whoever calls it exits with the status that
 * wal_request_run gives, because PostgreSQL takes 1 to 125 for "there is no such file" and may go
 * on as a primary. It needs next to nothing, so that a tiny program can do it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;

struct wal_request {
    const char *socket;
    const char *name;    /* PostgreSQL's %f */
    const char *path;    /* PostgreSQL's %p; another file takes the place of one that is there */
    bool stop_at_gaps;   /* see struct wal_question */
    int64_t patience_ms; /* how long to ask; negative: for ever */
    /* Nobody listens at the socket: makes somebody, with arg; may be NULL. */
    int (*start)(void *arg, struct error *err);
    /* Why it asks again, whenever that is something else than before; may be NULL. */
    void (*tell)(void *arg, const struct error *why);
    void *arg;
    const struct cancel *cancel;
};

enum {
    WAL_REQUEST_DELIVERED = 0,
    WAL_REQUEST_NONE = 1,
    WAL_REQUEST_FAILED = 126,  /* PostgreSQL ends */
    WAL_REQUEST_STOPPED = 143, /* as by SIGTERM: PostgreSQL takes it for its own */
};

/* The exit status; above WAL_REQUEST_NONE err says why. */
MUST_CHECK int wal_request_run(const struct wal_request *request, struct error *err);
