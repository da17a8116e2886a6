// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prior.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/captured.h"
#include "sidecar/captured_rows.h"
#include "sidecar/entry.h"
#include "sidecar/index.h"
#include "sidecar/pack_reader.h"
#include "sidecar/repo.h"
#include "sidecar/source.h"

enum {
    WORD_BITS = 64,
    PACKS_MAX = 1 << 24, /* of a backup: 200 TB */
};

/* The packs of one backup; number n is at n. */
struct prior_packs {
    uint32_t end;                /* the highest number + 1 */
    uint32_t *bytes;             /* of the object; 0: the parent does not refer to it */
    _Atomic uint64_t *used_bits; /* the child refers to it */
};

/* Where the join stands. */
struct join {
    struct prior *prior;
    const struct source *source;
    size_t next; /* file of the source */
    struct captured_rows *known;
};

static struct prior_packs *packs_of(const struct prior *prior, uint32_t backup)
{
    return &prior->packs[backup - 1];
}

/* The sizes of all packs of a backup that are where they must be. */
static int list_packs(struct prior *prior, uint32_t backup, uint32_t regions, struct error *err)
{
    struct prior_packs *packs = packs_of(prior, backup);
    CLEANUP(own_freep) char *prefix = own_format("packs/%s/", prior->table.ids[backup]);
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(prior->repo, prefix, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        const struct repo_name *name = &names.names[i];
        uint32_t number;
        if (!repo_parse_pack_name(name->name, &number) || (regions & ~name->regions) != 0 ||
            name->size > UINT32_MAX || number >= packs->end)
            continue;
        packs->bytes[number] = (uint32_t)name->size;
    }
    return 0;
}

/* What the parent does not refer to is as if it were not there. */
static int check_packs(struct prior *prior, uint32_t backup, struct error *err)
{
    struct prior_packs *packs = packs_of(prior, backup);
    CLEANUP(own_freep) uint32_t *listed = TAKE(packs->bytes);
    packs->bytes = own_alloc(packs->end * sizeof(packs->bytes[0]));
    for (size_t i = 0; i < prior->manifest.pack_count; i++) {
        const struct manifest_packs *range = &prior->manifest.packs[i];
        if (strcmp(range->backup, prior->table.ids[backup]) != 0)
            continue;
        for (uint64_t number = range->first; number <= range->last; number++) {
            if (listed[number] == 0)
                return error_set(err, ERROR_NOT_FOUND,
                                 "its pack 'packs/%s/%06u' is not in every region", range->backup,
                                 (unsigned)number);
            packs->bytes[number] = listed[number];
        }
    }
    return 0;
}

static int make_table(struct prior *prior, const char *child_id, struct error *err)
{
    const struct manifest *manifest = &prior->manifest;
    backup_table_add(&prior->table, child_id);
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const struct manifest_packs *range = &manifest->packs[i];
        if (prior->table.count == BACKUP_TABLE_MAX)
            return error_set(err, ERROR_NOT_FOUND, "it refers to more than %d backups",
                             BACKUP_TABLE_MAX - 1);
        if (range->last >= PACKS_MAX)
            return error_set(err, ERROR_CORRUPT, "its manifest lists pack %u of '%s'", range->last,
                             range->backup);
        if (backup_table_add(&prior->table, range->backup) == 0)
            return error_set(err, ERROR_CORRUPT, "its manifest lists packs of its child");
    }
    return 0;
}

static int find_packs(struct prior *prior, uint32_t regions, struct error *err)
{
    const struct manifest *manifest = &prior->manifest;
    prior->packs = own_alloc(prior->table.count * sizeof(prior->packs[0]));
    for (uint32_t backup = 1; backup < prior->table.count; backup++) {
        struct prior_packs *packs = packs_of(prior, backup);
        for (size_t i = 0; i < manifest->pack_count; i++)
            if (strcmp(manifest->packs[i].backup, prior->table.ids[backup]) == 0 &&
                manifest->packs[i].last >= packs->end)
                packs->end = manifest->packs[i].last + 1;
        packs->bytes = own_alloc(packs->end * sizeof(packs->bytes[0]));
        packs->used_bits = own_alloc((packs->end / WORD_BITS + 1) * sizeof(packs->used_bits[0]));
        if (list_packs(prior, backup, regions, err) < 0 || check_packs(prior, backup, err) < 0)
            return -1;
    }
    return 0;
}

int prior_translate(const struct prior *prior, const struct backup_table *from, struct place *place,
                    struct error *err)
{
    const char *id = from->ids[place->backup];
    for (uint32_t i = 1; i < prior->table.count; i++) {
        const struct prior_packs *packs = packs_of(prior, i);
        if (strcmp(prior->table.ids[i], id) != 0)
            continue;
        if (place->pack >= packs->end || packs->bytes[place->pack] == 0)
            break;
        place->backup = i;
        return 0;
    }
    return error_set(err, ERROR_CORRUPT, "pack %u of backup '%s' is not listed by the manifest",
                     place->pack, id);
}

