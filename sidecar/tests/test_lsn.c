// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/lsn.h"

enum { MIB = 1 << 20 };

static void an_lsn_is_written_as_postgresql_does(void **state)
{
    (void)state;
    char text[LSN_TEXT_BYTES];
    lsn_format(0x1A2B3C4, text);
    assert_string_equal(text, "0/1A2B3C4");
    lsn_format(0, text);
    assert_string_equal(text, "0/0");
    lsn_format(UINT64_MAX, text);
    assert_string_equal(text, "FFFFFFFF/FFFFFFFF");
}

static void an_lsn_is_read_in_either_case(void **state)
{
    (void)state;
    uint64_t lsn;
    assert_true(lsn_parse("16/b374D848", &lsn));
    assert_int_equal(lsn, 0x16B374D848);
    assert_true(lsn_parse("0/00000001", &lsn));
    assert_int_equal(lsn, 1);
}

static void what_is_no_lsn_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",      "/",    "0",   "0/",  "/0",   "0/1 ", " 0/1", "0/1/", "123456789/0", "0/123456789",
        "0x1/0", "-1/0", "g/0", "0/G", "0//1", "0/1\n"};
    uint64_t lsn = 7;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_false(lsn_parse(wrong[i], &lsn));
    assert_int_equal(lsn, 7);
}

static void a_segment_is_named_by_timeline_and_position(void **state)
{
    (void)state;
    char name[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(1, 0x3000028, 16 * MIB, name);
    assert_string_equal(name, "000000010000000000000003");
    wal_segment_name(0xA, UINT64_C(0x2FF123456), 16 * MIB, name);
    assert_string_equal(name, "0000000A00000002000000FF");
    wal_segment_name(2, UINT64_C(0x5FFFFFFFF), MIB, name);
    assert_string_equal(name, "000000020000000500000FFF");
    wal_segment_name(2, UINT64_C(0x5FFFFFFFF), 1024 * MIB, name);
    assert_string_equal(name, "000000020000000500000003");
}

static void the_name_of_a_segment_gives_its_first_lsn(void **state)
{
    (void)state;
    uint32_t timeline;
    uint64_t lsn;
    assert_true(wal_segment_parse("0000000A00000002000000FF", 16 * MIB, &timeline, &lsn));
    assert_int_equal(timeline, 0xA);
    assert_int_equal(lsn, UINT64_C(0x2FF000000));
    assert_true(wal_segment_parse("000000010000000000000003", 1024 * MIB, &timeline, &lsn));
    assert_int_equal(lsn, UINT64_C(0xC0000000));
}

static void what_names_no_segment_of_that_size_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "00000001000000000000000",
        "0000000100000000000000030",
        "000000010000000000000003.partial",
        "00000001.history",
        "00000001000000000000000g",
        "00000001000000000000000a", /* PostgreSQL writes capitals */
        "000000010000000000000100", /* 256 segments of 16 MiB are 4 GiB */
        "000000000000000000000001", /* there is no timeline 0 */
    };
    uint32_t timeline;
    uint64_t lsn;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_false(wal_segment_parse(wrong[i], 16 * MIB, &timeline, &lsn));
}

static void segments_are_powers_of_two_from_a_mebibyte_to_a_gibibyte(void **state)
{
    (void)state;
    assert_true(wal_segment_bytes_valid(MIB));
    assert_true(wal_segment_bytes_valid(16 * MIB));
    assert_true(wal_segment_bytes_valid(1024 * MIB));
    assert_false(wal_segment_bytes_valid(0));
    assert_false(wal_segment_bytes_valid(MIB / 2));
    assert_false(wal_segment_bytes_valid(3 * MIB));
    assert_false(wal_segment_bytes_valid(UINT64_C(2048) * MIB));
    assert_false(wal_segment_bytes_valid(UINT64_C(1) << 36));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lsn_is_written_as_postgresql_does),
        cmocka_unit_test(an_lsn_is_read_in_either_case),
        cmocka_unit_test(what_is_no_lsn_is_refused),
        cmocka_unit_test(a_segment_is_named_by_timeline_and_position),
        cmocka_unit_test(the_name_of_a_segment_gives_its_first_lsn),
        cmocka_unit_test(what_names_no_segment_of_that_size_is_refused),
        cmocka_unit_test(segments_are_powers_of_two_from_a_mebibyte_to_a_gibibyte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
