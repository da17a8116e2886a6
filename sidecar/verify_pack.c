// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_pack.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/pack_reader.h"
#include "sidecar/pg_page.h"
#include "sidecar/piece_hash.h"

enum {
    HASH_BYTES = 8,
    PIECES_MAX = CONTAINER_FRAMES_MAX * FRAME_PIECES,
    HASH_FLAWS_MAX = 16, /* of a pack; more say nothing more */
    PAGE_FLAWS_MAX = 4096,
};

/* A pack on its way through its frames. */
struct reading {
    struct verify_pack *pack;
    const struct verify_pack_source *source;
    const struct container_frame *frames;
    uint32_t frame_count;
    uint64_t *hashes; /* of all pieces of its data frames, in order */
    bool *known;      /* whether the piece could be read */
    size_t hash_count;
    size_t next_page; /* the first of source->pages that may reach the frame at hand */
};

static void add_flaw(struct verify_pack *pack, const struct verify_flaw *flaw, char *text)
{
    pack->flaws = own_resize(pack->flaws, pack->flaw_count + 1, sizeof(pack->flaws[0]));
    pack->flaws[pack->flaw_count] = *flaw;
    pack->flaws[pack->flaw_count++].text = text;
}

static void add_whole_flaw(struct verify_pack *pack, const struct error *failure)
{
    const struct verify_flaw flaw = {
        .kind = finding_kind_of(failure), .frame = -1, .pieces = {0, PIECES_MAX}};
    add_flaw(pack, &flaw, own_strdup(failure->text));
}

/* Whether something is wrong with the pack as a whole. */
static bool has_whole_flaw(const struct verify_pack *pack)
{
    for (size_t i = 0; i < pack->flaw_count; i++)
        if (pack->flaws[i].frame < 0)
            return true;
    return false;
}

static bool has_frame_flaw(const struct verify_pack *pack, uint32_t frame)
{
    for (size_t i = 0; i < pack->flaw_count; i++)
        if (pack->flaws[i].frame == frame && pack->flaws[i].kind == FINDING_DAMAGED)
            return true;
    return false;
}

/* A frame that cannot be read: its pages count as checked. */
static void add_frame_flaw(struct verify_pack *pack, uint32_t frame, const struct error *failure)
{
    const struct verify_flaw flaw = {
        .kind = FINDING_DAMAGED, .frame = frame, .pieces = {frame * FRAME_PIECES, FRAME_PIECES}};
    if (!has_frame_flaw(pack, frame))
        add_flaw(pack, &flaw, own_strdup(failure->text));
    piece_set_add(&pack->paged, frame * FRAME_PIECES, FRAME_PIECES);
}

static struct piece_range pieces_of(const struct reading *reading, uint32_t frame)
{
    uint32_t bytes = reading->frames[frame].plain_bytes;
    return (struct piece_range){frame * FRAME_PIECES, (bytes + PIECE_BYTES - 1) / PIECE_BYTES};
}

static void check_page(const struct reading *reading, uint32_t frame, const uint8_t *page,
                       const struct verify_flaw *where, uint32_t block)
{
    if (pg_page_is_sound(page, block, UINT64_MAX) || reading->pack->flaw_count >= PAGE_FLAWS_MAX)
        return;
    struct verify_flaw flaw = *where;
    flaw.frame = frame;
    flaw.lsn = pg_page_lsn(page);
    add_flaw(reading->pack, &flaw,
             own_format("the page's checksum is wrong (block %" PRIu32 " of the relation)", block));
}

/* The pages of a data frame; they come in order, as frames do. */
static void check_pages(struct reading *reading, uint32_t frame, const uint8_t *plain)
{
    const struct verify_pack_source *source = reading->source;
    const struct piece_range here = pieces_of(reading, frame);
    const uint32_t end = here.first + here.count;
    for (size_t i = reading->next_page; i < source->page_count; i++) {
        const struct verify_pages *pages = &source->pages[i];
        if (pages->piece >= end)
            break;
        if (pages->piece + pages->count <= here.first) {
            reading->next_page = i == reading->next_page ? i + 1 : reading->next_page;
            continue;
        }
        uint32_t from = pages->piece > here.first ? pages->piece : here.first;
        uint32_t to = pages->piece + pages->count < end ? pages->piece + pages->count : end;
        for (uint32_t piece = from; piece < to; piece++) {
            const struct verify_flaw where = {.kind = FINDING_PAGE, .pieces = {piece, 1}};
            if (!piece_set_has(&reading->pack->paged, piece, 1))
                check_page(reading, frame, plain + (size_t)(piece - here.first) * PIECE_BYTES,
                           &where, pages->block + (piece - pages->piece));
        }
        piece_set_add(&reading->pack->paged, from, to - from);
    }
}

static void hash_frame(struct reading *reading, uint32_t frame, const uint8_t *plain)
{
    const struct piece_range here = pieces_of(reading, frame);
    for (uint32_t i = 0; i < here.count; i++, reading->hash_count++) {
        if (!plain)
            continue;
        reading->hashes[reading->hash_count] =
            piece_hash(reading->source->hash, plain + (size_t)i * PIECE_BYTES);
        reading->known[reading->hash_count] = true;
    }
}

