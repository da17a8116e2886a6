// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"

static void allocated_memory_is_zeroed_even_if_empty(void **state)
{
    (void)state;
    CLEANUP(own_freep) unsigned char *bytes = own_alloc(64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(bytes[i], 0);
    CLEANUP(own_freep) void *nothing = own_alloc(0);
    assert_non_null(nothing);
}

static void resizing_keeps_the_content_and_never_frees(void **state)
{
    (void)state;
    CLEANUP(own_freep) int *numbers = own_resize(NULL, 2, sizeof(int));
    numbers[0] = 7;
    numbers[1] = 8;
    numbers = own_resize(numbers, 1000, sizeof(int));
    assert_int_equal(numbers[1], 8);
    numbers = own_resize(numbers, 0, sizeof(int));
    assert_non_null(numbers);
}

static void texts_are_copied_and_composed(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *copy = own_strdup("abc");
    assert_string_equal(copy, "abc");
    assert_null(own_strdup(NULL));
    CLEANUP(own_freep) char *text = own_format("%s/%06d", "packs", 7);
    assert_string_equal(text, "packs/000007");
}

static void taking_leaves_nothing_behind(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *first = own_strdup("x");
    char *address = first;
    CLEANUP(own_freep) char *second = TAKE(first);
    assert_null(first);
    assert_ptr_equal(second, address);
}

static void freeing_clears_the_variable_and_takes_null(void **state)
{
    (void)state;
    char *text = own_strdup("x");
    own_freep(&text);
    assert_null(text);
    own_freep(&text);
}

static void closing_spares_negative_descriptors_and_errno(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;
    assert_true(fd >= 0);
    int taken = TAKE_FD(fd);
    assert_int_equal(fd, -1);
    errno = ENOSPC;
    own_closep(&fd);
    assert_true(fcntl(number, F_GETFD) >= 0);
    own_closep(&taken);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(taken, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocated_memory_is_zeroed_even_if_empty),
        cmocka_unit_test(resizing_keeps_the_content_and_never_frees),
        cmocka_unit_test(texts_are_copied_and_composed),
        cmocka_unit_test(taking_leaves_nothing_behind),
        cmocka_unit_test(freeing_clears_the_variable_and_takes_null),
        cmocka_unit_test(closing_spares_negative_descriptors_and_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
