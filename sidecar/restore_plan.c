// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/container.h"
#include "sidecar/crc32c.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_control.h"

static const char control_path[] = "global/pg_control";
static const char archive_status_path[] = "pg_wal/archive_status";

static const char *const left_out[] = {"backup_manifest", "postmaster.opts", "postmaster.pid",
                                       "recovery.signal", "standby.signal",  "tablespace_map"};

#define NO_PARENT SIZE_MAX

/* Room for one more element; doubles, so that adding is cheap. */
static void *grow(void *array, size_t count, size_t size)
{
    bool full = (count & (count - 1)) == 0; /* powers of two, and 0 */
    return full ? own_resize(array, count ? 2 * count : 1, size) : array;
}

static int compare_uint32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_ranges(const void *a, const void *b)
{
    const struct restore_range *x = a, *y = b;
    int order = strcmp(x->backup, y->backup);
    return order ? order : compare_uint32(x->first, y->first);
}

static int compare_maps(const void *a, const void *b)
{
    const struct restore_map *x = a, *y = b;
    int order = compare_uint32(x->pack, y->pack);
    return order ? order : compare_uint32(x->frame, y->frame);
}

static int compare_by_pack(const void *a, const void *b)
{
    const struct restore_span *x = a, *y = b;
    int order = compare_uint32(x->pack, y->pack);
    return order ? order : compare_uint32(x->piece, y->piece);
}

static int compare_by_file(const void *a, const void *b)
{
    const struct restore_span *x = a, *y = b;
    int order = compare_uint32(x->file, y->file);
    return order ? order : compare_uint32(x->file_piece, y->file_piece);
}

static int compare_path_to_directory(const void *path, const void *directory)
{
    return strcmp(path, ((const struct entry *)directory)->path);
}

static int compare_path_to_file(const void *path, const void *file)
{
    return strcmp(path, ((const struct restore_file *)file)->path);
}

static int compare_file_to_damage(const void *file, const void *damage)
{
    return compare_uint32(*(const uint32_t *)file, ((const struct restore_damage *)damage)->file);
}

static int compare_blocks(const void *a, const void *b)
{
    return compare_uint32(*(const uint32_t *)a, *(const uint32_t *)b);
}

static uint32_t span_pieces(const struct restore_span *span)
{
    return (uint32_t)(((uint64_t)span->length + PIECE_BYTES - 1) / PIECE_BYTES);
}

/* -1 if pack lies before range, 1 if behind. */
static int compare_pack_to_range(const char *backup, uint32_t number,
                                 const struct restore_range *range)
{
    int order = strcmp(backup, range->backup);
    if (order)
        return order;
    return number < range->first ? -1 : number > range->last;
}

