// SPDX-License-Identifier: Apache-2.0
/*
 * The ways of a job's puts into its regions: each region has queues and threads of its own, one for
 * packs and one for what must not wait behind them, and goes at its own speed. What is put is lent,
 * once for all regions, until the last one is done with it. A region that fails is lost, and so is
 * one that holds the job back alone for too long (see fanout.h): what it is doing is ended at once,
 * so that nothing is lent to it any longer, and the others go on. A put has succeeded when a quorum
 * of regions has it; then every region that is not lost has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/fanout.h"
#include "sidecar/regions.h"

struct cancel;
struct fifo;
struct lanes;

struct lanes_options {
    struct regions *regions;
    struct cancel *cancel; /* of the job; triggered when a put fails so that the job must */
    size_t threads;        /* for each region's packs; what comes first has another one */
    size_t packs;          /* on their way at once, at most */
    int64_t patience_ms;   /* 0: FANOUT_PATIENCE_MS */
};

/* All is lent. */
MUST_CHECK int lanes_new(struct lanes **ret_lanes, const struct lanes_options *options,
                         struct error *err);
/* Puts what is still queued, unless the job was cancelled. After all who put are gone. */
void lanes_freep(struct lanes **lanes);

struct lane_put {
    struct region_object object; /* lent until the put is done */
    struct fifo *done;           /* the put is pushed there when no region needs it any longer */
    struct error error;          /* then: kind NONE, or why the job must fail */
    struct fanout_put state;     /* of lanes */
};

/* A pack; put is the caller's, who never waits here while no more than promised are on their way.
 */
void lanes_submit(struct lanes *lanes, struct lane_put *put);

/* Of a put that was submitted and is not done, or just was: whether a quorum of regions has it. */
bool lanes_has_quorum(struct lanes *lanes, const struct lane_put *put);
/* The regions that still need it, as bits of their indices. */
uint32_t lanes_pending(struct lanes *lanes, const struct lane_put *put);
/* Drops the regions that still need such a put and from which nothing good has come for so long,
 * as far as a quorum is left without them. */
void lanes_give_up(struct lanes *lanes, const struct lane_put *put, int64_t silence_ms);

/* Whether the job is held back by a put. */
enum lanes_wait { LANES_HELD_BACK, LANES_BESIDE };
/* Past the packs, and waits until it is done. CONFLICT, the error of a region without which no
 * quorum is left, or CANCELED. */
MUST_CHECK int lanes_put(struct lanes *lanes, const struct region_object *object,
                         enum lanes_wait wait, struct error *err);
/* fifo_pop_within for whoever is held back by puts: what is waited for comes when they end. */
MUST_CHECK int lanes_await(struct lanes *lanes, struct fifo *fifo, int timeout_ms, void **ret_item,
                           struct error *err);
/* Where err is what a put's failure made fail elsewhere (CANCELED), says of what that was. Gives
 * -1. */
int lanes_explain(struct lanes *lanes, struct error *err);
