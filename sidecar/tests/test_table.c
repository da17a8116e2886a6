// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/table.h"

static const struct table_column columns[] = {
    {.title = "NAME"},
    {.title = "N", .right = true, .spared = 2},
    {.title = "SHARE", .right = true, .spared = 1},
    {.title = "WHERE"},
};

static struct table *two_rows(void)
{
    struct table *table = table_new(columns, ARRAY_SIZE(columns));
    table_add_row(table, (const char *[]){"größer", "7", "0.5", "eu, us"});
    table_add_row(table, (const char *[]){"b", "1234", "", ""});
    return table;
}

static void columns_are_as_wide_as_what_stands_in_them(void **state)
{
    (void)state;
    CLEANUP(table_freep) struct table *table = two_rows();
    CLEANUP(own_freep) char *text = table_format(table, 0);
    assert_string_equal(text, "NAME       N  SHARE  WHERE\n"
                              "größer     7    0.5  eu, us\n"
                              "b       1234\n");
}

static void a_narrow_terminal_is_spared_columns_in_their_order(void **state)
{
    (void)state;
    static const struct {
        size_t width;
        const char *titles;
    } cases[] = {
        {27, "NAME       N  SHARE  WHERE"},
        {26, "NAME       N  WHERE"},
        {20, "NAME       N  WHERE"},
        {19, "NAME    WHERE"},
        {5, "NAME    WHERE"},
    };
    CLEANUP(table_freep) struct table *table = two_rows();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(own_freep) char *text = table_format(table, cases[i].width);
        assert_int_equal(strcspn(text, "\n"), strlen(cases[i].titles));
        assert_memory_equal(text, cases[i].titles, strlen(cases[i].titles));
    }
}

static void a_note_widens_no_column(void **state)
{
    (void)state;
    CLEANUP(table_freep) struct table *table = two_rows();
    table_add_note(table, "c", "is longer than any of these columns");
    CLEANUP(own_freep) char *text = table_format(table, 0);
    assert_string_equal(text, "NAME       N  SHARE  WHERE\n"
                              "größer     7    0.5  eu, us\n"
                              "b       1234\n"
                              "c       is longer than any of these columns\n");
}

static void without_rows_there_are_titles(void **state)
{
    (void)state;
    CLEANUP(table_freep) struct table *table = table_new(columns, ARRAY_SIZE(columns));
    CLEANUP(own_freep) char *text = table_format(table, 80);
    assert_string_equal(text, "NAME  N  SHARE  WHERE\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_what_stands_in_them),
        cmocka_unit_test(a_narrow_terminal_is_spared_columns_in_their_order),
        cmocka_unit_test(a_note_widens_no_column),
        cmocka_unit_test(without_rows_there_are_titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
