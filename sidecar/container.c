// SPDX-License-Identifier: Apache-2.0
#include "sidecar/container.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/frame.h"

enum {
    FORMAT_VERSION = 1,
    SUITE = 1, /* zstd, AES-256-GCM, HKDF-SHA-256 */
    MAGIC_BYTES = 8,
    /* the trailer's members, by their offsets */
    TRAILER_VERSION = 0,
    TRAILER_KIND = 2,
    TRAILER_SUITE = 3,
    TRAILER_ZERO = 4,
    TRAILER_KEY_ID = 8,
    TRAILER_SALT = 16,
    TRAILER_COMMITMENT = 48,
    TRAILER_FOOTER_BYTES = 80, /* also the size of what is bound */
    END_BYTES = CONTAINER_TRAILER_BYTES + DIGEST_BYTES,
    TABLE_COUNT_BYTES = 2, /* varint of CONTAINER_FRAMES_MAX */
    TABLE_ENTRY_BYTES = 7, /* at most: type and two varints below 2^21 */
};

static const uint8_t magic[MAGIC_BYTES] = {0x89, 'L', 'I', 'F', 'E', 'B', 'T', '\n'};

struct container_writer {
    uint8_t *buffer; /* lent */
    size_t capacity, used;
    struct container_identity identity;
    char *name; /* identity's */
    uint8_t trailer[CONTAINER_TRAILER_BYTES];
    uint8_t binding[DIGEST_BYTES];
    struct seal *seal;
    struct digest *digest; /* of what is used */
    struct buf table;      /* the footer's, without the count */
    uint32_t frames;
    bool ended; /* the last frame is in */
};

/* What every frame and footer of an object is bound to: H in the format's description. */
static void bind_object(const struct container_identity *identity,
                        const uint8_t trailer[CONTAINER_TRAILER_BYTES],
                        uint8_t ret_binding[DIGEST_BYTES])
{
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    digest_update_field(digest, trailer, TRAILER_FOOTER_BYTES);
    digest_update_field(digest, identity->repository_id, DIGEST_BYTES);
    digest_update_field(digest, identity->name, strlen(identity->name));
    digest_get(digest, ret_binding);
}

static void format_ad(const uint8_t binding[DIGEST_BYTES], uint64_t index, size_t plain_size,
                      bool last, uint8_t ret_ad[SEAL_AD_BYTES])
{
    memcpy(ret_ad, binding, DIGEST_BYTES);
    bytes_store64(ret_ad + DIGEST_BYTES, index);
    bytes_store32(ret_ad + DIGEST_BYTES + 8, (uint32_t)plain_size);
    ret_ad[SEAL_AD_BYTES - 1] = last;
}

/* Sealed bytes of a frame, at most. */
static size_t sealed_bound(size_t plain_size)
{
    return frame_bound(plain_size) + SEAL_TAG_BYTES;
}

/* Sealed footer, trailer and digest of an object of so many frames, at most. */
static size_t tail_bound(uint32_t frames, size_t footer_size)
{
    return TABLE_COUNT_BYTES + (size_t)frames * TABLE_ENTRY_BYTES + footer_size + SEAL_TAG_BYTES +
           END_BYTES;
}

static void digest_used(struct container_writer *writer, size_t from)
{
    digest_update(writer->digest, writer->buffer + from, writer->used - from);
}

/* The trailer of a tail that holds footer, trailer and digest. */
struct trailer {
    const uint8_t *bytes;
    enum container_kind kind;
    const uint8_t *key_id, *salt, *commitment;
    const uint8_t *footer; /* sealed */
    size_t footer_bytes;
    uint64_t frames_bytes;
};

static int check_sizes(size_t tail_size, uint64_t object_size, struct error *err)
{
    const uint64_t least = MAGIC_BYTES + END_BYTES;
    if (object_size < least)
        return error_set(err, ERROR_CORRUPT, "only %" PRIu64 " bytes", object_size);
    if (object_size > CONTAINER_BYTES_MAX)
        return error_set(err, ERROR_CORRUPT, "larger than any object can be");
    if (tail_size > object_size || (tail_size < object_size && tail_size < CONTAINER_TAIL_MAX))
        return error_set(err, ERROR_CORRUPT, "%zu bytes where the last %d of %" PRIu64 " belong",
                         tail_size, CONTAINER_TAIL_MAX, object_size);
    return 0;
}

