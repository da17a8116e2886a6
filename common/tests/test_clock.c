// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"

/* `date -u -d 2026-11-21T08:21:18Z +%s` */
#define NOVEMBER INT64_C(1795249278000)

static void times_are_formatted_in_utc(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_BYTES];
    clock_format(NOVEMBER + 999, text);
    assert_string_equal(text, "2026-11-21T08:21:18Z");
    clock_format_ms(NOVEMBER + 42, text);
    assert_string_equal(text, "2026-11-21T08:21:18.042Z");
    clock_format_us(NOVEMBER + 42, text);
    assert_string_equal(text + 19, ".042000Z");
    clock_format_ms(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_format_basic(NOVEMBER + 999, text);
    assert_string_equal(text, "20261121T082118Z");
    clock_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    clock_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
}

static void both_formats_are_read_back(void **state)
{
    (void)state;
    static const int64_t seconds[] = {0,          951782400, 1709164800,   1795249278,
                                      4102444799, -86400,    -61904217600, 253402300799};
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        char text[CLOCK_TEXT_BYTES];
        int64_t ms;
        clock_format(seconds[i] * 1000, text);
        assert_true(clock_parse(text, &ms) && ms == seconds[i] * 1000);
        clock_format_basic(seconds[i] * 1000, text);
        assert_true(clock_parse(text, &ms) && ms == seconds[i] * 1000);
    }
}

static void fractions_and_zones_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"2026-11-21T08:21:18.5Z", NOVEMBER + 500},
        {"2026-11-21T08:21:18.123456789Z", NOVEMBER + 123},
        {"2026-11-21T08:21:18+00:00", NOVEMBER},
        {"2026-11-21T13:51:18+05:30", NOVEMBER},
        {"2026-11-20T23:21:18.007-09:00", NOVEMBER + 7},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)}, /* a leap second */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t ms = 0;
        assert_true(clock_parse(cases[i].text, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-21",
        "2026-11-21T08:21:18",
        "2026-11-21 08:21:18Z",
        "2026-11-21T08:21:18Zx",
        "2026-11-21T08:21:18.Z",
        "2026-11-21T08:21:18+0530",
        "2026-11-21T08:21:18+24:00",
        "2026-11-21T24:00:00Z",
        "2026-11-21T08:60:00Z",
        "2026-11-21T08:21:61Z",
        "2026-02-29T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-13-10T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-04-00T00:00:00Z",
        "20261121T082118",
        "20261121T082118+00:00",
        "20261121T082118.5Z",
        "2026-1121T082118Z",
        "+026-11-21T08:21:18Z",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int64_t ms = 42;
        assert_false(clock_parse(texts[i], &ms));
        assert_int_equal(ms, 42);
    }
}

static void an_http_date_is_read(void **state)
{
    (void)state;
    int64_t ms;
    assert_true(clock_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", &ms)); /* RFC 9110, 5.6.7 */
    assert_int_equal(ms, INT64_C(784111777000));
    char text[CLOCK_TEXT_BYTES];
    clock_format_http(ms + 999, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void what_is_no_http_date_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "120",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        int64_t ms;
        assert_false(clock_parse_http(texts[i], &ms));
    }
}

static void a_faked_clock_stands_still(void **state)
{
    (void)state;
    clock_fake(NOVEMBER);
    assert_int_equal(clock_now_ms(), NOVEMBER);
    assert_int_equal(clock_monotonic_ms(), NOVEMBER);
    clock_fake(-1);
    assert_true(clock_now_ms() != NOVEMBER);
    int64_t before = clock_monotonic_ms();
    assert_true(clock_monotonic_ms() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_formatted_in_utc),
        cmocka_unit_test(both_formats_are_read_back),
        cmocka_unit_test(fractions_and_zones_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(an_http_date_is_read),
        cmocka_unit_test(what_is_no_http_date_is_refused),
        cmocka_unit_test(a_faked_clock_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
