// SPDX-License-Identifier: Apache-2.0
/*
 * Threads that work on one job. The first error wins: it is kept and the job's cancel is triggered,
 * so that the others stop too. crew_fail may be called by any thread that knows of the job, all
 * else only by the one that made the crew. Members have all signals blocked.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct cancel;
struct crew;

typedef int (*crew_main)(void *arg, struct error *err);

struct crew *crew_new(struct cancel *cancel); /* lends cancel for its life */
void crew_freep(struct crew **crew);          /* cancels and joins what still runs */

/* Starts a thread that runs main(arg); name (≤ 15 bytes) shows in ps and gdb. */
MUST_CHECK int crew_start(struct crew *crew, const char *name, crew_main main, void *arg,
                          struct error *err);
void crew_fail(struct crew *crew, const struct error *err);
/* Waits for all threads; -1 and the first error if any failed. */
MUST_CHECK int crew_join(struct crew *crew, struct error *err);