static int check_digest(const uint8_t *object, size_t size, struct error *err)
{
    uint8_t digest[DIGEST_BYTES];
    if (memcmp(object, magic, MAGIC_BYTES) != 0)
        return error_set(err, ERROR_CORRUPT, "does not begin like an object of lifeboat");
    digest_sha256(object, size - DIGEST_BYTES, digest);
    if (memcmp(digest, object + size - DIGEST_BYTES, DIGEST_BYTES) != 0)
        return error_set(err, ERROR_CORRUPT, "damaged: its SHA-256 is another");
    return 0;
}

/* What was fetched of an object: its last bytes, or all of it. */
struct object_tail {
    const uint8_t *data;
    size_t size;
    uint64_t object_size;
};

/* The digest, if the whole object is there; before any byte of it is believed. */
static int check_whole(const struct object_tail *tail, struct error *err)
{
    if (check_sizes(tail->size, tail->object_size, err) < 0)
        return -1;
    return tail->size == tail->object_size ? check_digest(tail->data, tail->size, err) : 0;
}

static int check_version(const uint8_t *trailer, struct error *err)
{
    unsigned version = bytes_load16(trailer + TRAILER_VERSION), suite = trailer[TRAILER_SUITE];
    if (version > FORMAT_VERSION || (version == FORMAT_VERSION && suite > SUITE))
        return error_set(err, ERROR_PERMANENT,
                         "of format %u, suite %u, newer than this program, which knows up to %d "
                         "and %d; use a newer lifeboat",
                         version, suite, FORMAT_VERSION, SUITE);
    if (version == 0 || suite == 0 || bytes_load32(trailer + TRAILER_ZERO) != 0)
        return error_set(err, ERROR_CORRUPT, "malformed trailer");
    return 0;
}

/* Finds the parts of an object; nothing is authentic yet. */
static int parse_trailer(const uint8_t *tail, size_t tail_size, uint64_t object_size,
                         struct trailer *ret_trailer, struct error *err)
{
    if (check_sizes(tail_size, object_size, err) < 0)
        return -1;
    const uint8_t *trailer = tail + tail_size - END_BYTES;
    if (check_version(trailer, err) < 0)
        return -1;
    size_t footer_bytes = bytes_load32(trailer + TRAILER_FOOTER_BYTES);
    if (footer_bytes > CONTAINER_TAIL_MAX - END_BYTES ||
        footer_bytes > object_size - END_BYTES - MAGIC_BYTES)
        return error_set(err, ERROR_CORRUPT, "a footer of %zu bytes cannot be", footer_bytes);
    *ret_trailer = (struct trailer){
        .bytes = trailer,
        .kind = trailer[TRAILER_KIND],
        .key_id = trailer + TRAILER_KEY_ID,
        .salt = trailer + TRAILER_SALT,
        .commitment = trailer + TRAILER_COMMITMENT,
        .footer = trailer - footer_bytes,
        .footer_bytes = footer_bytes,
        .frames_bytes = object_size - END_BYTES - MAGIC_BYTES - footer_bytes,
    };
    return 0;
}

/* The seal of an object by the data key that it names. */
static int open_seal(const struct trailer *trailer, const struct keyring *keyring,
                     struct seal **ret_seal, struct error *err)
{
    const struct key *dek = keyring_find(keyring, trailer->key_id);
    if (!dek) {
        char id[KEY_ID_TEXT_BYTES];
        const struct error *damage = keyring_gap(keyring, trailer->key_id);
        if (damage) {
            *err = *damage;
            return -1;
        }
        text_hex(trailer->key_id, KEY_ID_BYTES, id);
        return error_set(err, ERROR_PERMANENT,
                         "no user key opens its data key %s: add the one that wraps it, as "
                         "'keys/%s.<id of the user key>' says, to spec.encryption.keys",
                         id, id);
    }
    uint8_t commitment[KEY_COMMITMENT_BYTES];
    CLEANUP(seal_freep)
    struct seal *seal = seal_new(dek, trailer->salt, (uint8_t)trailer->kind, commitment);
    if (memcmp(commitment, trailer->commitment, KEY_COMMITMENT_BYTES) != 0)
        return error_set(err, ERROR_CORRUPT, "sealed by another key than it names");
    *ret_seal = TAKE(seal);
    return 0;
}

