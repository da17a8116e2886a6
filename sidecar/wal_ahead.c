// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_ahead.h"

#include "sidecar/timeline.h"

/* The newest timeline of the course, from where it has come to, that has begun in this segment. */
static uint32_t timeline_at(const struct timeline *course, uint32_t current, uint64_t segment,
                            uint32_t segment_bytes)
{
    if (!course || !timeline_find(course, current))
        return current;
    for (size_t i = course->count; i > 0; i--) {
        const struct timeline_span *span = &course->spans[i - 1];
        if (span->timeline <= current)
            break;
        if (span->begin_lsn / segment_bytes <= segment)
            return span->timeline;
    }
    return current;
}

size_t wal_ahead_plan(const struct timeline *course, const struct wal_ahead_segment *asked,
                      uint32_t segment_bytes, struct wal_ahead_segment *ret_next, size_t count)
{
    const uint64_t last = UINT64_MAX / segment_bytes;
    uint64_t segment = asked->lsn / segment_bytes;
    uint32_t timeline = asked->timeline;
    size_t planned = 0;
    while (planned < count && segment < last) {
        segment++;
        timeline = timeline_at(course, timeline, segment, segment_bytes);
        ret_next[planned++] = (struct wal_ahead_segment){timeline, segment * segment_bytes};
    }
    return planned;
}
