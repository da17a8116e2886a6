// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"

enum { CAPACITY = 3, SENDERS = 3, RECEIVERS = 3, ITEMS_EACH = 500 };

struct fixture {
    struct cancel cancel;
    struct fifo *fifo;
    struct crew *crew;
    int items[SENDERS * ITEMS_EACH];
    atomic_size_t next, received;
};

static int make(void **state)
{
    struct error err;
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    if (cancel_init(&f->cancel, &err) < 0)
        return -1;
    f->fifo = fifo_new(CAPACITY, &f->cancel);
    f->crew = crew_new(&f->cancel);
    return 0;
}

static int unmake(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    crew_freep(&f->crew);
    fifo_freep(&f->fifo);
    cancel_done(&f->cancel);
    return 0;
}

static int push_one(void *arg, struct error *err)
{
    struct fixture *f = arg;
    return fifo_push(f->fifo, &f->items[0], err);
}

static int pop_one(void *arg, struct error *err)
{
    struct fixture *f = arg;
    void *item;
    return fifo_pop(f->fifo, &item, err);
}

static int send_items(void *arg, struct error *err)
{
    struct fixture *f = arg;
    for (int i = 0; i < ITEMS_EACH; i++)
        if (fifo_push(f->fifo, &f->items[atomic_fetch_add(&f->next, 1)], err) < 0)
            return -1;
    return 0;
}

static int receive_items(void *arg, struct error *err)
{
    struct fixture *f = arg;
    for (void *item;;) {
        if (fifo_pop(f->fifo, &item, err) < 0)
            return err->kind == ERROR_NOT_FOUND ? 0 : -1;
        ++*(int *)item; /* by one receiver only: else a race that ThreadSanitizer sees */
        atomic_fetch_add(&f->received, 1);
    }
}

static void items_come_out_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < CAPACITY - 1; i++)
            assert_int_equal(fifo_push(f->fifo, &f->items[i], &err), 0);
        for (int i = 0; i < CAPACITY - 1; i++) {
            void *item;
            assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
            assert_ptr_equal(item, &f->items[i]);
        }
    }
}

static void a_closed_fifo_is_emptied_and_then_not_found(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *item = NULL;
    assert_int_equal(fifo_push(f->fifo, &f->items[0], &err), 0);
    assert_int_equal(fifo_push(f->fifo, &f->items[1], &err), 0);
    fifo_close(f->fifo);
    fifo_close(f->fifo);
    assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
    assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
    assert_ptr_equal(item, &f->items[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fifo_pop(f->fifo, &item, &err), -1);
        assert_int_equal(err.kind, ERROR_NOT_FOUND);
    }
    assert_ptr_equal(item, &f->items[1]);
}

static void a_null_pointer_is_an_item_like_any(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *item = f;
    assert_int_equal(fifo_push(f->fifo, NULL, &err), 0);
    assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
    assert_null(item);
}

static void a_full_fifo_makes_the_sender_wait_for_room(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *item;
    for (int i = 1; i <= CAPACITY; i++)
        assert_int_equal(fifo_push(f->fifo, &f->items[i], &err), 0);
    assert_int_equal(crew_start(f->crew, "sender", push_one, f, &err), 0);
    for (int i = 1; i <= CAPACITY; i++) {
        assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
        assert_ptr_equal(item, &f->items[i]);
    }
    assert_int_equal(fifo_pop(f->fifo, &item, &err), 0);
    assert_ptr_equal(item, &f->items[0]);
    assert_int_equal(crew_join(f->crew, &err), 0);
}

static void cancelling_wakes_a_waiting_sender(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(fifo_push(f->fifo, &f->items[i], &err), 0);
    assert_int_equal(crew_start(f->crew, "sender", push_one, f, &err), 0);
    cancel_trigger(&f->cancel);
    assert_int_equal(crew_join(f->crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void cancelling_wakes_all_waiting_receivers(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int i = 0; i < RECEIVERS; i++)
        assert_int_equal(crew_start(f->crew, "receiver", pop_one, f, &err), 0);
    cancel_trigger(&f->cancel);
    assert_int_equal(crew_join(f->crew, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void a_cancelled_fifo_gives_nothing_though_it_has_something(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *item;
    assert_int_equal(fifo_push(f->fifo, &f->items[0], &err), 0);
    cancel_trigger(&f->cancel);
    assert_int_equal(fifo_pop(f->fifo, &item, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(fifo_push(f->fifo, &f->items[1], &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void closing_ends_all_waiting_receivers(void **state)
{
    struct fixture *f = *state;
    struct error err;
    for (int i = 0; i < RECEIVERS; i++)
        assert_int_equal(crew_start(f->crew, "receiver", receive_items, f, &err), 0);
    fifo_close(f->fifo);
    assert_int_equal(crew_join(f->crew, &err), 0);
}

static void every_item_arrives_once_among_many_threads(void **state)
{
    struct fixture *f = *state;
    struct error err;
    CLEANUP(crew_freep) struct crew *senders = crew_new(&f->cancel);
    for (int i = 0; i < RECEIVERS; i++)
        assert_int_equal(crew_start(f->crew, "receiver", receive_items, f, &err), 0);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(crew_start(senders, "sender", send_items, f, &err), 0);
    assert_int_equal(crew_join(senders, &err), 0);
    fifo_close(f->fifo);
    assert_int_equal(crew_join(f->crew, &err), 0);
    assert_int_equal(f->received, SENDERS * ITEMS_EACH);
    for (int i = 0; i < SENDERS * ITEMS_EACH; i++)
        assert_int_equal(f->items[i], 1);
}

static void waiting_for_an_item_ends_when_the_time_is_over(void **state)
{
    struct fixture *f = *state;
    struct error err;
    void *item = NULL;
    assert_int_equal(fifo_pop_within(f->fifo, 0, &item, &err), 0);
    assert_int_equal(fifo_pop_within(f->fifo, 5, &item, &err), 0);
    assert_null(item);
    assert_int_equal(fifo_push(f->fifo, &f->items[0], &err), 0);
    assert_int_equal(fifo_pop_within(f->fifo, 0, &item, &err), 1);
    assert_ptr_equal(item, &f->items[0]);
    fifo_close(f->fifo);
    assert_int_equal(fifo_pop_within(f->fifo, 0, &item, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void freeing_no_fifo_is_fine(void **state)
{
    (void)state;
    struct fifo *none = NULL;
    fifo_free(none);
    fifo_freep(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(items_come_out_in_their_order, make, unmake),
        cmocka_unit_test_setup_teardown(a_closed_fifo_is_emptied_and_then_not_found, make, unmake),
        cmocka_unit_test_setup_teardown(a_null_pointer_is_an_item_like_any, make, unmake),
        cmocka_unit_test_setup_teardown(a_full_fifo_makes_the_sender_wait_for_room, make, unmake),
        cmocka_unit_test_setup_teardown(cancelling_wakes_a_waiting_sender, make, unmake),
        cmocka_unit_test_setup_teardown(cancelling_wakes_all_waiting_receivers, make, unmake),
        cmocka_unit_test_setup_teardown(a_cancelled_fifo_gives_nothing_though_it_has_something,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(closing_ends_all_waiting_receivers, make, unmake),
        cmocka_unit_test_setup_teardown(every_item_arrives_once_among_many_threads, make, unmake),
        cmocka_unit_test_setup_teardown(waiting_for_an_item_ends_when_the_time_is_over, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(freeing_no_fifo_is_fine, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
