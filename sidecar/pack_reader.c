// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pack_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/repo.h"

enum {
    PACK_BYTES_MAX = 16 << 20,
    NO_FRAME = CONTAINER_FRAMES_MAX,
    GAP_BYTES_MAX = 1 << 20, /* what a store sends in about the time of one more request */
};

struct pack_reader {
    struct repo *repo;
    enum pack_reader_mode mode;
    struct error damage; /* of the open pack */
    struct frame_codec *codec;
    char name[REPO_NAME_MAX]; /* of the open pack; "" if none is */
    struct buf bytes; /* what was fetched of it last: all, its tail or neighbouring frames … */
    uint64_t offset;  /* … and where they lie in it */
    bool whole;       /* all of it */
    bool wanted[CONTAINER_FRAMES_MAX]; /* frames that will be read */
    struct buf sealed;                 /* a frame that was fetched alone */
    struct container container;
    uint8_t *plain;
    uint32_t frame; /* what plain holds; NO_FRAME: nothing */
    uint64_t fetched_bytes;
};

static int fetch(struct pack_reader *reader, const char *name, struct error *err)
{
    if (reader->mode == PACK_READER_SALVAGE)
        return repo_salvage(reader->repo, CONTAINER_PACK, name, &reader->bytes, &reader->container,
                            &reader->damage, err);
    return repo_fetch(reader->repo, CONTAINER_PACK, name, &reader->bytes, &reader->container, err);
}

static void forget(struct pack_reader *reader)
{
    container_done(&reader->container);
    reader->container = (struct container){0};
    reader->name[0] = '\0';
    reader->frame = NO_FRAME;
    memset(reader->wanted, 0, sizeof(reader->wanted));
}

static void remember(struct pack_reader *reader, const char name[REPO_NAME_MAX],
                     uint64_t object_bytes)
{
    memcpy(reader->name, name, REPO_NAME_MAX);
    reader->offset = object_bytes - reader->bytes.size;
    reader->whole = reader->offset == 0;
    reader->fetched_bytes += reader->bytes.size;
}

int pack_reader_open(struct pack_reader *reader, const char *backup_id, uint32_t number,
                     struct error *err)
{
    char name[REPO_NAME_MAX];
    repo_pack_name(backup_id, number, name);
    if (reader->whole && strcmp(name, reader->name) == 0)
        return 0;
    forget(reader);
    if (fetch(reader, name, err) < 0)
        return -1;
    remember(reader, name, reader->bytes.size);
    return 0;
}

static int find_size(struct pack_reader *reader, const char *name, uint64_t *ret_bytes,
                     struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(reader->repo, name, &names, err) < 0)
        return -1;
    if (names.count == 0 || strcmp(names.names[0].name, name) != 0)
        return error_set(err, ERROR_NOT_FOUND, "'%s' is in no region", name);
    *ret_bytes = names.names[0].size;
    return 0;
}

int pack_reader_open_tail(struct pack_reader *reader, const char *backup_id, uint32_t number,
                          uint64_t object_bytes, struct error *err)
{
    char name[REPO_NAME_MAX];
    repo_pack_name(backup_id, number, name);
    if (strcmp(name, reader->name) == 0)
        return 0;
    forget(reader);
    if (object_bytes == 0 && find_size(reader, name, &object_bytes, err) < 0)
        return -1;
    if (repo_fetch_tail(reader->repo, CONTAINER_PACK, name, object_bytes, &reader->bytes,
                        &reader->container, err) < 0)
        return -1;
    remember(reader, name, object_bytes);
    return 0;
}

void pack_reader_want(struct pack_reader *reader, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last && i < reader->container.frame_count; i++)
        reader->wanted[i] = true;
}

/* Where frame lies among the bytes that were fetched last; NULL: it does not. */
static const uint8_t *find_held(const struct pack_reader *reader, const struct container_frame *at)
{
    if (at->offset < reader->offset ||
        at->offset + at->sealed_bytes > reader->offset + reader->bytes.size)
        return NULL;
    return reader->bytes.data + (at->offset - reader->offset);
}

/* The bytes from first on that are worth one request: wanted frames, and between them at most as
 * much again that is not. */
