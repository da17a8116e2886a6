// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/entry.h"
#include "sidecar/relocation.h"
#include "sidecar/target.h"

static char path_base[] = "base", path_1[] = "pg_tblspc/1", path_2[] = "pg_tblspc/2";
static char fast[] = "/srv/fast", slow[] = "/srv/slow";

static const struct entry entries[] = {
    {.path = path_base, .type = ENTRY_DIRECTORY},
    {.path = path_1, .type = ENTRY_LINK, .target = fast},
    {.path = path_2, .type = ENTRY_LINK, .target = slow},
};

static void expect_error(const struct target_tablespace *tablespaces, size_t count,
                         size_t entry_count, const char *expected)
{
    struct error err;
    assert_int_equal(relocation_check(tablespaces, count, entries, entry_count, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, expected);
}

static void expect_location(const char *location, const char *expected)
{
    const struct target_tablespace tablespaces[] = {
        {"/srv/fast/", "/srv/slow"}, {"/srv/slow", "/mnt/new//"}, {"/", "/elsewhere"}};
    CLEANUP(own_freep)
    char *found = relocation_find(tablespaces, ARRAY_SIZE(tablespaces), location);
    assert_string_equal(found, expected);
}

static void a_tablespace_goes_where_the_user_says_and_not_a_step_further(void **state)
{
    (void)state;
    expect_location("/srv/fast", "/srv/slow");
    expect_location("/srv/slow", "/mnt/new");
    expect_location("/srv/other", "/srv/other");
    expect_location("/srv/other/", "/srv/other");
    expect_location("/", "/elsewhere");
}

static void every_old_location_may_be_relocated_once(void **state)
{
    (void)state;
    const struct target_tablespace tablespaces[] = {{"/srv/slow/", "/a"}, {"/srv/fast", "/b"}};
    struct error err;
    assert_int_equal(relocation_check(tablespaces, 2, entries, ARRAY_SIZE(entries), &err), 0);
    assert_int_equal(relocation_check(NULL, 0, entries, ARRAY_SIZE(entries), &err), 0);
    const struct target_tablespace twice[] = {{"/srv/slow/", "/a"}, {"/srv/slow", "/b"}};
    expect_error(twice, 2, ARRAY_SIZE(entries), "--tablespace '/srv/slow' is given twice");
}

static void an_old_location_that_is_none_names_those_there_are(void **state)
{
    (void)state;
    const struct target_tablespace tablespace = {"/srv/fas", "/a"};
    expect_error(&tablespace, 1, ARRAY_SIZE(entries),
                 "--tablespace '/srv/fas': the backup has no tablespace there; it has "
                 "'/srv/fast', '/srv/slow'");
    expect_error(&tablespace, 1, 1,
                 "--tablespace '/srv/fas': the backup has no tablespaces elsewhere");
}

static void a_new_location_must_be_absolute(void **state)
{
    (void)state;
    const struct target_tablespace tablespace = {"/srv/fast", "a"};
    expect_error(&tablespace, 1, ARRAY_SIZE(entries),
                 "--tablespace '/srv/fast=a': the new location is not an absolute path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tablespace_goes_where_the_user_says_and_not_a_step_further),
        cmocka_unit_test(every_old_location_may_be_relocated_once),
        cmocka_unit_test(an_old_location_that_is_none_names_those_there_are),
        cmocka_unit_test(a_new_location_must_be_absolute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
