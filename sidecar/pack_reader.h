// SPDX-License-Identifier: Apache-2.0
/*
 * One thread's reading of packs: a pack is fetched whole, or, where few frames are wanted, those,
 * neighbours in one request; a frame is opened once for as long as it is the one read last. Holds
 * one pack (at most 16 MiB) and one frame (1 MiB), whatever is read.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/container.h"

struct pack_reader;
struct repo;

/* What to read of a pack whose SHA-256 is wrong: nothing, or the frames that are intact. */
enum pack_reader_mode { PACK_READER_INTACT, PACK_READER_SALVAGE };

struct pack_reader *pack_reader_new(struct repo *repo, enum pack_reader_mode mode); /* lends repo */
void pack_reader_freep(struct pack_reader **reader);

/* Makes a pack the one to read from; fetches it unless it is that already. Errors name it. */
MUST_CHECK int pack_reader_open(struct pack_reader *reader, const char *backup_id, uint32_t number,
                                struct error *err);
/* The same by its tail alone, for whoever wants little of it: frames are fetched as they are read.
 * object_bytes: its size, from a listing; 0: not known yet. What was opened whole already stays so.
 */
MUST_CHECK int pack_reader_open_tail(struct pack_reader *reader, const char *backup_id,
                                     uint32_t number, uint64_t object_bytes, struct error *err);
/* Says that frames of the open pack will be read, in ascending order: those that are near to each
 * other are then fetched in one request, which has at most as much that is not wanted, and no gap
 * above 1 MiB. */
void pack_reader_want(struct pack_reader *reader, uint32_t first, uint32_t last);
/* The frames of the open pack, lent until another is opened. */
const struct container_frame *pack_reader_frames(const struct pack_reader *reader,
                                                 uint32_t *ret_count);
/* Why the open pack is not intact as a whole; kind NONE if it is. PACK_READER_SALVAGE only. */
const struct error *pack_reader_damage(const struct pack_reader *reader);
/* The plaintext of a frame of the open pack, lent until the next call. CORRUPT also when it is of
 * another type; errors name pack and frame. */
MUST_CHECK int pack_reader_frame(struct pack_reader *reader, uint32_t frame, enum frame_type type,
                                 const uint8_t **ret_plain, size_t *ret_size, struct error *err);
/* size bytes of a data frame from a piece (frame × FRAME_PIECES + piece) on, lent likewise. CORRUPT
 * also when the frame ends before. */
MUST_CHECK int pack_reader_data(struct pack_reader *reader, uint32_t piece, size_t size,
                                const uint8_t **ret_data, struct error *err);
uint64_t pack_reader_fetched_bytes(const struct pack_reader *reader);
