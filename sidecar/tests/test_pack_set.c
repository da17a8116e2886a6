// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_set.h"

#define A "20261121T082118Z-full-3fa2"
#define B "20261122T082118Z-incr-3fa3"

static void has_what_any_manifest_refers_to(void **state)
{
    (void)state;
    struct manifest_packs first[] = {{A, 5, 9}, {A, 1, 2}, {B, 1, 1}};
    struct manifest_packs second[] = {{A, 7, 12}, {A, 20, 20}};
    const struct manifest manifests[] = {{.packs = first, .pack_count = ARRAY_SIZE(first)},
                                         {.packs = second, .pack_count = ARRAY_SIZE(second)},
                                         {.pack_count = 0}};
    CLEANUP(pack_set_done) struct pack_set set = {0};
    for (size_t i = 0; i < ARRAY_SIZE(manifests); i++)
        pack_set_add(&set, &manifests[i]);
    pack_set_seal(&set);
    for (uint32_t number = 0; number < 30; number++) {
        const bool wanted =
            number == 1 || number == 2 || (number >= 5 && number <= 12) || number == 20;
        assert_int_equal(pack_set_has(&set, A, number), wanted);
        assert_int_equal(pack_set_has(&set, B, number), number == 1);
        assert_false(pack_set_has(&set, "20251122T082118Z-incr-3fa3", number));
        assert_false(pack_set_has(&set, "20271122T082118Z-incr-3fa3", number));
    }
}

static void a_range_within_another_hides_nothing(void **state)
{
    (void)state;
    struct manifest_packs packs[] = {{A, 1, 100}, {A, 2, 3}, {A, 50, 60}};
    const struct manifest manifest = {.packs = packs, .pack_count = ARRAY_SIZE(packs)};
    CLEANUP(pack_set_done) struct pack_set set = {0};
    pack_set_add(&set, &manifest);
    pack_set_seal(&set);
    assert_true(pack_set_has(&set, A, 4));
    assert_true(pack_set_has(&set, A, 100));
    assert_false(pack_set_has(&set, A, 101));
}

static void an_empty_set_has_nothing(void **state)
{
    (void)state;
    CLEANUP(pack_set_done) struct pack_set set = {0};
    pack_set_seal(&set);
    assert_false(pack_set_has(&set, A, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_what_any_manifest_refers_to),
        cmocka_unit_test(a_range_within_another_hides_nothing),
        cmocka_unit_test(an_empty_set_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
