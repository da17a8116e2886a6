// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

enum { US_PER_MS = 1000, US_PER_S = 1000000 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "…+01" as "…+01:00"; anything else as it is. */
static const char *zone_end(const char *zone)
{
    bool is_short = (zone[0] == '+' || zone[0] == '-') && is_digit(zone[1]) && is_digit(zone[2]) &&
                    zone[3] == '\0';
    return is_short ? ":00" : "";
}

bool recovery_time_parse(const char *text, int64_t *ret_us)
{
    static const char shape[] = "2026-11-21T16:15:00";
    enum { TIME_AT = 10 };
    char whole[sizeof(shape) + sizeof("+01:00")];
    const size_t length = sizeof(shape) - 1;
    int64_t ms, us = 0, weight = US_PER_S / 10;
    if (strlen(text) <= length)
        return false;
    const char *zone = text + length;
    if (*zone == '.') {
        if (!is_digit(*++zone))
            return false;
        for (; is_digit(*zone); zone++, weight /= 10)
            us += (*zone - '0') * weight;
    }
    if (snprintf(whole, sizeof(whole), "%.*s%s%s", (int)length, text, zone, zone_end(zone)) >=
        (int)sizeof(whole))
        return false;
    if (whole[TIME_AT] == ' ')
        whole[TIME_AT] = 'T';
    if (!clock_parse(whole, &ms))
        return false;
    *ret_us = ms * US_PER_MS + us;
    return true;
}

void recovery_time_format(int64_t us, char ret_text[RECOVERY_TIME_BYTES])
{
    char seconds[CLOCK_TEXT_BYTES];
    const int64_t rest = (us % US_PER_S + US_PER_S) % US_PER_S;
    clock_format((us - rest) / US_PER_MS, seconds);
    seconds[strlen(seconds) - 1] = '\0'; /* the Z */
    snprintf(ret_text, RECOVERY_TIME_BYTES, "%s.%06" PRId64 "Z", seconds, rest);
}
