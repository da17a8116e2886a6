// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/pg_control.h"

/* test_pg_files reads those of real clusters; here is what real clusters do not show. */

static size_t crc_offset(uint32_t version)
{
    return version == 1800 ? 292 : 288;
}

static void seal(uint8_t *data)
{
    size_t end = crc_offset(bytes_load32(data + 8));
    bytes_store32(data + end, crc32c_extend(0, data, end));
}

static void make(uint8_t data[PG_CONTROL_BYTES], uint32_t version)
{
    memset(data, 0, PG_CONTROL_BYTES);
    bytes_store64(data, UINT64_C(7351234567890123456));
    bytes_store32(data + 8, version);
    bytes_store32(data + 12, 202307071);
    bytes_store32(data + 16, PG_CONTROL_IN_PRODUCTION);
    bytes_store64(data + 32, UINT64_C(0x16B374D848));
    bytes_store32(data + 172, 1);
    bytes_store32(data + 204, 8);
    const double format = 1234567.0;
    memcpy(data + 208, &format, sizeof(format));
    bytes_store32(data + 216, 8192);
    bytes_store32(data + 220, 131072);
    bytes_store32(data + 228, 16 << 20);
    seal(data);
}

static void assert_refused(const uint8_t *data, size_t size, enum error_kind kind, const char *text)
{
    struct pg_control control;
    struct error err;
    assert_int_equal(pg_control_parse(data, size, &control, &err), -1);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text))
        fail_msg("'%s' lacks '%s'", err.text, text);
}

static void every_supported_version_is_read(void **state)
{
    (void)state;
    static const uint32_t versions[] = {1300, 1700, 1800};
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        uint8_t data[PG_CONTROL_BYTES];
        make(data, versions[i]);
        struct pg_control control;
        struct error err;
        assert_int_equal(pg_control_parse(data, sizeof(data), &control, &err), 0);
        assert_int_equal(control.version, versions[i]);
        assert_int_equal(control.system_identifier, UINT64_C(7351234567890123456));
        assert_int_equal(control.state, PG_CONTROL_IN_PRODUCTION);
        assert_int_equal(control.checkpoint_lsn, UINT64_C(0x16B374D848));
        assert_int_equal(control.wal_segment_bytes, 16 << 20);
    }
}

static void every_bit_is_under_the_crc(void **state)
{
    (void)state;
    uint8_t data[PG_CONTROL_BYTES];
    make(data, 1800);
    for (size_t i = 16; i < crc_offset(1800) + 4; i++) {
        data[i] ^= 0x10;
        assert_refused(data, sizeof(data), ERROR_CORRUPT, "CRC");
        data[i] ^= 0x10;
    }
}

static void a_short_file_is_corrupt(void **state)
{
    (void)state;
    uint8_t data[PG_CONTROL_BYTES];
    make(data, 1300);
    assert_refused(data, 0, ERROR_CORRUPT, "only 0 bytes");
    assert_refused(data, 295, ERROR_CORRUPT, "only 295 bytes");
}

static void an_unknown_version_is_told_from_rubbish(void **state)
{
    (void)state;
    uint8_t data[PG_CONTROL_BYTES];
    make(data, 1300);
    bytes_store32(data + 8, 1201);
    assert_refused(data, sizeof(data), ERROR_PERMANENT, "version 1201 is not supported");
    bytes_store32(data + 8, __builtin_bswap32(1300));
    assert_refused(data, sizeof(data), ERROR_PERMANENT, "big-endian");
    bytes_store32(data + 8, 0);
    assert_refused(data, sizeof(data), ERROR_CORRUPT, "not a control file");
}

static void impossible_values_are_corrupt_even_with_a_right_crc(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint32_t value;
        const char *text;
    } cases[] = {
        {16, 7, "state"},
        {16, UINT32_MAX, "state"},
        {172, 3, "wal_level"},
        {204, 4, "layout"},
        {208, 1, "layout"},
        {216, 0, "block size"},
        {216, 8191, "block size"},
        {220, 0, "segment size"},
        {228, 0, "WAL segment size"},
        {228, 1 << 19, "WAL segment size"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t data[PG_CONTROL_BYTES];
        make(data, 1300);
        bytes_store32(data + cases[i].offset, cases[i].value);
        seal(data);
        assert_refused(data, sizeof(data), ERROR_CORRUPT, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_supported_version_is_read),
        cmocka_unit_test(every_bit_is_under_the_crc),
        cmocka_unit_test(a_short_file_is_corrupt),
        cmocka_unit_test(an_unknown_version_is_told_from_rubbish),
        cmocka_unit_test(impossible_values_are_corrupt_even_with_a_right_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
