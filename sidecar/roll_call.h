// SPDX-License-Identifier: Apache-2.0
/*
 * A question to several regions at once, each of which is asked by a thread of its own: all
 * together take as long as the slowest, and one that hangs need not be waited for to the end of its
 * attempts. Whoever has not answered when enough others have may take as long again, and the
 * patience of the regions more; then what it is doing is ended.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct regions;

enum roll_call_laggards {
    LAGGARDS_WAITED_FOR, /* to the end of their attempts after all */
    LAGGARDS_LOST,       /* regions_give_up */
    LAGGARDS_DOUBTED,    /* as if all attempts had failed; only while nobody else uses regions */
};

/* 1: an answer that counts; 0: one that does not; -1. For several regions at once: what it writes,
 * but err, is the region's own. */
typedef int roll_call_ask(void *arg, size_t region, struct error *err);

struct roll_call {
    struct regions *regions; /* this and arg are lent */
    uint32_t among;          /* bit mask of the regions that are meant */
    bool insist;             /* also on those that did not answer lately, where others did */
    size_t enough;           /* so many answers that count will do */
    enum roll_call_laggards laggards;
    roll_call_ask *ask;
    void *arg;
};
/* To the regions that are written to: who lags when a quorum has answered is lost. */
struct roll_call roll_call_to_write(struct regions *regions, roll_call_ask *ask_one, void *arg);

struct roll_call_answer { /* {0} of a region that is not meant */
    bool asked;           /* false: it is lost or was spared, for the reason in error */
    int said;             /* -1 also where it was not asked */
    struct error error;   /* of -1 */
};

/* One answer for each region, by index, when all have come; notes whether the regions answered.
 * CANCELED: the job was. */
MUST_CHECK int roll_call_run(const struct roll_call *call, struct roll_call_answer answers[],
                             struct error *err);

/* Until when answers are waited for that are not in when enough are. Pure; times of a clock that
 * does not jump. */
int64_t roll_call_deadline_ms(int64_t begun_ms, int64_t enough_ms, int64_t patience_ms);