/* The hashes that the pack stores against those of its pieces. */
static void compare_hashes(const struct reading *reading, const uint8_t *plain, size_t size)
{
    const uint32_t last = reading->frame_count - 1;
    size_t at = 0, wrong = 0;
    if (size != reading->hash_count * HASH_BYTES) {
        const struct verify_flaw flaw = {.kind = FINDING_INCONSISTENT, .frame = last};
        add_flaw(reading->pack, &flaw,
                 own_format("%zu bytes of hashes for %zu pieces", size, reading->hash_count));
        return;
    }
    for (uint32_t frame = 0; frame < last; frame++) {
        const struct piece_range here = pieces_of(reading, frame);
        for (uint32_t i = 0; reading->frames[frame].type == FRAME_DATA && i < here.count;
             i++, at++) {
            if (!reading->known[at] ||
                bytes_load64(plain + at * HASH_BYTES) == reading->hashes[at] ||
                wrong++ >= HASH_FLAWS_MAX)
                continue;
            const struct verify_flaw flaw = {
                .kind = FINDING_INCONSISTENT, .frame = frame, .pieces = {here.first + i, 1}};
            add_flaw(reading->pack, &flaw, own_strdup("it differs from its stored hash"));
        }
    }
}

static int check_frame(struct reading *reading, uint32_t frame, struct error *err)
{
    const struct container_frame *at = &reading->frames[frame];
    const bool is_data = at->type == FRAME_DATA;
    const uint8_t *plain = NULL;
    size_t size = 0;
    struct error failure;
    if (is_data && at->plain_bytes % PIECE_BYTES != 0)
        error_set(&failure, ERROR_CORRUPT, "a data frame of %" PRIu32 " bytes", at->plain_bytes);
    else if (pack_reader_frame(reading->source->reader, frame, at->type, &plain, &size, &failure) ==
             0)
        failure.kind = ERROR_NONE;
    if (failure.kind == ERROR_CANCELED) {
        *err = failure;
        return -1;
    }
    if (failure.kind != ERROR_NONE)
        add_frame_flaw(reading->pack, frame, &failure);
    if (is_data) {
        const struct piece_range here = pieces_of(reading, frame);
        piece_set_add(&reading->pack->data, here.first, here.count);
        hash_frame(reading, frame, plain);
    }
    if (is_data && plain)
        check_pages(reading, frame, plain);
    if (at->type == FRAME_HASH && frame + 1 == reading->frame_count && plain)
        compare_hashes(reading, plain, size);
    return 0;
}

static size_t count_pieces(const struct reading *reading)
{
    size_t count = 0;
    for (uint32_t i = 0; i < reading->frame_count; i++)
        count += reading->frames[i].type == FRAME_DATA ? pieces_of(reading, i).count : 0;
    return count;
}

static int check_frames(struct verify_pack *pack, const struct verify_pack_source *source,
                        struct error *err)
{
    struct reading reading = {.pack = pack, .source = source};
    reading.frames = pack_reader_frames(source->reader, &reading.frame_count);
    const size_t pieces = count_pieces(&reading);
    CLEANUP(own_freep) uint64_t *hashes = own_alloc((pieces + 1) * sizeof(hashes[0]));
    CLEANUP(own_freep) bool *known = own_alloc(pieces + 1);
    reading.hashes = hashes;
    reading.known = known;
    const uint32_t last = reading.frame_count - 1;
    if (reading.frames[last].type != FRAME_HASH)
        add_flaw(pack, &(struct verify_flaw){.kind = FINDING_INCONSISTENT, .frame = last},
                 own_strdup("the last frame holds no hashes"));
    for (uint32_t i = 0; i < reading.frame_count; i++)
        if (check_frame(&reading, i, err) < 0)
            return -1;
    /* damage that no frame feels: of what lies around them, or of the digest itself */
    const struct error *damage = pack_reader_damage(source->reader);
    if (damage->kind != ERROR_NONE && pack->flaw_count == 0)
        add_whole_flaw(pack, damage);
    return 0;
}

/* A pack that was read before, for pages that no backup so far had known. */
static int check_more_pages(struct verify_pack *pack, const struct verify_pack_source *source,
                            struct error *err)
{
    struct reading reading = {.pack = pack, .source = source};
    reading.frames = pack_reader_frames(source->reader, &reading.frame_count);
    for (uint32_t i = 0; i < reading.frame_count; i++) {
        const uint8_t *plain;
        size_t size;
        if (reading.frames[i].type != FRAME_DATA ||
            reading.frames[i].plain_bytes % PIECE_BYTES != 0)
            continue;
        if (pack_reader_frame(source->reader, i, FRAME_DATA, &plain, &size, err) == 0)
            check_pages(&reading, i, plain);
        else if (err->kind == ERROR_CANCELED)
            return -1;
        else
            add_frame_flaw(pack, i, err);
    }
    return 0;
}

void verify_pack_done(struct verify_pack *pack)
{
    for (size_t i = 0; i < pack->flaw_count; i++)
        free(pack->flaws[i].text);
    free(pack->flaws);
    piece_set_done(&pack->data);
    piece_set_done(&pack->paged);
}

bool verify_pack_wants(const struct verify_pack *pack, const struct verify_pages *pages,
                       size_t page_count)
{
    bool wants = !pack->read;
    for (size_t i = 0; i < page_count && !wants; i++)
        wants = !piece_set_has(&pack->paged, pages[i].piece, pages[i].count);
    return wants;
}

int verify_pack_read(struct verify_pack *pack, const struct verify_pack_source *source,
                     struct error *err)
{
    const bool again = pack->read;
    struct error failure;
    pack->read = true;
    if (pack_reader_open(source->reader, source->backup, source->number, &failure) < 0) {
        *err = failure;
        if (failure.kind == ERROR_CANCELED)
            return -1;
        if (!has_whole_flaw(pack)) /* also when it could be read before: some pages were not */
            add_whole_flaw(pack, &failure);
        piece_set_add(&pack->paged, 0, PIECES_MAX);
        return 0;
    }
    return again ? check_more_pages(pack, source, err) : check_frames(pack, source, err);
}
