// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_search.h"

#include <stddef.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/cancel.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_scan.h"

/* Reads records one after the other. */
struct walk {
    const struct wal_search *search;
    struct buf segment;
    struct reader wal; /* what is left of it */
    struct wal_scan scan;
    uint64_t from, limit; /* records that begin there; what follows may be read to their ends */
};

/* Segments */

static uint64_t segment_of(const struct wal_search *search, uint64_t lsn)
{
    return lsn - lsn % search->segment_bytes;
}

/* Of the segment at lsn, the last byte that is of interest. */
static uint64_t end_of(const struct wal_search *search, uint64_t lsn)
{
    const uint64_t end = lsn + search->segment_bytes;
    return search->to < end ? search->to : end;
}

/*
 * A segment with a fork in it is read of the newer timeline, as PostgreSQL does, which begins it
 * with a copy of what the older one had. While that is not in the repository, the older one serves
 * up to the fork.
 */
static int load(const struct wal_search *search, uint64_t lsn, struct buf *segment,
                struct error *err)
{
    const struct timeline *history = search->history;
    const uint64_t end = end_of(search, lsn);
    size_t i = history->count - 1;
    while (history->spans[i].begin_lsn >= lsn + search->segment_bytes)
        i--; /* the first timeline begins at 0 */
    for (;; i--) {
        const struct timeline_span *span = &history->spans[i];
        if (wal_archive_get(search->repo, span->timeline, lsn, end, search->segment_bytes, segment,
                            err) == 0)
            return 0;
        if (err->kind != ERROR_NOT_FOUND || span->begin_lsn < end)
            return -1;
    }
}

/* Walking */

static void walk_done(struct walk *walk)
{
    buf_done(&walk->segment);
}

static struct walk walk_new(const struct wal_search *search)
{
    return (struct walk){.search = search, .segment = BUF(search->segment_bytes)};
}

/* Goes to the records that begin in [from, limit). */
static void walk_to(struct walk *walk, uint64_t from, uint64_t limit)
{
    const struct wal_search *search = walk->search;
    walk->scan = wal_scan_from(from - from % WAL_SCAN_PAGE_BYTES, search->segment_bytes,
                               search->repo->document.system_identifier);
    walk->wal = READER(NULL, 0);
    walk->from = from;
    walk->limit = limit;
}

static int read_on(struct walk *walk, struct error *err)
{
    const struct wal_search *search = walk->search;
    const uint64_t at = walk->scan.at, lsn = segment_of(search, at);
    if (cancel_check(search->cancel, err) < 0 || load(search, lsn, &walk->segment, err) < 0)
        return -1;
    walk->wal = READER(walk->segment.data + (at - lsn), end_of(search, lsn) - at);
    return 0;
}

/* Nothing more can come of what was asked for. */
static bool is_over(const struct walk *walk)
{
    const struct wal_scan *scan = &walk->scan;
    return wal_scan_ended(scan) || scan->at >= walk->search->to ||
           (scan->at >= walk->limit && !wal_scan_awaits(scan));
}

/* 1: the next record; 0: there is none. */
static int walk_on(struct walk *walk, struct wal_record *ret_record, struct error *err)
{
    for (;;) {
        int found = wal_scan_next(&walk->scan, &walk->wal, ret_record, err);
        if (found < 0)
            return -1;
        if (found > 0 && (ret_record->lsn >= walk->limit || ret_record->end_lsn > walk->search->to))
            return 0;
        if (found > 0 && ret_record->lsn >= walk->from)
            return 1;
        if (found == 0 && is_over(walk))
            return 0;
        if (found == 0 && read_on(walk, err) < 0)
            return -1;
    }
}

/* Wishes */

static bool is_wished(const struct wal_search_wish *wish, const struct wal_record *record)
{
    switch (wish->by) {
    case WAL_SEARCH_TIME:
        return wal_record_ends_transaction(record) &&
               record->time_us >= wish->time_us + (wish->later ? 1 : 0);
    case WAL_SEARCH_XID:
        return wal_record_ends_transaction(record) && record->xid == wish->xid;
    case WAL_SEARCH_NAME:
        return record->kind == WAL_RECORD_RESTORE_POINT && strcmp(record->name, wish->name) == 0;
    case WAL_SEARCH_LSN:
        return record->lsn >= wish->lsn;
    }
    return false;
}

