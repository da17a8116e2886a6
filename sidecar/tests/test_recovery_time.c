// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/recovery_time.h"

static const int64_t quarter_past_four = INT64_C(1795277700) * 1000000; /* 2026-11-21 16:15 UTC */

static void times_are_read_with_their_zone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t plus_us;
    } times[] = {
        {"2026-11-21T16:15:00Z", 0},
        {"2026-11-21 16:15:00Z", 0},
        {"2026-11-21T16:15:00.25Z", 250000},
        {"2026-11-21 16:15:00.123456+00", 123456},
        {"2026-11-21 16:15:00.1234569+00", 123456},
        {"2026-11-21 17:15:00+01", 0},
        {"2026-11-21T17:15:00+01:00", 0},
        {"2026-11-21 10:45:00.000001-05:30", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        int64_t us;
        if (!recovery_time_parse(times[i].text, &us))
            fail_msg("'%s' is no time", times[i].text);
        assert_int_equal(us, quarter_past_four + times[i].plus_us);
    }
}

static void what_is_no_time_with_a_zone_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "now",
        "2026-11-21",
        "2026-11-21 16:15:00",
        "2026-11-21 16:15:00.Z",
        "2026-11-21 16:15:00 +01",
        "2026-11-21 16:15:00 CET",
        "2026-11-21 16:15:00+1",
        "2026-02-30 16:15:00Z",
        "2026-11-21T16:15:00Z and some more, which is longer than any time can be",
        "20261121T161500Z",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int64_t us;
        if (recovery_time_parse(texts[i], &us))
            fail_msg("'%s' is a time", texts[i]);
    }
}

static void times_are_written_to_the_microsecond(void **state)
{
    (void)state;
    char text[RECOVERY_TIME_BYTES];
    recovery_time_format(quarter_past_four + 250001, text);
    assert_string_equal(text, "2026-11-21T16:15:00.250001Z");
    recovery_time_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_with_their_zone),
        cmocka_unit_test(what_is_no_time_with_a_zone_is_refused),
        cmocka_unit_test(times_are_written_to_the_microsecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