static int open_footer(struct container *container, const struct trailer *trailer,
                       struct error *err)
{
    if (trailer->footer_bytes < SEAL_TAG_BYTES)
        return error_set(err, ERROR_CORRUPT, "no footer");
    size_t size = trailer->footer_bytes - SEAL_TAG_BYTES;
    CLEANUP(own_freep) uint8_t *footer = own_alloc(size);
    uint8_t ad[SEAL_AD_BYTES];
    format_ad(container->binding, 0, size, true, ad);
    if (seal_decrypt(container->seal, SEAL_FOOTER, 0, ad, trailer->footer, trailer->footer_bytes,
                     footer, err) < 0)
        return error_wrap(err, "damaged, or of another repository or name: footer");
    return container_parse_footer(container, footer, size, trailer->frames_bytes, err);
}

static int open_trailer(struct container *container, const struct container_identity *identity,
                        const struct keyring *keyring, const struct trailer *trailer,
                        struct error *err)
{
    if (trailer->kind != identity->kind)
        return error_set(err, ERROR_CORRUPT, "an object of kind %d instead of %d", trailer->kind,
                         identity->kind);
    if (open_seal(trailer, keyring, &container->seal, err) < 0)
        return -1;
    container->name = own_strdup(identity->name);
    bind_object(identity, trailer->bytes, container->binding);
    return open_footer(container, trailer, err);
}

static int read_frame(struct container *container, struct frame_codec *codec, uint32_t index,
                      const void *sealed, void *plain, struct error *err)
{
    const struct container_frame *frame = &container->frames[index];
    if (!container->scratch)
        container->scratch = own_alloc(sealed_bound(FRAME_PLAIN_MAX));
    uint8_t ad[SEAL_AD_BYTES];
    format_ad(container->binding, index, frame->plain_bytes, index + 1 == container->frame_count,
              ad);
    if (seal_decrypt(container->seal, SEAL_FRAME, index, ad, sealed, frame->sealed_bytes,
                     container->scratch, err) < 0)
        return -1;
    return frame_decompress(codec, container->scratch, frame->sealed_bytes - SEAL_TAG_BYTES, plain,
                            frame->plain_bytes, err);
}

static int append_all(struct container_writer *writer, int level, const uint8_t *plain, size_t size,
                      struct error *err)
{
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(level);
    do {
        size_t part = size < FRAME_PLAIN_MAX ? size : FRAME_PLAIN_MAX;
        if (container_append(writer, codec, FRAME_DATA, plain, part, part == size, err) < 0)
            return -1;
        size -= part;
        if (size > 0)
            plain += part;
    } while (size > 0);
    return 0;
}

/* Bytes of an object that container_pack makes, at most. */
static size_t packed_bound(size_t plain_size, size_t footer_size)
{
    size_t full = plain_size / FRAME_PLAIN_MAX;
    return MAGIC_BYTES + full * sealed_bound(FRAME_PLAIN_MAX) +
           sealed_bound(plain_size % FRAME_PLAIN_MAX) + tail_bound((uint32_t)full + 1, footer_size);
}

static int check_room(const struct container *container, const struct buf *plain, struct error *err)
{
    size_t room = plain->limit - plain->size;
    for (uint32_t i = 0; i < container->frame_count; i++) {
        if (container->frames[i].plain_bytes > room)
            return error_set(err, ERROR_CORRUPT, "'%s': holds more than %zu bytes", container->name,
                             plain->limit);
        room -= container->frames[i].plain_bytes;
    }
    return 0;
}

