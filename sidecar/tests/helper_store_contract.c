// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_store_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"

enum { THREADS = 4, FEW = 40, PAGE_AND_MORE = 1100, LIMITED_BYTES = 256 << 10, RATE = 512 << 10 };

static helper_store_opener open_store;
static unsigned many; /* objects of a listing */

static int set_up(void **state)
{
    struct helper_store *helper = own_alloc(sizeof(*helper));
    *state = helper;
    open_store(helper);
    return 0;
}

static int remove_found(void *arg, const struct store_object *object, struct error *err)
{
    return store_remove(arg, object->name, err);
}

static int tear_down(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    int result = store_list(helper->store, "", STORE_DEEP, remove_found, helper->store, &err);
    helper_store_close(helper);
    own_freep(&helper);
    return result;
}

static struct store *store_of(void **state)
{
    return ((struct helper_store *)*state)->store;
}

static void assert_names(struct store *store, const char *prefix, enum store_depth depth,
                         const char *expected)
{
    CLEANUP(own_freep) char *names = helper_store_names(store, prefix, depth);
    assert_string_equal(names, expected);
}

static void assert_kind(int result, const struct error *err, enum error_kind kind)
{
    assert_int_equal(result, -1);
    if (err->kind != kind)
        fail_msg("%s: %s", error_kind_name(err->kind), err->text);
}

