// SPDX-License-Identifier: Apache-2.0
#include "sidecar/frame.h"

#include <assert.h>
#include <stdlib.h>

#include <zstd.h>

#include "common/bytes.h"
#include "common/own.h"

struct frame_codec {
    int level;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
};

static void must(size_t result)
{
    if (ZSTD_isError(result)) /* of a parameter that every 1.5 knows */
        abort();
}

static ZSTD_CCtx *compressor(struct frame_codec *codec)
{
    if (codec->compressor)
        return codec->compressor;
    codec->compressor = ZSTD_createCCtx();
    if (!codec->compressor)
        abort();
    must(ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_compressionLevel, codec->level));
    must(ZSTD_CCtx_setParameter(codec->compressor, ZSTD_c_checksumFlag, 1));
    return codec->compressor;
}

static ZSTD_DCtx *decompressor(struct frame_codec *codec)
{
    if (!codec->decompressor && !(codec->decompressor = ZSTD_createDCtx()))
        abort();
    return codec->decompressor;
}

void frame_codec_freep(struct frame_codec **codec)
{
    struct frame_codec *c = TAKE(*codec);
    if (!c)
        return;
    ZSTD_freeCCtx(c->compressor);
    ZSTD_freeDCtx(c->decompressor);
    free(c);
}

struct frame_codec *frame_codec_new(int level)
{
    assert(level >= FRAME_LEVEL_MIN && level <= FRAME_LEVEL_MAX);
    struct frame_codec *codec = own_alloc(sizeof(*codec));
    codec->level = level;
    return codec;
}

size_t frame_bound(size_t plain_size)
{
    return ZSTD_compressBound(plain_size);
}

int frame_compress(struct frame_codec *codec, const void *plain, size_t size, void *out,
                   size_t capacity, size_t *ret_size, struct error *err)
{
    assert(size <= FRAME_PLAIN_MAX);
    size_t written = ZSTD_compress2(compressor(codec), out, capacity, plain, size);
    if (ZSTD_isError(written))
        return error_set(err, ERROR_PERMANENT, "compress %zu bytes into %zu: %s", size, capacity,
                         ZSTD_getErrorName(written));
    *ret_size = written;
    return 0;
}

int frame_decompress(struct frame_codec *codec, const void *data, size_t size, void *out,
                     size_t plain_size, struct error *err)
{
    assert(plain_size <= FRAME_PLAIN_MAX);
    /* libzstd would also skip what is no data and go on with a second frame */
    if (size < sizeof(uint32_t) || bytes_load32(data) != ZSTD_MAGICNUMBER ||
        ZSTD_findFrameCompressedSize(data, size) != size)
        return error_set(err, ERROR_CORRUPT, "not one zstd frame");
    size_t got = ZSTD_decompressDCtx(decompressor(codec), out, plain_size, data, size);
    if (ZSTD_isError(got))
        return error_set(err, ERROR_CORRUPT, "decompress to %zu bytes: %s", plain_size,
                         ZSTD_getErrorName(got));
    if (got != plain_size)
        return error_set(err, ERROR_CORRUPT, "decompressed to %zu bytes instead of %zu", got,
                         plain_size);
    return 0;
}
