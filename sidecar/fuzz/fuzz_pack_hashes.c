// SPDX-License-Identifier: Apache-2.0
/* Hash frames that somebody with the key made: varints of the number of frames and of the type and
 * size of each, then the plaintext. What is accepted has one hash for each piece of data. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/container.h"
#include "sidecar/frame.h"
#include "sidecar/pack_hashes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

/* Of a data frame; others have none. */
static uint32_t pieces_of(const struct container_frame *frame)
{
    return frame->type == FRAME_DATA ? (frame->plain_bytes + PIECE_BYTES - 1) / PIECE_BYTES : 0;
}

static void check_found(const struct pack_hashes *hashes, const struct pack_hashes_source *source)
{
    const uint8_t *at = source->plain;
    uint64_t hash;
    for (uint32_t i = 0; i < source->frame_count; i++) {
        const uint32_t pieces = pieces_of(&source->frames[i]);
        for (uint32_t j = 0; j < pieces; j++, at += sizeof(hash))
            expect(pack_hashes_find(hashes, i, j, &hash) && hash == bytes_load64(at));
        expect(!pack_hashes_find(hashes, i, pieces, &hash));
        expect(!pack_hashes_find(hashes, i, UINT32_MAX, &hash));
    }
    expect(at == source->plain + source->size && pack_hashes_bytes(hashes) == source->size);
    expect(!pack_hashes_find(hashes, source->frame_count, 0, &hash));
    expect(!pack_hashes_find(hashes, UINT32_MAX, 0, &hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct container_frame frames[CONTAINER_FRAMES_MAX];
    CLEANUP(pack_hashes_done) struct pack_hashes hashes = {0};
    struct reader reader = READER(data, size);
    struct error err;
    struct pack_hashes_source source = {.frames = frames};
    source.frame_count = (uint32_t)reader_varint_max(&reader, CONTAINER_FRAMES_MAX - 1);
    uint64_t pieces = 0;
    for (uint32_t i = 0; i < source.frame_count; i++) {
        frames[i] = (struct container_frame){
            .type = (enum frame_type)reader_varint_max(&reader, FRAME_HASH),
            .plain_bytes = (uint32_t)reader_varint_max(&reader, FRAME_PLAIN_MAX),
        };
        pieces += pieces_of(&frames[i]);
    }
    if (reader.bad)
        return 0;
    source.plain = reader.at;
    source.size = reader_left(&reader);
    const int result = pack_hashes_parse(&hashes, &source, &err);
    expect((result == 0) == (source.size == pieces * sizeof(uint64_t)));
    if (result == 0)
        check_found(&hashes, &source);
    else
        expect(err.kind == ERROR_CORRUPT && !hashes.hashes);
    return 0;
}
