// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "sidecar/pg_page.h"

/* A page of LSN 16/B374D848 with bytes of all values. */
static void make_page(uint8_t page[PG_PAGE_BYTES])
{
    for (size_t i = 0; i < PG_PAGE_BYTES; i++)
        page[i] = (uint8_t)(i * 7 + i / 256);
    bytes_store32(page, 0x16);
    bytes_store32(page + 4, 0xB374D848);
}

static void an_lsn_has_its_high_half_first(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES];
    make_page(page);
    assert_int_equal(pg_page_lsn(page), UINT64_C(0x16B374D848));
}

static void checksums_are_those_of_postgresql(void **state)
{
    (void)state;
    /* page_checksum() of PostgreSQL's pageinspect said so of this very page */
    uint8_t page[PG_PAGE_BYTES];
    make_page(page);
    assert_int_equal(pg_page_checksum(page, 0), 29501);
    assert_int_equal(pg_page_checksum(page, 1), 29500);
    assert_int_equal(pg_page_checksum(page, 4000000000), 12584);
}

static void the_stored_checksum_does_not_count(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES];
    make_page(page);
    uint16_t checksum = pg_page_checksum(page, 5);
    bytes_store16(page + 8, checksum);
    assert_int_equal(pg_page_checksum(page, 5), checksum);
}

static void a_page_may_lie_at_any_address(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES], room[PG_PAGE_BYTES + 1];
    make_page(page);
    memcpy(room + 1, page, sizeof(page));
    assert_int_equal(pg_page_checksum(room + 1, 9), pg_page_checksum(page, 9));
}

static void every_bit_of_a_page_counts(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES];
    make_page(page);
    uint16_t checksum = pg_page_checksum(page, 5);
    bytes_store16(page + 8, checksum);
    for (size_t i = 0; i < PG_PAGE_BYTES; i++) {
        if (i == 8 || i == 9)
            continue;
        page[i] ^= 1;
        assert_int_not_equal(pg_page_checksum(page, 5), checksum);
        page[i] ^= 1;
    }
}

static void a_page_is_zero_only_if_all_of_it_is(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES] = {0};
    assert_true(pg_page_is_zero(page));
    for (size_t i = 0; i < PG_PAGE_BYTES; i++) {
        page[i] = 1;
        assert_false(pg_page_is_zero(page));
        page[i] = 0;
    }
}

static void a_page_with_a_wrong_checksum_is_sound_only_if_wal_replaces_it(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES];
    make_page(page);
    uint64_t lsn = pg_page_lsn(page);
    bytes_store16(page + 8, pg_page_checksum(page, 5));
    assert_true(pg_page_is_sound(page, 5, lsn + 1));
    assert_false(pg_page_is_sound(page, 6, lsn + 1)); /* at another place */
    page[4000] ^= 1;
    assert_false(pg_page_is_sound(page, 5, lsn + 1));
    assert_true(pg_page_is_sound(page, 5, lsn));
}

static void a_new_page_is_sound(void **state)
{
    (void)state;
    uint8_t page[PG_PAGE_BYTES] = {0};
    assert_true(pg_page_is_new(page));
    assert_true(pg_page_is_sound(page, 5, UINT64_MAX));
    bytes_store16(page + 14, PG_PAGE_BYTES);
    assert_false(pg_page_is_new(page));
    assert_false(pg_page_is_sound(page, 5, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lsn_has_its_high_half_first),
        cmocka_unit_test(checksums_are_those_of_postgresql),
        cmocka_unit_test(the_stored_checksum_does_not_count),
        cmocka_unit_test(a_page_may_lie_at_any_address),
        cmocka_unit_test(every_bit_of_a_page_counts),
        cmocka_unit_test(a_page_is_zero_only_if_all_of_it_is),
        cmocka_unit_test(a_page_with_a_wrong_checksum_is_sound_only_if_wal_replaces_it),
        cmocka_unit_test(a_new_page_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
