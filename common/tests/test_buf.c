// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"

/* A directory with a file "f" of the given size, in which byte i is i. */
struct files {
    char path[64];
    int dir;
};

static void make_file(const struct files *files, size_t size)
{
    CLEANUP(own_closep) int fd = openat(files->dir, "f", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(write(fd, &(uint8_t){(uint8_t)i}, 1), 1);
}

static int make_directory(void **state)
{
    struct files *files = own_alloc(sizeof(*files));
    const char *tmp = getenv("TMPDIR");
    snprintf(files->path, sizeof(files->path), "%s/test_buf.XXXXXX", tmp ? tmp : "/tmp");
    files->dir = mkdtemp(files->path) ? open(files->path, O_RDONLY | O_DIRECTORY) : -1;
    *state = files;
    return files->dir < 0 ? -1 : 0;
}

static int remove_directory(void **state)
{
    struct files *files = *state;
    unlinkat(files->dir, "f", 0);
    own_closep(&files->dir);
    int failed = rmdir(files->path);
    free(files);
    return failed;
}

static void appended_bytes_follow_each_other(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(1 << 20);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(buf_append(&buf, &(uint8_t){(uint8_t)i}, 1, &err), 0);
    assert_int_equal(buf.size, 10000);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(buf.data[i], (uint8_t)i);
}

static void appending_up_to_the_limit_fits_and_a_byte_more_changes_nothing(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(5);
    assert_int_equal(buf_append(&buf, "abc", 3, &err), 0);
    assert_int_equal(buf_append(&buf, "def", 3, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "larger than 5 bytes");
    assert_int_equal(buf.size, 3);
    assert_int_equal(buf_append(&buf, "de", 2, &err), 0);
    assert_memory_equal(buf.data, "abcde", 5);
    assert_true(buf.capacity <= buf.limit);
}

static void a_size_that_would_overflow_is_refused(void **state)
{
    (void)state;
    struct error err;
    uint8_t *space;
    CLEANUP(buf_done) struct buf buf = BUF(100);
    assert_int_equal(buf_append(&buf, "abc", 3, &err), 0);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 1, &space, &err), -1);
    assert_int_equal(buf.size, 3);
}

static void an_empty_limit_takes_nothing_but_nothing(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(0);
    assert_int_equal(buf_append(&buf, NULL, 0, &err), 0);
    assert_int_equal(buf_append(&buf, "a", 1, &err), -1);
}

static void reserved_space_becomes_content_by_its_size(void **state)
{
    (void)state;
    struct error err;
    uint8_t *space;
    CLEANUP(buf_done) struct buf buf = BUF(100);
    assert_int_equal(buf_append(&buf, "ab", 2, &err), 0);
    assert_int_equal(buf_reserve(&buf, 98, &space, &err), 0);
    assert_ptr_equal(space, buf.data + 2);
    assert_int_equal(buf.size, 2);
    memset(space, 'x', 98);
    buf.size += 98;
    assert_int_equal(buf_append(&buf, "y", 1, &err), -1);
}

static void formatted_text_needs_no_room_for_a_nul(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(6);
    assert_int_equal(buf_format(&buf, &err, "%03d", 7), 0);
    assert_int_equal(buf_format(&buf, &err, "%s", "abc"), 0);
    assert_memory_equal(buf.data, "007abc", 6);
    assert_int_equal(buf_format(&buf, &err, "%d", 1), -1);
    assert_int_equal(buf.size, 6);
}

static void a_cleared_buf_keeps_its_memory_and_a_done_one_starts_again(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(1000);
    assert_int_equal(buf_append(&buf, "abc", 3, &err), 0);
    uint8_t *data = buf.data;
    buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_ptr_equal(buf.data, data);
    buf_done(&buf);
    assert_null(buf.data);
    assert_int_equal(buf_append(&buf, "d", 1, &err), 0);
    assert_memory_equal(buf.data, "d", 1);
}

static void a_string_of_the_content_ends_with_nul(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(1000);
    CLEANUP(own_freep) char *empty = buf_string(&buf);
    assert_string_equal(empty, "");
    assert_int_equal(buf_append(&buf, "abc", 3, &err), 0);
    CLEANUP(own_freep) char *text = buf_string(&buf);
    assert_string_equal(text, "abc");
}

