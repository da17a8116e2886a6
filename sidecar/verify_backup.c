// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_backup.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/pg_page.h"
#include "sidecar/restore_plan.h"
#include "sidecar/restore_read.h"
#include "sidecar/restore_wal.h"
#include "sidecar/source_name.h"
#include "sidecar/verify_region.h"

enum { SEGMENT_BLOCKS = 131072 /* of PostgreSQL as everybody builds it, if pg_control is lost */ };

/* A limit against a manifest that lies: 256 TB in full packs. */
static const uint64_t PACKS_MAX = 1 << 24;

struct work {
    struct verify_region *region;
    const struct manifest *manifest;
    struct restore_plan plan;
    uint32_t segment_blocks;
    uint64_t pack_count; /* that the manifest lists */
    _Atomic uint64_t next_pack;
};

/* A pack as the backup at hand sees it. */
struct view {
    const struct work *work;
    const struct repo_name *name;
    const struct restore_span *spans; /* its parts that the backup uses, ascending */
    size_t span_count;
};

/* What is wrong with the backup as a whole, or with its part in an object; err is CANCELED: -1. */
static int note_failure(const struct work *work, const char *object, const struct error *err)
{
    if (err->kind == ERROR_CANCELED)
        return -1;
    verify_region_tell(
        work->region,
        FINDING(.kind = finding_kind_of(err) == FINDING_UNREADABLE ? FINDING_UNREADABLE
                                                                   : FINDING_INCONSISTENT,
                .region = work->region->name, .backup = work->manifest->id, .object = object),
        err->text);
    return 0;
}

/* Planning */

static void check_number(const struct work *work, const char *what, uint64_t listed, uint64_t found)
{
    char name[REPO_NAME_MAX];
    repo_manifest_name(work->manifest->id, name);
    if (listed != found)
        findings_add(work->region->findings,
                     FINDING(.kind = FINDING_INCONSISTENT, .region = work->region->name,
                             .backup = work->manifest->id, .object = name),
                     "the manifest says %" PRIu64 " %s, its index %" PRIu64, listed, what, found);
}

static int read_index(struct work *work, const struct restore_read *read, struct error *err)
{
    const struct manifest *manifest = work->manifest;
    for (size_t i = 0; i < manifest->index_count; i++) {
        char name[REPO_NAME_MAX];
        repo_pack_name(manifest->id, manifest->index[i].pack, name);
        if (cancel_check(work->region->cancel, err) < 0)
            return -1;
        if (restore_read_index(read, i, err) < 0) /* what follows hangs in the air */
            return note_failure(work, name, err);
    }
    if (restore_plan_check(&work->plan, err) < 0 && note_failure(work, NULL, err) < 0)
        return -1;
    check_number(work, "files", manifest->files, work->plan.listed_files);
    check_number(work, "bytes", manifest->bytes_total, work->plan.listed_bytes);
    check_number(work, "damaged pages", manifest->page_error_count, work->plan.listed_page_errors);
    return 0;
}

static int read_maps(struct work *work, const struct restore_read *read, struct error *err)
{
    restore_plan_sort_maps(&work->plan);
    for (size_t i = 0; i < work->plan.map_count; i++) {
        char name[REPO_NAME_MAX];
        uint32_t number;
        const char *backup = restore_plan_pack(&work->plan, work->plan.maps[i].pack, &number);
        repo_pack_name(backup, number, name);
        if (cancel_check(work->region->cancel, err) < 0)
            return -1;
        if (restore_read_map(read, i, err) < 0 && note_failure(work, name, err) < 0)
            return -1;
    }
    restore_plan_group(&work->plan);
    return 0;
}

static int read_control(struct work *work, const struct restore_read *read, struct error *err)
{
    uint8_t bytes[PG_CONTROL_BYTES];
    struct pg_control control;
    work->segment_blocks = SEGMENT_BLOCKS;
    if (work->plan.control_file == SIZE_MAX)
        return 0; /* told already */
    if (restore_read_control(read, bytes, &control, err) < 0)
        return note_failure(work, NULL, err);
    work->segment_blocks = control.segment_blocks;
    return 0;
}