void container_set_salt(struct container_writer *writer, const struct key *dek,
                        const uint8_t salt[KEY_SALT_BYTES])
{
    assert(writer->frames == 0);
    uint8_t kind = (uint8_t)writer->identity.kind;
    memcpy(writer->trailer + TRAILER_SALT, salt, KEY_SALT_BYTES);
    seal_freep(&writer->seal);
    writer->seal = seal_new(dek, salt, kind, writer->trailer + TRAILER_COMMITMENT);
    bind_object(&writer->identity, writer->trailer, writer->binding);
}

void container_writer_freep(struct container_writer **writer)
{
    struct container_writer *w = TAKE(*writer);
    if (!w)
        return;
    seal_freep(&w->seal);
    digest_freep(&w->digest);
    buf_done(&w->table);
    free(w->name);
    free(w);
}

int container_writer_new(struct container_writer **ret_writer,
                         const struct container_identity *identity, const struct key *dek,
                         void *buffer, size_t capacity, struct error *err)
{
    assert(capacity >= MAGIC_BYTES && capacity <= CONTAINER_BYTES_MAX);
    uint8_t salt[KEY_SALT_BYTES];
    if (key_random(salt, sizeof(salt), err) < 0)
        return -1;
    struct container_writer *writer = own_alloc(sizeof(*writer));
    writer->buffer = buffer;
    writer->capacity = capacity;
    writer->identity = *identity;
    writer->identity.name = writer->name = own_strdup(identity->name);
    writer->table = BUF(CONTAINER_FRAMES_MAX * TABLE_ENTRY_BYTES);
    bytes_store16(writer->trailer + TRAILER_VERSION, FORMAT_VERSION);
    writer->trailer[TRAILER_KIND] = (uint8_t)identity->kind;
    writer->trailer[TRAILER_SUITE] = SUITE;
    memcpy(writer->trailer + TRAILER_KEY_ID, dek->id, KEY_ID_BYTES);
    container_set_salt(writer, dek, salt);
    memcpy(writer->buffer, magic, MAGIC_BYTES);
    writer->used = MAGIC_BYTES;
    writer->digest = digest_new();
    digest_used(writer, 0);
    *ret_writer = writer;
    return 0;
}

uint32_t container_frames(const struct container_writer *writer)
{
    return writer->frames;
}

bool container_fits(const struct container_writer *writer, size_t plain_size, size_t reserve,
                    size_t footer_size)
{
    uint32_t frames = writer->frames + 1 + (reserve > 0);
    size_t tail = tail_bound(frames, footer_size);
    size_t needed = sealed_bound(plain_size) + (reserve > 0 ? sealed_bound(reserve) : 0) + tail;
    return frames <= CONTAINER_FRAMES_MAX && tail <= CONTAINER_TAIL_MAX &&
           needed <= writer->capacity - writer->used;
}

int container_append(struct container_writer *writer, struct frame_codec *codec,
                     enum frame_type type, const void *plain, size_t size, bool last,
                     struct error *err)
{
    assert(!writer->ended && size <= FRAME_PLAIN_MAX && type >= FRAME_DATA && type <= FRAME_HASH);
    uint8_t *out = writer->buffer + writer->used;
    size_t room = writer->capacity - writer->used, compressed;
    size_t kept = SEAL_TAG_BYTES + tail_bound(writer->frames + 1, 0);
    if (writer->frames == CONTAINER_FRAMES_MAX || room < kept)
        return error_set(err, ERROR_PERMANENT, "'%s': no room for another frame", writer->name);
    if (frame_compress(codec, plain, size, out, room - kept, &compressed, err) < 0)
        return error_wrap(err, "'%s': no room for another frame", writer->name);
    uint8_t ad[SEAL_AD_BYTES];
    format_ad(writer->binding, writer->frames, size, last, ad);
    seal_encrypt(writer->seal, SEAL_FRAME, writer->frames, ad, out, compressed, out);
    size_t from = writer->used, sealed = compressed + SEAL_TAG_BYTES;
    writer->used += sealed;
    digest_used(writer, from); /* now, while it is in the processor's cache */
    bytes_put8(&writer->table, (uint8_t)type);
    bytes_put_varint(&writer->table, sealed);
    bytes_put_varint(&writer->table, size);
    writer->frames++;
    writer->ended = last;
    return 0;
}

