// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cron.h"
#include "common/own.h"

static struct civil_minute civil(const char *text)
{
    int fields[5] = {0};
    size_t at = 0;
    for (; *text; text++) {
        if (*text >= '0' && *text <= '9')
            fields[at] = fields[at] * 10 + (*text - '0');
        else
            at++;
    }
    return (struct civil_minute){fields[0], fields[1], fields[2], fields[3], fields[4]};
}

static void assert_next(const char *expression, const char *from, const char *expected)
{
    struct cron cron;
    struct error err = {.text = ""};
    if (cron_parse(&cron, expression, &err) < 0)
        fail_msg("'%s': %s", expression, err.text);
    struct civil_minute next;
    char text[64] = "never";
    if (cron_next(&cron, civil(from), &next))
        snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d", next.year, next.month, next.day,
                 next.hour, next.minute);
    if (strcmp(text, expected) != 0)
        fail_msg("'%s' after %s: %s, expected %s", expression, from, text, expected);
}

static void the_next_match_is_the_first_that_is_not_before(void **state)
{
    static const struct {
        const char *cron, *from, *expected;
    } cases[] = {
        {"* * * * *", "2026-11-21 14:05", "2026-11-21 14:05"},
        {"0 3 * * *", "2026-11-21 03:00", "2026-11-21 03:00"},
        {"0 3 * * *", "2026-11-21 03:01", "2026-11-22 03:00"},
        {"0 3 * * *", "2026-12-31 03:01", "2027-01-01 03:00"},
        {"59 23 31 12 *", "2026-12-31 23:59", "2026-12-31 23:59"},
        {"0 0 1 1 *", "2026-01-01 00:01", "2027-01-01 00:00"},
        {"*/15 * * * *", "2026-11-21 14:46", "2026-11-21 15:00"},
        {"*/7 * * * *", "2026-11-21 14:57", "2026-11-21 15:00"},
        {"5/20 * * * *", "2026-11-21 14:26", "2026-11-21 14:45"},
        {"10-30/10 4,6 * * *", "2026-11-21 04:31", "2026-11-21 06:10"},
        {"0 0,12 1 */2 *", "2026-02-10 00:00", "2026-03-01 00:00"},
        {"0 0 * * SUN", "2026-11-21 00:00", "2026-11-22 00:00"},
        {"0 0 * * 0", "2026-11-21 00:00", "2026-11-22 00:00"},
        {"0 0 * * 7", "2026-11-21 00:00", "2026-11-22 00:00"},
        {"0 0 * * 5-7", "2026-11-22 00:01", "2026-11-27 00:00"},
        {"0 0 * * mon-Fri", "2026-11-21 00:00", "2026-11-23 00:00"},
        {"0 0 * jan,JUL *", "2026-02-01 00:00", "2026-07-01 00:00"},
        {"0 0 * * */2", "2026-11-22 00:01", "2026-11-24 00:00"}, /* 0, 2, 4, 6 */
        {"0 0 31 * *", "2026-11-01 00:00", "2026-12-31 00:00"},
        {"0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"},
        {"0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"}, /* 2100 is no leap year */
        {"0 0 29 2 *", "1999-03-01 00:00", "2000-02-29 00:00"}, /* 2000 is one */
        {"0 0 30 2 *", "2026-01-01 00:00", "never"},
        {"0 0 31 2,4,6,9,11 *", "2026-01-01 00:00", "never"},
        {"0 0 31 4 MON", "2026-04-29 00:00", "2027-04-05 00:00"}, /* Mondays of April do */
        {"@daily", "2026-11-21 00:01", "2026-11-22 00:00"},
        {"@hourly", "2026-11-21 00:01", "2026-11-21 01:00"},
        {"@weekly", "2026-11-21 00:01", "2026-11-22 00:00"},
        {"@monthly", "2026-11-21 00:01", "2026-12-01 00:00"},
        {"@yearly", "2026-11-21 00:01", "2027-01-01 00:00"},
        {"  0\t3  * *   * ", "2026-11-21 03:01", "2026-11-22 03:00"},
        {"0 * * * *", "2026-12-31 23:60", "2027-01-01 00:00"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_next(cases[i].cron, cases[i].from, cases[i].expected);
}

static void either_day_suffices_if_both_are_restricted(void **state)
{
    (void)state;
    assert_next("0 0 13 * FRI", "2026-11-10 00:00", "2026-11-13 00:00");
    assert_next("0 0 13 * FRI", "2026-11-14 00:00", "2026-11-20 00:00");
    assert_next("0 0 13 * *", "2026-11-14 00:00", "2026-12-13 00:00");
    assert_next("0 0 * * FRI", "2026-11-14 00:00", "2026-11-20 00:00");
    /* a step of one restricts nothing, any other does, as in Kubernetes */
    assert_next("0 0 */1 * FRI", "2026-11-14 00:00", "2026-11-20 00:00");
    assert_next("0 0 */15 * FRI", "2026-11-14 00:00", "2026-11-16 00:00");
    assert_next("0 0 13 * *,FRI", "2026-11-14 00:00", "2026-12-13 00:00");
}

static void what_is_no_expression_is_refused_with_field_and_value(void **state)
{
    static const struct {
        const char *cron, *expected;
    } cases[] = {
        {"", "five cron fields"},
        {"   ", "five cron fields"},
        {"* * * *", "five cron fields"},
        {"* * * * * *", "five cron fields"},
        {"@every 5m", "five cron fields"},
        {"@reboot", "five cron fields"},
        {"TZ=UTC 0 3 * * *", "five cron fields"},
        {"CRON_TZ=UTC 0 3 * *", "five cron fields"},
        {"60 * * * *", "minute '60'"},
        {"-1 * * * *", "minute '-1'"},
        {"1- * * * *", "minute '1-'"},
        {"30-10 * * * *", "minute '30-10'"},
        {"1,,2 * * * *", "minute '1,,2'"},
        {"1, * * * *", "minute '1,'"},
        {"*/0 * * * *", "minute '*/0'"},
        {"*/ * * * *", "minute '*/'"},
        {"*/99 * * * *", "minute '*/99'"},
        {"*5 * * * *", "minute '*5'"},
        {"? * * * *", "minute '?'"},
        {"1.5 * * * *", "minute '1.5'"},
        {"00001 * * * *", "minute '00001'"},
        {"* 24 * * *", "hour '24'"},
        {"* * 0 * *", "day of month '0'"},
        {"* * 32 * *", "day of month '32'"},
        {"* * L * *", "day of month 'L'"},
        {"* * * 13 *", "month '13'"},
        {"* * * JANUARY *", "month 'JANUARY'"},
        {"* * * * 8", "day of week '8'"},
        {"* * * * FRI-SUN", "day of week 'FRI-SUN'"},
        {"* * * * MON#2", "day of week 'MON#2'"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cron cron;
        struct error err = {.text = ""};
        assert_int_equal(cron_parse(&cron, cases[i].cron, &err), -1);
        assert_int_equal(err.kind, ERROR_PERMANENT);
        if (!strstr(err.text, cases[i].expected))
            fail_msg("'%s': %s", cases[i].cron, err.text);
    }
}

static void a_text_of_any_length_is_refused(void **state)
{
    (void)state;
    char text[4096];
    memset(text, '*', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct cron cron;
    struct error err;
    assert_int_equal(cron_parse(&cron, text, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_match_is_the_first_that_is_not_before),
        cmocka_unit_test(either_day_suffices_if_both_are_restricted),
        cmocka_unit_test(what_is_no_expression_is_refused_with_field_and_value),
        cmocka_unit_test(a_text_of_any_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
