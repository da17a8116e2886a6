// SPDX-License-Identifier: Apache-2.0
/* What store.c adds to every driver: attempts, and puts whose answer got lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_fault.h"

static int set_up(void **state)
{
    struct helper_store *helper = own_alloc(sizeof(*helper));
    *state = helper;
    helper_store_open_file(helper);
    helper->store = store_fault_wrap(helper->store);
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static int tear_down(void **state)
{
    struct helper_store *helper = *state;
    helper_store_close(helper);
    own_freep(&helper);
    return 0;
}

static struct store *store_of(void **state)
{
    return ((struct helper_store *)*state)->store;
}

static void what_is_transient_is_tried_again(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    store_fault_set(store, 1, 2 * STORE_RETRIES, STORE_FAULT_TRANSIENT);
    helper_store_assert_put(store, "a", "bytes"); /* after each failed attempt it looks */
    assert_int_equal(store_fault_calls(store), 1 + 2 * STORE_RETRIES);
    store_fault_set(store, store_fault_calls(store) + 1, 1, STORE_FAULT_TRANSIENT);
    helper_store_assert_content(store, "a", "bytes");
    store_fault_set(store, store_fault_calls(store) + 1, 1, STORE_FAULT_TRANSIENT);
    CLEANUP(own_freep) char *names = helper_store_names(store, "", STORE_DEEP);
    assert_string_equal(names, "a ");
    store_fault_set(store, store_fault_calls(store) + 1, 1, STORE_FAULT_LOST_ANSWER);
    assert_int_equal(store_remove(store, "a", &err), 0);
}