static void what_is_put_is_got(void **state)
{
    static const size_t sizes[] = {0, 1, 100000, 3 << 20};
    struct error err;
    CLEANUP(own_freep) uint8_t *data = own_alloc(sizes[ARRAY_SIZE(sizes) - 1]);
    for (size_t i = 0; i < sizes[ARRAY_SIZE(sizes) - 1]; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char name[32];
        CLEANUP(buf_done) struct buf got = BUF(4 << 20);
        const struct store_bytes bytes = helper_store_bytes(data, sizes[i]);
        snprintf(name, sizeof(name), "sizes/%zu", sizes[i]);
        assert_int_equal(store_put(store_of(state), name, &bytes, &err), 0);
        assert_int_equal(store_get_all(store_of(state), name, &got, &err), 0);
        assert_int_equal(got.size, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(got.data, data, sizes[i]);
    }
}

static void no_object_is_ever_replaced(void **state)
{
    struct error err;
    const struct store_bytes other = helper_store_text("other"), same = helper_store_text("first");
    helper_store_assert_put(store_of(state), "a/b", "first");
    assert_kind(store_put(store_of(state), "a/b", &other, &err), &err, ERROR_CONFLICT);
    assert_string_equal(err.text, "put 'a/b' in region 'test': the object exists already");
    assert_kind(store_put(store_of(state), "a/b", &same, &err), &err, ERROR_CONFLICT);
    helper_store_assert_content(store_of(state), "a/b", "first");
}

static void a_range_ends_where_the_object_ends(void **state)
{
    static const struct {
        uint64_t offset, size;
        const char *expected;
    } table[] = {
        {0, 10, "0123456789"}, {0, 1, "0"},         {3, 4, "3456"},
        {9, 1, "9"},           {8, 100, "89"},      {0, UINT64_MAX, "0123456789"},
        {10, 1, ""},           {1000000, 1000, ""}, {5, UINT64_MAX, "56789"},
    };
    struct error err;
    helper_store_assert_put(store_of(state), "digits", "0123456789");
    helper_store_assert_put(store_of(state), "empty", "");
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        CLEANUP(buf_done) struct buf got = BUF(1000);
        assert_int_equal(buf_append(&got, "before ", 7, &err), 0);
        if (store_get(store_of(state), "digits", table[i].offset, table[i].size, &got, &err) < 0)
            fail_msg("%s", err.text);
        CLEANUP(own_freep) char *text = buf_string(&got);
        assert_string_equal(text + 7, table[i].expected);
    }
    CLEANUP(buf_done) struct buf nothing = BUF(1000);
    if (store_get(store_of(state), "empty", 0, 10, &nothing, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(nothing.size, 0);
}

static void an_object_that_is_not_there_is_not_found(void **state)
{
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(1000);
    helper_store_assert_put(store_of(state), "a/b", "x");
    assert_kind(store_get_all(store_of(state), "nothing", &got, &err), &err, ERROR_NOT_FOUND);
    assert_string_equal(err.text, "get 'nothing' in region 'test': no such object");
    assert_kind(store_get(store_of(state), "a/c", 5, 1, &got, &err), &err, ERROR_NOT_FOUND);
    assert_kind(store_get_all(store_of(state), "a", &got, &err), &err, ERROR_NOT_FOUND);
    assert_int_equal(got.size, 0);
}

static void an_object_that_does_not_fit_is_permanent_and_leaves_the_buf(void **state)
{
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(10), exact = BUF(5);
    helper_store_assert_put(store_of(state), "five", "12345");
    assert_int_equal(buf_append(&got, "before", 6, &err), 0);
    assert_kind(store_get_all(store_of(state), "five", &got, &err), &err, ERROR_PERMANENT);
    assert_int_equal(got.size, 6);
    assert_int_equal(got.limit, 10);
    assert_int_equal(store_get_all(store_of(state), "five", &exact, &err), 0);
    assert_kind(store_get_all(store_of(state), "five", &exact, &err), &err, ERROR_PERMANENT);
    assert_int_equal(exact.size, 5);
}

static void what_is_removed_is_gone(void **state)
{
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(1000);
    helper_store_assert_put(store_of(state), "a/b/c", "x");
    helper_store_assert_put(store_of(state), "a/d", "x");
    assert_int_equal(store_remove(store_of(state), "a/b/c", &err), 0);
    assert_int_equal(store_remove(store_of(state), "a/b/c", &err), 0);
    assert_int_equal(store_remove(store_of(state), "never/there", &err), 0);
    assert_kind(store_get_all(store_of(state), "a/b/c", &got, &err), &err, ERROR_NOT_FOUND);
    assert_names(store_of(state), "", STORE_DEEP, "a/d ");
    assert_names(store_of(state), "a/", STORE_SHALLOW, "a/d ");
    helper_store_assert_put(store_of(state), "a/b/c", "again");
    helper_store_assert_content(store_of(state), "a/b/c", "again");
}

static void nothing_is_locked_by_itself(void **state)
{
    struct error err;
    int64_t until_ms = -1;
    struct store_bytes passing = helper_store_text("x");
    passing.passing = true;
    assert_int_equal(store_put(store_of(state), "passing", &passing, &err), 0);
    helper_store_assert_put(store_of(state), "a", "x");
    static const char *const names[] = {"a", "passing", "never/there"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(store_locked_until(store_of(state), names[i], &until_ms, &err), 0);
        assert_int_equal(until_ms, 0);
        assert_int_equal(store_remove(store_of(state), names[i], &err), 0);
    }
    assert_kind(store_locked_until(store_of(state), "../a", &until_ms, &err), &err,
                ERROR_PERMANENT);
}

static void a_listing_goes_as_deep_as_it_shall(void **state)
{
    static const char *const names[] = {"a-b", "a/1", "a/2/x", "a/2/y", "a/20", "b/1", "c.d_e-F/9"};
    struct store *store = store_of(state);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        helper_store_assert_put(store, names[i], names[i]);
    assert_names(store, "", STORE_DEEP, "a-b a/1 a/2/x a/2/y a/20 b/1 c.d_e-F/9 ");
    assert_names(store, "", STORE_SHALLOW, "a-b a/ b/ c.d_e-F/ ");
    assert_names(store, "a", STORE_SHALLOW, "a-b a/ ");
    assert_names(store, "a/", STORE_SHALLOW, "a/1 a/2/ a/20 ");
    assert_names(store, "a/2", STORE_SHALLOW, "a/2/ a/20 ");
    assert_names(store, "a/2", STORE_DEEP, "a/2/x a/2/y a/20 ");
    assert_names(store, "a/2/", STORE_DEEP, "a/2/x a/2/y ");
    assert_names(store, "a/2/x", STORE_DEEP, "a/2/x ");
    assert_names(store, "nothing/", STORE_DEEP, "");
    assert_names(store, "nothing/at/all", STORE_SHALLOW, "");
}

static int check_object(void *arg, const struct store_object *object, struct error *err)
{
    (void)arg, (void)err;
    assert_string_equal(object->name, "a/three");
    assert_int_equal(object->size, 3);
    assert_true(llabs(object->modified_ms - clock_now_ms()) < 60000);
    return 0;
}

static void a_listing_tells_size_and_time(void **state)
{
    struct error err;
    helper_store_assert_put(store_of(state), "a/three", "123");
    assert_int_equal(store_list(store_of(state), "", STORE_DEEP, check_object, NULL, &err), 0);
}

static int stop_listing(void *arg, const struct store_object *object, struct error *err)
{
    ++*(unsigned *)arg;
    return error_set(err, ERROR_TRANSIENT, "enough of '%s'", object->name);
}

static void the_error_of_the_callback_ends_a_listing(void **state)
{
    struct error err;
    unsigned calls = 0;
    helper_store_assert_put(store_of(state), "a", "");
    helper_store_assert_put(store_of(state), "b", "");
    assert_kind(store_list(store_of(state), "", STORE_DEEP, stop_listing, &calls, &err), &err,
                ERROR_TRANSIENT);
    assert_string_equal(err.text, "enough of 'a'");
    assert_int_equal(calls, 1);
}

struct putter {
    struct store *store;
    unsigned number;
    atomic_uint *stored, *conflicts;
    pthread_t thread;
};

/* Every thread its share of many, and all of them the one named "one". */
static void *put_share(void *arg)
{
    struct putter *putter = arg;
    struct error err;
    char text[32];
    snprintf(text, sizeof(text), "%u", putter->number);
    const struct store_bytes bytes = helper_store_text(text);
    if (store_put(putter->store, "one", &bytes, &err) == 0)
        ++*putter->stored;
    else if (err.kind == ERROR_CONFLICT)
        ++*putter->conflicts;
    for (unsigned i = putter->number; i < many; i += THREADS) {
        char name[32];
        snprintf(name, sizeof(name), "many/%04u", i);
        if (store_put(putter->store, name, &bytes, &err) < 0)
            return arg;
    }
    return NULL;
}

static void many_threads_put_many_objects_and_one_only_once(void **state)
{
    struct store *store = store_of(state);
    struct putter putters[THREADS];
    atomic_uint stored = 0, conflicts = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        putters[i] = (struct putter){store, i, &stored, &conflicts, 0};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_share, &putters[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(putters[i].thread, &failed);
        assert_null(failed);
    }
    assert_int_equal(stored, 1);
    assert_int_equal(conflicts, THREADS - 1);
    CLEANUP(own_freep) char *names = helper_store_names(store, "many/", STORE_DEEP);
    assert_int_equal(strlen(names), many * strlen("many/0000 "));
    char last[32];
    snprintf(last, sizeof(last), "many/%04u many/%04u ", many - 2, many - 1);
    assert_non_null(strstr(names, last));
}

static void a_name_is_of_plain_parts(void **state)
{
    static const char *const names[] = {"",         "/",    "/a",   "a/",   "a//b", ".",
                                        "..",       "a/..", "./a",  "../a", "a b",  "a\nb",
                                        "\xc3\xa4", "a~",   "a\\b", "a%2F", "a:b",  "incoming~/x"};
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(10);
    const struct store_bytes bytes = helper_store_text("x");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_kind(store_put(store_of(state), names[i], &bytes, &err), &err, ERROR_PERMANENT);
        assert_kind(store_get(store_of(state), names[i], 0, 1, &got, &err), &err, ERROR_PERMANENT);
        assert_kind(store_get_all(store_of(state), names[i], &got, &err), &err, ERROR_PERMANENT);
        assert_kind(store_remove(store_of(state), names[i], &err), &err, ERROR_PERMANENT);
        assert_non_null(strstr(err.text, "not a name that an object can have"));
    }
    helper_store_assert_put(store_of(state), "...", "dots");
    helper_store_assert_put(store_of(state), ".hidden/..x", "dots");
    assert_names(store_of(state), "", STORE_DEEP, "... .hidden/..x ");
}

static void a_name_may_be_long(void **state)
{
    char name[STORE_NAME_MAX + 2];
    struct error err;
    const struct store_bytes bytes = helper_store_text("x");
    memset(name, 'n', sizeof(name));
    for (size_t i = 100; i < STORE_NAME_MAX; i += 100)
        name[i] = '/';
    name[STORE_NAME_MAX] = '\0';
    helper_store_assert_put(store_of(state), name, "long");
    helper_store_assert_content(store_of(state), name, "long");
    CLEANUP(own_freep) char *names = helper_store_names(store_of(state), "", STORE_DEEP);
    assert_int_equal(strlen(names), STORE_NAME_MAX + 1);
    name[STORE_NAME_MAX] = 'n';
    name[STORE_NAME_MAX + 1] = '\0';
    assert_kind(store_put(store_of(state), name, &bytes, &err), &err, ERROR_PERMANENT);
}

/* No faster than it shall; how much slower tells how busy the machine is, and no more. */
static void assert_no_less_than_it_takes(int64_t started_ms)
{
    int64_t took_ms = clock_monotonic_ms() - started_ms;
    if (took_ms < LIMITED_BYTES * INT64_C(1000) / RATE)
        fail_msg("took %d ms", (int)took_ms);
}

static void a_limit_holds_both_ways(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    CLEANUP(own_freep) uint8_t *data = own_alloc(LIMITED_BYTES);
    CLEANUP(buf_done) struct buf got = BUF(LIMITED_BYTES);
    for (size_t i = 0; i < LIMITED_BYTES; i++)
        data[i] = (uint8_t)(i * i >> 8);
    const struct store_bytes bytes = helper_store_bytes(data, LIMITED_BYTES);
    helper_store_assert_put(store, "first", "of a store, which it may have to find out about");
    int64_t started_ms = clock_monotonic_ms();
    store_limit(store, RATE, 0);
    assert_int_equal(store_put(store, "limited", &bytes, &err), 0);
    assert_no_less_than_it_takes(started_ms);
    started_ms = clock_monotonic_ms();
    store_limit(store, 0, RATE);
    assert_int_equal(store_get(store, "limited", 0, LIMITED_BYTES, &got, &err), 0);
    assert_no_less_than_it_takes(started_ms);
    assert_int_equal(got.size, LIMITED_BYTES);
    assert_memory_equal(got.data, data, LIMITED_BYTES);
}

static void *trigger(void *cancel)
{
    cancel_trigger(cancel);
    return NULL;
}

static void cancel_wakes_who_waits_for_a_limit(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    pthread_t thread;
    CLEANUP(own_freep) uint8_t *data = own_alloc(LIMITED_BYTES);
    const struct store_bytes bytes = helper_store_bytes(data, LIMITED_BYTES);
    store_limit(helper->store, 1, 1); /* hours for each of its parts, longer than any test */
    assert_int_equal(pthread_create(&thread, NULL, trigger, &helper->cancel), 0);
    assert_kind(store_put(helper->store, "limited", &bytes, &err), &err, ERROR_CANCELED);
    pthread_join(thread, NULL);
    /* for what removes the test's objects */
    store_limit(helper->store, 0, 0);
    cancel_done(&helper->cancel);
    assert_int_equal(cancel_init(&helper->cancel, &err), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int helper_store_contract(const char *name, helper_store_opener opener)
{
    const struct CMUnitTest contract[] = {
        TEST(what_is_put_is_got),
        TEST(no_object_is_ever_replaced),
        TEST(a_range_ends_where_the_object_ends),
        TEST(an_object_that_is_not_there_is_not_found),
        TEST(an_object_that_does_not_fit_is_permanent_and_leaves_the_buf),
        TEST(what_is_removed_is_gone),
        TEST(nothing_is_locked_by_itself),
        TEST(a_listing_goes_as_deep_as_it_shall),
        TEST(a_listing_tells_size_and_time),
        TEST(the_error_of_the_callback_ends_a_listing),
        TEST(many_threads_put_many_objects_and_one_only_once),
        TEST(a_name_is_of_plain_parts),
        TEST(a_name_may_be_long),
        TEST(a_limit_holds_both_ways),
        TEST(cancel_wakes_who_waits_for_a_limit),
    };
    /* how pages follow each other is the same whoever asks: the first of a program tries it */
    many = open_store ? FEW : PAGE_AND_MORE;
    open_store = opener;
    return cmocka_run_group_tests_name(name, contract, NULL, NULL);
}
