// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/workqueue.h"

enum { START_MS = 1000000, WORKERS = 4, KEYS = 20, ADDS = 2000 };

struct fixture {
    struct cancel cancel;
    struct workqueue *queue;
    atomic_int working[KEYS]; /* workers on a key at this moment */
    atomic_int done;
    atomic_bool dirty[KEYS]; /* added and not looked at since */
};

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    struct error err;
    clock_fake(START_MS);
    if (cancel_init(&f->cancel, &err) < 0)
        return -1;
    f->queue = workqueue_new(&f->cancel);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    workqueue_freep(&f->queue);
    cancel_done(&f->cancel);
    clock_fake(-1);
    own_freep(&f);
    return 0;
}

static struct work_key key_named(const char *name)
{
    return work_key(WORK_BACKUP, "shop", name);
}

static void add_after(struct fixture *f, const char *name, int64_t delay_ms)
{
    struct work_key key = key_named(name);
    workqueue_add_after(f->queue, &key, delay_ms);
}

static void assert_take(struct fixture *f, const char *name)
{
    struct work_key key;
    struct error err;
    assert_int_equal(workqueue_take(f->queue, &key, &err), 0);
    assert_string_equal(key.name, name);
    assert_string_equal(key.namespace, "shop");
    assert_int_equal(key.kind, WORK_BACKUP);
}

static void done(struct fixture *f, const char *name)
{
    struct work_key key = key_named(name);
    workqueue_done(f->queue, &key);
}

static void a_key_is_in_the_queue_once(void **state)
{
    struct fixture *f = *state;
    add_after(f, "a", 0);
    add_after(f, "b", 0);
    add_after(f, "a", 0);
    assert_int_equal(workqueue_depth(f->queue), 2);
    assert_take(f, "a");
    assert_take(f, "b");
    assert_int_equal(workqueue_depth(f->queue), 0);
}

