// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char day_names[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static _Atomic int64_t fake_ms = -1;

static int64_t clock_ms(clockid_t id)
{
    int64_t fake = atomic_load(&fake_ms);
    if (fake >= 0)
        return fake;
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct tm broken_down(int64_t ms)
{
    time_t seconds = ms / 1000 - (ms % 1000 < 0); /* down, also before 1970 */
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return tm;
}

/* The readers of a text: each steps over what it read, or gives false. */
static bool read_literal(const char **at, const char *literal)
{
    size_t length = strlen(literal);
    if (strncmp(*at, literal, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool read_digits(const char **at, int count, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

static bool read_time(const char **at, const char *separator, struct tm *tm)
{
    return read_digits(at, 2, &tm->tm_hour) && read_literal(at, separator) &&
           read_digits(at, 2, &tm->tm_min) && read_literal(at, separator) &&
           read_digits(at, 2, &tm->tm_sec);
}

static bool read_date_and_time(const char **at, bool basic, struct tm *tm)
{
    const char *dash = basic ? "" : "-", *colon = basic ? "" : ":";
    if (!read_digits(at, 4, &tm->tm_year) || !read_literal(at, dash) ||
        !read_digits(at, 2, &tm->tm_mon) || !read_literal(at, dash) ||
        !read_digits(at, 2, &tm->tm_mday) || !read_literal(at, "T") || !read_time(at, colon, tm))
        return false;
    tm->tm_year -= 1900;
    tm->tm_mon -= 1;
    return true;
}

/* ".5", ".123456789": at least one digit, what is below a millisecond is dropped. */
static bool read_fraction(const char **at, int *ret_ms)
{
    int ms = 0, weight = 100;
    *ret_ms = 0;
    if (**at != '.')
        return true;
    const char *first = ++*at;
    for (; **at >= '0' && **at <= '9'; (*at)++, weight /= 10)
        ms += (**at - '0') * weight;
    *ret_ms = ms;
    return *at > first;
}

static bool read_zone(const char **at, int *ret_minutes)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes;
    *ret_minutes = 0;
    if (read_literal(at, "Z"))
        return true;
    if (!(read_literal(at, "+") || read_literal(at, "-")) || !read_digits(at, 2, &hours) ||
        !read_literal(at, ":") || !read_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool read_name(const char **at, const char (*names)[4], int count, int *ret_index)
{
    for (int i = 0; i < count; i++)
        if (read_literal(at, names[i])) {
            *ret_index = i;
            return true;
        }
    return false;
}

/* false unless the day exists in that month; a leap second (60) is the next minute's first. */
static bool to_epoch(const struct tm *tm, int64_t *ret_seconds, int *ret_weekday)
{
    if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
        return false;
    struct tm day = {.tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday};
    time_t midnight = timegm(&day);
    if (day.tm_mon != tm->tm_mon || day.tm_mday != tm->tm_mday)
        return false;
    *ret_seconds = (int64_t)midnight + tm->tm_hour * 3600 + tm->tm_min * 60 + tm->tm_sec;
    *ret_weekday = day.tm_wday;
    return true;
}

bool clock_parse_http(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int weekday, weekday_of_date;
    int64_t seconds;
    if (!read_name(&text, day_names, 7, &weekday) || !read_literal(&text, ", ") ||
        !read_digits(&text, 2, &tm.tm_mday) || !read_literal(&text, " ") ||
        !read_name(&text, month_names, 12, &tm.tm_mon) || !read_literal(&text, " ") ||
        !read_digits(&text, 4, &tm.tm_year) || !read_literal(&text, " ") ||
        !read_time(&text, ":", &tm) || strcmp(text, " GMT") != 0)
        return false;
    tm.tm_year -= 1900;
    if (!to_epoch(&tm, &seconds, &weekday_of_date) || weekday != weekday_of_date)
        return false;
    *ret_ms = seconds * 1000;
    return true;
}

bool clock_parse(const char *text, int64_t *ret_ms)
{
    bool basic = strnlen(text, 5) == 5 && text[4] != '-';
    struct tm tm = {0};
    int fraction_ms = 0, zone_minutes = 0, weekday;
    int64_t seconds;
    if (!read_date_and_time(&text, basic, &tm))
        return false;
    if (basic ? !read_literal(&text, "Z")
              : !read_fraction(&text, &fraction_ms) || !read_zone(&text, &zone_minutes))
        return false;
    if (*text || !to_epoch(&tm, &seconds, &weekday))
        return false;
    *ret_ms = (seconds - zone_minutes * 60) * 1000 + fraction_ms;
    return true;
}

void clock_format_http(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    struct tm tm = broken_down(ms);
    char rest[CLOCK_TEXT_BYTES];
    strftime(rest, sizeof(rest), "%04Y %H:%M:%S GMT", &tm);
    snprintf(ret_text, CLOCK_TEXT_BYTES, "%s, %02d %s %.18s", day_names[tm.tm_wday], tm.tm_mday,
             month_names[tm.tm_mon], rest);
}

void clock_format_basic(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    struct tm tm = broken_down(ms);
    strftime(ret_text, CLOCK_TEXT_BYTES, "%04Y%m%dT%H%M%SZ", &tm);
}

void clock_format(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    struct tm tm = broken_down(ms);
    strftime(ret_text, CLOCK_TEXT_BYTES, "%04Y-%m-%dT%H:%M:%SZ", &tm);
}

static void format_fraction(int64_t ms, const char *rest, char ret_text[CLOCK_TEXT_BYTES])
{
    struct tm tm = broken_down(ms);
    size_t length = strftime(ret_text, CLOCK_TEXT_BYTES, "%04Y-%m-%dT%H:%M:%S", &tm);
    int64_t fraction = (ms % 1000 + 1000) % 1000;
    snprintf(ret_text + length, CLOCK_TEXT_BYTES - length, ".%03d%s", (int)fraction, rest);
}

void clock_format_us(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    format_fraction(ms, "000Z", ret_text);
}

void clock_format_ms(int64_t ms, char ret_text[CLOCK_TEXT_BYTES])
{
    format_fraction(ms, "Z", ret_text);
}

void clock_fake(int64_t now_ms)
{
    atomic_store(&fake_ms, now_ms);
}

int64_t clock_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}
