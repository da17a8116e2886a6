// SPDX-License-Identifier: Apache-2.0
#include "sidecar/packer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/pg_page.h"
#include "sidecar/piece_hash.h"
#include "sidecar/repo.h"
#include "sidecar/upload.h"

enum { HASH_BYTES = 8 };

struct packer {
    struct packer_options options;
    struct frame_codec *codec;
    struct piece_hash hash;
    uint8_t *frame; /* plaintext of the open data frame, FRAME_PLAIN_MAX bytes */
    size_t pieces;  /* in it */
    /* The open pack; writer NULL: none. */
    struct container_writer *writer;
    uint8_t *buffer; /* upload's */
    uint32_t number;
    char name[REPO_NAME_MAX];
    struct buf hashes; /* of its data frames, the open one included */
};

/* Seals the hash frame and the footer and hands the pack over. */
static int close_pack(struct packer *packer, struct error *err)
{
    size_t size;
    uint8_t sha256[DIGEST_BYTES];
    if (container_append(packer->writer, packer->codec, FRAME_HASH, packer->hashes.data,
                         packer->hashes.size, true, err) < 0 ||
        container_finish(packer->writer, NULL, 0, &size, sha256, err) < 0)
        return error_wrap(err, "close '%s'", packer->name);
    container_writer_freep(&packer->writer);
    buf_clear(&packer->hashes);
    upload_submit(packer->options.upload, TAKE(packer->buffer), packer->name, size, sha256);
    return 0;
}

static int open_pack(struct packer *packer, struct error *err)
{
    struct repo *repo = packer->options.repo;
    if (upload_buffer(packer->options.upload, &packer->buffer, err) < 0)
        return -1;
    packer->number = atomic_fetch_add(packer->options.next_pack, 1);
    repo_pack_name(packer->options.backup_id, packer->number, packer->name);
    struct container_identity identity = repo_identity(repo, CONTAINER_PACK, packer->name);
    return container_writer_new(&packer->writer, &identity, repo->keyring.active, packer->buffer,
                                UPLOAD_BUFFER_BYTES, err);
}

/* Sees to it that the next frame, of up to size bytes with so many pieces, will go into the open
 * pack. */
static int make_room(struct packer *packer, size_t size, size_t pieces, struct error *err)
{
    size_t hash_bytes = packer->hashes.size + (pieces + 1) * HASH_BYTES; /* never none */
    if (packer->writer && !container_fits(packer->writer, size, hash_bytes, 0) &&
        close_pack(packer, err) < 0)
        return -1;
    return packer->writer ? 0 : open_pack(packer, err);
}

int packer_end_frame(struct packer *packer, struct error *err)
{
    if (packer->pieces == 0)
        return 0;
    size_t size = packer->pieces * PIECE_BYTES;
    packer->pieces = 0;
    return container_append(packer->writer, packer->codec, FRAME_DATA, packer->frame, size, false,
                            err);
}

/* The first pieces of the space belong to the pack now; ret_place is that of the first. */
static int store(struct packer *packer, size_t pieces, struct place *ret_place, struct error *err)
{
    uint8_t *hashes;
    if (packer->pieces == 0 && make_room(packer, FRAME_PLAIN_MAX, FRAME_PIECES, err) < 0)
        return -1;
    if (buf_reserve(&packer->hashes, pieces * HASH_BYTES, &hashes, err) < 0)
        return -1;
    const uint8_t *piece = packer->frame + packer->pieces * PIECE_BYTES;
    for (size_t i = 0; i < pieces; i++)
        bytes_store64(hashes + i * HASH_BYTES, piece_hash(&packer->hash, piece + i * PIECE_BYTES));
    packer->hashes.size += pieces * HASH_BYTES;
    *ret_place = (struct place){
        .pack = packer->number,
        .frame = container_frames(packer->writer),
        .piece = (uint32_t)packer->pieces,
    };
    packer->pieces += pieces;
    return packer->pieces == FRAME_PIECES ? packer_end_frame(packer, err) : 0;
}

/* What becomes of a piece. */
enum fate { FATE_STORED, FATE_ZERO, FATE_KNOWN };

