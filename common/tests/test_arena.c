// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/arena.h"
#include "common/own.h"

enum { COUNT = 20000, LONG = 200000 };

static void strings_stay_as_they_were(void **state)
{
    (void)state;
    CLEANUP(arena_done) struct arena arena = {0};
    CLEANUP(own_freep) char **copies = own_alloc(COUNT * sizeof(copies[0]));
    CLEANUP(own_freep) char *text = own_alloc(LONG + 1);
    for (size_t i = 0; i < COUNT; i++) {
        size_t length = i % 5000 == 4999 ? LONG : i % 40; /* also longer than a block */
        memset(text, 'a' + (int)(i % 26), length);
        text[length] = '\0';
        copies[i] = arena_strdup(&arena, text);
        assert_string_equal(copies[i], text);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t length = i % 5000 == 4999 ? LONG : i % 40;
        assert_int_equal(strlen(copies[i]), length);
        for (size_t j = 0; j < length; j++)
            assert_int_equal(copies[i][j], 'a' + (int)(i % 26));
    }
}

static void an_arena_can_be_used_again(void **state)
{
    (void)state;
    CLEANUP(arena_done) struct arena arena = {0};
    assert_string_equal(arena_strdup(&arena, "one"), "one");
    arena_done(&arena);
    assert_string_equal(arena_strdup(&arena, "two"), "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_stay_as_they_were),
        cmocka_unit_test(an_arena_can_be_used_again),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
