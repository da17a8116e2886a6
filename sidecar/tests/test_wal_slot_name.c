// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/wal_slot_name.h"

/* printf web/shop | sha256sum */
static void a_policy_has_one_slot_name_on_all_its_servers(void **state)
{
    (void)state;
    char name[WAL_SLOT_NAME_BYTES];
    wal_slot_name("web", "shop", name);
    assert_string_equal(name, "lifeboat_4586ae564e21e933");
    wal_slot_name("default", "shop", name);
    assert_string_equal(name, "lifeboat_5be479caf0c09a3b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_has_one_slot_name_on_all_its_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
