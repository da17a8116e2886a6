// SPDX-License-Identifier: Apache-2.0
/* Progress of long work: a line that redraws itself on a terminal (bytes, rate, time left), a log
 * line now and then elsewhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress;

/* verb: "Backing up"; total_bytes 0: not known yet. quiet: log even on a terminal. Output goes to
 * stderr. */
struct progress *progress_new(const char *verb, bool quiet);
void progress_set_total(struct progress *progress, uint64_t total_bytes);
void progress_add(struct progress *progress, uint64_t bytes); /* from any thread; cheap */
void progress_freep(struct progress **progress);              /* clears the line */
