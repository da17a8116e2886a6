// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/wal_message.h"

static const uint8_t data_message[] = {
    'w', 0, 0, 0, 1, 0x02, 0x00, 0x00, 0x28, /* 1/2000028 */
    0,   0, 0, 1, 2, 0x00, 0x01, 0x00,       /* 1/2000100 */
    0,   2, 0, 0, 0, 0,    0,    0,    'd',  'a', 't', 'a',
};
static const uint8_t keepalive[] = {
    'k', 0, 0, 0, 1, 2, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1,
};

static void wal_data_is_lent_from_the_message(void **state)
{
    (void)state;
    struct wal_message message;
    struct error err;
    assert_int_equal(wal_message_parse(data_message, sizeof(data_message), &message, &err), 0);
    assert_int_equal(message.type, WAL_MESSAGE_DATA);
    assert_int_equal(message.lsn, UINT64_C(0x102000028));
    assert_int_equal(message.server_lsn, UINT64_C(0x102000100));
    assert_int_equal(message.size, 4);
    assert_memory_equal(message.data, "data", 4);
}

static void a_keepalive_says_whether_it_wants_an_answer(void **state)
{
    (void)state;
    uint8_t bytes[sizeof(keepalive)];
    memcpy(bytes, keepalive, sizeof(bytes));
    struct wal_message message;
    struct error err;
    assert_int_equal(wal_message_parse(bytes, sizeof(bytes), &message, &err), 0);
    assert_int_equal(message.type, WAL_MESSAGE_KEEPALIVE);
    assert_int_equal(message.server_lsn, UINT64_C(0x102000100));
    assert_true(message.reply_requested);
    bytes[17] = 0;
    assert_int_equal(wal_message_parse(bytes, sizeof(bytes), &message, &err), 0);
    assert_false(message.reply_requested);
}

static void assert_corrupt(const uint8_t *bytes, size_t size, const char *text)
{
    struct wal_message message;
    struct error err;
    assert_int_equal(wal_message_parse(bytes, size, &message, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, text));
}

static void a_message_that_breaks_the_protocol_is_corrupt(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    assert_corrupt(bytes, 0, "empty");
    assert_corrupt(bytes, 1, "type 0x00");
    for (size_t size = 1; size <= 25; size++)
        assert_corrupt(data_message, size, "WAL data of only");
    for (size_t size = 1; size < sizeof(keepalive); size++)
        assert_corrupt(keepalive, size, "keepalive");
    memcpy(bytes, keepalive, sizeof(keepalive));
    assert_corrupt(bytes, sizeof(keepalive) + 1, "keepalive");
    bytes[17] = 2;
    assert_corrupt(bytes, sizeof(keepalive), "keepalive");
}

static void data_behind_the_last_lsn_is_corrupt(void **state)
{
    (void)state;
    uint8_t bytes[sizeof(data_message)];
    memcpy(bytes, data_message, sizeof(bytes));
    memset(bytes + 1, 0xff, 8);
    assert_corrupt(bytes, sizeof(bytes), "behind the last LSN");
}

static void a_status_is_written_as_the_protocol_says(void **state)
{
    (void)state;
    static const uint8_t expected[WAL_MESSAGE_STATUS_BYTES] = {
        'r', 0, 0, 0,    0x16, 0xb3, 0x74, 0xd8, 0x48, /* written */
        0,   0, 0, 0x16, 0xb3, 0x74, 0xd8, 0x40,       /* flushed */
        0,   0, 0, 0x16, 0xb3, 0x74, 0xd8, 0x40,       /* applied */
        0,   0, 0, 0,    0,    0x0f, 0x42, 0x40,       /* one second since 2000 */
        0,                                             /* no answer wanted */
    };
    uint8_t message[WAL_MESSAGE_STATUS_BYTES];
    wal_message_format_status(UINT64_C(0x16B374D848), UINT64_C(0x16B374D840), INT64_C(946684801000),
                              message);
    assert_memory_equal(message, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wal_data_is_lent_from_the_message),
        cmocka_unit_test(a_keepalive_says_whether_it_wants_an_answer),
        cmocka_unit_test(a_message_that_breaks_the_protocol_is_corrupt),
        cmocka_unit_test(data_behind_the_last_lsn_is_corrupt),
        cmocka_unit_test(a_status_is_written_as_the_protocol_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
