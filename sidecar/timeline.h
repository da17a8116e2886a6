// SPDX-License-Identifier: Apache-2.0
/*
 * The history of a timeline: the timelines that led to it, oldest first, and where each was left
 * for the next (a history file of PostgreSQL, access/transam/timeline.c). Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct timeline_span {
    uint32_t timeline;
    uint64_t begin_lsn, end_lsn; /* [begin, end); UINT64_MAX while it goes on */
};

struct timeline {
    struct timeline_span *spans; /* at least one: the last is the timeline itself */
    size_t count;
};

void timeline_done(struct timeline *timeline);
enum { TIMELINE_HISTORY_MAX = 1 << 20 }; /* bytes of a history file that are taken */

/* text: the history file of timeline id; empty for timeline 1, which has none. CORRUPT. */
MUST_CHECK int timeline_parse(uint32_t id, const void *text, size_t size,
                              struct timeline *ret_timeline, struct error *err);
/* NULL if id is not in the history. */
const struct timeline_span *timeline_find(const struct timeline *timeline, uint32_t id);