static void a_secret_survives_growing_and_is_gone_when_cleared(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF_SECRET(100000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(buf_append(&buf, "secret", 6, &err), 0);
    assert_int_equal(buf.size, 6000);
    assert_memory_equal(buf.data + 5994, "secret", 6);
    buf_clear(&buf);
    for (size_t i = 0; i < 6000; i++)
        assert_int_equal(buf.data[i], 0);
}

static void wiping_overwrites(void **state)
{
    (void)state;
    char text[] = "secret";
    buf_wipe(text, sizeof(text));
    assert_memory_equal(text, "\0\0\0\0\0\0", sizeof(text));
    buf_wipe(NULL, 0);
}

static void a_file_replaces_the_content(void **state)
{
    const struct files *files = *state;
    struct error err;
    make_file(files, 3000);
    CLEANUP(buf_done) struct buf buf = BUF(3000);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(buf_read_file(&buf, files->dir, "f", &err), 0);
        assert_int_equal(buf.size, 3000);
        assert_int_equal(buf.data[2999], (uint8_t)2999);
    }
}

static void a_file_larger_than_the_limit_is_refused(void **state)
{
    const struct files *files = *state;
    struct error err;
    make_file(files, 11);
    CLEANUP(buf_done) struct buf buf = BUF(10);
    assert_int_equal(buf_read_file(&buf, files->dir, "f", &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "'f' is larger than 10 bytes");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    const struct files *files = *state;
    struct error err;
    CLEANUP(buf_done) struct buf buf = BUF(10);
    assert_int_equal(buf_read_file(&buf, files->dir, "none", &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_string_equal(err.text, "open 'none': No such file or directory");
    assert_int_equal(buf_read_file(&buf, AT_FDCWD, files->path, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "Is a directory"));
}

static void reading_at_an_offset_stops_only_at_the_end(void **state)
{
    const struct files *files = *state;
    struct error err;
    uint8_t data[20];
    make_file(files, 100);
    CLEANUP(own_closep) int fd = openat(files->dir, "f", O_RDONLY);
    assert_int_equal(buf_pread(fd, data, 20, 50, &err), 20);
    assert_int_equal(data[19], 69);
    assert_int_equal(buf_pread(fd, data, 20, 90, &err), 10);
    assert_int_equal(buf_pread(fd, data, 20, 100, &err), 0);
    assert_int_equal(buf_pread(-1, data, 20, 7, &err), -1);
    assert_string_equal(err.text, "read at offset 7: Bad file descriptor");
}

static void writing_at_an_offset_writes_all(void **state)
{
    const struct files *files = *state;
    struct error err;
    uint8_t data[4];
    make_file(files, 4);
    CLEANUP(own_closep) int fd = openat(files->dir, "f", O_RDWR);
    assert_int_equal(buf_pwrite(fd, "xy", 2, 2, &err), 0);
    assert_int_equal(buf_pread(fd, data, 4, 0, &err), 4);
    assert_memory_equal(data, "\0\1xy", 4);
    CLEANUP(own_closep) int full = open("/dev/full", O_WRONLY);
    assert_int_equal(buf_pwrite(full, "xy", 2, 0, &err), -1);
    assert_string_equal(err.text, "write at offset 0: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_follow_each_other),
        cmocka_unit_test(appending_up_to_the_limit_fits_and_a_byte_more_changes_nothing),
        cmocka_unit_test(a_size_that_would_overflow_is_refused),
        cmocka_unit_test(an_empty_limit_takes_nothing_but_nothing),
        cmocka_unit_test(reserved_space_becomes_content_by_its_size),
        cmocka_unit_test(formatted_text_needs_no_room_for_a_nul),
        cmocka_unit_test(a_cleared_buf_keeps_its_memory_and_a_done_one_starts_again),
        cmocka_unit_test(a_string_of_the_content_ends_with_nul),
        cmocka_unit_test(a_secret_survives_growing_and_is_gone_when_cleared),
        cmocka_unit_test(wiping_overwrites),
        cmocka_unit_test(a_file_replaces_the_content),
        cmocka_unit_test(a_file_larger_than_the_limit_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(reading_at_an_offset_stops_only_at_the_end),
        cmocka_unit_test(writing_at_an_offset_writes_all),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
