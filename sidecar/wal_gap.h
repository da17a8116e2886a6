// SPDX-License-Identifier: Apache-2.0
/* Where WAL is missing. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wal_span { /* [from, to) of a timeline */
    uint32_t timeline;
    uint64_t from, to; /* LSNs, at most 1 GiB apart in those that are there */
};

/* Sorts by timeline and start, as wal_gap_find needs them. */
void wal_gap_sort(struct wal_span *spans, size_t count);
/* The first part of wanted that no span covers; false if there is none. */
bool wal_gap_find(const struct wal_span *spans, size_t count, const struct wal_span *wanted,
                  struct wal_span *ret_gap);