int restore_plan_find_pack(const struct restore_plan *plan, const char *backup, uint32_t number,
                           uint32_t *ret_pack, struct error *err)
{
    size_t low = 0, high = plan->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct restore_range *range = &plan->ranges[middle];
        int order = compare_pack_to_range(backup, number, range);
        if (order == 0) {
            *ret_pack = range->position + (number - range->first);
            return 0;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return error_set(err, ERROR_CORRUPT, "pack %u of backup '%s' is not listed by the manifest",
                     number, backup);
}

/* Where a place of a frame's table is, with all indices checked. */
static int find_place(const struct restore_plan *plan, const struct backup_table *table,
                      const struct place *place, uint32_t *ret_pack, struct error *err)
{
    if (place->backup >= table->count || place->frame >= CONTAINER_FRAMES_MAX ||
        place->piece >= FRAME_PIECES)
        return error_set(err, ERROR_CORRUPT, "a place is outside every pack");
    return restore_plan_find_pack(plan, table->ids[place->backup], place->pack, ret_pack, err);
}

/* Whether span continues last in the file and in the pack. */
static bool goes_on(const struct restore_span *last, const struct restore_span *span)
{
    return last->file == span->file && last->pack == span->pack &&
           last->file_piece + span_pieces(last) == span->file_piece &&
           last->piece + span_pieces(last) == span->piece;
}

/* Joins the span to the last one where it goes on in the file and in the pack. */
static int add_span(struct restore_plan *plan, const struct restore_span *span, struct error *err)
{
    struct restore_file *file = &plan->files[span->file];
    struct restore_span *last = plan->span_count > 0 ? &plan->spans[plan->span_count - 1] : NULL;
    if (last && goes_on(last, span)) {
        last->length += span->length;
        return 0;
    }
    if (plan->span_count >= RESTORE_SPANS_MAX)
        return error_set(err, ERROR_CORRUPT, "more than %d spans", RESTORE_SPANS_MAX);
    plan->spans = grow(plan->spans, plan->span_count, sizeof(plan->spans[0]));
    plan->spans[plan->span_count++] = *span;
    atomic_fetch_add_explicit(&file->spans_left, 1, memory_order_relaxed);
    return 0;
}

static int add_run(struct restore_plan *plan, const struct restore_span *start,
                   const struct backup_table *table, const struct map_run *run, struct error *err)
{
    uint64_t bytes_before = (uint64_t)start->file_piece * PIECE_BYTES + run->offset;
    if (bytes_before % PIECE_BYTES != 0 || bytes_before / PIECE_BYTES > UINT32_MAX ||
        run->length > FRAME_PLAIN_MAX - run->place.piece * (uint32_t)PIECE_BYTES)
        return error_set(err, ERROR_CORRUPT, "a run at byte %ju leaves its frame",
                         (uintmax_t)bytes_before);
    struct restore_span span = *start;
    if (find_place(plan, table, &run->place, &span.pack, err) < 0)
        return -1;
    span.file_piece = (uint32_t)(bytes_before / PIECE_BYTES);
    span.piece = run->place.frame * FRAME_PIECES + run->place.piece;
    span.length = run->length;
    if (span.file != plan->control_file)
        return add_span(plan, &span, err);
    plan->control_span = span;
    return 0;
}

/* Plans the runs of a map that begins at start in its file. */
static int add_runs(struct restore_plan *plan, const struct restore_span *start,
                    const struct backup_table *table, const struct map *map, struct error *err)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        if (!run->zero && run->length > 0 && add_run(plan, start, table, run, err) < 0)
            return error_wrap(err, "map of '%s'", plan->files[start->file].path);
    }
    return 0;
}

/* Notes the map frames that have to be read for a file. */
static int add_map_refs(struct restore_plan *plan, const struct backup_table *table,
                        const struct entry *entry, struct error *err)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < entry->map_ref_count; i++) {
        const struct entry_map_ref *ref = &entry->map_refs[i];
        struct restore_map map = {.file = (uint32_t)(plan->file_count - 1),
                                  .file_piece = (uint32_t)(covered / PIECE_BYTES),
                                  .frame = ref->place.frame,
                                  .covers = ref->covers};
        if (covered % PIECE_BYTES != 0 || covered / PIECE_BYTES > UINT32_MAX ||
            ref->covers > entry->size - covered || plan->map_count >= RESTORE_MAPS_MAX)
            return error_set(err, ERROR_CORRUPT, "the parts of its map do not fit together");
        if (find_place(plan, table, &ref->place, &map.pack, err) < 0)
            return -1;
        plan->maps = grow(plan->maps, plan->map_count, sizeof(plan->maps[0]));
        plan->maps[plan->map_count++] = map;
        covered += ref->covers;
    }
    if (covered != entry->size)
        return error_set(err, ERROR_CORRUPT, "its map covers %ju of %ju bytes", (uintmax_t)covered,
                         (uintmax_t)entry->size);
    return 0;
}

/* pg_control is one piece, so it has one run, which is kept aside. */
static int check_control(const struct entry *entry, struct error *err)
{
    if (entry->size == PG_CONTROL_BYTES && entry->map_ref_count == 0 && entry->map.count == 1 &&
        !entry->map.runs[0].zero)
        return 0;
    return error_set(err, ERROR_CORRUPT, "it has %ju bytes, not %d in one piece",
                     (uintmax_t)entry->size, PG_CONTROL_BYTES);
}

static void add_damage(struct restore_plan *plan, uint32_t file, struct entry *entry)
{
    if (entry->bad_block_count == 0)
        return;
    plan->damages = grow(plan->damages, plan->damage_count, sizeof(plan->damages[0]));
    uint32_t count = entry->bad_block_count;
    plan->damages[plan->damage_count++] = (struct restore_damage){
        .file = file,
        .blocks = TAKE(entry->bad_blocks),
        .count = count < ENTRY_BAD_BLOCKS_MAX ? count : ENTRY_BAD_BLOCKS_MAX,
    };
}

