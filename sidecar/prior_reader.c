// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prior_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/captured.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"
#include "sidecar/prior.h"
#include "sidecar/repo.h"

enum { KEPT_PACKS = 16, KEPT_BYTES_MAX = 2 << 20, HASH_BYTES = 8 };

/* The hashes of a pack: that of piece p of frame f is at first[f] + p. */
struct pack_hashes {
    uint32_t backup, pack; /* pack 0: none */
    uint64_t last_use;
    uint32_t frame_count;
    uint32_t *first;  /* frame_count + 1 */
    uint64_t *hashes; /* first[frame_count] of them; NULL: they cannot be read */
};

struct prior_reader {
    struct prior *prior;
    struct frame_codec *codec;
    struct buf tail, sealed;
    uint8_t *plain;
    struct pack_hashes packs[KEPT_PACKS];
    uint64_t uses;
    /* The map frame that was read last, with places in the prior's table. */
    struct place map_place; /* pack 0: none */
    struct map map;
};

static bool is_damage(const struct error *err)
{
    return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND;
}

static int open_pack(struct prior_reader *reader, const struct place *place,
                     struct container *ret_container, struct error *err)
{
    char name[REPO_NAME_MAX];
    repo_pack_name(reader->prior->table.ids[place->backup], place->pack, name);
    return repo_fetch_tail(reader->prior->repo, CONTAINER_PACK, name,
                           prior_pack_bytes(reader->prior, place), &reader->tail, ret_container,
                           err);
}

/* A frame of an opened pack into plain. */
static int read_frame(struct prior_reader *reader, struct container *container, uint32_t frame,
                      enum frame_type type, struct error *err)
{
    if (frame >= container->frame_count || container->frames[frame].type != type)
        return error_set(err, ERROR_CORRUPT, "frame %u of '%s' is not of type %d", frame,
                         container->name, (int)type);
    if (!reader->plain)
        reader->plain = own_alloc(FRAME_PLAIN_MAX);
    return repo_fetch_frame(reader->prior->repo, container, reader->codec, frame, &reader->sealed,
                            reader->plain, err);
}

/* Maps */

static int translate_map(struct prior_reader *reader, const struct backup_table *table,
                         struct map *map, struct error *err)
{
    for (size_t i = 0; i < map->count; i++)
        if (!map->runs[i].zero &&
            prior_translate(reader->prior, table, &map->runs[i].place, err) < 0)
            return -1;
    return 0;
}

static int load_map_frame(struct prior_reader *reader, const struct entry_map_ref *ref,
                          struct error *err)
{
    const struct place *place = &ref->place, *last = &reader->map_place;
    if (last->pack == place->pack && last->frame == place->frame && last->backup == place->backup)
        return 0;
    CLEANUP(container_done) struct container container = {0};
    CLEANUP(backup_table_done) struct backup_table table = {0};
    reader->map_place = (struct place){0};
    map_done(&reader->map);
    if (open_pack(reader, place, &container, err) < 0 ||
        read_frame(reader, &container, place->frame, FRAME_MAP, err) < 0 ||
        map_frame_parse(reader->plain, container.frames[place->frame].plain_bytes, ref->covers,
                        &table, &reader->map, err) < 0 ||
        translate_map(reader, &table, &reader->map, err) < 0)
        return -1;
    reader->map_place = *place;
    return 0;
}

/* Puts the runs of a map that begins at piece map_first of the file into a part that begins at
 * piece first. */
static void spread(const struct map *map, uint64_t map_first, uint64_t first,
                   struct prior_part *part)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        uint64_t from = map_first + run->offset / PIECE_BYTES;
        uint64_t to = from + (run->length + PIECE_BYTES - 1) / PIECE_BYTES;
        if (from >= first + PRIOR_PART_PIECES)
            break;
        for (uint64_t piece = from > first ? from : first;
             piece < to && piece < first + PRIOR_PART_PIECES; piece++) {
            struct place *place = &part->places[piece - first];
            part->states[piece - first] = run->zero ? PRIOR_ZERO : PRIOR_STORED;
            *place = run->place;
            place->piece += (uint32_t)(piece - from);
        }
    }
}

