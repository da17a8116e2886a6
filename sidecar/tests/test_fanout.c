// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/fanout.h"

enum { EU = 0, US = 1, ASIA = 2, S = 1000, MIN = 60 * S, H = 60 * MIN, STEPS_MAX = 16 };
#define ALL UINT32_C(7)

/* What happens at a moment: puts are begun or end in a region, somebody waits. */
enum event { END, BEGIN, STORED, FAILED, WAIT, GO_ON, LOSE };
struct step {
    int64_t at_ms;
    enum event event;
    size_t region; /* of STORED, FAILED, LOSE */
    size_t put;    /* of BEGIN, STORED, FAILED */
};
#define AT(ms, what, in, of)                                                                       \
    {                                                                                              \
        .at_ms = (ms), .event = (what), .region = (in), .put = (of)                                \
    }
struct scenario {
    const char *text;
    size_t quorum;
    struct step steps[STEPS_MAX];
    int64_t at_ms; /* when they are judged … */
    enum fanout_verdict verdicts[3];
};

static void play(const struct scenario *scenario, struct fanout *fanout)
{
    struct fanout_put puts[4] = {0};
    *fanout = fanout_new(ALL, scenario->quorum, 0);
    for (const struct step *step = scenario->steps; step->event != END; step++) {
        struct fanout_put *put = &puts[step->put];
        switch (step->event) {
        case BEGIN:
            fanout_begin(fanout, put, step->at_ms);
            break;
        case STORED:
        case FAILED:
            fanout_end(fanout, put, step->region, step->event == STORED, step->at_ms);
            break;
        case WAIT:
            fanout_wait(fanout, step->at_ms);
            break;
        case GO_ON:
            fanout_go_on(fanout, step->at_ms);
            break;
        case LOSE:
            fanout_keep(fanout, ALL & ~(1u << step->region), step->at_ms);
            break;
        case END:
            break;
        }
    }
}

static void a_region_is_overdue_once_it_alone_has_held_the_job_back(void **state)
{
    static const struct scenario scenarios[] = {
        {"nobody waits: a region may take its time",
         1,
         {AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0), AT(S, STORED, ASIA, 0)},
         5 * H,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"it hangs while the job waits for it alone",
         2,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0), AT(S, STORED, ASIA, 0)},
         61 * S,
         {FANOUT_IN_TIME, FANOUT_HANGS, FANOUT_IN_TIME}},
        {"not yet",
         2,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0), AT(S, STORED, ASIA, 0)},
         61 * S - 1,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"what a quorum needs is waited for, however long",
         3,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0), AT(S, STORED, ASIA, 0)},
         5 * H,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"while another one that the quorum needs has work, nobody holds back alone",
         2,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0)},
         5 * H,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"two that hang are overdue both",
         1,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0)},
         2 * MIN,
         {FANOUT_IN_TIME, FANOUT_HANGS, FANOUT_HANGS}},
        {"a put that ends starts its minute anew",
         2,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(0, BEGIN, 0, 1), AT(0, STORED, EU, 0),
          AT(0, STORED, EU, 1), AT(0, STORED, ASIA, 0), AT(0, STORED, ASIA, 1),
          AT(50 * S, STORED, US, 0)},
         59 * S,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"time in which nobody waited does not count",
         2,
         {AT(0, BEGIN, 0, 0), AT(0, STORED, EU, 0), AT(0, STORED, ASIA, 0), AT(H, WAIT, 0, 0),
          AT(H + 30 * S, GO_ON, 0, 0), AT(2 * H, WAIT, 0, 0)},
         2 * H + 29 * S,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"but it adds up",
         2,
         {AT(0, BEGIN, 0, 0), AT(0, STORED, EU, 0), AT(0, STORED, ASIA, 0), AT(H, WAIT, 0, 0),
          AT(H + 30 * S, GO_ON, 0, 0), AT(2 * H, WAIT, 0, 0)},
         2 * H + 30 * S,
         {FANOUT_IN_TIME, FANOUT_HANGS, FANOUT_IN_TIME}},
        {"several who wait do not make it longer",
         2,
         {AT(0, WAIT, 0, 0), AT(0, WAIT, 0, 0), AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0),
          AT(0, STORED, EU, 0), AT(0, STORED, ASIA, 0)},
         59 * S,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
        {"a region that is lost is judged no more, nor counted for the quorum",
         2,
         {AT(0, WAIT, 0, 0), AT(0, BEGIN, 0, 0), AT(S, STORED, EU, 0), AT(S, FAILED, ASIA, 0),
          AT(S, LOSE, ASIA, 0)},
         5 * H,
         {FANOUT_IN_TIME, FANOUT_IN_TIME, FANOUT_IN_TIME}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
        struct fanout fanout;
        play(&scenarios[i], &fanout);
        for (size_t region = 0; region < 3; region++)
            if (fanout_judge(&fanout, region, scenarios[i].at_ms) != scenarios[i].verdicts[region])
                fail_msg("%s: region %zu", scenarios[i].text, region);
    }
}

