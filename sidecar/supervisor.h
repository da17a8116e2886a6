// SPDX-License-Identifier: Apache-2.0
/*
 * The first process of the sidecar's container. It keeps one child running, whatever its end, takes
 * in the zombies of others, and never ends by itself: a native sidecar that exits keeps PostgreSQL
 * from starting, or makes its pod unready. So it does next to nothing: it reads no file, allocates
 * only to log, and knows neither options nor configuration.
 */
#pragma once

#include <stdint.h>

struct supervisor_options {
    const char *program;                 /* NULL: /proc/self/exe */
    char *const *arguments;              /* argv of the child, NULL-terminated; lent */
    uint32_t backoff_ms, backoff_max_ms; /* between a child's end and the next; 0: 1 s and 30 s */
    uint32_t settled_ms; /* a child that ran so long is started anew without delay; 0: 60 s */
    uint32_t grace_ms;   /* how long the child may take to end on request; 0: 15 s */
};

/* Returns after SIGTERM, SIGINT or SIGHUP, which are handed on, once the child has ended or was
 * killed. All signals must be unblocked and no other thread be running. */
void supervisor_run(const struct supervisor_options *options);
