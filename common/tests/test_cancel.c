// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/own.h"

static int init_cancel(void **state)
{
    static struct cancel cancel;
    struct error err;
    *state = &cancel;
    return cancel_init(&cancel, &err);
}

static int done_cancel(void **state)
{
    cancel_done(*state);
    return 0;
}

static void *trigger(void *cancel)
{
    cancel_trigger(cancel);
    return NULL;
}

static void an_untouched_cancel_stops_nobody(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    assert_false(cancel_requested(cancel));
    assert_int_equal(cancel_check(cancel, &err), 0);
    assert_int_equal(cancel_sleep(cancel, 1, &err), 0);
}

static void a_triggered_cancel_says_so_however_often(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    errno = ENOSPC;
    for (int i = 0; i < 3; i++)
        cancel_trigger(cancel);
    assert_int_equal(errno, ENOSPC);
    assert_true(cancel_requested(cancel));
    assert_int_equal(cancel_check(cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_string_equal(err.text, "stopped on request");
}

static void triggering_makes_the_descriptor_readable_for_good(void **state)
{
    struct cancel *cancel = *state;
    struct pollfd fd = {.fd = cancel->fd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    cancel_trigger(cancel);
    assert_int_equal(poll(&fd, 1, 0), 1);
    struct error err;
    assert_int_equal(cancel_sleep(cancel, -1, &err), -1);
    assert_int_equal(poll(&fd, 1, 0), 1);
}

static void polling_tells_ready_from_timed_out(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(cancel_poll(cancel, pipes[0], POLLIN, 1, &err), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(cancel_poll(cancel, pipes[0], POLLIN, -1, &err), 1);
    cancel_trigger(cancel);
    assert_int_equal(cancel_poll(cancel, pipes[0], POLLIN, -1, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    close(pipes[1]);
    close(pipes[0]);
}

static void polling_ends_when_the_other_side_hangs_up(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    close(pipes[1]);
    assert_int_equal(cancel_poll(cancel, pipes[0], POLLIN, -1, &err), 1);
    close(pipes[0]);
}

static void a_sleeper_wakes_when_another_thread_triggers(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, trigger, cancel), 0);
    assert_int_equal(cancel_sleep(cancel, -1, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    pthread_join(thread, NULL);
}

static struct cancel *of_signal;

static void on_signal(int signum)
{
    if (signum == SIGUSR1)
        cancel_trigger(of_signal);
}

static void a_signal_handler_may_trigger(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    of_signal = cancel;
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    raise(SIGUSR1);
    assert_int_equal(cancel_sleep(cancel, -1, &err), -1);
    sigaction(SIGUSR1, &before, NULL);
}

static void a_signal_that_means_nothing_does_not_cut_a_sleep_short(void **state)
{
    struct cancel *cancel = *state;
    struct error err;
    struct sigaction action = {.sa_handler = on_signal}, before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    ualarm(1000, 0);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(cancel_sleep(cancel, 20, &err), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    int64_t ns = (to.tv_sec - from.tv_sec) * INT64_C(1000000000) + to.tv_nsec - from.tv_nsec;
    assert_true(ns >= 18000000); /* both clocks are rounded down to milliseconds */
    sigaction(SIGALRM, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_untouched_cancel_stops_nobody, init_cancel, done_cancel),
        cmocka_unit_test_setup_teardown(a_triggered_cancel_says_so_however_often, init_cancel,
                                        done_cancel),
        cmocka_unit_test_setup_teardown(triggering_makes_the_descriptor_readable_for_good,
                                        init_cancel, done_cancel),
        cmocka_unit_test_setup_teardown(polling_tells_ready_from_timed_out, init_cancel,
                                        done_cancel),
        cmocka_unit_test_setup_teardown(polling_ends_when_the_other_side_hangs_up, init_cancel,
                                        done_cancel),
        cmocka_unit_test_setup_teardown(a_sleeper_wakes_when_another_thread_triggers, init_cancel,
                                        done_cancel),
        cmocka_unit_test_setup_teardown(a_signal_handler_may_trigger, init_cancel, done_cancel),
        cmocka_unit_test_setup_teardown(a_signal_that_means_nothing_does_not_cut_a_sleep_short,
                                        init_cancel, done_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
