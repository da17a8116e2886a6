// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_cover.h"

#include <stdbool.h>

static bool goes_further(const struct wal_piece *piece, const struct wal_piece *best)
{
    return piece->to > best->to || (piece->to == best->to && piece->from > best->from);
}

size_t wal_cover_next(const struct wal_candidate *candidates, size_t count, uint32_t at)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        const struct wal_piece *piece = &candidates[i].piece;
        if (candidates[i].failure.kind != ERROR_NONE || piece->from > at || piece->to <= at)
            continue;
        if (best == count || goes_further(piece, &candidates[best].piece))
            best = i;
    }
    return best;
}
