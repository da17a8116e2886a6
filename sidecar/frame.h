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

/* Compression and decompression contexts of one thread, made when first needed. */
struct frame_codec;

struct frame_codec *frame_codec_new(int level); /* 1 to 19 */
void frame_codec_freep(struct frame_codec **codec);

size_t frame_bound(size_t plain_size); /* bytes that compressed plaintext needs at most */
MUST_CHECK int frame_compress(struct frame_codec *codec, const void *plain, size_t size, void *out,
                              size_t capacity, size_t *ret_size, struct error *err);
/* CORRUPT unless it decompresses to exactly plain_size (≤ FRAME_PLAIN_MAX) bytes. */
MUST_CHECK int frame_decompress(struct frame_codec *codec, const void *data, size_t size, void *out,
                                size_t plain_size, struct error *err);