static int add_file(struct restore_plan *plan, const struct backup_table *table,
                    struct entry *entry, struct error *err)
{
    bool is_control = strcmp(entry->path, control_path) == 0;
    if (is_control && check_control(entry, err) < 0)
        return -1;
    if (entry->map_ref_count == 0 && entry->map.size != entry->size)
        return error_set(err, ERROR_CORRUPT, "its map covers %ju of %ju bytes",
                         (uintmax_t)entry->map.size, (uintmax_t)entry->size);
    if (entry->size > (uint64_t)INT64_MAX - plan->bytes)
        return error_set(err, ERROR_CORRUPT, "more bytes than any file system holds");
    if (is_control)
        plan->control_file = plan->file_count;
    plan->bytes += entry->size;
    plan->files = grow(plan->files, plan->file_count, sizeof(plan->files[0]));
    struct restore_span start = {.file = (uint32_t)plan->file_count};
    plan->files[plan->file_count++] = (struct restore_file){.path = TAKE(entry->path),
                                                            .size = entry->size,
                                                            .mtime_s = entry->mtime_s,
                                                            .mode = entry->mode};
    plan->last_path = plan->files[start.file].path;
    add_damage(plan, start.file, entry);
    if (entry->map_ref_count > 0)
        return add_map_refs(plan, table, entry, err);
    return add_runs(plan, &start, table, &entry->map, err);
}

static void add_directory(struct restore_plan *plan, struct entry *entry)
{
    plan->directories =
        grow(plan->directories, plan->directory_count, sizeof(plan->directories[0]));
    plan->directories[plan->directory_count++] = (struct entry){.path = TAKE(entry->path),
                                                                .target = TAKE(entry->target),
                                                                .type = entry->type,
                                                                .mode = entry->mode,
                                                                .uid = entry->uid,
                                                                .gid = entry->gid};
    plan->last_path = plan->directories[plan->directory_count - 1].path;
}

const struct entry *restore_plan_directory(const struct restore_plan *plan, const char *path)
{
    return plan->directory_count > 0
               ? bsearch(path, plan->directories, plan->directory_count,
                         sizeof(plan->directories[0]), compare_path_to_directory)
               : NULL;
}

/* Whether the entry's parent is a directory (or link) of the backup; mostly it is that of the
 * entry before. */
static int check_parent(struct restore_plan *plan, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    size_t length = (size_t)(slash - path);
    if (plan->parent != NO_PARENT) {
        const char *parent = plan->directories[plan->parent].path;
        if (strncmp(parent, path, length) == 0 && parent[length] == '\0')
            return 0;
    }
    CLEANUP(own_freep) char *parent = own_strdup(path);
    parent[length] = '\0';
    const struct entry *found = restore_plan_directory(plan, parent);
    if (!found)
        return error_set(err, ERROR_CORRUPT, "its directory is not in the backup");
    plan->parent = (size_t)(found - plan->directories);
    return 0;
}

static int check_entry(struct restore_plan *plan, const struct entry *entry, struct error *err)
{
    if (!entry_path_valid(entry->path))
        return error_set(err, ERROR_CORRUPT, "its path is not one below a data directory");
    if (entry->type == ENTRY_LINK && !entry_is_tablespace(entry->path))
        return error_set(err, ERROR_CORRUPT, "a link that is not that of a tablespace");
    if (plan->last_path && strcmp(entry->path, plan->last_path) <= 0)
        return error_set(err, ERROR_CORRUPT, "it comes after '%s'", plan->last_path);
    if (plan->directory_count + plan->file_count >= RESTORE_ENTRIES_MAX)
        return error_set(err, ERROR_CORRUPT, "more than %d entries", RESTORE_ENTRIES_MAX);
    return check_parent(plan, entry->path, err);
}

static bool is_left_out(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(left_out); i++) {
        if (strcmp(path, left_out[i]) == 0)
            return true;
    }
    return false;
}

static int add_entry(struct restore_plan *plan, const struct backup_table *table,
                     struct entry *entry, struct error *err)
{
    if (check_entry(plan, entry, err) < 0)
        return -1;
    plan->listed_files += entry->type == ENTRY_FILE;
    plan->listed_bytes += entry->size;
    plan->listed_page_errors += entry->bad_block_count;
    if (is_left_out(entry->path))
        return 0;
    if (entry->type == ENTRY_FILE)
        return add_file(plan, table, entry, err);
    add_directory(plan, entry);
    return 0;
}

