// SPDX-License-Identifier: Apache-2.0
/*
 * What a job puts into its regions, as figures: which put still needs which region, how long a
 * region has held the job back, and which one is not waited for any longer. Pure: no I/O, no
 * threads, and times are given.
 *
 * A region holds the job back while somebody waits for a put to end, a quorum of other regions has
 * nothing left to put, and it has. It is overdue once, in such time,
 *  - nothing that it was given has ended for the patience: it hangs; or
 *  - it has made the job take twice as long as without it, and the patience more: it is too slow.
 * So no region that a quorum needs is ever overdue, nor one that is slower but keeps up, whatever
 * the speeds of the others are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FANOUT_REGIONS_MAX = 8,
    /* An attempt at a store that stalls is given up after 30 s: the next one has a chance. */
    FANOUT_PATIENCE_MS = 60 * 1000,
};

struct fanout_put {
    uint32_t pending, stored; /* bit masks of regions: those that still need it, and have it */
};

struct fanout_region {
    size_t pending;    /* puts */
    int64_t held_ms;   /* for so long it has held the job back, */
    int64_t silent_ms; /* and so much of that since a put of it ended last; */
    int64_t ended_ms;  /* when that was, or when all began */
};

struct fanout {
    struct fanout_region regions[FANOUT_REGIONS_MAX];
    uint32_t taking; /* the regions that puts go to; only ever fewer */
    size_t quorum;
    size_t waiters;
    int64_t patience_ms;
    int64_t begun_ms, now_ms; /* of a clock that does not jump */
};

struct fanout fanout_new(uint32_t taking, size_t quorum, int64_t now_ms);
/* The regions that still take puts, of those that did; what others have pending ends all the same.
 */
void fanout_keep(struct fanout *fanout, uint32_t taking, int64_t now_ms);

/* A put on its way into all regions that take any; none: it has no pending ones. */
void fanout_begin(struct fanout *fanout, struct fanout_put *put, int64_t now_ms);
/* It has ended in a region; true: in all. */
bool fanout_end(struct fanout *fanout, struct fanout_put *put, size_t region, bool stored,
                int64_t now_ms);
/* Whether so many regions have it that it counts as stored. */
bool fanout_enough(const struct fanout *fanout, const struct fanout_put *put);

/* Somebody waits for puts to end, and goes on. */
void fanout_wait(struct fanout *fanout, int64_t now_ms);
void fanout_go_on(struct fanout *fanout, int64_t now_ms);

enum fanout_verdict { FANOUT_IN_TIME, FANOUT_HANGS, FANOUT_TOO_SLOW };
enum fanout_verdict fanout_judge(struct fanout *fanout, size_t region, int64_t now_ms);
