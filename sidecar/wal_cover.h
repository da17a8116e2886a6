// SPDX-License-Identifier: Apache-2.0
/* Which pieces of a WAL segment to read so that they cover it from its first byte on. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_archive.h"

struct wal_candidate {
    struct wal_piece piece;
    const char *name;     /* of its object; lent */
    struct error failure; /* why it is of no use; kind NONE as long as nothing speaks against it */
};

/* The usable candidate that takes the cover furthest when all bytes before at are there, or count
 * if none goes on from there; of those that reach as far, the shortest. Asking again with the new
 * end gives the fewest pieces: what came before never matters. */
size_t wal_cover_next(const struct wal_candidate *candidates, size_t count, uint32_t at);
