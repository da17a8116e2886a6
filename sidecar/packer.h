// SPDX-License-Identifier: Apache-2.0
/*
 * One thread's stream of pieces into packs: pieces fill a frame, frames fill a pack, a full pack
 * goes to upload. The place of a piece is known as soon as it is added. Full packs roll over by
 * themselves.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/container.h"
#include "sidecar/map.h"

struct buf;
struct packer;
struct repo;
struct upload;

struct packer_options {
    struct repo *repo;
    struct upload *upload;
    const char *backup_id;  /* lent */
    atomic_uint *next_pack; /* shared by all packers of the backup, 1 at its start; numbers are
                               handed out without a gap, so the last pack is *next_pack - 1 */
    int level;
};

struct packer *packer_new(const struct packer_options *options);
void packer_freep(struct packer **packer); /* what was not flushed is dropped */

/* Room in the open frame, a multiple of PIECE_BYTES and never none: read into it, then packer_add
 * what is to be kept from its start. */
uint8_t *packer_space(struct packer *packer, size_t *ret_bytes);
/* The first size bytes of the space (at least one) are what follows in the file that map is of; its
 * runs are appended to map. Pieces that are zero are not stored. A size within a piece is for the
 * end of a file: the rest of the piece becomes zero. Places are in backup 0: the backup itself is
 * the first in its table. Waits for a pack buffer when a pack begins. */
MUST_CHECK int packer_add(struct packer *packer, size_t size, struct map *map, struct error *err);
/* The same, but pieces that lie in an earlier backup already are not stored again: known has a
 * place for each piece of size, with pack 0 where there is none. */
MUST_CHECK int packer_add_known(struct packer *packer, size_t size, const struct place known[],
                                struct map *map, struct error *err);
/* A map or index frame; the place's piece is 0. */
MUST_CHECK int packer_add_frame(struct packer *packer, enum frame_type type,
                                const struct buf *plain, struct place *ret_place,
                                struct error *err);
/* What is added next lies in another frame. */
MUST_CHECK int packer_end_frame(struct packer *packer, struct error *err);
/* Ends the open pack and hands it to upload. */
MUST_CHECK int packer_flush(struct packer *packer, struct error *err);
