// SPDX-License-Identifier: Apache-2.0
#include "common/cron.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/own.h"

enum { TEXT_MAX = 128, YEARS_AHEAD = 8, WORD_MAX = 16 };

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
                                          "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const weekday_names[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL};

static const struct field {
    const char *title;
    unsigned min, max;
    const char *const *names; /* of min, min + 1 …; NULL: none */
} fields[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, month_names},
    {"day of week", 0, 7, weekday_names},
};

static const struct macro {
    const char *name, *means;
} macros[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

/* One part of a list: from-to/step. */
struct part {
    unsigned from, to, step;
    bool any; /* '*' without a step */
};

static int refuse(const struct field *field, const char *text, size_t size, struct error *err)
{
    const char *names = !field->names                 ? ""
                        : field->names == month_names ? " or JAN to DEC"
                                                      : " or SUN to SAT";
    return error_set(err, ERROR_PERMANENT,
                     "%s '%.*s': expected '*' or a list of numbers from %u to %u%s, ranges as 1-5 "
                     "and steps as */2",
                     field->title, (int)size, text, field->min, field->max, names);
}

static bool read_number(const char *text, size_t size, unsigned max, unsigned *ret_value)
{
    unsigned value = 0;
    if (size == 0 || size > 4)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *ret_value = value;
    return value <= max;
}

static bool read_value(const struct field *field, const char *text, size_t size,
                       unsigned *ret_value)
{
    for (unsigned i = 0; field->names && field->names[i]; i++)
        if (size == strlen(field->names[i]) && strncasecmp(text, field->names[i], size) == 0) {
            *ret_value = field->min + i;
            return true;
        }
    return read_number(text, size, field->max, ret_value) && *ret_value >= field->min;
}

static bool read_part(const struct field *field, const char *text, size_t size,
                      struct part *ret_part)
{
    const char *slash = memchr(text, '/', size);
    size_t range_size = slash ? (size_t)(slash - text) : size;
    const char *dash = memchr(text, '-', range_size);
    size_t from_size = dash ? (size_t)(dash - text) : range_size;
    *ret_part = (struct part){.from = field->min, .to = field->max, .step = 1};
    if (slash && (!read_number(slash + 1, size - range_size - 1, field->max, &ret_part->step) ||
                  ret_part->step == 0))
        return false;
    if (range_size == 1 && text[0] == '*') {
        ret_part->any = ret_part->step == 1;
        if (field->names == weekday_names)
            ret_part->to = field->max - 1; /* Sunday is there already */
        return true;
    }
    if (!read_value(field, text, from_size, &ret_part->from))
        return false;
    if (dash)
        return read_value(field, dash + 1, range_size - from_size - 1, &ret_part->to) &&
               ret_part->from <= ret_part->to;
    if (!slash) /* "5/10" goes on to the end, as in Kubernetes */
        ret_part->to = ret_part->from;
    return true;
}

/* The bits of one field. */
static int parse_field(const struct field *field, const char *text, size_t size, uint64_t *ret_bits,
                       bool *ret_any, struct error *err)
{
    const char *end = text + size;
    *ret_bits = 0;
    *ret_any = false;
    for (const char *at = text; at <= end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t part_size = (size_t)((comma ? comma : end) - at);
        struct part part;
        if (!read_part(field, at, part_size, &part))
            return refuse(field, text, size, err);
        for (unsigned value = part.from; value <= part.to; value += part.step)
            *ret_bits |= UINT64_C(1) << value;
        *ret_any |= part.any;
        at += part_size + 1;
    }
    return 0;
}

static const char *expand(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(macros); i++)
        if (strcasecmp(text, macros[i].name) == 0)
            return macros[i].means;
    return text;
}

static int refuse_count(const char *text, struct error *err)
{
    return error_set(err, ERROR_PERMANENT,
                     "expected five cron fields (minute, hour, day of month, month, day of week) "
                     "such as '0 3 * * *', or one of @hourly, @daily, @weekly, @monthly and "
                     "@yearly, not '%.*s'",
                     TEXT_MAX, text);
}

int cron_parse(struct cron *ret_cron, const char *text, struct error *err)
{
    uint64_t bits[ARRAY_SIZE(fields)];
    bool any[ARRAY_SIZE(fields)];
    size_t count = 0;
    if (strlen(text) > TEXT_MAX)
        return refuse_count(text, err);
    for (const char *at = expand(text); *(at += strspn(at, " \t"));) {
        size_t size = strcspn(at, " \t");
        if (count == ARRAY_SIZE(fields) || (count == 0 && strspn(at, "@TCR") > 0))
            return refuse_count(text, err);
        if (parse_field(&fields[count], at, size, &bits[count], &any[count], err) < 0)
            return -1;
        count++;
        at += size;
    }
    if (count != ARRAY_SIZE(fields))
        return refuse_count(text, err);
    uint64_t sunday = bits[4] >> 7 & 1;
    *ret_cron = (struct cron){.minutes = bits[0],
                              .hours = (uint32_t)bits[1],
                              .days = (uint32_t)bits[2],
                              .months = (uint32_t)bits[3],
                              .weekdays = (uint32_t)((bits[4] & 0x7f) | sunday),
                              .any_day = any[2],
                              .any_weekday = any[4]};
    return 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* 0 is Sunday (Sakamoto's congruence). */
static int weekday_of(int year, int month, int day)
{
    static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
    year -= month < 3;
    return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

static bool is_day(const struct cron *cron, const struct civil_minute *at)
{
    bool day = cron->days >> at->day & 1;
    bool weekday = cron->weekdays >> weekday_of(at->year, at->month, at->day) & 1;
    if (!(cron->months >> at->month & 1))
        return false;
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

/* The lowest bit of bits that is at least from; -1: none. */
static int bit_from(uint64_t bits, int from)
{
    bits = from > 63 ? 0 : bits >> from << from;
    return bits ? __builtin_ctzll(bits) : -1;
}

/* Moves at to the first match that is not before it on its day. */
static bool find_minute(const struct cron *cron, struct civil_minute *at)
{
    int hour = bit_from(cron->hours, at->hour);
    int minute = hour == at->hour ? bit_from(cron->minutes, at->minute) : -1;
    if (hour == at->hour && minute < 0)
        hour = bit_from(cron->hours, at->hour + 1);
    if (hour < 0)
        return false;
    at->minute = minute >= 0 ? minute : bit_from(cron->minutes, 0);
    at->hour = hour;
    return true;
}

static void next_day(struct civil_minute *at)
{
    at->hour = at->minute = 0;
    if (++at->day <= days_in(at->year, at->month))
        return;
    at->day = 1;
    if (++at->month <= 12)
        return;
    at->month = 1;
    at->year++;
}

bool cron_next(const struct cron *cron, struct civil_minute at, struct civil_minute *ret_next)
{
    for (int last_year = at.year + YEARS_AHEAD; at.year <= last_year; next_day(&at))
        if (is_day(cron, &at) && find_minute(cron, &at)) {
            *ret_next = at;
            return true;
        }
    return false;
}
