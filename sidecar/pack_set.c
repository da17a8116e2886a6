// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pack_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/manifest.h"

void pack_set_done(struct pack_set *set)
{
    free(set->ranges);
    *set = (struct pack_set){0};
}

void pack_set_add(struct pack_set *set, const struct manifest *manifest)
{
    if (manifest->pack_count == 0)
        return;
    set->ranges =
        own_resize(set->ranges, set->count + manifest->pack_count, sizeof(set->ranges[0]));
    memcpy(set->ranges + set->count, manifest->packs,
           manifest->pack_count * sizeof(set->ranges[0]));
    set->count += manifest->pack_count;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct manifest_packs *x = a, *y = b;
    const int order = strcmp(x->backup, y->backup);
    return order != 0 ? order : (x->first > y->first) - (x->first < y->first);
}

void pack_set_seal(struct pack_set *set)
{
    size_t kept = 0;
    if (set->count > 0)
        qsort(set->ranges, set->count, sizeof(set->ranges[0]), compare_ranges);
    for (size_t i = 0; i < set->count; i++) {
        const struct manifest_packs *range = &set->ranges[i];
        struct manifest_packs *last = kept > 0 ? &set->ranges[kept - 1] : NULL;
        if (!last || strcmp(last->backup, range->backup) != 0 || range->first > last->last)
            set->ranges[kept++] = *range;
        else if (range->last > last->last)
            last->last = range->last;
    }
    set->count = kept;
}

bool pack_set_has(const struct pack_set *set, const char *backup, uint32_t number)
{
    size_t low = 0, high = set->count; /* the first range that ends at number or behind it */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct manifest_packs *range = &set->ranges[middle];
        const int order = strcmp(range->backup, backup);
        if (order < 0 || (order == 0 && range->last < number))
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && strcmp(set->ranges[low].backup, backup) == 0 &&
           set->ranges[low].first <= number;
}
