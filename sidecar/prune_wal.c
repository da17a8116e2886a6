// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prune_wal.h"

#include <stdlib.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

void prune_wal_done(struct prune_wal *wal)
{
    free(wal->roots);
    free(wal->lines);
    *wal = (struct prune_wal){0};
}

void prune_wal_add_root(struct prune_wal *wal, uint32_t timeline, uint64_t from, uint64_t to)
{
    wal->roots = own_resize(wal->roots, wal->root_count + 1, sizeof(wal->roots[0]));
    wal->roots[wal->root_count++] = (struct prune_wal_root){timeline, from, to};
}

void prune_wal_add_line(struct prune_wal *wal, uint32_t timeline, const struct timeline *history)
{
    wal->lines = own_resize(wal->lines, wal->line_count + 1, sizeof(wal->lines[0]));
    wal->lines[wal->line_count++] = (struct prune_wal_line){timeline, history};
}

static const struct timeline *history_of(const struct prune_wal *wal, uint32_t timeline)
{
    for (size_t i = 0; i < wal->line_count; i++)
        if (wal->lines[i].timeline == timeline)
            return wal->lines[i].history;
    return NULL;
}

/* Recovery from the root may follow history to the piece. */
static bool leads_to(const struct prune_wal_root *root, const struct timeline *history,
                     uint32_t timeline)
{
    if (root->timeline == timeline)
        return true;
    if (root->to != UINT64_MAX || root->timeline > timeline)
        return false;
    const struct timeline_span *span = history ? timeline_find(history, root->timeline) : NULL;
    return !history || (span && root->from <= span->end_lsn);
}

bool prune_wal_needs(const struct prune_wal *wal, const struct wal_piece *piece)
{
    const struct timeline *history = history_of(wal, piece->timeline);
    for (size_t i = 0; i < wal->root_count; i++) {
        const struct prune_wal_root *root = &wal->roots[i];
        if (piece->segment_lsn >= wal_segment_start(root->from, piece->segment_bytes) &&
            piece->segment_lsn < root->to && leads_to(root, history, piece->timeline))
            return true;
    }
    return false;
}
