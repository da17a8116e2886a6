// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_gap.h"

#include <stdlib.h>

enum { SPAN_BYTES_MAX = 1 << 30 };

static int compare_spans(const void *a, const void *b)
{
    const struct wal_span *x = a, *y = b;
    if (x->timeline != y->timeline)
        return x->timeline < y->timeline ? -1 : 1;
    return (x->from > y->from) - (x->from < y->from);
}

/* The first span that may reach lsn of timeline. */
static size_t first_reaching(const struct wal_span *spans, size_t count, uint32_t timeline,
                             uint64_t lsn)
{
    const struct wal_span earliest = {.timeline = timeline,
                                      .from = lsn > SPAN_BYTES_MAX ? lsn - SPAN_BYTES_MAX : 0};
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_spans(&spans[middle], &earliest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void wal_gap_sort(struct wal_span *spans, size_t count)
{
    if (count > 0)
        qsort(spans, count, sizeof(spans[0]), compare_spans);
}

bool wal_gap_find(const struct wal_span *spans, size_t count, const struct wal_span *wanted,
                  struct wal_span *ret_gap)
{
    uint64_t reached = wanted->from, next = wanted->to;
    for (size_t i = first_reaching(spans, count, wanted->timeline, reached);
         i < count && spans[i].timeline == wanted->timeline && reached < wanted->to; i++) {
        if (spans[i].from > reached) {
            next = spans[i].from < next ? spans[i].from : next;
            break;
        }
        if (spans[i].to > reached)
            reached = spans[i].to;
    }
    if (reached >= wanted->to)
        return false;
    *ret_gap = (struct wal_span){.timeline = wanted->timeline, .from = reached, .to = next};
    return true;
}
