// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/page_cache.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_page_cache.h"

enum { PAGES = 64 };

struct fixture {
    char *directory, *path;
    int fd;
    size_t page_bytes;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.fd = -1, .page_bytes = (size_t)sysconf(_SC_PAGESIZE)};
    *state = &f;
    f.directory = helper_page_cache_directory();
    if (!f.directory)
        return 0;
    f.path = own_format("%s/file", f.directory);
    helper_page_cache_make(f.path, PAGES);
    f.fd = open(f.path, O_RDWR | O_CLOEXEC);
    assert_int_not_equal(f.fd, -1);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    own_closep(&f->fd);
    own_freep(&f->path);
    if (f->directory)
        helper_directory_remove(f->directory);
    return 0;
}

/* Skips the test where all file systems are in memory. */
static struct fixture *disk_of(void **state)
{
    struct fixture *f = *state;
    if (!f->directory)
        skip();
    return f;
}

static void read_range(const struct fixture *f, size_t first, size_t pages)
{
    CLEANUP(own_freep) char *data = own_alloc(pages * f->page_bytes);
    assert_int_equal(pread(f->fd, data, pages * f->page_bytes, (off_t)(first * f->page_bytes)),
                     pages * f->page_bytes);
}

static void expect(const struct fixture *f, const char *expected)
{
    CLEANUP(own_freep) char *text = helper_page_cache_read(f->path);
    assert_string_equal(text, expected);
}

static void expect_count(const struct fixture *f, size_t count)
{
    assert_int_equal(helper_page_cache_count(f->path), count);
}

static void what_was_not_there_goes_and_what_was_stays(void **state)
{
    static const size_t there[] = {0, 5, 6, 31, 63};
    struct fixture *f = disk_of(state);
    char expected[PAGES + 1];
    memset(expected, '.', PAGES);
    expected[PAGES] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
        helper_page_cache_touch(f->path, there[i]);
        expected[there[i]] = 'x';
    }
    expect(f, expected);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 0, PAGES * f->page_bytes);
    assert_false(cache.complete);
    read_range(f, 0, PAGES);
    expect_count(f, PAGES);
    page_cache_drop(&cache, f->fd);
    expect(f, expected);
}

static void a_cold_file_is_cold_again(void **state)
{
    struct fixture *f = disk_of(state);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 0, PAGES * f->page_bytes);
    assert_false(cache.complete);
    read_range(f, 0, PAGES);
    page_cache_drop(&cache, f->fd);
    expect_count(f, 0);
}

static void a_warm_file_stays_warm_and_costs_no_memory(void **state)
{
    struct fixture *f = disk_of(state);
    read_range(f, 0, PAGES);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 0, PAGES * f->page_bytes);
    assert_null(cache.absent);
    assert_true(cache.complete);
    page_cache_drop(&cache, f->fd);
    expect_count(f, PAGES);
}

static void the_rest_of_the_file_is_left_alone(void **state)
{
    struct fixture *f = disk_of(state);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 16 * f->page_bytes, 8 * f->page_bytes);
    read_range(f, 0, PAGES);
    page_cache_drop(&cache, f->fd);
    expect(f, "xxxxxxxxxxxxxxxx........xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void a_page_that_is_not_whole_counts_as_one(void **state)
{
    struct fixture *f = disk_of(state);
    assert_int_equal(ftruncate(f->fd, (off_t)(3 * f->page_bytes - 100)), 0);
    helper_page_cache_drop(f->path);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 0, 3 * f->page_bytes - 100);
    read_range(f, 0, 2);
    helper_page_cache_touch(f->path, 2);
    expect(f, "xxx");
    page_cache_drop(&cache, f->fd);
    expect(f, "...");
}

static void a_page_that_was_changed_meanwhile_keeps_its_change(void **state)
{
    struct fixture *f = disk_of(state);
    CLEANUP(page_cache_done) struct page_cache cache;
    char byte = 0;
    page_cache_look(&cache, f->fd, 0, PAGES * f->page_bytes);
    assert_int_equal(pwrite(f->fd, "!", 1, 7), 1);
    read_range(f, 0, PAGES);
    page_cache_drop(&cache, f->fd);
    assert_int_equal(pread(f->fd, &byte, 1, 7), 1);
    assert_int_equal(byte, '!');
}

static void a_file_that_shrank_meanwhile_is_no_error(void **state)
{
    struct fixture *f = disk_of(state);
    CLEANUP(page_cache_done) struct page_cache cache;
    page_cache_look(&cache, f->fd, 0, PAGES * f->page_bytes);
    assert_int_equal(ftruncate(f->fd, (off_t)f->page_bytes), 0);
    page_cache_drop(&cache, f->fd);
    CLEANUP(page_cache_done) struct page_cache beyond;
    page_cache_look(&beyond, f->fd, 0, PAGES * f->page_bytes);
    page_cache_drop(&beyond, f->fd);
}

static void what_the_kernel_does_not_tell_is_left_alone(void **state)
{
    struct fixture *f = disk_of(state);
    int pipes[2];
    struct page_cache cache;
    assert_int_equal(pipe(pipes), 0);
    page_cache_look(&cache, pipes[0], 0, f->page_bytes); /* which has none */
    page_cache_drop(&cache, pipes[0]);
    page_cache_done(&cache);
    page_cache_look(&cache, -1, 0, f->page_bytes);
    assert_null(cache.absent);
    assert_false(cache.complete);
    page_cache_look(&cache, f->fd, 0, 0);
    assert_null(cache.absent);
    page_cache_drop(&cache, f->fd);
    page_cache_done(&cache);
    own_closep(&pipes[0]);
    own_closep(&pipes[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_there_goes_and_what_was_stays),
        TEST(a_cold_file_is_cold_again),
        TEST(a_warm_file_stays_warm_and_costs_no_memory),
        TEST(the_rest_of_the_file_is_left_alone),
        TEST(a_page_that_is_not_whole_counts_as_one),
        TEST(a_page_that_was_changed_meanwhile_keeps_its_change),
        TEST(a_file_that_shrank_meanwhile_is_no_error),
        TEST(what_the_kernel_does_not_tell_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