static int spread_refs(struct prior_reader *reader, const struct entry *entry, uint64_t first,
                       struct prior_part *part, struct error *err)
{
    uint64_t piece = 0;
    for (size_t i = 0; i < entry->map_ref_count; i++) {
        const struct entry_map_ref *ref = &entry->map_refs[i];
        uint64_t end = piece + (ref->covers + PIECE_BYTES - 1) / PIECE_BYTES;
        if (piece < first + PRIOR_PART_PIECES && end > first) {
            if (load_map_frame(reader, ref, err) < 0)
                return -1;
            spread(&reader->map, piece, first, part);
        }
        piece = end;
    }
    return 0;
}

/* A page that was bad is never taken over; where not all that were are listed, none is. */
static void leave_out_bad(const struct entry *entry, uint64_t first, struct prior_part *part)
{
    if (entry->bad_block_count > ENTRY_BAD_BLOCKS_MAX)
        memset(part->states, PRIOR_NONE, sizeof(part->states));
    else
        for (uint32_t i = 0; i < entry->bad_block_count; i++)
            if (entry->bad_blocks[i] >= first && entry->bad_blocks[i] - first < PRIOR_PART_PIECES)
                part->states[entry->bad_blocks[i] - first] = PRIOR_NONE;
}

/* Hashes */

static void hashes_done(struct pack_hashes *hashes)
{
    free(hashes->first);
    free(hashes->hashes);
    *hashes = (struct pack_hashes){0};
}

