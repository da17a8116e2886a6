// SPDX-License-Identifier: Apache-2.0
/*
 * The fault loop: backups of a real server in which the n-th call of a store fails, for every n.
 * Whatever fails, backup_run comes back, says success only for what restores, and leaves the
 * backup that was committed before as it was, byte for byte.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/policy.h"
#include "sidecar/tests/helper_loop.h"
#include "sidecar/tests/helper_store_plan.h"

enum {
    FOR_GOOD = 1 << 20,
    NEEDED_CALLS = 10, /* of a store, at least, without which there is no backup */
};

static struct helper_loop loop;

static int set_up(void **state)
{
    (void)state;
    helper_loop_start(&loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_loop_stop(&loop);
    return 0;
}

/* A backup with a fault at each call, one after the other, until one comes through without meeting
 * it. Calls that a backup can do without may fail unseen. Gives how many backups failed. */
static unsigned fail_each(enum backup_type type, enum store_fault fault, unsigned count)
{
    char id[BACKUP_ID_BYTES];
    struct error err = {0};
    unsigned failures = 0, surprises = 0, n = 0, calls = 0;
    helper_loop_open(&loop, 1);
    if (helper_loop_back_up(&loop, BACKUP_FULL, id, &err) < 0)
        fail_msg("%s", err.text);
    helper_loop_check(&loop, id, &err);
    do {
        store_plan_fault("r0", ++n, count, fault);
        failures += helper_loop_back_up(&loop, type, id, &err) < 0;
        calls = store_plan.calls;
        store_plan_nothing();
        surprises += helper_loop_check(&loop, id, &err);
    } while (calls >= n);
    helper_loop_close(&loop);
    if (fault != STORE_FAULT_LOST_ANSWER) /* which may be that to the commit */
        assert_int_equal(surprises, 0);
    return failures;
}

static void a_transient_failure_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(BACKUP_FULL, STORE_FAULT_TRANSIENT, 1), 0);
}

static void a_lost_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(BACKUP_INCREMENTAL, STORE_FAULT_LOST_ANSWER, 1), 0);
}

static void half_an_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(fail_each(BACKUP_INCREMENTAL, STORE_FAULT_PARTIAL, 1), 0);
}

static void a_failure_at_any_call_leaves_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(fail_each(BACKUP_FULL, STORE_FAULT_PERMANENT, 1), NEEDED_CALLS, UINT_MAX);
}

/* Also what is read of the parent. */
static void a_failure_at_any_call_of_an_incremental_one_leaves_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(fail_each(BACKUP_INCREMENTAL, STORE_FAULT_PERMANENT, 1), NEEDED_CALLS,
                    UINT_MAX);
}

static void a_store_that_goes_away_at_any_call_leaves_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(fail_each(BACKUP_FULL, STORE_FAULT_TRANSIENT, FOR_GOOD), NEEDED_CALLS,
                    UINT_MAX);
}

static void answers_that_stay_away_from_any_call_on_leave_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(fail_each(BACKUP_FULL, STORE_FAULT_LOST_ANSWER, FOR_GOOD), NEEDED_CALLS,
                    UINT_MAX);
}

/* The other one carries on; the lost one has the whole backup or none of it. */
static void a_region_lost_at_any_call_has_no_half_backup(void **state)
{
    (void)state;
    char id[BACKUP_ID_BYTES];
    struct error err = {0};
    bool found;
    unsigned n = 0, calls = 0;
    helper_loop_open(&loop, 2);
    do {
        store_plan_fault("r1", n, FOR_GOOD, STORE_FAULT_PERMANENT);
        if (helper_loop_back_up(&loop, BACKUP_FULL, id, &err) < 0)
            fail_msg("call %u: %s", n, err.text);
        calls = store_plan.calls;
        store_plan_nothing();
        assert_true(helper_loop_restores(&loop, "r0", id));
        found = helper_loop_restores(&loop, "r1", id);
    } while (n++ == 0 || calls + 1 >= n);
    assert_true(found); /* nothing failed in the last one */
    helper_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transient_failure_at_any_call_is_made_up_for),
        cmocka_unit_test(a_lost_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(half_an_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(a_failure_at_any_call_leaves_what_was_committed),
        cmocka_unit_test(a_failure_at_any_call_of_an_incremental_one_leaves_what_was_committed),
        cmocka_unit_test(a_store_that_goes_away_at_any_call_leaves_what_was_committed),
        cmocka_unit_test(answers_that_stay_away_from_any_call_on_leave_what_was_committed),
        cmocka_unit_test(a_region_lost_at_any_call_has_no_half_backup),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
