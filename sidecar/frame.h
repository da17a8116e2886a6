// SPDX-License-Identifier: Apache-2.0
/*
 * A frame: at most 1 MiB of plaintext, compressed by zstd (content checksum on), the unit of
 * reading and authentication. The only user of zstd. Sealing is keys.h's; container.h puts the two
 * together.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
    FRAME_PLAIN_MAX = 1 << 20,
    PIECE_BYTES = 8192,
    FRAME_PIECES = FRAME_PLAIN_MAX / PIECE_BYTES
};

/* Compression and decompression contexts of one thread, made when first needed. libzstd keeps no
 * window, as plaintext and output are whole in the caller's memory: compression takes
 * 0.6 MiB at level 1, 1.3 MiB at level 3, 17 MiB at level 19, decompression 0.1 MiB. */
struct frame_codec;

enum { FRAME_LEVEL_MIN = 1, FRAME_LEVEL_MAX = 19 };
struct frame_codec *frame_codec_new(int level);
void frame_codec_freep(struct frame_codec **codec);

size_t frame_bound(size_t plain_size); /* bytes that compressed plaintext needs at most */
MUST_CHECK int frame_compress(struct frame_codec *codec, const void *plain, size_t size, void *out,
                              size_t capacity, size_t *ret_size, struct error *err);
/* CORRUPT unless it decompresses to exactly plain_size (≤ FRAME_PLAIN_MAX) bytes. */
MUST_CHECK int frame_decompress(struct frame_codec *codec, const void *data, size_t size, void *out,
                                size_t plain_size, struct error *err);