/* Moves the pieces that are to be stored to the start; says which are. Gives the number of them. */
static size_t close_ranks(uint8_t *space, size_t pieces, const struct place known[],
                          enum fate ret_fates[FRAME_PIECES])
{
    size_t kept = 0;
    for (size_t i = 0; i < pieces; i++) {
        const uint8_t *piece = space + i * PIECE_BYTES;
        ret_fates[i] = known && known[i].pack != 0 ? FATE_KNOWN
                       : pg_page_is_zero(piece)    ? FATE_ZERO
                                                   : FATE_STORED;
        if (ret_fates[i] != FATE_STORED)
            continue;
        if (kept != i)
            memcpy(space + kept * PIECE_BYTES, piece, PIECE_BYTES);
        kept++;
    }
    return kept;
}

/* place is that of the first piece that is stored. */
static void add_runs(struct map *map, size_t size, const enum fate fates[FRAME_PIECES],
                     struct place place, const struct place known[])
{
    size_t pieces = (size + PIECE_BYTES - 1) / PIECE_BYTES;
    for (size_t i = 0, end; i < pieces; i = end) {
        for (end = i + 1; fates[i] != FATE_KNOWN && end < pieces && fates[end] == fates[i];)
            end++;
        size_t length = (end == pieces ? size : end * PIECE_BYTES) - i * PIECE_BYTES;
        if (fates[i] == FATE_ZERO) {
            map_add_zero(map, length);
        } else if (fates[i] == FATE_KNOWN) {
            map_add(map, (uint32_t)length, &known[i]);
        } else {
            map_add(map, (uint32_t)length, &place);
            place.piece += (uint32_t)(end - i);
        }
    }
}

uint8_t *packer_space(struct packer *packer, size_t *ret_bytes)
{
    *ret_bytes = (FRAME_PIECES - packer->pieces) * PIECE_BYTES;
    return packer->frame + packer->pieces * PIECE_BYTES;
}

int packer_add_known(struct packer *packer, size_t size, const struct place known[],
                     struct map *map, struct error *err)
{
    enum fate fates[FRAME_PIECES];
    struct place place = {0};
    size_t room, pieces = (size + PIECE_BYTES - 1) / PIECE_BYTES;
    uint8_t *space = packer_space(packer, &room);
    assert(size > 0 && size <= room);
    memset(space + size, 0, pieces * PIECE_BYTES - size);
    size_t kept = close_ranks(space, pieces, known, fates);
    if (kept > 0 && store(packer, kept, &place, err) < 0)
        return -1;
    add_runs(map, size, fates, place, known);
    return 0;
}

int packer_add(struct packer *packer, size_t size, struct map *map, struct error *err)
{
    return packer_add_known(packer, size, NULL, map, err);
}

int packer_add_frame(struct packer *packer, enum frame_type type, const struct buf *plain,
                     struct place *ret_place, struct error *err)
{
    if (packer_end_frame(packer, err) < 0 || make_room(packer, plain->size, 0, err) < 0)
        return -1;
    *ret_place = (struct place){.pack = packer->number, .frame = container_frames(packer->writer)};
    return container_append(packer->writer, packer->codec, type, plain->data, plain->size, false,
                            err);
}

int packer_flush(struct packer *packer, struct error *err)
{
    if (packer_end_frame(packer, err) < 0)
        return -1;
    return packer->writer ? close_pack(packer, err) : 0;
}

void packer_freep(struct packer **packer)
{
    struct packer *p = TAKE(*packer);
    if (!p)
        return;
    container_writer_freep(&p->writer);
    frame_codec_freep(&p->codec);
    buf_done(&p->hashes);
    free(p->frame);
    free(p);
}

struct packer *packer_new(const struct packer_options *options)
{
    struct packer *packer = own_alloc(sizeof(*packer));
    *packer = (struct packer){
        .options = *options,
        .codec = frame_codec_new(options->level),
        .frame = own_alloc(FRAME_PLAIN_MAX),
        .hashes = BUF(FRAME_PLAIN_MAX),
    };
    piece_hash_init(&packer->hash, &options->repo->keyring.id_key);
    return packer;
}