static int load_hashes(struct prior_reader *reader, const struct place *place,
                       struct pack_hashes *hashes, struct error *err)
{
    CLEANUP(container_done) struct container container = {0};
    if (open_pack(reader, place, &container, err) < 0)
        return -1;
    uint32_t last = container.frame_count - 1, pieces = 0;
    hashes->frame_count = last;
    hashes->first = own_alloc((last + 1) * sizeof(hashes->first[0]));
    for (uint32_t i = 0; i < last; i++) {
        const struct container_frame *frame = &container.frames[i];
        hashes->first[i] = pieces;
        if (frame->type == FRAME_DATA)
            pieces += (frame->plain_bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    }
    hashes->first[last] = pieces;
    if (read_frame(reader, &container, last, FRAME_HASH, err) < 0)
        return -1;
    if (container.frames[last].plain_bytes != (uint64_t)pieces * HASH_BYTES)
        return error_set(err, ERROR_CORRUPT, "'%s' has %u pieces and %u bytes of hashes",
                         container.name, pieces, container.frames[last].plain_bytes);
    hashes->hashes = own_alloc((pieces + 1) * sizeof(hashes->hashes[0]));
    for (uint32_t i = 0; i < pieces; i++)
        hashes->hashes[i] = bytes_load64(reader->plain + (size_t)i * HASH_BYTES);
    return 0;
}

static size_t bytes_of(const struct pack_hashes *hashes)
{
    return hashes->hashes ? hashes->first[hashes->frame_count] * sizeof(hashes->hashes[0]) : 0;
}

/* The kept pack that was used longest ago, NULL if there is none. */
static struct pack_hashes *find_oldest(struct prior_reader *reader)
{
    struct pack_hashes *oldest = NULL;
    for (size_t i = 0; i < KEPT_PACKS; i++) {
        struct pack_hashes *hashes = &reader->packs[i];
        if (hashes->pack != 0 && (!oldest || hashes->last_use < oldest->last_use))
            oldest = hashes;
    }
    return oldest;
}

/* A free place; the rest is within its bound. */
static struct pack_hashes *make_room(struct prior_reader *reader)
{
    for (;;) {
        struct pack_hashes *idle = NULL;
        size_t bytes = 0;
        for (size_t i = 0; i < KEPT_PACKS; i++) {
            bytes += bytes_of(&reader->packs[i]);
            if (reader->packs[i].pack == 0)
                idle = &reader->packs[i];
        }
        if (idle && bytes <= KEPT_BYTES_MAX)
            return idle;
        hashes_done(find_oldest(reader));
    }
}

static int find_hashes(struct prior_reader *reader, const struct place *place,
                       struct pack_hashes **ret_hashes, struct error *err)
{
    for (size_t i = 0; i < KEPT_PACKS; i++) {
        struct pack_hashes *hashes = &reader->packs[i];
        if (hashes->pack != place->pack || hashes->backup != place->backup)
            continue;
        hashes->last_use = ++reader->uses;
        *ret_hashes = hashes;
        return 0;
    }
    struct pack_hashes *hashes = make_room(reader);
    if (load_hashes(reader, place, hashes, err) < 0) {
        hashes_done(hashes);
        if (!is_damage(err))
            return -1;
        log_warn("Stores anew what a damaged pack holds", S("error", err->text));
    }
    hashes->backup = place->backup;
    hashes->pack = place->pack;
    hashes->last_use = ++reader->uses;
    *ret_hashes = hashes;
    return 0;
}

/* Of all pieces from the first on that lie in the same pack. */
static void take_hashes(const struct pack_hashes *hashes, size_t first, struct prior_part *part,
                        bool done[PRIOR_PART_PIECES])
{
    for (size_t i = first; i < part->count; i++) {
        const struct place *place = &part->places[i];
        if (done[i] || part->states[i] != PRIOR_STORED || place->pack != hashes->pack ||
            place->backup != hashes->backup)
            continue;
        done[i] = true;
        if (hashes->hashes && place->frame < hashes->frame_count &&
            place->piece < hashes->first[place->frame + 1] - hashes->first[place->frame])
            part->hashes[i] = hashes->hashes[hashes->first[place->frame] + place->piece];
        else
            part->states[i] = PRIOR_NONE;
    }
}

int prior_reader_hashes(struct prior_reader *reader, struct prior_part *part, struct error *err)
{
    bool done[PRIOR_PART_PIECES] = {false};
    for (size_t i = 0; i < part->count; i++) {
        struct pack_hashes *hashes;
        if (done[i] || part->states[i] != PRIOR_STORED)
            continue;
        if (find_hashes(reader, &part->places[i], &hashes, err) < 0)
            return -1;
        take_hashes(hashes, i, part, done);
    }
    return 0;
}

int prior_reader_part(struct prior_reader *reader, const struct captured *file,
                      uint64_t first_piece, struct prior_part *ret_part, struct error *err)
{
    struct entry entry;
    uint64_t pieces = (file->size + PIECE_BYTES - 1) / PIECE_BYTES;
    uint64_t left = pieces > first_piece ? pieces - first_piece : 0;
    memset(ret_part->states, PRIOR_NONE, sizeof(ret_part->states));
    ret_part->count = left < PRIOR_PART_PIECES ? (size_t)left : PRIOR_PART_PIECES;
    captured_entry(file, &entry);
    spread(&entry.map, 0, first_piece, ret_part);
    map_done(&entry.map);
    int result = spread_refs(reader, &entry, first_piece, ret_part, err);
    if (result < 0 && is_damage(err)) {
        log_warn("Stores a file anew whose map is damaged", S("error", err->text));
        memset(ret_part->states, PRIOR_NONE, sizeof(ret_part->states));
        return 0;
    }
    leave_out_bad(&entry, first_piece, ret_part);
    return result;
}

void prior_reader_freep(struct prior_reader **reader)
{
    struct prior_reader *r = TAKE(*reader);
    if (!r)
        return;
    for (size_t i = 0; i < KEPT_PACKS; i++)
        hashes_done(&r->packs[i]);
    map_done(&r->map);
    frame_codec_freep(&r->codec);
    buf_done(&r->tail);
    buf_done(&r->sealed);
    free(r->plain);
    free(r);
}

struct prior_reader *prior_reader_new(struct prior *prior)
{
    struct prior_reader *reader = own_alloc(sizeof(*reader));
    reader->prior = prior;
    reader->codec = frame_codec_new(1); /* levels matter to writers only */
    reader->tail = BUF(CONTAINER_TAIL_MAX);
    reader->sealed = BUF(2 * FRAME_PLAIN_MAX);
    return reader;
}
