// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/crc32c.h"

static void known_strings_have_known_crcs(void **state)
{
    (void)state;
    /* RFC 3720, B.4, and the check value of the CRC catalogue */
    uint8_t bytes[32];
    assert_int_equal(crc32c_extend(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc32c_extend(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c_extend(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc32c_extend(0, bytes, sizeof(bytes)), 0x46dd794e);
    assert_int_equal(crc32c_extend(0, NULL, 0), 0);
}

static void a_crc_can_be_extended_and_combined_at_any_cut(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    uint32_t whole = crc32c_extend(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint32_t first = crc32c_extend(0, bytes, cut);
        uint32_t second = crc32c_extend(0, bytes + cut, sizeof(bytes) - cut);
        assert_int_equal(crc32c_extend(first, bytes + cut, sizeof(bytes) - cut), whole);
        assert_int_equal(crc32c_combine(first, second, sizeof(bytes) - cut), whole);
    }
}

static void zeros_are_counted_without_reading_any(void **state)
{
    (void)state;
    static const uint8_t zeros[70000];
    for (size_t size = 0; size < sizeof(zeros); size += 1 + size / 3)
        assert_int_equal(crc32c_zeros(size), crc32c_extend(0, zeros, size));
}

static void sizes_beyond_any_integer_of_32_bits_add_up(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {
        UINT64_C(1) << 28,       (UINT64_C(1) << 31) - 2, UINT64_C(1) << 32,
        (UINT64_C(1) << 40) + 3, UINT64_C(1) << 60,
    };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t one = crc32c_zeros(sizes[i]), twice = crc32c_zeros(2 * sizes[i]);
        assert_int_equal(crc32c_combine(one, one, sizes[i]), twice);
        assert_int_not_equal(one, twice);
    }
}

static void a_crc_of_gigabytes_equals_that_of_its_zeros(void **state)
{
    (void)state;
    /* the steps in which data is handed to the library, without gigabytes of memory */
    static const uint8_t zeros[1 << 20];
    uint32_t crc = 0;
    for (int i = 0; i < 1 << 10; i++)
        crc = crc32c_extend(crc, zeros, sizeof(zeros));
    assert_int_equal(crc, crc32c_zeros(UINT64_C(1) << 30));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_strings_have_known_crcs),
        cmocka_unit_test(a_crc_can_be_extended_and_combined_at_any_cut),
        cmocka_unit_test(zeros_are_counted_without_reading_any),
        cmocka_unit_test(sizes_beyond_any_integer_of_32_bits_add_up),
        cmocka_unit_test(a_crc_of_gigabytes_equals_that_of_its_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
