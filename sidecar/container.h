// SPDX-License-Identifier: Apache-2.0
/*
 * The container: the one format of packs, manifests, WAL and evidence. Sealed frames, a sealed
 * footer that lists them, a clear trailer, the SHA-256 of all. It is bound to its repository, name,
 * kind and data key; its footer is authenticated before any frame is. Bytes:
 * docs/repository-format.md. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "sidecar/keys.h"

struct buf;
struct frame_codec;

enum container_kind {
    CONTAINER_PACK = 1,
    CONTAINER_MANIFEST = 2,
    CONTAINER_WAL = 3,     /* a segment or a part of one */
    CONTAINER_HISTORY = 4, /* of a timeline */
    CONTAINER_EVIDENCE = 5,
};

enum frame_type { FRAME_DATA = 1, FRAME_MAP = 2, FRAME_INDEX = 3, FRAME_HASH = 4 };

enum {
    CONTAINER_FRAMES_MAX = 1024,
    CONTAINER_TAIL_MAX = 65536, /* footer, trailer and digest: what one ranged GET fetches */
    CONTAINER_BYTES_MAX = 64 << 20,
    CONTAINER_TRAILER_BYTES = 84,
};

/* What an object is bound to. */
struct container_identity {
    enum container_kind kind;
    uint8_t repository_id[DIGEST_BYTES];
    const char *name; /* below the repository; lent */
};

struct container_writer;

/* Writes into the caller's buffer. */
MUST_CHECK int container_writer_new(struct container_writer **ret_writer,
                                    const struct container_identity *identity,
                                    const struct key *dek, void *buffer, size_t capacity,
                                    struct error *err);
void container_writer_freep(struct container_writer **writer);
/* For test vectors only, before the first frame: this salt instead of a random one. A salt used for
 * two objects of one data key breaks the cipher. */
void container_set_salt(struct container_writer *writer, const struct key *dek,
                        const uint8_t salt[KEY_SALT_BYTES]);
uint32_t container_frames(const struct container_writer *writer);
/* Whether a frame of plain_size bytes fits for sure, with reserve bytes of plaintext in one more
 * frame after it, and the footer with footer_size bytes of its own. */
bool container_fits(const struct container_writer *writer, size_t plain_size, size_t reserve,
                    size_t footer_size);
/* Compresses and seals; exactly the last frame has last set. PERMANENT: does not fit. */
MUST_CHECK int container_append(struct container_writer *writer, struct frame_codec *codec,
                                enum frame_type type, const void *plain, size_t size, bool last,
                                struct error *err);
/* footer: the kind's own data, may be empty. Gives the object's size in the buffer and the SHA-256
 * of the whole object. */
MUST_CHECK int container_finish(struct container_writer *writer, const void *footer,
                                size_t footer_size, size_t *ret_size,
                                uint8_t ret_sha256[DIGEST_BYTES], struct error *err);

/* An opened object; frames are read from bytes that the caller fetched. Errors name the object. */
struct container_frame {
    uint64_t offset; /* of the sealed bytes, in the object */
    uint32_t sealed_bytes, plain_bytes;
    enum frame_type type;
};

struct container {
    struct container_frame *frames;
    uint32_t frame_count;
    uint8_t *footer; /* the kind's own data */
    size_t footer_size;
    char *name; /* for messages */
    struct seal *seal;
    uint8_t binding[DIGEST_BYTES];
    uint8_t *scratch; /* for one compressed frame, made by the first container_read */
};

/* tail: the last tail_size bytes of an object of object_size bytes (all of it, or at least
 * CONTAINER_TAIL_MAX). CORRUPT: damaged, truncated, another repository, name or kind;
 * PERMANENT: its data key is not in the keyring, or a newer format. The SHA-256 is checked when the
 * tail is the whole object. */
MUST_CHECK int container_open(struct container *ret_container,
                              const struct container_identity *identity,
                              const struct keyring *keyring, const void *tail, size_t tail_size,
                              uint64_t object_size, struct error *err);
/* Opens a whole object by its seals alone: when its SHA-256 is wrong ret_damage says so (its kind
 * is NONE otherwise), and those frames that are intact can still be read. -1 as container_open. */
MUST_CHECK int container_salvage(struct container *ret_container,
                                 const struct container_identity *identity,
                                 const struct keyring *keyring, const struct buf *object,
                                 struct error *ret_damage, struct error *err);
void container_done(struct container *container);
/* sealed: the sealed_bytes of frame index; plain: room for its plain_bytes. Not for two threads at
 * once. CORRUPT. */
MUST_CHECK int container_read(struct container *container, struct frame_codec *codec,
                              uint32_t index, const void *sealed, void *plain, struct error *err);

/* The table of frames and the kind's own data from an opened footer, for an object whose frames
 * take up frames_bytes. Part of container_open; for its fuzz target. CORRUPT. */
MUST_CHECK int container_parse_footer(struct container *container, const void *footer, size_t size,
                                      uint64_t frames_bytes, struct error *err);

/* Checks magic, SHA-256 and trailer of a whole object without any key; for copies. CORRUPT. */
MUST_CHECK int container_check(const void *object, size_t size, struct error *err);

/* Whole small objects: one call each. plain is cut into frames of type FRAME_DATA; the object is
 * appended to object, whose limit CONTAINER_BYTES_MAX always does. PERMANENT: larger than that. */
MUST_CHECK int container_pack(const struct container_identity *identity, const struct key *dek,
                              int level, const void *plain, size_t size, const void *footer,
                              size_t footer_size, struct buf *object,
                              uint8_t ret_sha256[DIGEST_BYTES], struct error *err);
/* Appends the plaintext of all frames to plain and the footer's own data to footer (NULL: dropped).
 * CORRUPT also if it is more than plain's limit allows: then it is not what the caller looks for.
 */
MUST_CHECK int container_unpack(const struct container_identity *identity,
                                const struct keyring *keyring, const void *object, size_t size,
                                struct buf *plain, struct buf *footer, struct error *err);