static uint64_t plan_request(const struct pack_reader *reader, uint32_t first)
{
    const struct container_frame *frames = reader->container.frames, *at = &frames[first];
    uint64_t wanted = at->sealed_bytes, size = at->sealed_bytes;
    for (uint32_t i = first + 1; i < reader->container.frame_count; i++) {
        if (!reader->wanted[i])
            continue;
        const uint64_t longer = frames[i].offset + frames[i].sealed_bytes - at->offset;
        wanted += frames[i].sealed_bytes;
        if (frames[i].offset - at->offset - size > GAP_BYTES_MAX || longer > 2 * wanted)
            break;
        size = longer;
    }
    return size;
}

static int fetch_frames(struct pack_reader *reader, uint32_t first, struct error *err)
{
    const uint64_t offset = reader->container.frames[first].offset;
    if (repo_fetch_range(reader->repo, reader->name, offset, plan_request(reader, first),
                         &reader->bytes, err) < 0)
        return -1;
    reader->offset = offset;
    reader->fetched_bytes += reader->bytes.size;
    return 0;
}

/* A frame of the open pack into plain. */
static int open_frame(struct pack_reader *reader, uint32_t frame, struct error *err)
{
    struct container *container = &reader->container;
    const struct container_frame *at = &container->frames[frame];
    if (!find_held(reader, at) && fetch_frames(reader, frame, err) < 0)
        return -1;
    if (container_read(container, reader->codec, frame, find_held(reader, at), reader->plain,
                       err) == 0)
        return 0;
    if (reader->whole || err->kind != ERROR_CORRUPT)
        return -1;
    if (repo_fetch_frame(reader->repo, container, reader->codec, frame, &reader->sealed,
                         reader->plain, err) < 0) /* another region may have it intact */
        return -1;
    reader->fetched_bytes += at->sealed_bytes;
    return 0;
}

const struct container_frame *pack_reader_frames(const struct pack_reader *reader,
                                                 uint32_t *ret_count)
{
    *ret_count = reader->container.frame_count;
    return reader->container.frames;
}

const struct error *pack_reader_damage(const struct pack_reader *reader)
{
    return &reader->damage;
}

int pack_reader_frame(struct pack_reader *reader, uint32_t frame, enum frame_type type,
                      const uint8_t **ret_plain, size_t *ret_size, struct error *err)
{
    struct container *container = &reader->container;
    if (frame >= container->frame_count)
        return error_set(err, ERROR_CORRUPT, "'%s' has no frame %u", reader->name, frame);
    const struct container_frame *at = &container->frames[frame];
    if (at->type != type)
        return error_set(err, ERROR_CORRUPT, "frame %u of '%s' is of type %d, not %d", frame,
                         reader->name, (int)at->type, (int)type);
    if (reader->frame != frame) {
        reader->frame = NO_FRAME;
        if (open_frame(reader, frame, err) < 0)
            return -1;
        reader->frame = frame;
    }
    *ret_plain = reader->plain;
    *ret_size = at->plain_bytes;
    return 0;
}

int pack_reader_data(struct pack_reader *reader, uint32_t piece, size_t size,
                     const uint8_t **ret_data, struct error *err)
{
    uint32_t frame = piece / FRAME_PIECES;
    size_t from = (size_t)(piece % FRAME_PIECES) * PIECE_BYTES, plain_size = 0;
    const uint8_t *plain = NULL;
    if (pack_reader_frame(reader, frame, FRAME_DATA, &plain, &plain_size, err) < 0)
        return -1;
    if (from > plain_size || size > plain_size - from)
        return error_set(err, ERROR_CORRUPT, "frame %u of '%s' has %zu bytes, not %zu", frame,
                         reader->name, plain_size, from + size);
    *ret_data = plain + from;
    return 0;
}

uint64_t pack_reader_fetched_bytes(const struct pack_reader *reader)
{
    return reader->fetched_bytes;
}

void pack_reader_freep(struct pack_reader **reader)
{
    struct pack_reader *r = TAKE(*reader);
    if (!r)
        return;
    container_done(&r->container);
    buf_done(&r->bytes);
    buf_done(&r->sealed);
    frame_codec_freep(&r->codec);
    free(r->plain);
    free(r);
}

struct pack_reader *pack_reader_new(struct repo *repo, enum pack_reader_mode mode)
{
    struct pack_reader *reader = own_alloc(sizeof(*reader));
    reader->repo = repo;
    reader->mode = mode;
    reader->codec = frame_codec_new(1); /* levels matter to writers only */
    reader->bytes = BUF(PACK_BYTES_MAX);
    reader->sealed = BUF(2 * FRAME_PLAIN_MAX);
    reader->plain = own_alloc(FRAME_PLAIN_MAX);
    reader->frame = NO_FRAME;
    return reader;
}
