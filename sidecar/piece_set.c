// SPDX-License-Identifier: Apache-2.0
#include "sidecar/piece_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"

/* The first range that ends at piece or behind it. */
static size_t find(const struct piece_set *set, uint32_t piece)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].first + set->ranges[middle].count < piece)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void piece_set_add(struct piece_set *set, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;
    size_t from = find(set, first), to = from;
    for (; to < set->count && set->ranges[to].first <= end; to++) {
        const struct piece_range *range = &set->ranges[to];
        first = range->first < first ? range->first : first;
        end = range->first + range->count > end ? range->first + range->count : end;
    }
    if (to == from)
        set->ranges = own_resize(set->ranges, set->count + 1, sizeof(set->ranges[0]));
    memmove(set->ranges + from + 1, set->ranges + to, (set->count - to) * sizeof(set->ranges[0]));
    set->count = set->count + 1 - (to - from);
    set->ranges[from] = (struct piece_range){.first = first, .count = end - first};
}

bool piece_set_has(const struct piece_set *set, uint32_t first, uint32_t count)
{
    size_t at = find(set, first + count);
    return at < set->count && set->ranges[at].first <= first;
}

void piece_set_done(struct piece_set *set)
{
    free(set->ranges);
    *set = (struct piece_set){0};
}
