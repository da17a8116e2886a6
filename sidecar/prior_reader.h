// SPDX-License-Identifier: Apache-2.0
/*
 * One thread's look into the parent of a backup: where the pieces of a part of a file lie, and
 * their hashes. Map frames and hash frames are fetched by ranges of their packs, as they are
 * needed; a few megabytes are kept. What is damaged is as if the parent did not have it: it is
 * logged, and the child stores the file anew.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/map.h"

struct captured;
struct prior;
struct prior_reader;

enum { PRIOR_PART_PIECES = 4096 };

enum prior_state {
    PRIOR_NONE, /* nothing that could be taken over: behind the end, or a page that was bad */
    PRIOR_ZERO,
    PRIOR_STORED,
};

/* A part of a file in the parent, piece by piece. */
struct prior_part {
    size_t count;
    uint8_t states[PRIOR_PART_PIECES]; /* enum prior_state */
    struct place places[PRIOR_PART_PIECES];
    uint64_t hashes[PRIOR_PART_PIECES];
};

struct prior_reader *prior_reader_new(struct prior *prior); /* lends prior */
void prior_reader_freep(struct prior_reader **reader);

/* The part of a file (as prior_join gave it) that begins at first_piece. */
MUST_CHECK int prior_reader_part(struct prior_reader *reader, const struct captured *file,
                                 uint64_t first_piece, struct prior_part *ret_part,
                                 struct error *err);
/* The hashes of its stored pieces; one whose hash cannot be had becomes PRIOR_NONE. */
MUST_CHECK int prior_reader_hashes(struct prior_reader *reader, struct prior_part *part,
                                   struct error *err);
