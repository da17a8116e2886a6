// SPDX-License-Identifier: Apache-2.0
/* Reads from the server's WAL summaries what changed between two LSNs. */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct cancel;
struct changes;
struct pg;
struct timeline;

struct change_search {
    struct pg *pg;
    const struct timeline *timeline; /* the server's */
    uint32_t parent_timeline;        /* that start_lsn is on */
    uint64_t start_lsn, end_lsn;
    int wait_ms; /* for summaries that are still to come */
    const struct cancel *cancel;
};

/* Waits until summaries cover all of it without a gap, on each timeline, and takes in all that
 * overlap. NOT_FOUND: they do not in time, or one was removed; names the first missing LSN. */
MUST_CHECK int change_search_run(const struct change_search *search, struct changes **ret_changes,
                                 struct error *err);
