// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/own.h"
#include "operator/zone.h"

static struct zone *open_zone(const char *name)
{
    struct zone *zone;
    struct error err = {.text = ""};
    if (zone_open(&zone, name, &err) < 0)
        fail_msg("%s", err.text);
    return zone;
}

static int64_t moment(const char *text)
{
    int64_t ms;
    assert_true(clock_parse(text, &ms));
    return ms;
}

static void a_moment_is_shown_as_the_clock_of_the_zone_shows_it(void **state)
{
    static const struct {
        const char *zone, *moment;
        struct civil_minute expected;
    } cases[] = {
        {NULL, "2026-11-21T14:05:59Z", {2026, 11, 21, 14, 5}},
        {"UTC", "1970-01-01T00:00:00Z", {1970, 1, 1, 0, 0}},
        {"UTC", "1969-12-31T23:59:59Z", {1969, 12, 31, 23, 59}},
        {"UTC", "2000-02-29T12:00:00Z", {2000, 2, 29, 12, 0}},
        {"UTC", "2100-03-01T00:00:00Z", {2100, 3, 1, 0, 0}},
        {"Europe/Berlin", "2026-01-01T00:00:00Z", {2026, 1, 1, 1, 0}},
        {"Europe/Berlin", "2026-07-01T00:00:00Z", {2026, 7, 1, 2, 0}},
        {"Europe/Berlin", "2039-07-01T00:00:00Z", {2039, 7, 1, 2, 0}},
        {"Asia/Kathmandu", "2026-12-31T18:15:00Z", {2027, 1, 1, 0, 0}},
        {"Pacific/Kiritimati", "2026-12-31T10:00:00Z", {2027, 1, 1, 0, 0}},
        {"America/St_Johns", "2026-01-01T03:00:00Z", {2025, 12, 31, 23, 30}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(zone_freep) struct zone *zone = open_zone(cases[i].zone);
        struct civil_minute civil = zone_civil(zone, moment(cases[i].moment));
        assert_memory_equal(&civil, &cases[i].expected, sizeof(civil));
    }
}

static void what_the_clock_shows_is_a_moment(void **state)
{
    static const struct {
        const char *zone;
        struct civil_minute civil;
        const char *expected;
    } cases[] = {
        {"Europe/Berlin", {2026, 1, 1, 3, 0}, "2026-01-01T02:00:00Z"},
        {"Europe/Berlin", {2026, 7, 1, 3, 0}, "2026-07-01T01:00:00Z"},
        {"Europe/Berlin", {2026, 3, 29, 1, 59}, "2026-03-29T00:59:00Z"},
        /* skipped: from 02:00 to 03:00 */
        {"Europe/Berlin", {2026, 3, 29, 2, 0}, "2026-03-29T01:00:00Z"},
        {"Europe/Berlin", {2026, 3, 29, 2, 30}, "2026-03-29T01:00:00Z"},
        {"Europe/Berlin", {2026, 3, 29, 3, 0}, "2026-03-29T01:00:00Z"},
        {"Europe/Berlin", {2026, 3, 29, 3, 1}, "2026-03-29T01:01:00Z"},
        /* doubled: from 03:00 back to 02:00 */
        {"Europe/Berlin", {2026, 10, 25, 1, 59}, "2026-10-24T23:59:00Z"},
        {"Europe/Berlin", {2026, 10, 25, 2, 0}, "2026-10-25T00:00:00Z"},
        {"Europe/Berlin", {2026, 10, 25, 2, 59}, "2026-10-25T00:59:00Z"},
        {"Europe/Berlin", {2026, 10, 25, 3, 0}, "2026-10-25T02:00:00Z"},
        {"America/New_York", {2026, 3, 8, 2, 15}, "2026-03-08T07:00:00Z"},
        {"America/New_York", {2026, 11, 1, 1, 15}, "2026-11-01T05:15:00Z"},
        /* half an hour */
        {"Australia/Lord_Howe", {2026, 10, 4, 2, 15}, "2026-10-03T15:30:00Z"},
        {"Australia/Lord_Howe", {2026, 4, 5, 1, 45}, "2026-04-04T14:45:00Z"},
        /* a whole day was skipped */
        {"Pacific/Apia", {2011, 12, 30, 12, 0}, "2011-12-30T10:00:00Z"},
        {"UTC", {2028, 2, 29, 0, 0}, "2028-02-29T00:00:00Z"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(zone_freep) struct zone *zone = open_zone(cases[i].zone);
        char text[CLOCK_TEXT_BYTES];
        clock_format(zone_moment(zone, cases[i].civil), text);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("case %zu: %s, expected %s", i, text, cases[i].expected);
    }
}

static void a_moment_survives_both_ways(void **state)
{
    (void)state;
    CLEANUP(zone_freep) struct zone *zone = open_zone("America/Sao_Paulo");
    int64_t step = INT64_C(7919) * 60 * 1000; /* a prime, so that all hours come */
    for (int64_t ms = moment("1995-01-01T00:00:00Z"); ms < moment("2045-01-01T00:00:00Z");
         ms += step) {
        int64_t back = zone_moment(zone, zone_civil(zone, ms));
        assert_true(back == ms || back == ms - 3600 * 1000); /* the first of two */
    }
}

static void what_is_no_zone_is_refused_with_a_remedy(void **state)
{
    static const char *const names[] = {"",
                                        "Europe",
                                        "Europe/",
                                        "Europe/Atlantis",
                                        "europe/berlin",
                                        "MST7",
                                        "+02:00",
                                        "-3",
                                        "/etc/localtime",
                                        "../zoneinfo/UTC",
                                        "UTC\n",
                                        "localtime",
                                        "leapseconds",
                                        "tzdata.zi",
                                        "Europe//Berlin/",
                                        "<+03>-3",
                                        "Europe/Berlin\x80",
                                        "CET-1CEST,M3.5.0,M10.5.0/3"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct zone *zone;
        struct error err = {.text = ""};
        if (zone_open(&zone, names[i], &err) == 0)
            fail_msg("'%s' was taken for a zone", names[i]);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        assert_non_null(strstr(err.text, "Europe/Zurich"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_is_shown_as_the_clock_of_the_zone_shows_it),
        cmocka_unit_test(what_the_clock_shows_is_a_moment),
        cmocka_unit_test(a_moment_survives_both_ways),
        cmocka_unit_test(what_is_no_zone_is_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
