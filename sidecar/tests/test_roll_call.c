// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/regions.h"
#include "sidecar/roll_call.h"
#include "sidecar/tests/helper_repo.h"

enum { REGIONS = 3, ALL = (1 << REGIONS) - 1, A_WHILE_MS = 50 };

enum role {
    COUNTS,
    COUNTS_NOT,
    COUNTS_LATE,
    FAILS,
    HANGS, /* until its store is cancelled */
    STOPS_JOB,
    MEETS_ALL, /* waits until all regions are being asked */
};

struct fixture {
    struct helper_repo helper;
    struct regions *regions;
    pthread_barrier_t all;
    enum role roles[REGIONS];
    struct roll_call call;
    struct roll_call_answer answers[REGIONS_MAX];
};

static int play(void *arg, size_t region, struct error *err)
{
    struct fixture *f = arg;
    const struct cancel *cancel = &regions_at(f->regions, region)->cancel;
    switch (f->roles[region]) {
    case COUNTS:
        break;
    case COUNTS_NOT:
        return 0;
    case COUNTS_LATE:
        return cancel_sleep(cancel, A_WHILE_MS, err) < 0 ? -1 : 1;
    case FAILS:
        return error_set(err, ERROR_TRANSIENT, "it is gone");
    case HANGS:
        return cancel_sleep(cancel, -1, err);
    case STOPS_JOB:
        cancel_trigger(&f->helper.cancel);
        break;
    case MEETS_ALL:
        pthread_barrier_wait(&f->all);
    }
    return 1;
}

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    *state = f;
    log_set_level(LOG_LEVEL_ERROR + 1);
    helper_repo_prepare(&f->helper, REGIONS, 1);
    assert_int_equal(pthread_barrier_init(&f->all, NULL, REGIONS), 0);
    const struct regions_choice choice = {.patience_ms = 1};
    if (regions_open(&f->regions, f->helper.policy, f->helper.secrets, &choice, &f->helper.cancel,
                     &err) < 0)
        fail_msg("%s", err.text);
    f->call = (struct roll_call){.regions = f->regions,
                                 .among = ALL,
                                 .enough = 1,
                                 .laggards = LAGGARDS_LOST,
                                 .ask = play,
                                 .arg = f};
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    regions_closep(&f->regions);
    pthread_barrier_destroy(&f->all);
    helper_repo_close(&f->helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static void run(struct fixture *f)
{
    struct error err;
    if (roll_call_run(&f->call, f->answers, &err) < 0)
        fail_msg("%s", err.text);
}

static void all_regions_are_asked_at_the_same_time(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < REGIONS; i++)
        f->roles[i] = MEETS_ALL;
    f->call.enough = REGIONS;
    run(f);
    for (size_t i = 0; i < REGIONS; i++)
        assert_true(f->answers[i].asked && f->answers[i].said == 1);
}

static void regions_that_hang_are_lost_once_enough_have_answered(void **state)
{
    struct fixture *f = *state;
    f->roles[0] = f->roles[2] = HANGS;
    run(f);
    assert_int_equal(f->answers[1].said, 1);
    for (size_t i = 0; i < REGIONS; i += 2) {
        assert_true(f->answers[i].asked);
        assert_int_equal(f->answers[i].said, -1);
        assert_int_equal(f->answers[i].error.kind, ERROR_TRANSIENT);
        assert_non_null(strstr(f->answers[i].error.text, "it lags"));
    }
    assert_int_equal(regions_mask(f->regions, false), 1 << 1);
}

static void regions_that_hang_can_be_doubted_only_and_asked_again(void **state)
{
    struct fixture *f = *state;
    f->roles[0] = f->roles[2] = HANGS;
    f->call.laggards = LAGGARDS_DOUBTED;
    run(f);
    for (size_t i = 0; i < REGIONS; i += 2) {
        struct error why;
        assert_int_equal(f->answers[i].said, -1);
        assert_true(regions_doubted(f->regions, i, &why));
        assert_non_null(strstr(why.text, "it lags"));
        f->roles[i] = COUNTS_LATE; /* which a store that is still cancelled cannot do */
    }
    f->call.insist = true;
    f->call.laggards = LAGGARDS_WAITED_FOR;
    run(f);
    for (size_t i = 0; i < REGIONS; i++)
        assert_int_equal(f->answers[i].said, 1);
    assert_int_equal(regions_mask(f->regions, false), ALL);
}

static void who_is_needed_has_all_the_time(void **state)
{
    struct fixture *f = *state;
    f->roles[1] = COUNTS_NOT;
    f->roles[2] = COUNTS_LATE;
    f->call.enough = 2; /* the first one and the one that is late */
    run(f);
    assert_int_equal(f->answers[0].said, 1);
    assert_int_equal(f->answers[1].said, 0);
    assert_int_equal(f->answers[2].said, 1);
    assert_true(regions_usable(f->regions, 2));
}

static void others_may_take_twice_as_long_and_the_patience_more(void **state)
{
    (void)state;
    assert_int_equal(roll_call_deadline_ms(1000, 1000, 60), 1060);
    assert_int_equal(roll_call_deadline_ms(1000, 1200, 60), 1460);
}

static void a_region_that_fails_is_asked_only_where_no_other_is(void **state)
{
    struct fixture *f = *state;
    f->roles[1] = FAILS;
    f->call.enough = REGIONS;
    run(f);
    assert_true(f->answers[1].asked);
    run(f);
    assert_false(f->answers[1].asked);
    assert_int_equal(f->answers[1].said, -1);
    assert_string_equal(f->answers[1].error.text, "it is gone");
    f->call.insist = true;
    run(f);
    assert_true(f->answers[1].asked);
    f->call.insist = false;
    f->call.among = 1 << 1;
    f->roles[1] = COUNTS;
    run(f);
    assert_int_equal(f->answers[1].said, 1);
    assert_false(f->answers[0].asked);
    assert_int_equal(f->answers[0].said, 0);
    f->call.among = ALL;
    run(f);
    assert_true(f->answers[1].asked);
}

static void a_lost_region_says_why(void **state)
{
    struct fixture *f = *state;
    struct error why;
    error_set(&why, ERROR_PERMANENT, "no such bucket");
    regions_give_up(f->regions, 0, &why);
    f->call.insist = true;
    f->call.enough = REGIONS;
    run(f);
    assert_false(f->answers[0].asked);
    assert_int_equal(f->answers[0].error.kind, ERROR_PERMANENT);
    assert_string_equal(f->answers[0].error.text, "no such bucket");
    assert_int_equal(f->answers[2].said, 1);
}

static void a_job_that_is_stopped_waits_for_nobody(void **state)
{
    struct fixture *f = *state;
    struct error err;
    f->roles[0] = f->roles[1] = HANGS;
    f->roles[2] = STOPS_JOB;
    f->call.enough = REGIONS;
    assert_int_equal(roll_call_run(&f->call, f->answers, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_regions_are_asked_at_the_same_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(regions_that_hang_are_lost_once_enough_have_answered,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(regions_that_hang_can_be_doubted_only_and_asked_again,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_needed_has_all_the_time, set_up, tear_down),
        cmocka_unit_test(others_may_take_twice_as_long_and_the_patience_more),
        cmocka_unit_test_setup_teardown(a_region_that_fails_is_asked_only_where_no_other_is, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lost_region_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_job_that_is_stopped_waits_for_nobody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
