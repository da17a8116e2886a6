// SPDX-License-Identifier: Apache-2.0
/*
 * Containers from a hostile bucket. The first byte chooses how far the rest gets: an object as it
 * is; one whose digest somebody made right; the opened footer of an object whose frames take up as
 * many bytes as the next three say; the compressed bytes of one frame, whose plaintext has as many
 * bytes as the next three say.
 */
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/container.h"
#include "sidecar/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIX_BYTES = 4 };

static void expect(bool held)
{
    if (!held)
        abort();
}

/* Of the test vectors, as is the data key: the corpus has objects that open. */
static struct container_identity vector_identity(void)
{
    static const char repository_id[] =
        "dfeddf858b6a3380dbf13ee0a458a1dd4df04edaa57583387cf21c3af2934ab0";
    struct container_identity identity = {.kind = CONTAINER_PACK,
                                          .name = "packs/20261121T082118Z-full-3fa2/000001"};
    expect(text_parse_hex(repository_id, identity.repository_id, DIGEST_BYTES));
    return identity;
}

static struct keyring vector_keyring(void)
{
    static const char text[] = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    struct key key;
    struct error err;
    expect(key_parse_kek(text, strlen(text), &key, &err) == 0);
    struct keyring keyring = {0};
    keyring_add(&keyring, &key);
    return keyring;
}

static void fuzz_frames(struct container *container, const uint8_t *object)
{
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(1);
    CLEANUP(own_freep) uint8_t *plain = own_alloc(FRAME_PLAIN_MAX);
    for (uint32_t i = 0; i < container->frame_count; i++) {
        struct error err;
        if (container_read(container, codec, i, object + container->frames[i].offset, plain, &err) <
            0)
            expect(err.kind == ERROR_CORRUPT);
    }
}

static void fuzz_object(const uint8_t *object, size_t size)
{
    struct container_identity identity = vector_identity();
    CLEANUP(keyring_done) struct keyring keyring = vector_keyring();
    CLEANUP(container_done) struct container container = {0};
    struct error err;
    if (container_check(object, size, &err) < 0)
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
    if (container_open(&container, &identity, &keyring, object, size, size, &err) == 0)
        fuzz_frames(&container, object);
    else
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
}

static void fuzz_object_with_right_digest(const uint8_t *data, size_t size)
{
    if (size < DIGEST_BYTES)
        return;
    CLEANUP(own_freep) uint8_t *object = own_alloc(size);
    memcpy(object, data, size);
    digest_sha256(object, size - DIGEST_BYTES, object + size - DIGEST_BYTES);
    fuzz_object(object, size);
}

static void fuzz_footer(const uint8_t *data, size_t size, uint32_t frames_bytes)
{
    CLEANUP(container_done) struct container container = {0};
    struct error err;
    if (container_parse_footer(&container, data, size, frames_bytes, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT && !container.frames);
        return;
    }
    uint64_t offset = 8;
    for (uint32_t i = 0; i < container.frame_count; i++) {
        expect(container.frames[i].offset == offset);
        expect(container.frames[i].plain_bytes <= FRAME_PLAIN_MAX);
        expect(container.frames[i].sealed_bytes > SEAL_TAG_BYTES);
        offset += container.frames[i].sealed_bytes;
    }
    expect(offset == 8 + (uint64_t)frames_bytes && container.footer_size < size);
}

static void fuzz_frame(const uint8_t *data, size_t size, uint32_t plain_size)
{
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(1);
    CLEANUP(own_freep) uint8_t *plain = own_alloc(plain_size);
    struct error err;
    if (frame_decompress(codec, data, size, plain, plain_size, &err) < 0)
        expect(err.kind == ERROR_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES)
        return 0;
    uint32_t number = bytes_load32(data) >> 8;
    unsigned mode = data[0] % 4;
    data += PREFIX_BYTES;
    size -= PREFIX_BYTES;
    if (mode == 0)
        fuzz_object(data, size);
    else if (mode == 1)
        fuzz_object_with_right_digest(data, size);
    else if (mode == 2)
        fuzz_footer(data, size, number);
    else
        fuzz_frame(data, size, number % (FRAME_PLAIN_MAX + 1));
    return 0;
}
