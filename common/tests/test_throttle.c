// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "common/throttle.h"

enum { KIB = 1024, MIB = 1024 * KIB, START_MS = 5000, WORKERS_MAX = 64 };

/* Workers that ask at once for a part again when theirs has moved, or after pause_ms. */
struct play {
    uint64_t rate;
    size_t workers, want;
    int64_t pause_ms, duration_ms;
};

static int tear_down(void **state)
{
    (void)state;
    clock_fake(-1);
    return 0;
}

/* Bytes that moved before the end; time jumps from one worker's moment to the next one's. */
static uint64_t bytes_moved(const struct play *play)
{
    struct throttle throttle;
    int64_t due_ms[WORKERS_MAX] = {0}, now_ms = START_MS;
    size_t part[WORKERS_MAX] = {0};
    uint64_t moved = 0;
    clock_fake(now_ms);
    throttle_init(&throttle, play->rate);
    for (;;) {
        size_t next = 0;
        for (size_t i = 0; i < play->workers; i++)
            if (due_ms[i] < due_ms[next])
                next = i;
        if (due_ms[next] > now_ms)
            now_ms = due_ms[next];
        if (now_ms - START_MS > play->duration_ms)
            break;
        moved += part[next];
        int64_t asked_ms = part[next] > 0 ? now_ms + play->pause_ms : now_ms;
        part[next] = throttle_part(&throttle, play->want);
        due_ms[next] = asked_ms + throttle_take(&throttle, part[next], asked_ms);
    }
    throttle_done(&throttle);
    return moved;
}

static void assert_within(uint64_t bytes, uint64_t wanted, unsigned percent)
{
    if (bytes * 100 < wanted * (100 - percent) || bytes * 100 > wanted * (100 + percent))
        fail_msg("%llu bytes, not %llu within %u %%", (unsigned long long)bytes,
                 (unsigned long long)wanted, percent);
}

static void the_rate_is_kept_within_five_percent_over_three_seconds(void **state)
{
    static const uint64_t rates[] = {256 * KIB, 1000000, 5 * MIB, 33333333, 250 * MIB, 4000000000};
    static const size_t wants[] = {THROTTLE_UNIT_BYTES, 64 * KIB, MIB, 16 * MIB};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
        for (size_t j = 0; j < ARRAY_SIZE(wants); j++) {
            const struct play play = {
                .rate = rates[i], .workers = 3, .want = wants[j], .duration_ms = 3000};
            assert_within(bytes_moved(&play), 3 * play.rate, 5);
        }
}

static void the_number_of_workers_does_not_change_it(void **state)
{
    (void)state;
    for (size_t workers = 1; workers <= WORKERS_MAX; workers *= 4) {
        const struct play play = {
            .rate = 20 * MIB, .workers = workers, .want = MIB, .duration_ms = 4000};
        assert_within(bytes_moved(&play), 4 * play.rate, 2);
    }
}

static void work_between_two_parts_does_not_slow_it_down(void **state)
{
    (void)state;
    const struct play play = {
        .rate = 10 * MIB, .workers = 1, .want = 512 * KIB, .pause_ms = 20, .duration_ms = 4000};
    assert_within(bytes_moved(&play), 4 * play.rate, 3);
}

static void it_is_never_exceeded_from_the_start(void **state)
{
    (void)state;
    for (int64_t ms = 1; ms < 3000; ms += 7) {
        const struct play play = {.rate = 3 * MIB, .workers = 4, .want = MIB, .duration_ms = ms};
        assert_true(bytes_moved(&play) * 1000 <= play.rate * (uint64_t)(ms + 1));
    }
}

static void an_idle_hour_saves_up_a_tenth_of_a_second(void **state)
{
    struct throttle throttle;
    (void)state;
    clock_fake(START_MS);
    throttle_init(&throttle, MIB);
    int64_t now_ms = START_MS + 3600 * 1000;
    assert_int_equal(throttle_take(&throttle, MIB / 10, now_ms), 0);
    assert_int_equal(throttle_take(&throttle, MIB, now_ms), 1000);
    throttle_done(&throttle);
}

static void a_part_is_of_whole_pages_and_a_twentieth_of_a_second(void **state)
{
    static const struct {
        uint64_t rate;
        size_t size, part;
    } cases[] = {
        {1, 1 << 20, 8192},
        {64 * KIB, 100000, 8192},
        {64 * KIB, 100, 100},
        {MIB, MIB, 49152},
        {100 * MIB, MIB, MIB},
        {100 * MIB, 16 * MIB, 5242880},
        {INT64_MAX, 16 * MIB, 16 * MIB},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct throttle throttle = {.bytes_per_second = cases[i].rate};
        assert_int_equal(throttle_part(&throttle, cases[i].size), cases[i].part);
    }
}

static void without_a_limit_nobody_waits(void **state)
{
    struct throttle throttle;
    struct error err;
    size_t size = SIZE_MAX;
    (void)state;
    throttle_init(&throttle, 0);
    assert_int_equal(throttle_wait(&throttle, &size, NULL, &err), 0);
    assert_int_equal(throttle_wait(NULL, &size, NULL, &err), 0);
    assert_int_equal(size, SIZE_MAX);
    throttle_done(&throttle);
}

struct waiter {
    struct throttle throttle;
    struct cancel cancel;
    struct error err;
    int result;
};

static void *wait_for_hours(void *arg)
{
    struct waiter *waiter = arg;
    size_t size = THROTTLE_UNIT_BYTES;
    waiter->result = throttle_wait(&waiter->throttle, &size, &waiter->cancel, &waiter->err);
    return NULL;
}

static void cancel_wakes_all_who_wait(void **state)
{
    static struct waiter waiters[3];
    pthread_t threads[ARRAY_SIZE(waiters)];
    struct error err;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
        assert_int_equal(cancel_init(&waiters[i].cancel, &err), 0);
        throttle_init(&waiters[i].throttle, 1);
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_hours, &waiters[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
        cancel_trigger(&waiters[i].cancel);
        pthread_join(threads[i], NULL);
        assert_int_equal(waiters[i].result, -1);
        assert_int_equal(waiters[i].err.kind, ERROR_CANCELED);
        cancel_done(&waiters[i].cancel);
        throttle_done(&waiters[i].throttle);
    }
}

static void who_is_cancelled_already_moves_nothing(void **state)
{
    struct throttle throttle;
    struct cancel cancel;
    struct error err;
    size_t size = 1;
    (void)state;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    throttle_init(&throttle, INT64_MAX);
    cancel_trigger(&cancel);
    assert_int_equal(throttle_wait(&throttle, &size, &cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    throttle_done(&throttle);
    cancel_done(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_rate_is_kept_within_five_percent_over_three_seconds,
                                  tear_down),
        cmocka_unit_test_teardown(the_number_of_workers_does_not_change_it, tear_down),
        cmocka_unit_test_teardown(work_between_two_parts_does_not_slow_it_down, tear_down),
        cmocka_unit_test_teardown(it_is_never_exceeded_from_the_start, tear_down),
        cmocka_unit_test_teardown(an_idle_hour_saves_up_a_tenth_of_a_second, tear_down),
        cmocka_unit_test(a_part_is_of_whole_pages_and_a_twentieth_of_a_second),
        cmocka_unit_test(without_a_limit_nobody_waits),
        cmocka_unit_test(cancel_wakes_all_who_wait),
        cmocka_unit_test(who_is_cancelled_already_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
