// SPDX-License-Identifier: Apache-2.0
#include "sidecar/lanes.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"

enum {
    FIRST_MAX = 8, /* others than packs that are on their way at once */
    LOOKS = 60,    /* at overdue regions, while the patience lasts */
    MS_IN_S = 1000,
};

_Static_assert((int)REGIONS_MAX == (int)FANOUT_REGIONS_MAX, "regions have bits of the same masks");

/* A queue of a region. */
struct lane {
    struct lanes *lanes;
    size_t region;
    struct fifo *puts; /* of struct lane_put */
};

struct lanes {
    struct regions *regions;
    struct cancel *cancel;
    struct cancel never; /* puts end in any case: whoever waits for one may not give up before */
    struct crew *crew;
    struct lane packs[REGIONS_MAX], first[REGIONS_MAX];
    pthread_mutex_t lock; /* guards what follows, and of each put error and state */
    struct fanout fanout;
    struct error failure; /* the first, other than CANCELED */
};

/* Ends */

static void fail(struct lanes *lanes, struct lane_put *put, const struct error *err)
{
    bool is_cause = err->kind != ERROR_CANCELED;
    pthread_mutex_lock(&lanes->lock);
    if (put->error.kind == ERROR_NONE)
        put->error = *err;
    if (is_cause && lanes->failure.kind == ERROR_NONE)
        lanes->failure = *err;
    pthread_mutex_unlock(&lanes->lock);
    if (is_cause)
        cancel_trigger(lanes->cancel); /* after the error is kept: what this makes fail is none */
}

/* No region needs the put any longer, which is its owner's again. */
static void finish(struct lanes *lanes, struct lane_put *put)
{
    struct error err;
    pthread_mutex_lock(&lanes->lock);
    bool enough = put->error.kind != ERROR_NONE || fanout_enough(&lanes->fanout, &put->state);
    pthread_mutex_unlock(&lanes->lock);
    if (!enough && regions_check_quorum(lanes->regions, &err) < 0)
        fail(lanes, put, &err);
    if (fifo_push(put->done, put, &err) < 0)
        return; /* of a cancelled job, whose end its owner waits for */
}

static void end(struct lanes *lanes, struct lane_put *put, size_t region, bool stored)
{
    pthread_mutex_lock(&lanes->lock);
    bool done = fanout_end(&lanes->fanout, &put->state, region, stored, clock_monotonic_ms());
    pthread_mutex_unlock(&lanes->lock);
    if (done)
        finish(lanes, put);
}

/* Lanes */

static int lane_main(void *arg, struct error *err)
{
    const struct lane *lane = arg;
    struct lanes *lanes = lane->lanes;
    void *put;
    while (fifo_pop(lane->puts, &put, err) == 0) {
        struct error failure = {0};
        int stored = regions_put_one(lanes->regions, lane->region,
                                     &((struct lane_put *)put)->object, &failure);
        if (stored < 0)
            fail(lanes, put, &failure);
        end(lanes, put, lane->region, stored > 0);
    }
    return err->kind == ERROR_NOT_FOUND ? 0 : -1;
}

static void submit(struct lanes *lanes, struct lane *queues, struct lane_put *put)
{
    uint32_t taking = regions_mask(lanes->regions, false);
    int64_t now_ms = clock_monotonic_ms();
    put->error = (struct error){0};
    pthread_mutex_lock(&lanes->lock);
    fanout_keep(&lanes->fanout, taking, now_ms);
    fanout_begin(&lanes->fanout, &put->state, now_ms);
    uint32_t pending = put->state.pending;
    pthread_mutex_unlock(&lanes->lock);
    if (pending == 0)
        finish(lanes, put);
    for (size_t i = 0; i < REGIONS_MAX; i++) { /* with the last of them it is no longer ours */
        struct error err;
        if (!(pending & 1u << i) || fifo_push(queues[i].puts, put, &err) == 0)
            continue;
        fail(lanes, put, &err);
        end(lanes, put, i, false);
    }
}

/* Waiting */

static void explain_lag(const struct fanout_region *region, enum fanout_verdict verdict,
                        int64_t patience_ms, struct error *ret_why)
{
    char since[CLOCK_TEXT_BYTES];
    clock_format(clock_now_ms() - (clock_monotonic_ms() - region->ended_ms), since);
    if (verdict == FANOUT_HANGS)
        error_set(ret_why, ERROR_TRANSIENT,
                  "it lags: since %s it has stored nothing, and for %" PRId64
                  " s of that the job waited for it alone",
                  since, patience_ms / MS_IN_S);
    else
        error_set(ret_why, ERROR_TRANSIENT,
                  "it lags: it is so slow that the job would take more than twice as long; for "
                  "%" PRId64 " s of it only this region was waited for",
                  region->held_ms / MS_IN_S);
}

/* Gives up a region that is overdue. */
static void judge(struct lanes *lanes, size_t index, uint32_t taking)
{
    struct error why;
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&lanes->lock);
    fanout_keep(&lanes->fanout, taking, now_ms);
    enum fanout_verdict verdict = fanout_judge(&lanes->fanout, index, now_ms);
    const struct fanout_region region = lanes->fanout.regions[index];
    int64_t patience_ms = lanes->fanout.patience_ms;
    pthread_mutex_unlock(&lanes->lock);
    if (verdict == FANOUT_IN_TIME)
        return;
    explain_lag(&region, verdict, patience_ms, &why);
    regions_drop(lanes->regions, index, &why);
}

static void judge_all(struct lanes *lanes)
{
    for (size_t i = 0; i < regions_count(lanes->regions); i++)
        judge(lanes, i, regions_mask(lanes->regions, false));
}

static void wait_begins(struct lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    fanout_wait(&lanes->fanout, clock_monotonic_ms());
    pthread_mutex_unlock(&lanes->lock);
}

