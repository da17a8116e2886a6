// SPDX-License-Identifier: Apache-2.0
/* Reads any text as a cron expression; what is accepted gives minutes that exist, in order. */
#include <stdlib.h>
#include <string.h>

#include "common/cron.h"
#include "common/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static int64_t rank(const struct civil_minute *at)
{
    return (((at->year * INT64_C(13) + at->month) * 32 + at->day) * 24 + at->hour) * 61 +
           at->minute;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(own_freep) char *text = own_alloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    struct cron cron;
    struct error err = {.kind = ERROR_NONE};
    if (cron_parse(&cron, text, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT);
        return 0;
    }
    struct civil_minute at = {.year = 2095, .month = 12, .day = 31, .hour = 23, .minute = 58};
    for (int i = 0; i < 20; i++) {
        struct civil_minute next;
        if (!cron_next(&cron, at, &next))
            break;
        expect(rank(&next) >= rank(&at) && next.minute < 60 && next.hour < 24 && next.day > 0 &&
               next.day <= 31 && next.month > 0 && next.month <= 12);
        at = next;
        at.minute++;
    }
    return 0;
}