/* As far as index and maps can be read. */
static int read_plan(struct work *work, struct error *err)
{
    const struct manifest *manifest = work->manifest;
    if (restore_wal_check(manifest, err) < 0 && note_failure(work, NULL, err) < 0)
        return -1;
    if (restore_plan_init(&work->plan, manifest, err) < 0)
        return note_failure(work, NULL, err);
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(work->region->repo, PACK_READER_SALVAGE);
    const struct restore_read read = {.reader = reader, .manifest = manifest, .plan = &work->plan};
    if (read_index(work, &read, err) < 0 || read_maps(work, &read, err) < 0 ||
        read_control(work, &read, err) < 0)
        return -1;
    for (size_t i = 0; i < manifest->pack_count; i++)
        work->pack_count += (uint64_t)manifest->packs[i].last - manifest->packs[i].first + 1;
    if (work->pack_count <= PACKS_MAX)
        return 0;
    error_set(err, ERROR_CORRUPT, "the manifest lists %" PRIu64 " packs", work->pack_count);
    work->pack_count = 0;
    return note_failure(work, NULL, err);
}

/* Packs */

static uint32_t span_pieces(const struct restore_span *span)
{
    return (span->length + PIECE_BYTES - 1) / PIECE_BYTES;
}

/* The whole pages among the spans, if the database has checksums. */
static size_t plan_pages(const struct view *view, struct verify_pages *pages)
{
    const struct work *work = view->work;
    size_t count = 0;
    for (size_t i = 0; work->manifest->checksums && i < view->span_count; i++) {
        const struct restore_span *span = &view->spans[i];
        const struct source_name name = source_name_of(work->plan.files[span->file].path, false);
        const bool has_pages = name.class == SOURCE_RELATION || name.class == SOURCE_RELATION_AUX ||
                               name.class == SOURCE_RELATION_INIT;
        if (has_pages && span->length >= PG_PAGE_BYTES)
            pages[count++] = (struct verify_pages){
                .piece = span->piece,
                .count = span->length / PG_PAGE_BYTES,
                .block = name.segment * work->segment_blocks + span->file_piece,
            };
    }
    return count;
}

/* The first part of the backup that a range of pieces touches; *ret_more: how many further files.
 */
static const struct restore_span *find_touched(const struct view *view,
                                               const struct piece_range *pieces, size_t *ret_more)
{
    const struct restore_span *first = NULL;
    uint32_t last_file = 0;
    *ret_more = 0;
    for (size_t i = 0; i < view->span_count; i++) {
        const struct restore_span *span = &view->spans[i];
        if (span->piece >= pieces->first + pieces->count ||
            span->piece + span_pieces(span) <= pieces->first)
            continue;
        *ret_more += first && span->file != last_file;
        first = first ? first : span;
        last_file = span->file;
    }
    return first;
}

static void tell_flaw(const struct view *view, struct verify_flaw *flaw)
{
    const struct work *work = view->work;
    size_t more;
    if (flaw->kind == FINDING_UNREADABLE && !repo_still_answers(work->region->repo, 0))
        return; /* it is told of the region */
    const struct restore_span *span = find_touched(view, &flaw->pieces, &more);
    struct finding finding = {.kind = flaw->kind,
                              .region = work->region->name,
                              .backup = work->manifest->id,
                              .object = view->name->name,
                              .frame = flaw->frame,
                              .block = -1};
    if (!span) { /* it harms no file of this backup */
        if (!flaw->told && flaw->kind != FINDING_PAGE)
            findings_add(work->region->findings, &finding, "%s", flaw->text);
        flaw->told = flaw->told || flaw->kind != FINDING_PAGE;
        return;
    }
    uint32_t ahead = flaw->pieces.first > span->piece ? flaw->pieces.first - span->piece : 0;
    finding.file = work->plan.files[span->file].path;
    finding.block = (int64_t)span->file_piece + ahead;
    if (flaw->kind == FINDING_PAGE && flaw->lsn >= work->manifest->start_lsn)
        return; /* the WAL of the backup replaces it */
    finding.note = flaw->kind == FINDING_PAGE &&
                   restore_plan_knows_damage(&work->plan, span->file, (uint32_t)finding.block);
    flaw->told = true;
    if (more > 0)
        findings_add(work->region->findings, &finding, "%s; %zu more files are hit", flaw->text,
                     more);
    else
        findings_add(work->region->findings, &finding, "%s%s", flaw->text,
                     finding.note ? "; it was in the source already, as the manifest says" : "");
}

