// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/own.h"
#include "sidecar/page_check.h"
#include "sidecar/pg_page.h"
#include "sidecar/tests/helper_tree.h"

enum { PAGES = 8, FIRST_BLOCK = 131072 };

static uint8_t pages[PAGES * PG_PAGE_BYTES];
static struct cancel cancel;

/* The server's side: what a further read finds. */
static struct server {
    size_t reads;
    size_t sound_after; /* so many reads find what was there */
    bool gone, fails;
} server;

static int reread(void *arg, size_t index, uint8_t *page, struct error *err)
{
    struct server *s = arg;
    if (s->fails)
        return error_set(err, ERROR_PERMANENT, "input/output error");
    if (s->gone)
        memset(page, 0, PG_PAGE_BYTES);
    else if (++s->reads > s->sound_after)
        helper_tree_page(page, FIRST_BLOCK + (uint32_t)index);
    return 0;
}

static const struct page_check check = {
    .block = FIRST_BLOCK,
    .start_lsn = HELPER_TREE_LSN + 1,
    .cancel = &cancel,
    .reread = reread,
    .arg = &server,
};

static int set_up(void **state)
{
    (void)state;
    struct error err;
    for (uint32_t i = 0; i < PAGES; i++)
        helper_tree_page(pages + i * PG_PAGE_BYTES, FIRST_BLOCK + i);
    server = (struct server){.sound_after = SIZE_MAX};
    return cancel_init(&cancel, &err);
}

static int tear_down(void **state)
{
    (void)state;
    cancel_done(&cancel);
    return 0;
}

static uint8_t *page(size_t index)
{
    return pages + index * PG_PAGE_BYTES;
}

static struct page_check_result run(void)
{
    struct error err;
    struct page_check_result result;
    if (page_check_run(&check, pages, PAGES, &result, &err) < 0)
        fail_msg("%s", err.text);
    return result;
}

static void sound_pages_are_read_once(void **state)
{
    (void)state;
    memset(page(3), 0, PG_PAGE_BYTES); /* new */
    assert_int_equal(run().count, 0);
    assert_int_equal(server.reads, 0);
}

static void a_torn_page_is_replaced_by_what_it_is_now(void **state)
{
    (void)state;
    uint8_t sound[PG_PAGE_BYTES];
    memcpy(sound, page(5), PG_PAGE_BYTES);
    memset(page(5) + 4096, 0xEE, 4096);
    server.sound_after = 1;
    assert_int_equal(run().count, 0);
    assert_int_equal(server.reads, 2);
    assert_memory_equal(page(5), sound, PG_PAGE_BYTES);
}

static void a_page_that_stays_wrong_is_bad_and_kept_as_it_is(void **state)
{
    (void)state;
    page(2)[5000] ^= 1;
    page(7)[5000] ^= 1;
    uint8_t bad[PG_PAGE_BYTES];
    memcpy(bad, page(7), PG_PAGE_BYTES);
    struct page_check_result result = run();
    assert_int_equal(result.count, 2);
    assert_int_equal(result.bad[0], 2);
    assert_int_equal(result.bad[1], 7);
    assert_memory_equal(page(7), bad, PG_PAGE_BYTES);
}

static void a_page_in_the_wrong_place_is_bad(void **state)
{
    (void)state;
    memcpy(page(1), page(2), PG_PAGE_BYTES);
    struct page_check_result result = run();
    assert_int_equal(result.count, 1);
    assert_int_equal(result.bad[0], 1);
}

static void a_page_that_is_truncated_meanwhile_is_sound(void **state)
{
    (void)state;
    page(7)[5000] ^= 1;
    server.gone = true;
    assert_int_equal(run().count, 0);
    assert_true(pg_page_is_zero(page(7)));
}

static void a_page_written_since_the_start_is_the_wals(void **state)
{
    (void)state;
    struct error err;
    struct page_check_result result;
    struct page_check since = check;
    page(4)[5000] ^= 1;
    since.start_lsn = HELPER_TREE_LSN;
    assert_int_equal(page_check_run(&since, pages, PAGES, &result, &err), 0);
    assert_int_equal(result.count, 0);
}

static void errors_and_cancel_end_the_wait(void **state)
{
    (void)state;
    struct error err;
    struct page_check_result result;
    page(4)[5000] ^= 1;
    server.fails = true;
    assert_int_equal(page_check_run(&check, pages, PAGES, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    server.fails = false;
    cancel_trigger(&cancel);
    assert_int_equal(page_check_run(&check, pages, PAGES, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sound_pages_are_read_once),
        TEST(a_torn_page_is_replaced_by_what_it_is_now),
        TEST(a_page_that_stays_wrong_is_bad_and_kept_as_it_is),
        TEST(a_page_in_the_wrong_place_is_bad),
        TEST(a_page_that_is_truncated_meanwhile_is_sound),
        TEST(a_page_written_since_the_start_is_the_wals),
        TEST(errors_and_cancel_end_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