/* The first record that fulfils the wish of those that begin in [from, limit), and whether any
 * transaction ended before it. */
struct stretch {
    uint64_t from, limit;
    struct wal_record match;
    bool saw_end;
};

static int search_stretch(struct walk *walk, const struct wal_search_wish *wish,
                          struct stretch *stretch, struct error *err)
{
    int found;
    struct wal_record record;
    walk_to(walk, stretch->from, stretch->limit);
    while ((found = walk_on(walk, &record, err)) > 0) {
        if (is_wished(wish, &record)) {
            stretch->match = record;
            return 0;
        }
        stretch->saw_end |= wal_record_ends_transaction(&record);
    }
    return found;
}

/* Of the first segment from middle on in which transactions ended, as long as it is below high. */
static int search_half(struct walk *walk, const struct wal_search_wish *wish, uint64_t high,
                       struct stretch *half, struct error *err)
{
    const struct wal_search *search = walk->search;
    while (half->from < high && !half->saw_end && half->match.kind == WAL_RECORD_NONE) {
        const uint64_t end = segment_of(search, half->from) + search->segment_bytes;
        half->limit = end < high ? end : high;
        if (search_stretch(walk, wish, half, err) < 0)
            return -1;
        half->from = half->limit;
    }
    return 0;
}

/* Each step leaves what is before the middle, or what is behind the segment that was read. */
static int search_time(struct walk *walk, const struct wal_search_wish *wish,
                       struct wal_record *ret_record, struct error *err)
{
    const struct wal_search *search = walk->search;
    uint64_t low = search->from, high = search->to;
    while (low < high) {
        const uint64_t middle = segment_of(search, low + (high - low) / 2);
        const uint64_t from = middle > low ? middle : low;
        struct stretch half = {.from = from};
        if (search_half(walk, wish, high, &half, err) < 0)
            return -1;
        if (half.match.kind != WAL_RECORD_NONE)
            *ret_record = half.match;
        if (half.match.kind != WAL_RECORD_NONE || !half.saw_end)
            high = from;
        else
            low = half.from;
    }
    return 0;
}

static int search_all(struct walk *walk, const struct wal_search_wish *wish,
                      struct wal_record *ret_record, struct error *err)
{
    const struct wal_search *search = walk->search;
    struct stretch all = {.from = search->from, .limit = search->to};
    if (wish->by == WAL_SEARCH_LSN && wish->lsn > all.from)
        all.from = wish->lsn;
    if (all.from < all.limit && search_stretch(walk, wish, &all, err) < 0)
        return -1;
    *ret_record = all.match;
    return 0;
}

/* Public */

int wal_search_last(const struct wal_search *search, struct wal_record *ret_record,
                    struct error *err)
{
    CLEANUP(walk_done) struct walk walk = walk_new(search);
    struct wal_record record, last = {.kind = WAL_RECORD_NONE};
    for (uint64_t high = search->to; high > search->from && last.kind == WAL_RECORD_NONE;) {
        const uint64_t middle = segment_of(search, high - 1);
        const uint64_t low = middle > search->from ? middle : search->from;
        int found;
        walk_to(&walk, low, high);
        while ((found = walk_on(&walk, &record, err)) > 0)
            if (wal_record_ends_transaction(&record))
                last = record;
        if (found < 0)
            return -1;
        high = low;
    }
    *ret_record = last;
    return 0;
}

int wal_search_first(const struct wal_search *search, const struct wal_search_wish *wish,
                     struct wal_record *ret_record, struct error *err)
{
    CLEANUP(walk_done) struct walk walk = walk_new(search);
    struct wal_record record = {.kind = WAL_RECORD_NONE};
    int result = wish->by == WAL_SEARCH_TIME ? search_time(&walk, wish, &record, err)
                                             : search_all(&walk, wish, &record, err);
    if (result == 0)
        *ret_record = record;
    return result;
}
