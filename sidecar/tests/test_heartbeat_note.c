// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/heartbeat_note.h"

#define PARENT "20261121T082118Z-full-3fa2"

static void what_is_formatted_is_parsed(void **state)
{
    (void)state;
    static const struct heartbeat_note notes[] = {
        {PARENT, 3, UINT64_C(0x200001234)},
        {"", 1, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(notes); i++) {
        struct heartbeat_note again;
        struct error err;
        CLEANUP(own_freep) char *text = heartbeat_note_format(&notes[i], 1795249278000);
        assert_int_equal(heartbeat_note_parse(text, strlen(text), &again, &err), 0);
        assert_string_equal(again.parent, notes[i].parent);
        assert_int_equal(again.timeline, notes[i].timeline);
        assert_int_equal(again.start_lsn, notes[i].start_lsn);
    }
}

static void one_that_does_not_say_where_it_starts_is_understood(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"format\": 1, \"parent\": \"" PARENT "\", \"time\": \"2026-11-21T08:21:18Z\"}\n",
        "{\"format\": 1, \"parent\": \"" PARENT "\", \"timeline\": 1, \"later\": [1]}",
        "{\"format\": 1, \"parent\": \"" PARENT "\", \"startLSN\": \"0/28\"}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct heartbeat_note note;
        struct error err;
        assert_int_equal(heartbeat_note_parse(texts[i], strlen(texts[i]), &note, &err), 0);
        assert_string_equal(note.parent, PARENT);
        assert_int_equal(note.timeline, 0);
    }
}

static void anything_else_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"format\": 2}",
        "{\"format\": 1, \"format\": 1}",
        "{\"format\": 1, \"parent\": \"../x\"}",
        "{\"format\": 1, \"parent\": 5}",
        "{\"format\": 1, \"timeline\": 0, \"startLSN\": \"0/28\"}",
        "{\"format\": 1, \"timeline\": 4294967296, \"startLSN\": \"0/28\"}",
        "{\"format\": 1, \"timeline\": 1, \"startLSN\": \"28\"}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct heartbeat_note note;
        struct error err;
        assert_int_equal(heartbeat_note_parse(texts[i], strlen(texts[i]), &note, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_formatted_is_parsed),
        cmocka_unit_test(one_that_does_not_say_where_it_starts_is_understood),
        cmocka_unit_test(anything_else_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
