// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/backup_id.h"

enum { START_S = 1795249278 }; /* 2026-11-21 08:21:18 UTC */

static void an_id_says_when_the_backup_began_and_its_type(void **state)
{
    (void)state;
    static const char *const starts[] = {"20261121T082118Z-full-", "20261121T082118Z-diff-",
                                         "20261121T082118Z-incr-"};
    for (unsigned type = BACKUP_FULL; type <= BACKUP_INCREMENTAL; type++) {
        char id[BACKUP_ID_BYTES];
        struct error err;
        enum backup_type parsed;
        int64_t start_ms;
        assert_int_equal(backup_id_new(type, START_S * INT64_C(1000) + 999, id, &err), 0);
        assert_memory_equal(id, starts[type], strlen(starts[type]));
        assert_int_equal(strlen(id), 26);
        assert_true(backup_id_parse(id, &parsed, &start_ms));
        assert_int_equal(parsed, type);
        assert_int_equal(start_ms, START_S * INT64_C(1000));
    }
}

static void ids_of_the_same_second_differ(void **state)
{
    (void)state;
    char first[BACKUP_ID_BYTES], id[BACKUP_ID_BYTES];
    struct error err;
    assert_int_equal(backup_id_new(BACKUP_FULL, 0, first, &err), 0);
    bool differ = false;
    for (int i = 0; i < 20; i++) { /* all alike by chance: once in 2^320 */
        assert_int_equal(backup_id_new(BACKUP_FULL, 0, id, &err), 0);
        differ |= strcmp(first, id) != 0;
    }
    assert_true(differ);
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "latest",
        "20261121T082118Z-full-3fa",
        "20261121T082118Z-full-3fa22",
        "20261121T082118Z-full-3FA2",
        "20261121T082118Z-full-3fg2",
        "20261121T082118Z-Full-3fa2",
        "20261121T082118Z-part-3fa2",
        "20261121T082118Z_full-3fa2",
        "20261121T082118Z-full_3fa2",
        "20261321T082118Z-full-3fa2",
        "20261121T082118+-full-3fa2",
        "2026-11-21T08:21-full-3fa2",
        "../../../../etc/passwd0000",
    };
    enum backup_type type;
    int64_t start_ms;
    assert_true(backup_id_parse("20261121T082118Z-full-3fa2", &type, &start_ms));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (backup_id_parse(texts[i], &type, &start_ms))
            fail_msg("'%s' was taken for a backup id", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_says_when_the_backup_began_and_its_type),
        cmocka_unit_test(ids_of_the_same_second_differ),
        cmocka_unit_test(what_is_no_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