static void wait_ends(struct lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    fanout_go_on(&lanes->fanout, clock_monotonic_ms());
    pthread_mutex_unlock(&lanes->lock);
}

int lanes_await(struct lanes *lanes, struct fifo *fifo, int timeout_ms, void **ret_item,
                struct error *err)
{
    const int64_t begun_ms = clock_monotonic_ms();
    const int look_ms = (int)(lanes->fanout.patience_ms / LOOKS) + 1;
    int left_ms = timeout_ms, got;
    wait_begins(lanes);
    for (;;) {
        got = fifo_pop_within(fifo, timeout_ms >= 0 && left_ms < look_ms ? left_ms : look_ms,
                              ret_item, err);
        if (got != 0)
            break;
        judge_all(lanes);
        if (timeout_ms < 0)
            continue;
        int64_t passed_ms = clock_monotonic_ms() - begun_ms;
        if (passed_ms >= timeout_ms)
            break;
        left_ms = timeout_ms - (int)passed_ms;
    }
    wait_ends(lanes);
    return got;
}

/* Putting */

int lanes_explain(struct lanes *lanes, struct error *err)
{
    if (!lanes || err->kind != ERROR_CANCELED)
        return -1;
    pthread_mutex_lock(&lanes->lock);
    if (lanes->failure.kind != ERROR_NONE)
        *err = lanes->failure;
    pthread_mutex_unlock(&lanes->lock);
    return -1;
}

bool lanes_has_quorum(struct lanes *lanes, const struct lane_put *put)
{
    pthread_mutex_lock(&lanes->lock);
    const bool enough = fanout_enough(&lanes->fanout, &put->state);
    pthread_mutex_unlock(&lanes->lock);
    return enough;
}

uint32_t lanes_pending(struct lanes *lanes, const struct lane_put *put)
{
    pthread_mutex_lock(&lanes->lock);
    const uint32_t pending = put->state.pending;
    pthread_mutex_unlock(&lanes->lock);
    return pending;
}

void lanes_give_up(struct lanes *lanes, const struct lane_put *put, int64_t silence_ms)
{
    const uint32_t pending = lanes_pending(lanes, put);
    for (size_t i = 0; i < regions_count(lanes->regions); i++) {
        struct error why;
        if (!(pending & UINT32_C(1) << i))
            continue;
        const int64_t silent_ms = store_silent_ms(regions_at(lanes->regions, i)->store);
        if (silent_ms < silence_ms)
            continue;
        error_set(&why, ERROR_TRANSIENT,
                  "others have '%s' for a while, and nothing good has come from it for %" PRId64
                  " s",
                  put->object.name, silent_ms / MS_IN_S);
        regions_drop(lanes->regions, i, &why);
    }
}

int lanes_put(struct lanes *lanes, const struct region_object *object, enum lanes_wait wait,
              struct error *err)
{
    CLEANUP(fifo_freep) struct fifo *done = fifo_new(1, &lanes->never);
    struct lane_put put = {.object = *object, .done = done};
    void *ended;
    submit(lanes, lanes->first, &put);
    int got = wait == LANES_HELD_BACK ? lanes_await(lanes, done, -1, &ended, err)
                                      : fifo_pop_within(done, -1, &ended, err);
    if (got < 0)
        abort(); /* the put, which lies on this stack, would be used for ever */
    if (put.error.kind == ERROR_NONE)
        return 0;
    *err = put.error;
    return -1;
}

void lanes_submit(struct lanes *lanes, struct lane_put *put)
{
    submit(lanes, lanes->packs, put);
}

void lanes_freep(struct lanes **lanes)
{
    struct lanes *l = TAKE(*lanes);
    struct error ignored;
    if (!l)
        return;
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        if (l->packs[i].puts)
            fifo_close(l->packs[i].puts);
        if (l->first[i].puts)
            fifo_close(l->first[i].puts);
    }
    if (crew_join(l->crew, &ignored) < 0)
        abort(); /* see lane_main: nothing can fail there but the machine */
    crew_freep(&l->crew);
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        fifo_freep(&l->packs[i].puts);
        fifo_freep(&l->first[i].puts);
    }
    cancel_done(&l->never);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int start(struct lanes *lanes, size_t region, const struct lanes_options *options,
                 struct error *err)
{
    struct lane *packs = &lanes->packs[region], *first = &lanes->first[region];
    *packs = (struct lane){lanes, region, fifo_new(options->packs, &lanes->never)};
    *first = (struct lane){lanes, region, fifo_new(FIRST_MAX, &lanes->never)};
    for (size_t i = 0; i < options->threads; i++)
        if (crew_start(lanes->crew, "upload", lane_main, packs, err) < 0)
            return -1;
    return crew_start(lanes->crew, "upload-first", lane_main, first, err);
}

int lanes_new(struct lanes **ret_lanes, const struct lanes_options *options, struct error *err)
{
    CLEANUP(lanes_freep) struct lanes *lanes = own_alloc(sizeof(*lanes));
    const uint32_t taking = regions_mask(options->regions, false);
    lanes->regions = options->regions;
    lanes->cancel = options->cancel;
    pthread_mutex_init(&lanes->lock, NULL);
    lanes->crew = crew_new(&lanes->never);
    lanes->never.fd = -1;
    lanes->fanout = fanout_new(taking, regions_quorum(options->regions), clock_monotonic_ms());
    if (options->patience_ms > 0)
        lanes->fanout.patience_ms = options->patience_ms;
    if (cancel_init(&lanes->never, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(options->regions); i++)
        if (taking & 1u << i && start(lanes, i, options, err) < 0)
            return -1;
    *ret_lanes = TAKE(lanes);
    return 0;
}