/* Whether what the maps point at is there. */
static void check_spans(const struct view *view, const struct verify_pack *pack)
{
    const struct work *work = view->work;
    if (pack->flaw_count > 0 && pack->flaws[0].frame < 0)
        return; /* nothing is known of its frames */
    for (size_t i = 0; i < view->span_count; i++) {
        const struct restore_span *span = &view->spans[i];
        if (piece_set_has(&pack->data, span->piece, span_pieces(span)))
            continue;
        const struct finding finding = {.kind = FINDING_INCONSISTENT,
                                        .region = work->region->name,
                                        .backup = work->manifest->id,
                                        .object = view->name->name,
                                        .frame = span->piece / FRAME_PIECES,
                                        .file = work->plan.files[span->file].path,
                                        .block = span->file_piece};
        findings_add(work->region->findings, &finding,
                     "the file's map leads to where the pack has no data");
    }
}

static int read_pack(const struct view *view, const struct verify_pack_source *source,
                     struct verify_pack *pack, struct error *err)
{
    struct verify_region *region = view->work->region;
    struct verify_pack_source with_pages = *source;
    CLEANUP(own_freep)
    struct verify_pages *pages = own_alloc((view->span_count + 1) * sizeof(pages[0]));
    with_pages.pages = pages;
    with_pages.page_count = plan_pages(view, pages);
    if (!verify_pack_wants(pack, pages, with_pages.page_count))
        return 0;
    const bool first = !pack->read;
    if (verify_pack_read(pack, &with_pages, err) < 0)
        return -1;
    if (first)
        verify_region_count(region, view->name->size);
    return 0;
}

static void tell_missing(const struct view *view, const char *backup, uint32_t number)
{
    const struct piece_range all = {0, UINT32_MAX};
    char name[REPO_NAME_MAX];
    size_t more;
    const struct restore_span *span = find_touched(view, &all, &more);
    repo_pack_name(backup, number, name);
    const struct finding finding = {.kind = FINDING_MISSING,
                                    .region = view->work->region->name,
                                    .backup = view->work->manifest->id,
                                    .object = name,
                                    .frame = -1,
                                    .file = span ? view->work->plan.files[span->file].path : NULL,
                                    .block = span ? (int64_t)span->file_piece : -1};
    findings_add(view->work->region->findings, &finding, "the pack is not there; %zu files are hit",
                 span ? more + 1 : 0);
}

static int compare_pack(const void *number, const void *pack)
{
    const uint32_t a = *(const uint32_t *)number, b = ((const struct restore_pack *)pack)->pack;
    return (a > b) - (a < b);
}

static int check_pack(const struct work *work, struct pack_reader *reader, uint32_t position,
                      struct error *err)
{
    struct verify_pack *pack;
    struct view view = {.work = work};
    struct verify_pack_source source = {.reader = reader, .hash = &work->region->hash};
    const struct restore_plan *plan = &work->plan;
    const struct restore_pack *group =
        plan->pack_count > 0
            ? bsearch(&position, plan->packs, plan->pack_count, sizeof(*group), compare_pack)
            : NULL;
    if (group) {
        view.spans = &plan->spans[group->first];
        view.span_count = group->count;
    }
    source.backup = restore_plan_pack(plan, position, &source.number);
    view.name = verify_region_pack(work->region, source.backup, source.number, &pack);
    if (!view.name) {
        tell_missing(&view, source.backup, source.number);
        return 0;
    }
    if (!verify_sample_takes(&work->region->sample, view.name->name))
        return 0;
    if (read_pack(&view, &source, pack, err) < 0)
        return -1;
    for (size_t i = 0; i < pack->flaw_count; i++)
        tell_flaw(&view, &pack->flaws[i]);
    check_spans(&view, pack);
    return 0;
}

static int work_main(void *arg, struct error *err)
{
    struct work *work = arg;
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(work->region->repo, PACK_READER_SALVAGE);
    for (uint64_t i; (i = atomic_fetch_add(&work->next_pack, 1)) < work->pack_count;)
        if (cancel_check(work->region->cancel, err) < 0 ||
            check_pack(work, reader, (uint32_t)i, err) < 0)
            return -1;
    return 0;
}

static int check_packs(struct work *work, struct error *err)
{
    CLEANUP(crew_freep) struct crew *crew = crew_new(work->region->cancel);
    for (size_t i = 0; i < work->region->workers; i++)
        if (crew_start(crew, "verify", work_main, work, err) < 0)
            return -1;
    return crew_join(crew, err);
}

int verify_backup_run(struct verify_region *region, const struct manifest *manifest,
                      struct error *err)
{
    struct work work = {.region = region, .manifest = manifest};
    int result = read_plan(&work, err);
    if (result == 0)
        result = check_packs(&work, err);
    restore_plan_done(&work.plan);
    return result;
}
