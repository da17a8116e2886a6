// SPDX-License-Identifier: Apache-2.0
/*
 * How a run stands, by what one sidecar said of it. What ended is believed also of a sidecar that
 * went silent; that it is running, or knows nothing, only on the present connection. Pure.
 */
#pragma once

#include <stdint.h>

#include "common/message.h"

struct agent_view;

enum standing_kind {
    STANDING_SILENT,    /* not connected, for silent_ms */
    STANDING_UNTOLD,    /* connected, and has not told about this run yet */
    STANDING_RUNNING,   /* progress */
    STANDING_ENDED,     /* done */
    STANDING_COMMITTED, /* it says that regions have that backup */
    STANDING_ABSENT,    /* it says that it does not run it and that no region has it */
};

/* Texts and pointers are lent from the view. */
struct standing {
    enum standing_kind kind;
    int64_t silent_ms;
    struct message_progress progress;
    const struct message_done *done;
    json_t *backup;      /* COMMITTED: its summary */
    const char *trouble; /* UNTOLD: why it cannot tell; may be NULL */
    int64_t asked_ms;    /* UNTOLD: how long ago it was asked; -1: never */
    int64_t joined_ms;   /* UNTOLD: how long ago it connected */
};

struct standing_clock {
    int64_t now_ms;     /* monotonic, as in the view */
    int64_t leading_ms; /* since when: silence before that is ours */
};

struct standing standing_read(const struct agent_view *view, const char *id,
                              const struct standing_clock *clock);
