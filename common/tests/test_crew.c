// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"

static struct cancel cancel;

static int init(void **state)
{
    (void)state;
    struct error err;
    return cancel_init(&cancel, &err);
}

static int done(void **state)
{
    (void)state;
    cancel_done(&cancel);
    return 0;
}

static int count(void *arg, struct error *err)
{
    (void)err;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int fail_with(void *arg, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "%s", (const char *)arg);
}

static int wait_for_cancel(void *arg, struct error *err)
{
    (void)arg;
    return cancel_sleep(&cancel, -1, err);
}

static int write_own_name(void *arg, struct error *err)
{
    (void)err;
    return pthread_getname_np(pthread_self(), arg, 16);
}

static int expect_blocked_signals(void *arg, struct error *err)
{
    (void)arg;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGINT))
        return error_set(err, ERROR_PERMANENT, "signals reach the worker");
    return 0;
}

static void all_threads_run_and_are_joined(void **state)
{
    (void)state;
    struct error err;
    atomic_int runs = 0;
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    for (int i = 0; i < 20; i++)
        assert_int_equal(crew_start(crew, "counter", count, &runs, &err), 0);
    assert_int_equal(crew_join(crew, &err), 0);
    assert_int_equal(runs, 20);
    assert_false(cancel_requested(&cancel));
}

static void a_joined_crew_may_start_again(void **state)
{
    (void)state;
    struct error err;
    atomic_int runs = 0;
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_join(crew, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew_start(crew, "counter", count, &runs, &err), 0);
        assert_int_equal(crew_join(crew, &err), 0);
    }
    assert_int_equal(runs, 2);
}

static void the_first_error_wins_over_those_that_follow_from_it(void **state)
{
    (void)state;
    struct error err;
    static char reason[] = "disk full";
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    for (int i = 0; i < 4; i++)
        assert_int_equal(crew_start(crew, "waiter", wait_for_cancel, NULL, &err), 0);
    assert_int_equal(crew_start(crew, "failing", fail_with, reason, &err), 0);
    assert_int_equal(crew_join(crew, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "disk full");
    assert_true(cancel_requested(&cancel));
}

static void somebody_else_can_fail_the_crew(void **state)
{
    (void)state;
    struct error err, reason;
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_start(crew, "waiter", wait_for_cancel, NULL, &err), 0);
    error_set(&reason, ERROR_CONFLICT, "promoted");
    crew_fail(crew, &reason);
    error_set(&reason, ERROR_CORRUPT, "later");
    crew_fail(crew, &reason);
    assert_int_equal(crew_join(crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.text, "promoted");
}

static void freeing_stops_what_still_runs(void **state)
{
    (void)state;
    struct error err;
    struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_start(crew, "waiter", wait_for_cancel, NULL, &err), 0);
    crew_freep(&crew);
    assert_null(crew);
    assert_true(cancel_requested(&cancel));
    crew_freep(&crew);
}

static void freeing_a_joined_crew_cancels_nothing(void **state)
{
    (void)state;
    struct error err;
    atomic_int runs = 0;
    struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_start(crew, "counter", count, &runs, &err), 0);
    assert_int_equal(crew_join(crew, &err), 0);
    crew_freep(&crew);
    assert_false(cancel_requested(&cancel));
}

static void threads_carry_their_name(void **state)
{
    (void)state;
    struct error err;
    char name[16] = "";
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_start(crew, "fifteen-letters", write_own_name, name, &err), 0);
    assert_int_equal(crew_join(crew, &err), 0);
    assert_string_equal(name, "fifteen-letters");
}

static void signals_stay_with_the_starting_thread(void **state)
{
    (void)state;
    struct error err;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    assert_int_equal(crew_start(crew, "worker", expect_blocked_signals, NULL, &err), 0);
    assert_int_equal(crew_join(crew, &err), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_threads_run_and_are_joined, init, done),
        cmocka_unit_test_setup_teardown(a_joined_crew_may_start_again, init, done),
        cmocka_unit_test_setup_teardown(the_first_error_wins_over_those_that_follow_from_it, init,
                                        done),
        cmocka_unit_test_setup_teardown(somebody_else_can_fail_the_crew, init, done),
        cmocka_unit_test_setup_teardown(freeing_stops_what_still_runs, init, done),
        cmocka_unit_test_setup_teardown(freeing_a_joined_crew_cancels_nothing, init, done),
        cmocka_unit_test_setup_teardown(threads_carry_their_name, init, done),
        cmocka_unit_test_setup_teardown(signals_stay_with_the_starting_thread, init, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
