// SPDX-License-Identifier: Apache-2.0
/*
 * The piece hashes of one pack, from its hash frame: what lies where in it, without its data
 * (docs/repository-format.md, Packs). To find out what changed, never as proof of authenticity.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct container_frame;
struct pack_reader;

struct pack_hashes {
    uint32_t frame_count; /* without the hash frame */
    uint32_t *first;      /* frame_count + 1: that of piece p of frame f is hashes[first[f] + p] */
    uint64_t *hashes;
};

/* What they are read from; all lent. */
struct pack_hashes_source {
    const struct container_frame *frames;
    uint32_t frame_count; /* without the hash frame */
    const uint8_t *plain; /* that of the hash frame */
    size_t size;
};
/* CORRUPT: they do not fit the frames. Pure. */
MUST_CHECK int pack_hashes_parse(struct pack_hashes *ret_hashes,
                                 const struct pack_hashes_source *source, struct error *err);
/* Of the reader's open pack. CORRUPT also when they do not fit its frames. */
MUST_CHECK int pack_hashes_load(struct pack_hashes *ret_hashes, struct pack_reader *reader,
                                struct error *err);
void pack_hashes_done(struct pack_hashes *hashes);
size_t pack_hashes_bytes(const struct pack_hashes *hashes); /* of memory that the hashes take */
/* False: the pack has no such piece of data. */
bool pack_hashes_find(const struct pack_hashes *hashes, uint32_t frame, uint32_t piece,
                      uint64_t *ret_hash);
