// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_packs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"
#include "sidecar/lanes.h"
#include "sidecar/piece_hash.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/upload.h"

static void check(int result, const char *what, const struct error *err)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->text);
    abort();
}

static void demand(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

void helper_packs_open(struct helper_packs *packs, struct helper_repo *repo, size_t buffers)
{
    struct error err;
    *packs = (struct helper_packs){.repo = repo->repo};
    atomic_init(&packs->next_pack, 1);
    packs->crew = crew_new(&repo->cancel);
    const struct lanes_options lanes = {
        .regions = repo->regions, .cancel = &repo->cancel, .threads = 1, .packs = buffers};
    check(lanes_new(&packs->lanes, &lanes, &err), "start lanes", &err);
    repo->repo->lanes = packs->lanes;
    packs->upload = upload_new(repo->repo, buffers, &repo->cancel);
    packs->options = (struct packer_options){
        .repo = repo->repo,
        .upload = packs->upload,
        .backup_id = HELPER_PACKS_BACKUP,
        .next_pack = &packs->next_pack,
        .level = 1,
    };
}

int helper_packs_finish(struct helper_packs *packs, struct error *err)
{
    int result = upload_finish(packs->upload, err);
    if (result < 0)
        crew_fail(packs->crew, err);
    return crew_join(packs->crew, err) < 0 ? lanes_explain(packs->lanes, err) : result;
}

static void check_hashes(const struct helper_packs *packs, const struct helper_pack *pack)
{
    struct piece_hash hash;
    uint32_t last = pack->container.frame_count - 1;
    size_t at = 0;
    piece_hash_init(&hash, &packs->repo->keyring.id_key);
    for (uint32_t i = 0; i < last; i++) {
        const struct container_frame *frame = &pack->container.frames[i];
        demand(frame->type != FRAME_HASH, "only the last frame has hashes");
        for (size_t j = 0; frame->type == FRAME_DATA && j < frame->plain_bytes; j += PIECE_BYTES) {
            demand(at + 8 <= pack->container.frames[last].plain_bytes, "a hash for each piece");
            demand(bytes_load64(pack->plain[last] + at) == piece_hash(&hash, pack->plain[i] + j),
                   "the hash of each piece is right");
            at += 8;
        }
    }
    demand(pack->container.frames[last].type == FRAME_HASH, "the last frame has hashes");
    demand(at == pack->container.frames[last].plain_bytes, "no hashes without a piece");
}

static void load_pack(struct helper_packs *packs, struct helper_pack *pack, uint32_t number)
{
    struct error err;
    char name[REPO_NAME_MAX];
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    CLEANUP(frame_codec_freep) struct frame_codec *codec = frame_codec_new(1);
    repo_pack_name(HELPER_PACKS_BACKUP, number, name);
    check(repo_fetch(packs->repo, CONTAINER_PACK, name, &object, &pack->container, &err), name,
          &err);
    pack->sealed_bytes = object.size;
    pack->plain = own_alloc(pack->container.frame_count * sizeof(pack->plain[0]));
    for (uint32_t i = 0; i < pack->container.frame_count; i++) {
        const struct container_frame *frame = &pack->container.frames[i];
        pack->plain[i] = own_alloc(frame->plain_bytes + 1);
        check(container_read(&pack->container, codec, i, object.data + frame->offset,
                             pack->plain[i], &err),
              name, &err);
    }
    check_hashes(packs, pack);
}

void helper_packs_load(struct helper_packs *packs)
{
    struct error err;
    check(helper_packs_finish(packs, &err), "put packs", &err);
    packs->count = atomic_load(&packs->next_pack) - 1;
    packs->packs = own_alloc((packs->count + 1) * sizeof(packs->packs[0]));
    for (size_t i = 0; i < packs->count; i++)
        load_pack(packs, &packs->packs[i], (uint32_t)i + 1);
}

void helper_packs_close(struct helper_packs *packs)
{
    crew_freep(&packs->crew);
    if (packs->lanes)
        packs->repo->lanes = NULL;
    lanes_freep(&packs->lanes);
    upload_freep(&packs->upload);
    for (size_t i = 0; i < packs->count; i++) {
        struct helper_pack *pack = &packs->packs[i];
        for (uint32_t j = 0; j < pack->container.frame_count; j++)
            free(pack->plain[j]);
        free(pack->plain);
        container_done(&pack->container);
    }
    free(packs->packs);
}

size_t helper_packs_frames(const struct helper_packs *packs, enum frame_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < packs->count; i++)
        for (uint32_t j = 0; j < packs->packs[i].container.frame_count; j++)
            count += packs->packs[i].container.frames[j].type == type;
    return count;
}

static const uint8_t *find(const struct helper_packs *packs, const struct place *place,
                           enum frame_type type, uint32_t *ret_size)
{
    demand(place->backup == 0, "places are in the backup itself");
    demand(place->pack >= 1 && place->pack <= packs->count, "the pack of a place is there");
    const struct helper_pack *pack = &packs->packs[place->pack - 1];
    demand(place->frame < pack->container.frame_count, "the frame of a place is there");
    demand(pack->container.frames[place->frame].type == type, "a frame is of its type");
    *ret_size = pack->container.frames[place->frame].plain_bytes;
    return pack->plain[place->frame];
}

static void append_map(const struct helper_packs *packs, const struct map *map, struct buf *content)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        struct error err;
        uint8_t *space;
        uint32_t size;
        check(buf_reserve(content, run->length, &space, &err), "content", &err);
        content->size += run->length;
        memset(space, 0, run->length);
        if (run->zero)
            continue;
        const uint8_t *plain = find(packs, &run->place, FRAME_DATA, &size);
        size_t from = (size_t)run->place.piece * PIECE_BYTES;
        demand(from + run->length <= size, "a run lies within its frame");
        memcpy(space, plain + from, run->length);
    }
}

void helper_packs_read_map(const struct helper_packs *packs, const struct map *map,
                           struct buf *content)
{
    buf_clear(content);
    append_map(packs, map, content);
    demand(content->size == map->size, "a map covers its size");
}

void helper_packs_read(const struct helper_packs *packs, const struct entry *entry,
                       struct buf *content)
{
    buf_clear(content);
    append_map(packs, &entry->map, content);
    for (size_t i = 0; i < entry->map_ref_count; i++) {
        const struct entry_map_ref *ref = &entry->map_refs[i];
        struct error err;
        uint32_t size;
        CLEANUP(backup_table_done) struct backup_table table = {0};
        CLEANUP(map_done) struct map part = {0};
        const uint8_t *plain = find(packs, &ref->place, FRAME_MAP, &size);
        check(map_frame_parse(plain, size, ref->covers, &table, &part, &err), "map frame", &err);
        demand(table.count == 1 && strcmp(table.ids[0], HELPER_PACKS_BACKUP) == 0,
               "a map frame names its backup");
        append_map(packs, &part, content);
    }
    demand(content->size == entry->size, "an entry's map covers its size");
}
