// SPDX-License-Identifier: Apache-2.0
/* Progress of long work on stderr: a line that redraws itself on a terminal (bytes, rate, time
 * left), a log line now and then elsewhere, or JSON for a program. */
#pragma once

#include <stdint.h>

struct progress;

enum progress_mode {
    PROGRESS_TERMINAL, /* draws if stderr is a terminal, else logs */
    PROGRESS_LOG,      /* logs even on a terminal */
    PROGRESS_JSON, /* {"progress":{"phase":…,"bytes":…,"totalBytes":…,"files":…}}, a line a
                      second while something moves, and at each change of the phase */
};

/* verb: "Backing up". In all that follows progress may be NULL. */
struct progress *progress_new(const char *verb, enum progress_mode mode);
/* 0: not known yet. */
void progress_set_total(struct progress *progress, uint64_t total_bytes);
/* "starting", "planning", "comparing", "copying", "reading", "finishing"; static text. By the one
 * thread that knows. Rate and time left are those of the phase. */
void progress_set_phase(struct progress *progress, const char *phase);
void progress_add(struct progress *progress, uint64_t bytes); /* from any thread; cheap */
void progress_add_file(struct progress *progress);            /* one more is done; likewise */
enum { PROGRESS_NOTE_BYTES = 64 };
/* What a terminal shows behind the figures from now on; copied, and cut. From any thread. */
void progress_note(struct progress *progress, const char *note);
void progress_freep(struct progress **progress); /* clears the line */
