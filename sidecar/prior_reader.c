// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prior_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/captured.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"
#include "sidecar/pack_hashes.h"
#include "sidecar/pack_reader.h"
#include "sidecar/prior.h"

enum { KEPT_PACKS = 16, KEPT_BYTES_MAX = 2 << 20 };

struct kept_pack {
    uint32_t backup, pack; /* pack 0: none */
    uint64_t last_use;
    struct pack_hashes hashes; /* empty: they cannot be read */
};

struct prior_reader {
    struct prior *prior;
    struct pack_reader *packs;
    struct kept_pack kept[KEPT_PACKS];
    uint64_t uses;
    /* The map frame that was read last, with places in the prior's table. */
    struct place map_place; /* pack 0: none */
    struct map map;
};

/* What asking again would not mend: a data key that no user key opens, too. */
static bool is_damage(const struct error *err)
{
    return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND ||
           err->kind == ERROR_PERMANENT;
}

static int open_pack(struct prior_reader *reader, const struct place *place, struct error *err)
{
    return pack_reader_open_tail(reader->packs, reader->prior->table.ids[place->backup],
                                 place->pack, prior_pack_bytes(reader->prior, place), err);
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
    CLEANUP(backup_table_done) struct backup_table table = {0};
    const uint8_t *plain;
    size_t size;
    reader->map_place = (struct place){0};
    map_done(&reader->map);
    if (open_pack(reader, place, err) < 0 ||
        pack_reader_frame(reader->packs, place->frame, FRAME_MAP, &plain, &size, err) < 0 ||
        map_frame_parse(plain, size, ref->covers, &table, &reader->map, err) < 0 ||
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

static void kept_done(struct kept_pack *kept)
{
    pack_hashes_done(&kept->hashes);
    *kept = (struct kept_pack){0};
}

/* The kept pack that was used longest ago, NULL if there is none. */
static struct kept_pack *find_oldest(struct prior_reader *reader)
{
    struct kept_pack *oldest = NULL;
    for (size_t i = 0; i < KEPT_PACKS; i++) {
        struct kept_pack *kept = &reader->kept[i];
        if (kept->pack != 0 && (!oldest || kept->last_use < oldest->last_use))
            oldest = kept;
    }
    return oldest;
}

/* A free place; the rest is within its bound. */
static struct kept_pack *make_room(struct prior_reader *reader)
{
    for (;;) {
        struct kept_pack *idle = NULL;
        size_t bytes = 0;
        for (size_t i = 0; i < KEPT_PACKS; i++) {
            bytes += pack_hashes_bytes(&reader->kept[i].hashes);
            if (reader->kept[i].pack == 0)
                idle = &reader->kept[i];
        }
        if (idle && bytes <= KEPT_BYTES_MAX)
            return idle;
        kept_done(find_oldest(reader));
    }
}

static int find_hashes(struct prior_reader *reader, const struct place *place,
                       struct kept_pack **ret_kept, struct error *err)
{
    for (size_t i = 0; i < KEPT_PACKS; i++) {
        struct kept_pack *kept = &reader->kept[i];
        if (kept->pack != place->pack || kept->backup != place->backup)
            continue;
        kept->last_use = ++reader->uses;
        *ret_kept = kept;
        return 0;
    }
    struct kept_pack *kept = make_room(reader);
    if (open_pack(reader, place, err) < 0 ||
        pack_hashes_load(&kept->hashes, reader->packs, err) < 0) {
        if (!is_damage(err))
            return -1;
        log_warn("Stores anew what a damaged pack holds", S("error", err->text));
    }
    kept->backup = place->backup;
    kept->pack = place->pack;
    kept->last_use = ++reader->uses;
    *ret_kept = kept;
    return 0;
}

/* Of all pieces from the first on that lie in the same pack. */
static void take_hashes(const struct kept_pack *kept, size_t first, struct prior_part *part,
                        bool done[PRIOR_PART_PIECES])
{
    for (size_t i = first; i < part->count; i++) {
        const struct place *place = &part->places[i];
        if (done[i] || part->states[i] != PRIOR_STORED || place->pack != kept->pack ||
            place->backup != kept->backup)
            continue;
        done[i] = true;
        if (!pack_hashes_find(&kept->hashes, place->frame, place->piece, &part->hashes[i]))
            part->states[i] = PRIOR_NONE;
    }
}

int prior_reader_hashes(struct prior_reader *reader, struct prior_part *part, struct error *err)
{
    bool done[PRIOR_PART_PIECES] = {false};
    for (size_t i = 0; i < part->count; i++) {
        struct kept_pack *kept;
        if (done[i] || part->states[i] != PRIOR_STORED)
            continue;
        if (find_hashes(reader, &part->places[i], &kept, err) < 0)
            return -1;
        take_hashes(kept, i, part, done);
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
        kept_done(&r->kept[i]);
    map_done(&r->map);
    pack_reader_freep(&r->packs);
    free(r);
}

struct prior_reader *prior_reader_new(struct prior *prior)
{
    struct prior_reader *reader = own_alloc(sizeof(*reader));
    reader->prior = prior;
    reader->packs = pack_reader_new(prior->repo, PACK_READER_INTACT);
    return reader;
}