int container_finish(struct container_writer *writer, const void *footer, size_t footer_size,
                     size_t *ret_size, uint8_t ret_sha256[DIGEST_BYTES], struct error *err)
{
    assert(writer->ended);
    CLEANUP(buf_done) struct buf plain = BUF(CONTAINER_TAIL_MAX - END_BYTES - SEAL_TAG_BYTES);
    if (footer_size > plain.limit - TABLE_COUNT_BYTES - writer->table.size ||
        tail_bound(writer->frames, footer_size) > writer->capacity - writer->used)
        return error_set(err, ERROR_PERMANENT, "'%s': no room for a footer of %zu bytes",
                         writer->name, footer_size);
    bytes_put_varint(&plain, writer->frames);
    bytes_put(&plain, writer->table.data, writer->table.size);
    bytes_put(&plain, footer, footer_size);

    uint8_t ad[SEAL_AD_BYTES];
    format_ad(writer->binding, 0, plain.size, true, ad);
    uint8_t *sealed = writer->buffer + writer->used;
    size_t from = writer->used, sealed_size = plain.size + SEAL_TAG_BYTES;
    seal_encrypt(writer->seal, SEAL_FOOTER, 0, ad, plain.data, plain.size, sealed);
    bytes_store32(writer->trailer + TRAILER_FOOTER_BYTES, (uint32_t)sealed_size);
    memcpy(sealed + sealed_size, writer->trailer, CONTAINER_TRAILER_BYTES);
    writer->used += sealed_size + CONTAINER_TRAILER_BYTES;
    digest_used(writer, from);

    from = writer->used;
    digest_get(writer->digest, writer->buffer + from);
    writer->used += DIGEST_BYTES;
    digest_used(writer, from);
    digest_get(writer->digest, ret_sha256);
    *ret_size = writer->used;
    return 0;
}

int container_parse_footer(struct container *container, const void *footer, size_t size,
                           uint64_t frames_bytes, struct error *err)
{
    struct reader reader = READER(footer, size);
    uint32_t count = (uint32_t)reader_varint_max(&reader, CONTAINER_FRAMES_MAX);
    CLEANUP(own_freep) struct container_frame *frames = own_alloc(count * sizeof(*frames));
    uint64_t offset = MAGIC_BYTES, end = MAGIC_BYTES + frames_bytes;
    for (uint32_t i = 0; i < count && !reader.bad; i++) {
        const uint8_t *type = reader_bytes(&reader, 1);
        uint32_t sealed = (uint32_t)reader_varint_max(&reader, end - offset);
        uint32_t plain = (uint32_t)reader_varint_max(&reader, FRAME_PLAIN_MAX);
        if (!type || *type < FRAME_DATA || *type > FRAME_HASH || sealed <= SEAL_TAG_BYTES ||
            sealed > sealed_bound(FRAME_PLAIN_MAX))
            reader.bad = true;
        else
            frames[i] = (struct container_frame){offset, sealed, plain, *type};
        offset += sealed;
    }
    if (reader.bad || count == 0 || offset != end)
        return error_set(err, ERROR_CORRUPT, "malformed footer");
    container->footer_size = reader_left(&reader);
    container->footer = own_alloc(container->footer_size);
    if (container->footer_size > 0)
        memcpy(container->footer, reader.at, container->footer_size);
    container->frames = TAKE(frames);
    container->frame_count = count;
    return 0;
}

void container_done(struct container *container)
{
    free(container->frames);
    free(container->footer);
    free(container->name);
    free(container->scratch);
    seal_freep(&container->seal);
    *container = (struct container){0};
}

/* The object by its seals alone. */
static int open_sealed(struct container *ret_container, const struct container_identity *identity,
                       const struct keyring *keyring, const struct object_tail *tail,
                       struct error *err)
{
    struct trailer trailer;
    CLEANUP(container_done) struct container container = {0};
    if (parse_trailer(tail->data, tail->size, tail->object_size, &trailer, err) < 0 ||
        open_trailer(&container, identity, keyring, &trailer, err) < 0)
        return -1;
    *ret_container = container;
    container = (struct container){0};
    return 0;
}

