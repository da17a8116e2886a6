// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_course.h"

#include "sidecar/timeline.h"

/* Where the history of line leaves a timeline for the next; NULL: it is not in it, or goes on. */
static const struct timeline_span *left_at(const struct wal_line *line, uint32_t timeline)
{
    const struct timeline_span *span =
        line->history && line->timeline != timeline ? timeline_find(line->history, timeline) : NULL;
    return span && span->end_lsn != UINT64_MAX ? span : NULL;
}

static bool has_wal(const struct wal_course *course, uint32_t timeline)
{
    for (size_t i = 0; i < course->span_count; i++)
        if (course->spans[i].timeline == timeline)
            return true;
    for (size_t i = 0; i < course->backup_count; i++)
        if (course->backups[i].timeline == timeline)
            return true;
    return false;
}

/* UINT64_MAX: no backup leads to this timeline. */
static uint64_t first_wanted(const struct wal_course *course, const struct wal_line *line)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < course->backup_count; i++) {
        const struct wal_span *backup = &course->backups[i];
        const struct timeline_span *left = left_at(line, backup->timeline);
        uint64_t from = UINT64_MAX;
        if (backup->timeline == line->timeline)
            from = backup->from;
        else if (left && backup->to <= left->end_lsn)
            from = timeline_find(line->history, line->timeline)->begin_lsn;
        first = from < first ? from : first;
    }
    return first;
}

struct wal_span wal_course_wanted(const struct wal_course *course, const struct wal_line *line)
{
    uint64_t first_there = UINT64_MAX;
    struct wal_span wanted = {line->timeline, first_wanted(course, line), 0};
    for (size_t i = 0; i < course->span_count; i++) {
        const struct wal_span *span = &course->spans[i];
        if (span->timeline != line->timeline)
            continue;
        first_there = span->from < first_there ? span->from : first_there;
        wanted.to = span->to > wanted.to ? span->to : wanted.to;
    }
    if (wanted.from == UINT64_MAX) {
        wanted.from = first_there;
        return wanted;
    }
    for (size_t i = 0; i < course->line_count; i++) {
        const struct timeline_span *left = left_at(&course->lines[i], line->timeline);
        if (left && left->end_lsn > wanted.to && has_wal(course, course->lines[i].timeline))
            wanted.to = left->end_lsn;
    }
    return wanted;
}

/* PostgreSQL begins a timeline with a copy of the segment that the one before ends in, up to the
 * fork (XLogInitNewTimeline in access/transam/xlog.c), and reads the newer one. */
static bool is_in_next(const struct wal_course *course, const struct wal_span *gap)
{
    for (size_t i = 0; i < course->line_count; i++) {
        const struct timeline_span *left = left_at(&course->lines[i], gap->timeline);
        const struct wal_span there = {course->lines[i].timeline, gap->from, gap->to};
        struct wal_span missing;
        if (left && gap->to <= left->end_lsn &&
            !wal_gap_find(course->spans, course->span_count, &there, &missing))
            return true;
    }
    return false;
}

bool wal_course_gap(const struct wal_course *course, const struct wal_span *wanted,
                    struct wal_span *ret_gap)
{
    struct wal_span left = *wanted;
    for (; wal_gap_find(course->spans, course->span_count, &left, ret_gap); left.from = ret_gap->to)
        if (!is_in_next(course, ret_gap))
            return true;
    return false;
}
