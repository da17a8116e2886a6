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

/* Reading so many is quicker than looking where to read. */
enum { FEW_SEGMENTS = 8 };

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
    return wal_segment_start(lsn, search->segment_bytes);
}

/* Where the second half of [low, high) begins: with a segment, if there are several. */
static uint64_t middle_of(const struct wal_search *search, uint64_t low, uint64_t high)
{
    const uint64_t middle = segment_of(search, low + (high - low) / 2);
    return middle > low ? middle : low;
}

/* Of the segment at lsn, the last byte that is of interest. */
static uint64_t end_of(const struct wal_search *search, uint64_t lsn)
{
    const uint64_t end = lsn + search->segment_bytes;
    return search->to < end ? search->to : end;
}

/*
 * A segment with a fork in it is read of the newer timeline, as PostgreSQL does, which begins it
 * with a copy of what the older one had. While that is not in the repository, or in a region that
 * does not answer, the older one serves up to the fork.
 */
static int load(const struct wal_search *search, uint64_t lsn, struct buf *segment,
                struct error *err)
{
    const struct timeline *history = search->history;
    const uint64_t end = end_of(search, lsn);
    size_t i = history->count - 1;
    while (history->spans[i].begin_lsn >= lsn + search->segment_bytes)
        i--; /* the first timeline begins at 0 */
    for (struct error unasked = {0};; i--) {
        const struct timeline_span *span = &history->spans[i];
        if (wal_archive_get(search->repo, span->timeline, lsn, end, search->segment_bytes, segment,
                            err) == 0)
            return 0;
        if (err->kind == ERROR_TRANSIENT)
            unasked = *err;
        else if (err->kind == ERROR_NOT_FOUND && unasked.kind != ERROR_NONE)
            *err = unasked;
        if ((err->kind != ERROR_NOT_FOUND && err->kind != ERROR_TRANSIENT) || span->begin_lsn < end)
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
        if (found > 0 && ret_record->lsn >= walk->from)
            return ret_record->lsn < walk->limit;
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
        const uint64_t middle = middle_of(search, low, high);
        struct stretch half = {.from = middle};
        if (search_half(walk, wish, high, &half, err) < 0)
            return -1;
        if (half.match.kind != WAL_RECORD_NONE)
            *ret_record = half.match;
        if (half.match.kind != WAL_RECORD_NONE || !half.saw_end)
            high = middle;
        else
            low = half.from;
    }
    return 0;
}

/* Transactions: their numbers are given out in order, and the records that say which ones run tell
 * on which side of them a transaction began or ended. */

static bool precedes(uint32_t xid, uint32_t other)
{
    return (int32_t)(xid - other) < 0; /* they wrap around */
}

static bool had_begun(const struct wal_record *running, uint32_t xid)
{
    return precedes(xid, running->next_xid);
}

static bool had_ended(const struct wal_record *running, uint32_t xid)
{
    return precedes(xid, running->oldest_xid);
}

/* The first of its kind in [from, limit); NONE. */
static int find_running(struct walk *walk, uint64_t from, uint64_t limit,
                        struct wal_record *ret_running, struct error *err)
{
    int found;
    struct wal_record record = {.kind = WAL_RECORD_NONE};
    walk_to(walk, from, limit);
    do
        found = walk_on(walk, &record, err);
    while (found > 0 && record.kind != WAL_RECORD_RUNNING);
    if (found >= 0)
        *ret_running = found > 0 ? record : (struct wal_record){.kind = WAL_RECORD_NONE};
    return found < 0 ? -1 : 0;
}

/* Where a transaction came to be so: in [before, behind), if it did in the search. */
struct turn {
    bool (*is_so)(const struct wal_record *running, uint32_t xid);
    uint64_t before, behind;
};

static int narrow(struct walk *walk, uint32_t xid, struct turn *turn, struct error *err)
{
    uint64_t low = turn->before, high = turn->behind;
    while (low < high) {
        struct wal_record running;
        const uint64_t middle = middle_of(walk->search, low, high);
        if (find_running(walk, middle, high, &running, err) < 0)
            return -1;
        if (running.kind == WAL_RECORD_NONE) {
            high = middle;
        } else if (turn->is_so(&running, xid)) {
            high = middle;
            turn->behind = running.lsn;
        } else {
            low = turn->before = running.end_lsn;
        }
    }
    return 0;
}

static int search_transaction(struct walk *walk, const struct wal_search_wish *wish,
                              struct wal_record *ret_record, struct error *err)
{
    const struct wal_search *search = walk->search;
    struct turn begin = {had_begun, search->from, search->to}, end = begin;
    end.is_so = had_ended;
    if (search->to - search->from > FEW_SEGMENTS * (uint64_t)search->segment_bytes &&
        (narrow(walk, wish->xid, &begin, err) < 0 || narrow(walk, wish->xid, &end, err) < 0))
        return -1;
    struct stretch between = {.from = begin.before, .limit = end.behind};
    if (between.from < between.limit && search_stretch(walk, wish, &between, err) < 0)
        return -1;
    *ret_record = between.match;
    return 0;
}

/* From the start of the segment on: behind a switch it has nothing to begin with. */
static int search_all(struct walk *walk, const struct wal_search_wish *wish,
                      struct wal_record *ret_record, struct error *err)
{
    const struct wal_search *search = walk->search;
    struct stretch all = {.from = search->from, .limit = search->to};
    if (wish->by == WAL_SEARCH_LSN && segment_of(search, wish->lsn) > all.from)
        all.from = segment_of(search, wish->lsn);
    if (all.from < all.limit && search_stretch(walk, wish, &all, err) < 0)
        return -1;
    *ret_record = all.match;
    return 0;
}

static int search_by(struct walk *walk, const struct wal_search_wish *wish,
                     struct wal_record *ret_record, struct error *err)
{
    switch (wish->by) {
    case WAL_SEARCH_TIME:
        return search_time(walk, wish, ret_record, err);
    case WAL_SEARCH_XID:
        return search_transaction(walk, wish, ret_record, err);
    case WAL_SEARCH_NAME:
    case WAL_SEARCH_LSN:
        break;
    }
    return search_all(walk, wish, ret_record, err);
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
    if (search->from < search->to && search_by(&walk, wish, &record, err) < 0)
        return -1;
    *ret_record = record;
    return 0;
}

int wal_search_demands(const struct wal_search *search, uint64_t limit, struct pg_demands *demands,
                       struct error *err)
{
    CLEANUP(walk_done) struct walk walk = walk_new(search);
    struct wal_record record;
    int found = 0;
    walk_to(&walk, search->from, limit);
    while (search->from < limit && (found = walk_on(&walk, &record, err)) > 0)
        if (record.kind == WAL_RECORD_DEMANDS)
            pg_demands_raise(demands, &record.demands);
    return found;
}