/* The packs that the maps may refer to, as positions in one row. */
static int add_ranges(struct restore_plan *plan, const struct manifest *manifest, struct error *err)
{
    plan->ranges = own_resize(NULL, manifest->pack_count, sizeof(plan->ranges[0]));
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const struct manifest_packs *packs = &manifest->packs[i];
        plan->ranges[plan->range_count++] = (struct restore_range){
            .backup = packs->backup, .first = packs->first, .last = packs->last};
    }
    qsort(plan->ranges, plan->range_count, sizeof(plan->ranges[0]), compare_ranges);
    uint64_t position = 0;
    for (size_t i = 0; i < plan->range_count; i++) {
        struct restore_range *range = &plan->ranges[i];
        if (i > 0 && compare_pack_to_range(range->backup, range->first, range - 1) <= 0)
            return error_set(err, ERROR_CORRUPT, "the manifest lists packs of backup '%s' twice",
                             range->backup);
        range->position = (uint32_t)position;
        position += (uint64_t)range->last - range->first + 1;
        if (range->last < range->first || position > UINT32_MAX)
            return error_set(err, ERROR_CORRUPT, "the manifest lists packs %u to %u of '%s'",
                             range->first, range->last, range->backup);
    }
    return 0;
}

int restore_plan_add_map(struct restore_plan *plan, size_t index, const struct backup_table *table,
                         const struct map *map, struct error *err)
{
    const struct restore_map *part = &plan->maps[index];
    struct restore_span start = {.file = part->file, .file_piece = part->file_piece};
    return add_runs(plan, &start, table, map, err);
}

void restore_plan_sort_maps(struct restore_plan *plan)
{
    if (plan->map_count > 0)
        qsort(plan->maps, plan->map_count, sizeof(plan->maps[0]), compare_maps);
}

void restore_spans_done(struct restore_spans *spans)
{
    free(spans->spans);
    *spans = (struct restore_spans){0};
}

void restore_spans_add(struct restore_spans *spans, const struct restore_span *span)
{
    struct restore_span *last = spans->count > 0 ? &spans->spans[spans->count - 1] : NULL;
    if (last && goes_on(last, span)) {
        last->crc32c = crc32c_combine(last->crc32c, span->crc32c, span->length);
        last->length += span->length;
        return;
    }
    spans->spans = grow(spans->spans, spans->count, sizeof(spans->spans[0]));
    spans->spans[spans->count++] = *span;
}

uint64_t restore_spans_bytes(const struct restore_spans *spans)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < spans->count; i++)
        bytes += spans->spans[i].length;
    return bytes;
}

size_t *restore_plan_sort_files(struct restore_plan *plan)
{
    size_t *first = own_alloc((plan->file_count + 1) * sizeof(first[0])), next = 0;
    if (plan->span_count > 0)
        qsort(plan->spans, plan->span_count, sizeof(plan->spans[0]), compare_by_file);
    for (size_t i = 0; i < plan->file_count; i++) {
        first[i] = next;
        while (next < plan->span_count && plan->spans[next].file == i)
            next++;
    }
    first[plan->file_count] = next;
    return first;
}

void restore_plan_keep(struct restore_plan *plan, struct restore_spans *wanted,
                       struct restore_spans *kept)
{
    free(plan->spans);
    plan->spans = TAKE(wanted->spans);
    plan->span_count = wanted->count;
    plan->kept = *kept;
    *wanted = *kept = (struct restore_spans){0};
    for (size_t i = 0; i < plan->file_count; i++)
        atomic_store(&plan->files[i].spans_left, 0);
    for (size_t i = 0; i < plan->span_count; i++)
        atomic_fetch_add(&plan->files[plan->spans[i].file].spans_left, 1);
    restore_plan_group(plan);
}

void restore_plan_group(struct restore_plan *plan)
{
    plan->pack_count = 0;
    for (size_t i = 0; i < plan->file_count; i++)
        plan->files[i].has_no_data = atomic_load(&plan->files[i].spans_left) == 0;
    if (plan->span_count > 0)
        qsort(plan->spans, plan->span_count, sizeof(plan->spans[0]), compare_by_pack);
    for (size_t i = 0; i < plan->span_count; i++) {
        if (i == 0 || plan->spans[i].pack != plan->spans[i - 1].pack) {
            plan->packs = grow(plan->packs, plan->pack_count, sizeof(plan->packs[0]));
            plan->packs[plan->pack_count++] =
                (struct restore_pack){.pack = plan->spans[i].pack, .first = i};
        }
        plan->packs[plan->pack_count - 1].count++;
    }
}

