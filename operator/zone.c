// SPDX-License-Identifier: Apache-2.0
#include "operator/zone.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "common/buf.h"
#include "common/own.h"

enum { NAME_MAX_BYTES = 64, DAY_SECONDS = 24 * 60 * 60 };

struct zone {
    GTimeZone *rules;
};

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size <= NAME_MAX_BYTES && g_ascii_isalpha(name[0]) && name[size - 1] != '/' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") ==
               size;
}

/* GLib reads more than names ("MST7" is a rule to it), and what the machine calls "localtime" is
 * not the same on every replica. */
static bool is_in_database(const char *name)
{
    const char *directory = g_getenv("TZDIR");
    CLEANUP(own_freep)
    char *path = own_format("%s/%s", directory ? directory : "/usr/share/zoneinfo", name);
    CLEANUP(own_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char magic[4]; /* RFC 8536, 3.1 */
    struct error ignored;
    return strcmp(name, "localtime") != 0 && fd >= 0 &&
           buf_pread(fd, magic, sizeof(magic), 0, &ignored) == sizeof(magic) &&
           memcmp(magic, "TZif", sizeof(magic)) == 0;
}

/* Seconds that the zone's clock is ahead of UTC at a moment. */
static int64_t offset_at(const struct zone *zone, int64_t seconds)
{
    int interval = g_time_zone_find_interval(zone->rules, G_TIME_TYPE_UNIVERSAL, seconds);
    return g_time_zone_get_offset(zone->rules, interval);
}

static int64_t floor_divide(int64_t dividend, int64_t divisor)
{
    return dividend / divisor - (dividend % divisor < 0);
}

/* Days since 1970-01-01 and back, for the proleptic Gregorian calendar; years begin in March here,
 * so that the leap day is the last one (eras of 400 years have 146097 days). */
static int64_t days_of(int year, int month, int day)
{
    int64_t shifted = year - (month <= 2);
    int64_t era = floor_divide(shifted, 400), year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_of(int64_t days, struct civil_minute *ret_date)
{
    days += 719468;
    int64_t era = floor_divide(days, 146097), day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    ret_date->day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    ret_date->month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    ret_date->year = (int)(year_of_era + era * 400) + (ret_date->month <= 2);
}

/* The first second after before at which the clock is not offset ahead; it is not at after. */
static int64_t find_shift(const struct zone *zone, int64_t before, int64_t after, int64_t offset)
{
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (offset_at(zone, middle) == offset)
            before = middle;
        else
            after = middle;
    }
    return after;
}

int zone_open(struct zone **ret_zone, const char *name, struct error *err)
{
    const char *wanted = name ? name : "UTC";
    GTimeZone *rules = NULL;
    if (!name)
        rules = g_time_zone_new_utc();
    else if (is_name(name) && is_in_database(name))
        rules = g_time_zone_new_identifier(name);
    if (!rules)
        return error_set(err, ERROR_PERMANENT,
                         "no time zone '%.*s': expected a name of the IANA database such as "
                         "Europe/Zurich or UTC",
                         NAME_MAX_BYTES, wanted);
    struct zone *zone = own_alloc(sizeof(*zone));
    zone->rules = rules;
    *ret_zone = zone;
    return 0;
}

void zone_freep(struct zone **zone)
{
    if (!*zone)
        return;
    g_time_zone_unref((*zone)->rules);
    own_freep(zone);
}

struct civil_minute zone_civil(const struct zone *zone, int64_t ms)
{
    int64_t seconds = floor_divide(ms, 1000);
    int64_t local = seconds + offset_at(zone, seconds);
    int64_t days = floor_divide(local, DAY_SECONDS), of_day = local - days * DAY_SECONDS;
    struct civil_minute civil = {.hour = (int)(of_day / 3600), .minute = (int)(of_day / 60 % 60)};
    date_of(days, &civil);
    return civil;
}

/* No zone is more than a day ahead of UTC or behind it, and none shifts its clock twice in two
 * days: the offsets a day before and after are all that can be in force. */
int64_t zone_moment(const struct zone *zone, struct civil_minute civil)
{
    int64_t local = days_of(civil.year, civil.month, civil.day) * DAY_SECONDS + civil.hour * 3600 +
                    civil.minute * 60;
    int64_t offset_before = offset_at(zone, local - DAY_SECONDS);
    int64_t offset_after = offset_at(zone, local + DAY_SECONDS);
    int64_t first = local - offset_before, second = local - offset_after;
    if (offset_at(zone, first) == offset_before) /* where both are true, this is the earlier one */
        return first * 1000;
    if (offset_at(zone, second) == offset_after)
        return second * 1000;
    return find_shift(zone, local - DAY_SECONDS, local + DAY_SECONDS, offset_before) * 1000;
}
