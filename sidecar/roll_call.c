// SPDX-License-Identifier: Apache-2.0
#include "sidecar/roll_call.h"

#include <inttypes.h>
#include <limits.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"
#include "sidecar/regions.h"

enum { MS_IN_S = 1000 };

/* One region's part. */
struct asking {
    const struct roll_call *call;
    size_t region;
    struct roll_call_answer *answer; /* the thread's until it is told */
    struct fifo *told;
};

/* A roll call under way. */
struct round {
    const struct roll_call *call;
    struct asking askings[REGIONS_MAX];
    uint32_t waiting;    /* bit mask of the regions whose answer has not come … */
    uint32_t ended;      /* … and of those that are doubted for that … */
    struct error lag;    /* … and why */
    struct cancel never; /* each thread tells in any case: its region's store ends with the job */
    struct fifo *told;
    struct crew *crew;
    int64_t begun_ms;
};

int64_t roll_call_deadline_ms(int64_t begun_ms, int64_t enough_ms, int64_t patience_ms)
{
    return enough_ms + (enough_ms - begun_ms) + patience_ms;
}

/* Which regions are asked */

/* All that are meant and not lost; where some of these answered lately, only they, unless the
 * call insists. */
static uint32_t choose(const struct roll_call *call)
{
    uint32_t usable = 0, trusted = 0;
    for (size_t i = 0; i < regions_count(call->regions); i++) {
        const uint32_t bit = 1u << i;
        if (!(call->among & bit) || !regions_usable(call->regions, i))
            continue;
        usable |= bit;
        trusted |= regions_doubted(call->regions, i, NULL) ? 0 : bit;
    }
    return call->insist || trusted == 0 ? usable : trusted;
}

static struct roll_call_answer answer_unasked(const struct roll_call *call, size_t region)
{
    struct roll_call_answer answer = {.said = -1};
    if (regions_usable(call->regions, region))
        regions_doubted(call->regions, region, &answer.error);
    else
        answer.error = regions_at(call->regions, region)->error; /* written once, before that */
    return answer;
}

/* Asking */

static void ask(const struct asking *asking)
{
    const struct roll_call *call = asking->call;
    asking->answer->said = call->ask(call->arg, asking->region, &asking->answer->error);
}

static int ask_main(void *arg, struct error *err)
{
    struct asking *asking = arg;
    ask(asking);
    return fifo_push(asking->told, asking, err);
}

static int time_left(int64_t deadline_ms)
{
    const int64_t left = deadline_ms - clock_monotonic_ms();
    return deadline_ms == INT64_MAX ? -1 : left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void end_waiting(struct round *round)
{
    struct regions *regions = round->call->regions;
    error_set(&round->lag, ERROR_TRANSIENT,
              "it lags: it has not answered within %" PRId64 " s, and others have long",
              (clock_monotonic_ms() - round->begun_ms) / MS_IN_S);
    for (size_t i = 0; i < regions_count(regions); i++) {
        if (!(round->waiting & 1u << i))
            continue;
        if (round->call->laggards == LAGGARDS_LOST)
            regions_give_up(regions, i, &round->lag);
        else
            regions_interrupt(regions, i);
    }
    if (round->call->laggards == LAGGARDS_DOUBTED)
        round->ended = round->waiting;
}

/* Those that were interrupted can be asked again later. */
static void resume(const struct round *round, struct roll_call_answer answers[])
{
    for (size_t i = 0; i < regions_count(round->call->regions); i++) {
        if (!(round->ended & 1u << i))
            continue;
        regions_resume(round->call->regions, i);
        if (answers[i].said < 0 && answers[i].error.kind == ERROR_CANCELED)
            answers[i].error = round->lag;
    }
}

static int await(struct round *round, struct error *err)
{
    const struct roll_call *call = round->call;
    const int64_t patience_ms = regions_patience_ms(call->regions);
    int64_t deadline_ms = INT64_MAX;
    for (size_t counted = 0; round->waiting;) {
        void *told;
        const int got = fifo_pop_within(round->told, time_left(deadline_ms), &told, err);
        if (got < 0)
            return -1;
        if (got == 0) {
            end_waiting(round);
            deadline_ms = INT64_MAX;
            continue;
        }
        const struct asking *asking = told;
        round->waiting &= ~(1u << asking->region);
        if (asking->answer->said > 0 && ++counted == call->enough &&
            call->laggards != LAGGARDS_WAITED_FOR)
            deadline_ms = roll_call_deadline_ms(round->begun_ms, clock_monotonic_ms(), patience_ms);
    }
    return crew_join(round->crew, err);
}

/* A region that there is no thread for has not answered. */
static void start(struct round *round, uint32_t asked, struct roll_call_answer answers[])
{
    for (size_t i = 0; i < regions_count(round->call->regions); i++) {
        if (!(asked & 1u << i))
            continue;
        round->askings[i] = (struct asking){round->call, i, &answers[i], round->told};
        if (crew_start(round->crew, "roll-call", ask_main, &round->askings[i], &answers[i].error) ==
            0)
            round->waiting |= 1u << i;
        else
            answers[i].said = -1;
    }
}

static void round_done(struct round *round)
{
    crew_freep(&round->crew);
    fifo_freep(&round->told);
    cancel_done(&round->never);
}

static int ask_all(const struct roll_call *call, uint32_t asked, struct roll_call_answer answers[],
                   struct error *err)
{
    CLEANUP(round_done)
    struct round round = {.call = call, .never.fd = -1, .begun_ms = clock_monotonic_ms()};
    if (cancel_init(&round.never, err) < 0)
        return -1;
    round.told = fifo_new(REGIONS_MAX, &round.never);
    round.crew = crew_new(&round.never);
    start(&round, asked, answers);
    if (await(&round, err) < 0)
        return -1;
    resume(&round, answers);
    return 0;
}

/* -1: the job was cancelled. */
static int note(const struct roll_call *call, size_t region, struct roll_call_answer *answer,
                struct error *err)
{
    struct regions *regions = call->regions;
    if (answer->said < 0 && regions_cancelled(regions, region, &answer->error)) {
        *err = answer->error;
        return -1;
    }
    if (regions_usable(regions, region))
        regions_note_answer(regions, region, answer->said < 0 ? &answer->error : NULL);
    return 0;
}

struct roll_call roll_call_to_write(struct regions *regions, roll_call_ask *ask_one, void *arg)
{
    return (struct roll_call){
        .regions = regions,
        .among = regions_mask(regions, false),
        .insist = true,
        .enough = regions_quorum(regions),
        .laggards = LAGGARDS_LOST,
        .ask = ask_one,
        .arg = arg,
    };
}

int roll_call_run(const struct roll_call *call, struct roll_call_answer answers[],
                  struct error *err)
{
    const uint32_t asked = choose(call);
    const size_t count = regions_count(call->regions);
    for (size_t i = 0; i < count; i++)
        answers[i] = asked & 1u << i         ? (struct roll_call_answer){.asked = true}
                     : call->among & 1u << i ? answer_unasked(call, i)
                                             : (struct roll_call_answer){0};
    if ((asked & (asked - 1)) != 0) {
        if (ask_all(call, asked, answers, err) < 0)
            return -1;
    } else if (asked != 0) {
        const size_t only = (size_t)__builtin_ctz(asked);
        ask(&(struct asking){.call = call, .region = only, .answer = &answers[only]});
    }
    for (size_t i = 0; i < count; i++)
        if (answers[i].asked && note(call, i, &answers[i], err) < 0)
            return -1;
    return 0;
}
