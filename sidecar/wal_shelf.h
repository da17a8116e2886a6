// SPDX-License-Identifier: Apache-2.0
/*
 * Segments of WAL that are fetched in parallel before anybody asks for them. Only such as are there
 * whole: what that means that is not there is for whoever asks to find out (wal_lookup). They wait
 * in files without a name, so that whoever asked can give them one where they are wanted; in memory
 * only where there can be none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct buf;
struct cancel;
struct crew;
struct wal_ahead_segment;
struct wal_lookup;
struct wal_shelf;

enum { WAL_SHELF_PLACES_MAX = 128 };

/* All lent. */
struct wal_shelf_options {
    const char *directory; /* where the files lie, on the file system of those who ask */
    const struct wal_lookup *lookup;
    size_t workers;
    struct crew *crew;
    const struct cancel *cancel;
};

/* Its threads are the crew's, which is joined before it is freed: also after an error. */
MUST_CHECK int wal_shelf_open(struct wal_shelf **ret_shelf, const struct wal_shelf_options *options,
                              struct error *err);
void wal_shelf_freep(struct wal_shelf **shelf);

/* How many segments it has room for; 0 where they are too large. */
size_t wal_shelf_places(const struct wal_shelf *shelf);
/* From now on these are wanted, in this order, and no others; at most its places. */
void wal_shelf_want(struct wal_shelf *shelf, const struct wal_ahead_segment *segments,
                    size_t count);
/* Takes one away, as a file of the caller's or, *ret_file negative, into content (replaced): 1;
 * waits for it if it is on its way. 0: it is not here; CANCELED. */
MUST_CHECK int wal_shelf_take(struct wal_shelf *shelf, const struct wal_ahead_segment *segment,
                              struct buf *content, int *ret_file, struct error *err);