static void after_enough_attempts_it_gives_up(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    const struct store_bytes bytes = helper_store_text("x");
    store_fault_set(store, 1, 1000, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_put(store, "a", &bytes, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_string_equal(err.text,
                        "put 'a' in region 'test': gave up after 8 attempts: fault of the test");
    assert_int_equal(store_fault_calls(store), 1 + 2 * STORE_RETRIES);
}

static void what_is_permanent_is_not_tried_again(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    store_fault_set(store, 1, 1, STORE_FAULT_PERMANENT);
    assert_int_equal(store_remove(store, "a", &err), -1);
    assert_string_equal(err.text, "remove 'a' in region 'test': fault of the test");
    assert_int_equal(store_fault_calls(store), 1);
}

static void what_came_before_a_fault_does_not_count(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(100);
    helper_store_assert_put(store, "a", "0123456789");
    assert_int_equal(buf_append(&got, "before ", 7, &err), 0);
    store_fault_set(store, 2, 3, STORE_FAULT_PARTIAL);
    assert_int_equal(store_get(store, "a", 2, 5, &got, &err), 0);
    CLEANUP(own_freep) char *text = buf_string(&got);
    assert_string_equal(text, "before 23456");
    store_fault_set(store, 1, 1000, STORE_FAULT_LOST_ANSWER);
    assert_int_equal(store_get_all(store, "a", &got, &err), -1);
    assert_int_equal(got.size, 12);
}

static void a_put_whose_answer_got_lost_has_succeeded(void **state)
{
    static const size_t sizes[] = {0, 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 5};
    struct store *store = store_of(state);
    struct error err;
    CLEANUP(own_freep) char *data = own_alloc(3 << 20);
    memset(data, 'x', 3 << 20);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        const char name[] = {'a', (char)('0' + i), '\0'};
        const struct store_bytes bytes = helper_store_bytes(data, sizes[i]);
        store_fault_set(store, store_fault_calls(store) + 1, 1, STORE_FAULT_LOST_ANSWER);
        if (store_put(store, name, &bytes, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void a_put_that_another_one_forestalled_is_a_conflict(void **state)
{
    static const char *const theirs[] = {"bytez", "byte", "bytes!", ""};
    struct store *store = store_of(state);
    struct error err;
    const struct store_bytes ours = helper_store_text("bytes");
    for (size_t i = 0; i < ARRAY_SIZE(theirs); i++) {
        helper_store_assert_put(store, "a", theirs[i]);
        store_fault_set(store, store_fault_calls(store) + 1, 1, STORE_FAULT_TRANSIENT);
        assert_int_equal(store_put(store, "a", &ours, &err), -1);
        assert_int_equal(err.kind, ERROR_CONFLICT);
        assert_string_equal(err.text, "put 'a' in region 'test': the object exists already");
        assert_int_equal(store_remove(store, "a", &err), 0);
    }
}

static void reading_back_is_tried_again_too(void **state)
{
    struct store *store = store_of(state);
    const struct store_bytes bytes = helper_store_text("bytes");
    struct error err;
    helper_store_assert_put(store, "a", "bytes"); /* 1 */
    store_fault_set(store, 2, 1, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_put(store, "a", &bytes, &err), 0); /* 2 fails, 3 conflicts, 4 reads */
    assert_int_equal(store_fault_calls(store), 4);
}

static void a_canceled_job_waits_for_no_attempt(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    helper->store->backoff_ms = 1000000;
    store_fault_set(helper->store, 1, 1000, STORE_FAULT_TRANSIENT);
    cancel_trigger(&helper->cancel);
    assert_int_equal(store_remove(helper->store, "a", &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(store_fault_calls(helper->store), 1);
}

static void an_attempt_waits_as_long_as_the_store_wishes(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    int64_t start_ms = clock_monotonic_ms();
    store->retry_at_ms = start_ms + 60;
    store_fault_set(store, 1, 1, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_remove(store, "a", &err), 0);
    assert_true(clock_monotonic_ms() - start_ms >= 59);
}

static void a_store_is_silent_until_something_goes_well(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    enum { HOUR_MS = 60 * 60 * 1000 };
    store->moved_ms -= HOUR_MS;
    assert_true(store_silent_ms(store) >= HOUR_MS);
    helper_store_assert_put(store, "a", "bytes");
    assert_true(store_silent_ms(store) < HOUR_MS);
    store_fault_set(store, store_fault_calls(store) + 1, 1000, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_remove(store, "a", &err), -1);
    store->failing_ms -= HOUR_MS; /* since the first of these failures, bytes may move or not */
    assert_int_equal(store_remove(store, "a", &err), -1);
    store->moved_ms = clock_monotonic_ms();
    assert_true(store_silent_ms(store) >= HOUR_MS);
    store_fault_set(store, 0, 0, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_remove(store, "a", &err), 0);
    assert_true(store_silent_ms(store) < HOUR_MS);
}

static void each_failed_attempt_is_logged(void **state)
{
    struct store *store = store_of(state);
    struct error err;
    char text[2000] = "";
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    log_set_level(LOG_LEVEL_WARN);
    log_set_fd(fds[1]);
    store_fault_set(store, 1, 2, STORE_FAULT_TRANSIENT);
    assert_int_equal(store_remove(store, "a/b", &err), 0);
    log_set_fd(STDERR_FILENO);
    assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
    close(fds[0]);
    close(fds[1]);
    const char *second = strchr(text, '\n') + 1;
    assert_non_null(strstr(text, "\"level\":\"warn\""));
    assert_non_null(strstr(text, "\"name\":\"a/b\""));
    assert_non_null(strstr(text, "\"error\":\"fault of the test\""));
    assert_non_null(strstr(second, "\"attempt\":2"));
    assert_string_equal(strchr(second, '\n'), "\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_transient_is_tried_again),
        TEST(after_enough_attempts_it_gives_up),
        TEST(what_is_permanent_is_not_tried_again),
        TEST(what_came_before_a_fault_does_not_count),
        TEST(a_put_whose_answer_got_lost_has_succeeded),
        TEST(a_put_that_another_one_forestalled_is_a_conflict),
        TEST(reading_back_is_tried_again_too),
        TEST(a_canceled_job_waits_for_no_attempt),
        TEST(an_attempt_waits_as_long_as_the_store_wishes),
        TEST(a_store_is_silent_until_something_goes_well),
        TEST(each_failed_attempt_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