static void kinds_and_namespaces_tell_keys_apart(void **state)
{
    struct fixture *f = *state;
    const struct work_key keys[] = {
        work_key(WORK_POLICY, "shop", "a"),
        work_key(WORK_BACKUP, "shop", "a"),
        work_key(WORK_BACKUP, "ops", "a"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        workqueue_add(f->queue, &keys[i]);
    assert_int_equal(workqueue_depth(f->queue), 3);
}

static void what_changes_while_it_is_worked_on_comes_again(void **state)
{
    struct fixture *f = *state;
    add_after(f, "a", 0);
    assert_take(f, "a");
    add_after(f, "a", 0);
    assert_int_equal(workqueue_depth(f->queue), 0); /* never with two workers */
    done(f, "a");
    assert_take(f, "a");
    done(f, "a");
    assert_int_equal(workqueue_depth(f->queue), 0);
}

static void keys_come_in_the_order_of_their_dates(void **state)
{
    struct fixture *f = *state;
    static const char *const sorted[] = {"a", "b", "c", "d", "e", "f", "g"};
    static const int order[] = {3, 6, 0, 5, 2, 4, 1};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        add_after(f, sorted[order[i]], 100 * order[i]);
    assert_int_equal(workqueue_depth(f->queue), 1);
    clock_fake(START_MS + 10000);
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
        assert_take(f, sorted[i]);
}

static void a_key_comes_not_before_its_date_and_the_earlier_date_wins(void **state)
{
    struct fixture *f = *state;
    add_after(f, "a", 5000);
    add_after(f, "a", 1000);
    add_after(f, "a", 9000);
    clock_fake(START_MS + 999);
    assert_int_equal(workqueue_depth(f->queue), 0);
    clock_fake(START_MS + 1000);
    assert_int_equal(workqueue_depth(f->queue), 1);
    assert_take(f, "a");
}

static void of_dates_given_while_working_the_earlier_wins_too(void **state)
{
    struct fixture *f = *state;
    add_after(f, "a", 0);
    assert_take(f, "a");
    add_after(f, "a", 5000);
    add_after(f, "a", 1000);
    done(f, "a");
    assert_int_equal(workqueue_depth(f->queue), 0);
    clock_fake(START_MS + 1000);
    assert_take(f, "a");
}

/* When a key that failed is due again, counted from its failure; up to limit_ms. */
static int64_t retry_delay(struct fixture *f, int64_t now_ms, int64_t limit_ms, uint32_t wish_ms)
{
    struct work_key key = key_named("a");
    int64_t delay_ms = 0;
    clock_fake(now_ms);
    assert_take(f, "a");
    workqueue_retry(f->queue, &key, wish_ms);
    while (workqueue_depth(f->queue) == 0 && delay_ms <= limit_ms)
        clock_fake(now_ms + ++delay_ms);
    return delay_ms;
}

static void failures_come_back_later_and_later(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = START_MS, longest_ms = 0;
    add_after(f, "a", 0);
    for (unsigned i = 0; i < 40; i++) {
        int64_t cap_ms = i < 9 ? INT64_C(1000) << i : 300000;
        int64_t delay_ms = retry_delay(f, now_ms, 300001, 0);
        assert_in_range(delay_ms, 1000, cap_ms > 1000 ? cap_ms : 1000);
        if (delay_ms > longest_ms)
            longest_ms = delay_ms;
        now_ms += delay_ms;
    }
    assert_true(longest_ms > 60000); /* of 31 draws up to five minutes: not so once in 10^21 */

    assert_take(f, "a");
    done(f, "a"); /* a success ends it */
    add_after(f, "a", 0);
    assert_int_equal(retry_delay(f, now_ms, 300001, 0), 1000);
}

static void a_failure_heeds_what_the_server_wishes(void **state)
{
    struct fixture *f = *state;
    add_after(f, "a", 0);
    assert_int_equal(retry_delay(f, START_MS, 300001, 42000), 42000);
}

static void a_change_does_not_wait_for_the_back_off(void **state)
{
    struct fixture *f = *state;
    struct work_key key = key_named("a");
    add_after(f, "a", 0);
    assert_take(f, "a");
    workqueue_retry(f->queue, &key, 0);
    assert_int_equal(workqueue_depth(f->queue), 0);
    add_after(f, "a", 0);
    assert_take(f, "a");
}

static void cancelling_wakes_who_waits(void **state)
{
    struct fixture *f = *state;
    struct work_key key;
    struct error err;
    add_after(f, "a", 0);
    cancel_trigger(&f->cancel);
    assert_int_equal(workqueue_take(f->queue, &key, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

/* One of several workers; looks at a key until nothing of it is new. */
static int work(void *arg, struct error *err)
{
    struct fixture *f = arg;
    struct work_key key;
    while (workqueue_take(f->queue, &key, err) == 0) {
        size_t i = (size_t)(key.name[0] - 'a');
        if (atomic_fetch_add(&f->working[i], 1) != 0)
            return error_set(err, ERROR_PERMANENT, "two workers on '%s'", key.name);
        f->dirty[i] = false;
        atomic_fetch_add(&f->done, 1);
        atomic_fetch_sub(&f->working[i], 1);
        if (f->done % 7 == 0) {
            f->dirty[i] = true;
            workqueue_add_after(f->queue, &key, 1);
        }
        workqueue_done(f->queue, &key);
    }
    return 0;
}

static bool any_dirty(const struct fixture *f)
{
    for (size_t i = 0; i < KEYS; i++)
        if (f->dirty[i])
            return true;
    return false;
}

static void many_workers_lose_nothing_and_never_share_a_key(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(crew_freep) struct crew *crew = crew_new(&f->cancel);
    clock_fake(-1);
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(crew_start(crew, "worker", work, f, &err), 0);
    for (size_t i = 0; i < ADDS; i++) {
        struct work_key key = key_named((char[]){(char)('a' + i % KEYS), '\0'});
        f->dirty[i % KEYS] = true;
        workqueue_add_after(f->queue, &key, (int64_t)(i % 3));
    }
    while (any_dirty(f) && !cancel_requested(&f->cancel))
        sched_yield();
    cancel_trigger(&f->cancel);
    assert_int_equal(crew_join(crew, &err), 0);
    assert_true(f->done >= KEYS);
}

static int wait_for_one(void *arg, struct error *err)
{
    struct fixture *f = arg;
    struct work_key key;
    if (workqueue_take(f->queue, &key, err) < 0)
        return -1;
    f->done++;
    return 0;
}

/* The first waits for ever, then for "late"; "now" must not make it forget that date. */
static void a_worker_always_waits_for_the_next_date(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(crew_freep) struct crew *crew = crew_new(&f->cancel);
    clock_fake(-1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(crew_start(crew, "worker", wait_for_one, f, &err), 0);
    add_after(f, "late", 50);
    add_after(f, "now", 0);
    add_after(f, "later", 60);
    assert_int_equal(crew_join(crew, &err), 0);
    assert_int_equal(f->done, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_is_in_the_queue_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kinds_and_namespaces_tell_keys_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_changes_while_it_is_worked_on_comes_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_come_in_the_order_of_their_dates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_comes_not_before_its_date_and_the_earlier_date_wins,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_dates_given_while_working_the_earlier_wins_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(failures_come_back_later_and_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_heeds_what_the_server_wishes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_does_not_wait_for_the_back_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelling_wakes_who_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_workers_lose_nothing_and_never_share_a_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_worker_always_waits_for_the_next_date, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
