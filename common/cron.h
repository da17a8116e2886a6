// SPDX-License-Identifier: Apache-2.0
/*
 * A cron expression: five fields (minute, hour, day of month, month, day of week) of numbers, names
 * (JAN, MON), '*', ranges, steps and lists, as crontab(5) and Kubernetes' CronJob read them: if
 * both days are restricted, either suffices; 7 is Sunday as well. "@daily" and the like are macros;
 * "@every", "TZ=" and '?' … are refused. Pure, knows no time zone: it works on civil time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct cron {
    uint64_t minutes; /* bit n: minute n */
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday; /* '*' */
};

/* PERMANENT names field, value and what is allowed. */
MUST_CHECK int cron_parse(struct cron *ret_cron, const char *text, struct error *err);

struct civil_minute {                   /* proleptic Gregorian */
    int year, month, day, hour, minute; /* month 1 to 12 */
};
/* The first matching minute that is not before at (whose minute may be 60: the next hour's first);
 * false if there is none within eight years ("30 of February"). */
bool cron_next(const struct cron *cron, struct civil_minute at, struct civil_minute *ret_next);