/* Two regions of which one takes so many times longer for each put than the other; the job always
 * waits. Gives when the slower one is found to be too slow; 0: it never is, in ten hours. */
static int64_t run_beside(int64_t fast_ms, int64_t slow_ms, int64_t work_ms)
{
    struct fanout fanout = fanout_new(3, 1, 0);
    for (int64_t now_ms = 0; now_ms < 10 * H;) {
        struct fanout_put put;
        now_ms += work_ms;
        fanout_begin(&fanout, &put, now_ms);
        fanout_wait(&fanout, now_ms);
        fanout_end(&fanout, &put, EU, true, now_ms + fast_ms);
        now_ms += slow_ms;
        if (fanout_judge(&fanout, US, now_ms) == FANOUT_TOO_SLOW)
            return now_ms;
        fanout_end(&fanout, &put, US, true, now_ms);
        fanout_go_on(&fanout, now_ms);
    }
    return 0;
}

static void a_slower_region_is_kept_while_it_does_not_double_the_time(void **state)
{
    (void)state;
    assert_int_equal(run_beside(100, 100, 0), 0);
    assert_int_equal(run_beside(100, 199, 0), 0);
    assert_int_equal(run_beside(100, 1000, 900), 0); /* as fast as the work is made */
    assert_int_equal(run_beside(0, 10 * S, 10 * S), 0);
}

static void a_region_that_doubles_the_time_is_too_slow_after_a_minute_more(void **state)
{
    (void)state;
    /* 9 of 10 parts of the time it is waited for: the minute is used up when 0.9 t - 0.1 t is */
    assert_in_range(run_beside(1 * S, 10 * S, 0), 70 * S, 90 * S);
    assert_in_range(run_beside(0, 300, 0), 60 * S, 61 * S);
    assert_in_range(run_beside(100, 210, 0), 10 * MIN, 60 * MIN);
}

static void a_put_is_done_when_its_last_region_is(void **state)
{
    (void)state;
    struct fanout fanout = fanout_new(ALL, 2, 0);
    struct fanout_put put;
    fanout_begin(&fanout, &put, 0);
    assert_int_equal(put.pending, ALL);
    assert_false(fanout_end(&fanout, &put, ASIA, true, 0));
    assert_false(fanout_enough(&fanout, &put));
    assert_false(fanout_end(&fanout, &put, US, false, 0));
    assert_true(fanout_end(&fanout, &put, EU, true, 0));
    assert_true(fanout_enough(&fanout, &put));
    assert_int_equal(put.stored, 5);
}

static void a_lost_region_gets_nothing_new_and_ends_what_it_has(void **state)
{
    (void)state;
    struct fanout fanout = fanout_new(ALL, 1, 0);
    struct fanout_put before, after;
    fanout_begin(&fanout, &before, 0);
    fanout_keep(&fanout, ALL & ~(1u << US), 0);
    fanout_begin(&fanout, &after, 0);
    assert_int_equal(before.pending, ALL);
    assert_int_equal(after.pending, ALL & ~(1u << US));
    assert_false(fanout_end(&fanout, &before, US, false, 0));
    fanout_keep(&fanout, ALL, 0); /* and never comes back */
    fanout_begin(&fanout, &after, 0);
    assert_int_equal(after.pending, ALL & ~(1u << US));
}

static void a_put_that_no_region_takes_is_not_stored(void **state)
{
    (void)state;
    struct fanout fanout = fanout_new(0, 1, 0);
    struct fanout_put put;
    fanout_begin(&fanout, &put, 0);
    assert_int_equal(put.pending, 0);
    assert_false(fanout_enough(&fanout, &put));
}

static void a_clock_that_two_threads_read_never_runs_back(void **state)
{
    (void)state;
    struct fanout fanout = fanout_new(3, 1, 0);
    struct fanout_put put;
    fanout_begin(&fanout, &put, 0);
    fanout_wait(&fanout, 0);
    fanout_end(&fanout, &put, EU, true, 10 * S);
    assert_int_equal(fanout_judge(&fanout, US, 5 * S), FANOUT_IN_TIME);
    assert_int_equal(fanout_judge(&fanout, US, 69 * S), FANOUT_IN_TIME);
    assert_int_equal(fanout_judge(&fanout, US, 70 * S), FANOUT_HANGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_is_overdue_once_it_alone_has_held_the_job_back),
        cmocka_unit_test(a_slower_region_is_kept_while_it_does_not_double_the_time),
        cmocka_unit_test(a_region_that_doubles_the_time_is_too_slow_after_a_minute_more),
        cmocka_unit_test(a_put_is_done_when_its_last_region_is),
        cmocka_unit_test(a_lost_region_gets_nothing_new_and_ends_what_it_has),
        cmocka_unit_test(a_put_that_no_region_takes_is_not_stored),
        cmocka_unit_test(a_clock_that_two_threads_read_never_runs_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
