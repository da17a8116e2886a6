// SPDX-License-Identifier: Apache-2.0
#include "sidecar/change_search.h"

#include <inttypes.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/changes.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"

enum { TICK_MS = 100 };

struct wanted {
    struct changes_range *ranges;
    size_t count;
};

/* The summarizer goes forward only: what it passed over does not come any more. */
static bool was_passed_over(const struct changes_range *summaries, size_t count, uint32_t timeline,
                            uint64_t lsn)
{
    for (size_t i = 0; i < count; i++)
        if (summaries[i].timeline > timeline ||
            (summaries[i].timeline == timeline && summaries[i].start_lsn > lsn))
            return true;
    return false;
}

/* 1: all is covered; 0: something is still missing, -1: for ever, and err says what. */
static int check_cover(const struct wanted *wanted, struct changes_range *summaries, size_t count,
                       struct error *err)
{
    char lsn[LSN_TEXT_BYTES];
    uint64_t missing_lsn;
    for (size_t i = 0; i < wanted->count; i++) {
        const struct changes_range *range = &wanted->ranges[i];
        if (changes_cover(summaries, count, range, &missing_lsn))
            continue;
        lsn_format(missing_lsn, lsn);
        error_set(err, ERROR_NOT_FOUND,
                  "no WAL summary has %s of timeline %" PRIu32
                  ": relations are read to find what changed",
                  lsn, range->timeline);
        return was_passed_over(summaries, count, range->timeline, missing_lsn) ? -1 : 0;
    }
    return 1;
}

static int wait_for_summaries(const struct change_search *search, const struct wanted *wanted,
                              struct changes_range **ret_summaries, size_t *ret_count,
                              struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + search->wait_ms;
    for (;;) {
        CLEANUP(own_freep) struct changes_range *summaries = NULL;
        if (pg_summaries(search->pg, &summaries, ret_count, err) < 0)
            return -1;
        int covered = check_cover(wanted, summaries, *ret_count, err);
        if (covered == 1)
            *ret_summaries = TAKE(summaries);
        if (covered != 0)
            return covered < 0 ? -1 : 0;
        if (clock_monotonic_ms() >= deadline_ms || cancel_sleep(search->cancel, TICK_MS, err) < 0)
            return -1;
    }
}

static bool overlaps(const struct wanted *wanted, const struct changes_range *summary)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->ranges[i].timeline == summary->timeline &&
            summary->start_lsn < wanted->ranges[i].end_lsn &&
            summary->end_lsn > wanted->ranges[i].start_lsn)
            return true;
    return false;
}

int change_search_run(const struct change_search *search, struct changes **ret_changes,
                      struct error *err)
{
    CLEANUP(own_freep)
    struct changes_range *ranges = own_alloc(CHANGES_RANGES_MAX * sizeof(ranges[0]));
    CLEANUP(own_freep) struct changes_range *summaries = NULL;
    CLEANUP(changes_freep) struct changes *changes = changes_new();
    size_t count;
    struct wanted wanted = {
        .ranges = ranges,
        .count = changes_plan(search->timeline, search->parent_timeline, search->start_lsn,
                              search->end_lsn, ranges),
    };
    if (wait_for_summaries(search, &wanted, &summaries, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (overlaps(&wanted, &summaries[i]) &&
            pg_summary_read(search->pg, &summaries[i], changes, err) < 0)
            return -1;
    *ret_changes = TAKE(changes);
    return 0;
}
