// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"

static void fixed_integers_are_little_endian(void **state)
{
    (void)state;
    uint8_t bytes[8];
    bytes_store16(bytes, 0x0102);
    assert_memory_equal(bytes, "\x02\x01", 2);
    assert_int_equal(bytes_load16(bytes), 0x0102);
    bytes_store32(bytes, 0x01020304);
    assert_memory_equal(bytes, "\x04\x03\x02\x01", 4);
    assert_int_equal(bytes_load32(bytes), 0x01020304);
    bytes_store64(bytes, 0xF102030405060708);
    assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\xF1", 8);
    assert_true(bytes_load64(bytes) == 0xF102030405060708);
}

/* Values and encodings as in the documentation of Protocol Buffers. */
static void varints_have_their_known_encodings(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *bytes;
        size_t size;
    } cases[] = {
        {0, "\0", 1},
        {1, "\1", 1},
        {127, "\x7F", 1},
        {128, "\x80\1", 2},
        {150, "\x96\1", 2},
        {UINT32_MAX, "\xFF\xFF\xFF\xFF\x0F", 5},
        {UINT64_MAX, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1", 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buf_done) struct buf buf = BUF(100);
        bytes_put_varint(&buf, cases[i].value);
        assert_int_equal(buf.size, cases[i].size);
        assert_memory_equal(buf.data, cases[i].bytes, cases[i].size);
        struct error err;
        struct reader reader = READER(buf.data, buf.size);
        assert_true(reader_varint(&reader) == cases[i].value);
        assert_int_equal(reader_end(&reader, "x", &err), 0);
    }
}

static void zigzag_keeps_small_negatives_short(void **state)
{
    (void)state;
    static const int64_t values[] = {0, -1, 1, -2, 63, -64, INT64_MAX, INT64_MIN};
    static const size_t sizes[] = {1, 1, 1, 1, 1, 1, 10, 10};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        CLEANUP(buf_done) struct buf buf = BUF(100);
        bytes_put_zigzag(&buf, values[i]);
        assert_int_equal(buf.size, sizes[i]);
        struct reader reader = READER(buf.data, buf.size);
        assert_true(reader_zigzag(&reader) == values[i]);
    }
    CLEANUP(buf_done) struct buf buf = BUF(100);
    bytes_put_zigzag(&buf, -2);
    assert_int_equal(buf.data[0], 3);
}

static void a_varint_that_is_cut_or_beyond_64_bits_is_bad(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"", 0},
        {"\x80", 1},
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\2", 10},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\0", 11},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct reader reader = READER((const uint8_t *)cases[i].bytes, cases[i].size);
        assert_int_equal(reader_varint(&reader), 0);
        assert_true(reader.bad);
    }
}

static void a_varint_above_its_maximum_is_bad(void **state)
{
    (void)state;
    const uint8_t bytes[] = {100, 101};
    struct reader reader = READER(bytes, sizeof(bytes));
    assert_int_equal(reader_varint_max(&reader, 100), 100);
    assert_false(reader.bad);
    assert_int_equal(reader_varint_max(&reader, 100), 0);
    assert_true(reader.bad);
}

static void bytes_are_lent_from_the_readers_memory(void **state)
{
    (void)state;
    const uint8_t bytes[] = "abcd";
    struct reader reader = READER(bytes, 4);
    assert_ptr_equal(reader_bytes(&reader, 3), bytes);
    assert_int_equal(reader_left(&reader), 1);
    assert_ptr_equal(reader_bytes(&reader, 0), bytes + 3);
    assert_null(reader_bytes(&reader, 2));
    assert_true(reader.bad);
    assert_int_equal(reader_left(&reader), 0);
}

static void a_bad_reader_gives_nothing_any_more(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct reader reader = READER(bytes, sizeof(bytes));
    assert_null(reader_bytes(&reader, SIZE_MAX));
    assert_int_equal(reader_varint(&reader), 0);
    assert_int_equal(reader_zigzag(&reader), 0);
    assert_null(reader_bytes(&reader, 1));
}

static void the_end_tells_bad_and_left_over_bytes(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct error err;
    struct reader reader = READER(bytes, sizeof(bytes));
    reader_varint(&reader);
    assert_int_equal(reader_end(&reader, "footer", &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_string_equal(err.text, "footer: 2 bytes too many");
    assert_non_null(reader_bytes(&reader, 2));
    assert_int_equal(reader_end(&reader, "footer", &err), 0);
    reader_varint(&reader);
    assert_int_equal(reader_end(&reader, "footer", &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_string_equal(err.text, "footer: cut short, or a number out of range");
}

static void no_bytes_at_all_can_be_read(void **state)
{
    (void)state;
    struct error err;
    struct reader reader = READER(NULL, 0);
    assert_int_equal(reader_left(&reader), 0);
    reader_bytes(&reader, 0);
    assert_int_equal(reader_end(&reader, "nothing", &err), 0);
}

static void putting_beyond_the_limit_aborts(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(SIGABRT, SIG_DFL);
        struct buf buf = BUF(1);
        bytes_put8(&buf, 1);
        bytes_put8(&buf, 2);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_integers_are_little_endian),
        cmocka_unit_test(varints_have_their_known_encodings),
        cmocka_unit_test(zigzag_keeps_small_negatives_short),
        cmocka_unit_test(a_varint_that_is_cut_or_beyond_64_bits_is_bad),
        cmocka_unit_test(a_varint_above_its_maximum_is_bad),
        cmocka_unit_test(bytes_are_lent_from_the_readers_memory),
        cmocka_unit_test(a_bad_reader_gives_nothing_any_more),
        cmocka_unit_test(the_end_tells_bad_and_left_over_bytes),
        cmocka_unit_test(no_bytes_at_all_can_be_read),
        cmocka_unit_test(putting_beyond_the_limit_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
