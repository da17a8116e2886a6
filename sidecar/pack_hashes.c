// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pack_hashes.h"

#include <stdlib.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/pack_reader.h"

enum { HASH_BYTES = 8 };

static void count_pieces(struct pack_hashes *hashes, const struct container_frame *frames)
{
    uint32_t pieces = 0;
    hashes->first = own_alloc((hashes->frame_count + 1) * sizeof(hashes->first[0]));
    for (uint32_t i = 0; i < hashes->frame_count; i++) {
        hashes->first[i] = pieces;
        if (frames[i].type == FRAME_DATA)
            pieces += (frames[i].plain_bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    }
    hashes->first[hashes->frame_count] = pieces;
}

size_t pack_hashes_bytes(const struct pack_hashes *hashes)
{
    return hashes->hashes ? hashes->first[hashes->frame_count] * sizeof(hashes->hashes[0]) : 0;
}

bool pack_hashes_find(const struct pack_hashes *hashes, uint32_t frame, uint32_t piece,
                      uint64_t *ret_hash)
{
    if (!hashes->hashes || frame >= hashes->frame_count ||
        piece >= hashes->first[frame + 1] - hashes->first[frame])
        return false;
    *ret_hash = hashes->hashes[hashes->first[frame] + piece];
    return true;
}

void pack_hashes_done(struct pack_hashes *hashes)
{
    free(hashes->first);
    free(hashes->hashes);
    *hashes = (struct pack_hashes){0};
}

int pack_hashes_parse(struct pack_hashes *ret_hashes, const struct pack_hashes_source *source,
                      struct error *err)
{
    CLEANUP(pack_hashes_done) struct pack_hashes hashes = {.frame_count = source->frame_count};
    const size_t size = source->size;
    count_pieces(&hashes, source->frames);
    const uint32_t pieces = hashes.first[hashes.frame_count];
    if (size != (uint64_t)pieces * HASH_BYTES)
        return error_set(err, ERROR_CORRUPT, "a pack has %u pieces and %zu bytes of hashes", pieces,
                         size);
    hashes.hashes = own_alloc((pieces + 1) * sizeof(hashes.hashes[0]));
    for (uint32_t i = 0; i < pieces; i++)
        hashes.hashes[i] = bytes_load64(source->plain + (size_t)i * HASH_BYTES);
    *ret_hashes = hashes;
    hashes = (struct pack_hashes){0};
    return 0;
}

int pack_hashes_load(struct pack_hashes *ret_hashes, struct pack_reader *reader, struct error *err)
{
    struct pack_hashes_source source = {0};
    uint32_t frame_count;
    source.frames = pack_reader_frames(reader, &frame_count);
    source.frame_count = frame_count - 1; /* a container has at least one frame */
    if (pack_reader_frame(reader, source.frame_count, FRAME_HASH, &source.plain, &source.size,
                          err) < 0)
        return -1;
    return pack_hashes_parse(ret_hashes, &source, err);
}