void restore_plan_sum(struct restore_plan *plan)
{
    if (plan->kept.count > 0) {
        plan->spans =
            own_resize(plan->spans, plan->span_count + plan->kept.count, sizeof(plan->spans[0]));
        memcpy(plan->spans + plan->span_count, plan->kept.spans,
               plan->kept.count * sizeof(plan->spans[0]));
        plan->span_count += plan->kept.count;
        restore_spans_done(&plan->kept);
    }
    if (plan->span_count > 0)
        qsort(plan->spans, plan->span_count, sizeof(plan->spans[0]), compare_by_file);
    size_t next = 0;
    for (size_t i = 0; i < plan->file_count; i++) {
        struct restore_file *file = &plan->files[i];
        uint64_t summed = 0;
        uint32_t crc = 0;
        for (; next < plan->span_count && plan->spans[next].file == i; next++) {
            const struct restore_span *span = &plan->spans[next];
            uint64_t hole = (uint64_t)span->file_piece * PIECE_BYTES - summed;
            crc = crc32c_combine(crc, crc32c_zeros(hole), hole);
            crc = crc32c_combine(crc, span->crc32c, span->length);
            summed += hole + span->length;
        }
        crc = crc32c_combine(crc, crc32c_zeros(file->size - summed), file->size - summed);
        file->crc32c = i == plan->control_file ? plan->control_span.crc32c : crc;
    }
}

const char *restore_plan_pack(const struct restore_plan *plan, uint32_t pack, uint32_t *ret_number)
{
    size_t low = 0, high = plan->range_count; /* the last range that begins at pack or before */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (plan->ranges[middle].position <= pack)
            low = middle;
        else
            high = middle;
    }
    *ret_number = plan->ranges[low].first + (pack - plan->ranges[low].position);
    return plan->ranges[low].backup;
}

bool restore_plan_knows_damage(const struct restore_plan *plan, size_t file, uint32_t block)
{
    const uint32_t wanted = (uint32_t)file;
    const struct restore_damage *damage =
        plan->damage_count > 0 ? bsearch(&wanted, plan->damages, plan->damage_count,
                                         sizeof(plan->damages[0]), compare_file_to_damage)
                               : NULL;
    if (!damage)
        return false;
    if (damage->count == ENTRY_BAD_BLOCKS_MAX && block > damage->blocks[damage->count - 1])
        return true;
    return bsearch(&block, damage->blocks, damage->count, sizeof(block), compare_blocks);
}

struct restore_file *restore_plan_file(const struct restore_plan *plan, const char *path)
{
    return plan->file_count > 0 ? bsearch(path, plan->files, plan->file_count,
                                          sizeof(plan->files[0]), compare_path_to_file)
                                : NULL;
}

int restore_plan_check(const struct restore_plan *plan, struct error *err)
{
    if (plan->control_file == SIZE_MAX)
        return error_set(err, ERROR_CORRUPT, "the backup has no '%s'", control_path);
    if (!restore_plan_file(plan, "backup_label")) /* PostgreSQL would start, and be corrupt */
        return error_set(err, ERROR_CORRUPT, "the backup has no 'backup_label'");
    if (!restore_plan_directory(plan, archive_status_path))
        return error_set(err, ERROR_CORRUPT, "the backup has no '%s'", archive_status_path);
    return 0;
}

int restore_plan_add(void *arg, const struct backup_table *table, struct entry *entry,
                     struct error *err)
{
    struct restore_plan *plan = arg;
    CLEANUP(own_freep) char *path = own_strdup(entry->path);
    if (add_entry(plan, table, entry, err) < 0)
        return error_wrap(err, "entry '%s'", path);
    return 0;
}

void restore_plan_done(struct restore_plan *plan)
{
    for (size_t i = 0; i < plan->directory_count; i++)
        entry_done(&plan->directories[i]);
    for (size_t i = 0; i < plan->file_count; i++)
        free(plan->files[i].path);
    for (size_t i = 0; i < plan->damage_count; i++)
        free(plan->damages[i].blocks);
    free(plan->damages);
    free(plan->directories);
    free(plan->files);
    free(plan->maps);
    free(plan->spans);
    restore_spans_done(&plan->kept);
    free(plan->packs);
    free(plan->ranges);
    *plan = (struct restore_plan){0};
}

int restore_plan_init(struct restore_plan *ret_plan, const struct manifest *manifest,
                      struct error *err)
{
    CLEANUP(restore_plan_done)
    struct restore_plan plan = {.control_file = SIZE_MAX, .parent = NO_PARENT};
    if (add_ranges(&plan, manifest, err) < 0)
        return -1;
    *ret_plan = plan;
    plan = (struct restore_plan){0};
    return 0;
}
