// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/recovery_settings.h"

static void what_was_there_stays_before_ours(void **state)
{
    (void)state;
    static const char *const before[] = {"", "work_mem = '1GB'\n", "work_mem = '1GB'"};
    for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
        CLEANUP(own_freep) char *after = recovery_settings_apply(before[i]);
        const char *ours = strstr(after, "# Written by lifeboat-sidecar restore");
        assert_true(text_starts_with(after, before[i]));
        assert_true(ours == after || ours[-1] == '\n');
    }
}

static void ours_are_there_once_however_often_it_is_restored(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *once = recovery_settings_apply("a = '1'\n");
    CLEANUP(own_freep) char *with_more = own_format("%sb = '2'\n", once);
    CLEANUP(own_freep) char *twice = recovery_settings_apply(once);
    CLEANUP(own_freep) char *again = recovery_settings_apply(with_more);
    CLEANUP(own_freep) char *fresh = recovery_settings_apply("a = '1'\nb = '2'\n");
    assert_string_equal(once, twice);
    assert_string_equal(again, fresh);
}

static void a_beginning_of_ours_without_its_end_is_somebody_elses(void **state)
{
    (void)state;
    static const char torn[] = "# Written by lifeboat-sidecar restore:\nwork_mem = '1GB'\n";
    CLEANUP(own_freep) char *after = recovery_settings_apply(torn);
    assert_true(text_starts_with(after, torn));
}

static void a_copy_has_no_ties_to_its_source(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "\narchive_mode = 'off'\n",      "\narchive_command = ''\n",
        "\narchive_library = ''\n",      "\nprimary_conninfo = ''\n",
        "\nprimary_slot_name = ''\n",    "\narchive_cleanup_command = ''\n",
        "\nrecovery_end_command = ''\n",
    };
    CLEANUP(own_freep) char *after = recovery_settings_apply("archive_mode = 'on'\n");
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (!strstr(after, settings[i]))
            fail_msg("no '%s' in '%s'", settings[i], after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_there_stays_before_ours),
        cmocka_unit_test(ours_are_there_once_however_often_it_is_restored),
        cmocka_unit_test(a_beginning_of_ours_without_its_end_is_somebody_elses),
        cmocka_unit_test(a_copy_has_no_ties_to_its_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
