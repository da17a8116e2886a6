// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_place.h"

#include <assert.h>

#include "sidecar/timeline.h"

/* The last timeline of the history that begins at lsn or before: at a fork the new one. */
static size_t first_span(const struct timeline *history, uint64_t lsn)
{
    size_t found = 0;
    for (size_t i = 0; i < history->count; i++)
        if (history->spans[i].begin_lsn <= lsn)
            found = i;
    return found;
}

/* The end of the WAL of this history that is there and begins before lsn; to 0: there is none. */
static struct wal_span last_before(const struct wal_place_facts *facts, uint64_t lsn)
{
    struct wal_span last = {0};
    for (size_t i = 0; i < facts->span_count; i++) {
        const struct wal_span *span = &facts->spans[i];
        const struct timeline_span *line = timeline_find(facts->history, span->timeline);
        if (!line || span->from >= lsn || span->from >= line->end_lsn ||
            span->to <= line->begin_lsn)
            continue;
        const uint64_t end = span->to < line->end_lsn ? span->to : line->end_lsn;
        if (end > last.to || (end == last.to && span->timeline > last.timeline))
            last = (struct wal_span){span->timeline, span->from, end};
    }
    return last;
}

struct wal_place wal_place_find(const struct wal_place_facts *facts)
{
    const struct timeline *history = facts->history;
    struct wal_place place = {0};
    uint64_t at = facts->kept_lsn;
    assert(history->count > 0);
    for (size_t i = first_span(history, at); i < history->count; i++) {
        const struct timeline_span *line = &history->spans[i];
        const struct wal_span wanted = {line->timeline, at, line->end_lsn};
        struct wal_span missing = {0};
        place.timeline = line->timeline;
        place.lsn = at;
        if (at < line->end_lsn &&
            wal_gap_find(facts->spans, facts->span_count, &wanted, &missing)) {
            place.lsn = missing.from;
            break;
        }
        at = line->end_lsn;
    }
    const struct wal_span last = last_before(facts, place.lsn);
    place.joins = place.lsn > facts->kept_lsn || last.to >= place.lsn;
    if (!place.joins && last.to != 0)
        place.gap = (struct wal_span){history->spans[first_span(history, last.to)].timeline,
                                      last.to, place.lsn};
    place.last_lsn = last_before(facts, UINT64_MAX).to;
    return place;
}

struct wal_span wal_place_cut(const struct timeline *history, struct wal_span *rest)
{
    struct wal_span part = *rest;
    const struct timeline_span *line = timeline_find(history, rest->timeline);
    while (line && line->end_lsn <= rest->from) /* the last one has no end */
        line++;
    if (line)
        part.timeline = line->timeline;
    if (line && part.to > line->end_lsn)
        part.to = line->end_lsn;
    rest->from = part.to;
    return part;
}