int container_open(struct container *ret_container, const struct container_identity *identity,
                   const struct keyring *keyring, const void *tail, size_t tail_size,
                   uint64_t object_size, struct error *err)
{
    const struct object_tail bytes = {tail, tail_size, object_size};
    if (check_whole(&bytes, err) < 0 ||
        open_sealed(ret_container, identity, keyring, &bytes, err) < 0)
        return error_wrap(err, "'%s'", identity->name);
    return 0;
}

int container_salvage(struct container *ret_container, const struct container_identity *identity,
                      const struct keyring *keyring, const struct buf *object,
                      struct error *ret_damage, struct error *err)
{
    const struct object_tail whole = {object->data, object->size, object->size};
    struct error sealed;
    *ret_damage = (struct error){0};
    if (check_whole(&whole, ret_damage) < 0)
        error_wrap(ret_damage, "'%s'", identity->name);
    if (open_sealed(ret_container, identity, keyring, &whole, &sealed) == 0)
        return 0;
    error_wrap(&sealed, "'%s'", identity->name);
    *err = ret_damage->kind == ERROR_NONE ? sealed : *ret_damage;
    return -1;
}

int container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                   const void *sealed, void *plain, struct error *err)
{
    if (index >= container->frame_count)
        return error_set(err, ERROR_CORRUPT, "'%s': has no frame %" PRIu32, container->name, index);
    if (read_frame(container, codec, index, sealed, plain, err) < 0)
        return error_wrap(err, "'%s': frame %" PRIu32, container->name, index);
    return 0;
}

int container_check(const void *object, size_t size, struct error *err)
{
    struct trailer trailer;
    const struct object_tail bytes = {object, size, size};
    if (check_whole(&bytes, err) < 0 || parse_trailer(object, size, size, &trailer, err) < 0)
        return -1;
    if (trailer.kind < CONTAINER_PACK || trailer.kind > CONTAINER_EVIDENCE)
        return error_set(err, ERROR_CORRUPT, "an object of unknown kind %d", trailer.kind);
    return 0;
}

int container_pack(const struct container_identity *identity, const struct key *dek, int level,
                   const void *plain, size_t size, const void *footer, size_t footer_size,
                   struct buf *object, uint8_t ret_sha256[DIGEST_BYTES], struct error *err)
{
    size_t bound = size <= CONTAINER_BYTES_MAX ? packed_bound(size, footer_size) : size;
    if (bound > CONTAINER_BYTES_MAX)
        return error_set(err, ERROR_PERMANENT, "'%s': %zu bytes are too many for one object",
                         identity->name, size);
    uint8_t *space;
    CLEANUP(container_writer_freep) struct container_writer *writer = NULL;
    if (buf_reserve(object, bound, &space, err) < 0 ||
        container_writer_new(&writer, identity, dek, space, bound, err) < 0 ||
        append_all(writer, level, plain, size, err) < 0 ||
        container_finish(writer, footer, footer_size, &bound, ret_sha256, err) < 0)
        return -1;
    object->size += bound;
    return 0;
}

int container_unpack(const struct container_identity *identity, const struct keyring *keyring,
                     const void *object, size_t size, struct buf *plain, struct buf *footer,
                     struct error *err)
{
    CLEANUP(container_done) struct container container = {0};
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(FRAME_LEVEL_MIN);
    if (container_open(&container, identity, keyring, object, size, size, err) < 0 ||
        check_room(&container, plain, err) < 0)
        return -1;
    for (uint32_t i = 0; i < container.frame_count; i++) {
        const struct container_frame *frame = &container.frames[i];
        uint8_t *space;
        if (buf_reserve(plain, frame->plain_bytes, &space, err) < 0 ||
            container_read(&container, codec, i, (const uint8_t *)object + frame->offset, space,
                           err) < 0)
            return -1;
        plain->size += frame->plain_bytes;
    }
    return footer ? buf_append(footer, container.footer, container.footer_size, err) : 0;
}