static int translate_entry(const struct prior *prior, const struct backup_table *from,
                           struct entry *entry, struct error *err)
{
    for (size_t i = 0; i < entry->map.count; i++)
        if (!entry->map.runs[i].zero &&
            prior_translate(prior, from, &entry->map.runs[i].place, err) < 0)
            return error_wrap(err, "map of '%s'", entry->path);
    for (size_t i = 0; i < entry->map_ref_count; i++)
        if (prior_translate(prior, from, &entry->map_refs[i].place, err) < 0)
            return error_wrap(err, "map of '%s'", entry->path);
    return 0;
}

static int join_entry(void *arg, const struct backup_table *table, struct entry *entry,
                      struct error *err)
{
    struct join *join = arg;
    const struct source *source = join->source;
    int order = -1;
    while (join->next < source->file_count &&
           (order = strcmp(source->files[join->next].path, entry->path)) < 0)
        join->next++;
    if (entry->type != ENTRY_FILE || join->next == source->file_count || order != 0)
        return 0;
    if (translate_entry(join->prior, table, entry, err) < 0)
        return -1;
    struct captured captured;
    captured_keep(entry, &captured);
    captured_rows_put(join->known, join->next, &captured);
    return 0;
}

int prior_join(struct prior *prior, const struct source *source, struct captured_rows **ret_known,
               struct error *err)
{
    const struct manifest *manifest = &prior->manifest;
    CLEANUP(captured_rows_freep)
    struct captured_rows *known = captured_rows_new(source->file_count);
    struct join join = {.prior = prior, .source = source, .known = known};
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(prior->repo, PACK_READER_INTACT);
    for (size_t i = 0; i < manifest->index_count; i++) {
        const struct manifest_index *index = &manifest->index[i];
        const uint8_t *plain;
        size_t size;
        if (pack_reader_open(reader, manifest->id, index->pack, err) < 0 ||
            pack_reader_frame(reader, index->frame, FRAME_INDEX, &plain, &size, err) < 0 ||
            index_parse(plain, size, join_entry, &join, err) < 0)
            return error_wrap(err, "index of '%s'", manifest->id);
    }
    *ret_known = TAKE(known);
    return 0;
}

uint64_t prior_pack_bytes(const struct prior *prior, const struct place *place)
{
    return packs_of(prior, place->backup)->bytes[place->pack];
}

void prior_use(struct prior *prior, const struct place *place)
{
    if (place->backup == 0)
        return;
    _Atomic uint64_t *word = &packs_of(prior, place->backup)->used_bits[place->pack / WORD_BITS];
    uint64_t bit = UINT64_C(1) << place->pack % WORD_BITS;
    if ((atomic_load_explicit(word, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or(word, bit);
}

uint64_t prior_use_map(struct prior *prior, const struct map *map)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        if (run->zero || run->place.backup == 0)
            continue;
        prior_use(prior, &run->place);
        bytes += run->length;
    }
    return bytes;
}

static bool is_used(const struct prior_packs *packs, uint32_t number)
{
    return number < packs->end &&
           (atomic_load(&packs->used_bits[number / WORD_BITS]) >> number % WORD_BITS & 1) != 0;
}

void prior_list_packs(const struct prior *prior, struct manifest *manifest)
{
    for (uint32_t backup = 1; backup < prior->table.count; backup++) {
        const struct prior_packs *packs = packs_of(prior, backup);
        for (uint32_t first = 1, end; first < packs->end; first = end + 1) {
            for (end = first; is_used(packs, end);)
                end++;
            if (end == first)
                continue;
            manifest->packs =
                own_resize(manifest->packs, manifest->pack_count + 1, sizeof(manifest->packs[0]));
            struct manifest_packs *range = &manifest->packs[manifest->pack_count++];
            *range = (struct manifest_packs){.first = first, .last = end - 1};
            memcpy(range->backup, prior->table.ids[backup], BACKUP_ID_BYTES);
        }
    }
}

void prior_closep(struct prior **prior)
{
    struct prior *p = TAKE(*prior);
    if (!p)
        return;
    for (uint32_t i = 0; p->packs && i + 1 < p->table.count; i++) {
        free(p->packs[i].bytes);
        free(p->packs[i].used_bits);
    }
    free(p->packs);
    backup_table_done(&p->table);
    manifest_done(&p->manifest);
    free(p);
}

int prior_open(struct prior **ret_prior, struct repo *repo, const char *id, const char *child_id,
               uint32_t regions, struct error *err)
{
    CLEANUP(prior_closep) struct prior *prior = own_alloc(sizeof(*prior));
    prior->repo = repo;
    if (repo_load_manifest(repo, id, &prior->manifest, err) < 0 ||
        make_table(prior, child_id, err) < 0 || find_packs(prior, regions, err) < 0)
        return -1;
    *ret_prior = TAKE(prior);
    return 0;
}
