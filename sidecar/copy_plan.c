// SPDX-License-Identifier: Apache-2.0
#include "sidecar/copy_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/text.h"
#include "sidecar/findings.h"
#include "sidecar/lsn.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_gap.h"

/* "wal/00000001/00000000/000000010000000000000003", behind which a part has a '.' and a whole
 * segment a '-' */
enum { SEGMENT_PREFIX = 46 };

#define ANYWHERE UINT32_MAX

void copy_items_done(struct copy_items *items)
{
    free(items->items);
    *items = (struct copy_items){0};
}

/* Items */

static void add(const struct copy_scene *scene, struct repo_name *name, enum container_kind kind,
                struct copy_items *items)
{
    items->items = own_resize(items->items, items->count + 1, sizeof(items->items[0]));
    items->items[items->count++] = (struct copy_item){name, kind};
    items->bytes += name->size;
    name->regions |= scene->to;
}

/* Takes back what was added behind the first count. */
static void shrink(const struct copy_scene *scene, struct copy_items *items, size_t count)
{
    while (items->count > count) {
        struct repo_name *last = items->items[--items->count].name;
        last->regions &= ~scene->to;
        items->bytes -= last->size;
    }
}

void copy_plan_object(const struct copy_scene *scene, const char *name, enum container_kind kind,
                      struct copy_items *items)
{
    struct repo_name *found = repo_names_find(scene->names, name);
    if (found && !(found->regions & scene->to))
        add(scene, found, kind, items);
}

/* Packs */

static bool plan_pack(const struct copy_scene *scene, const struct manifest *manifest,
                      const char *name, struct copy_items *items)
{
    struct repo_name *found = repo_names_find(scene->names, name);
    if (!found) {
        findings_add(scene->findings,
                     FINDING(.kind = FINDING_MISSING, .backup = manifest->id, .object = name),
                     "no region has it: the backup cannot be copied");
        return false;
    }
    if (!(found->regions & scene->to)) {
        add(scene, found, CONTAINER_PACK, items);
    } else if (found->sizes_differ && (found->regions & scene->from)) {
        findings_add(scene->findings,
                     FINDING(.kind = FINDING_INCONSISTENT, .region = scene->to_name,
                             .backup = manifest->id, .object = name),
                     "it is not as large as elsewhere, and is never overwritten: 'verify' tells "
                     "which one is damaged; remove that one and copy again");
        return false;
    }
    return true;
}

static bool plan_packs(const struct copy_scene *scene, const struct manifest *manifest,
                       struct copy_items *items)
{
    bool complete = true;
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const struct manifest_packs *packs = &manifest->packs[i];
        for (uint64_t number = packs->first; number <= packs->last; number++) {
            char name[REPO_NAME_MAX];
            repo_pack_name(packs->backup, (uint32_t)number, name);
            if (plan_pack(scene, manifest, name, items))
                continue;
            complete = false;
            if (!repo_names_find(scene->names, name))
                break; /* one of a range is enough to be told, whatever a manifest says */
        }
    }
    return complete;
}

/* WAL */

struct spans {
    struct wal_span *spans;
    size_t count;
};

static void spans_done(struct spans *spans)
{
    free(spans->spans);
}

static void add_span(struct spans *spans, const struct wal_piece *piece)
{
    spans->spans = own_resize(spans->spans, spans->count + 1, sizeof(spans->spans[0]));
    spans->spans[spans->count++] = wal_piece_span(piece);
}

bool copy_plan_whole_prefix(const char *name, char ret_prefix[REPO_NAME_MAX])
{
    if (strlen(name) <= SEGMENT_PREFIX || name[SEGMENT_PREFIX] != '.')
        return false;
    snprintf(ret_prefix, REPO_NAME_MAX, "%.*s-", SEGMENT_PREFIX, name);
    return true;
}

/* Whether the whole segment of a part is in one of the regions. */
static bool is_superseded(const struct repo_names *names, const char *part, uint32_t regions)
{
    char prefix[REPO_NAME_MAX];
    if (!copy_plan_whole_prefix(part, prefix))
        return false;
    for (size_t i = repo_names_lower_bound(names, prefix);
         i < names->count && text_starts_with(names->names[i].name, prefix); i++)
        if (names->names[i].regions & regions)
            return true;
    return false;
}

/* Calls each for the WAL objects that overlap a span; names of a timeline are in the order of its
 * LSNs. */
struct wal_walk {
    const struct repo_names *names;
    uint32_t segment_bytes;
    void (*each)(void *arg, struct repo_name *name, const struct wal_piece *piece);
    void *arg;
};

static void walk_wal(const struct wal_walk *walk, const struct wal_span *span)
{
    char directory[WAL_ARCHIVE_NAME_MAX], first[WAL_ARCHIVE_NAME_MAX];
    wal_archive_timeline_prefix(span->timeline, directory);
    wal_archive_log_prefix(span->timeline, span->from >> WAL_LOG_SHIFT, first);
    for (size_t i = repo_names_lower_bound(walk->names, first);
         i < walk->names->count && text_starts_with(walk->names->names[i].name, directory); i++) {
        struct repo_name *name = &walk->names->names[i];
        struct wal_piece piece;
        if (wal_archive_parse_name(name->name, walk->segment_bytes, &piece) < 0)
            continue;
        if (piece.segment_lsn >= span->to)
            return;
        if (piece.segment_lsn + piece.to > span->from)
            walk->each(walk->arg, name, &piece);
    }
}

struct wal_plan {
    const struct copy_scene *scene;
    struct copy_items *items;
    struct spans spans; /* that the region has or will have */
};

static void plan_piece(void *arg, struct repo_name *name, const struct wal_piece *piece)
{
    struct wal_plan *plan = arg;
    const struct copy_scene *scene = plan->scene;
    if (!(name->regions & scene->to)) {
        if (is_superseded(scene->names, name->name, ANYWHERE))
            return;
        add(scene, name, CONTAINER_WAL, plan->items);
    }
    add_span(&plan->spans, piece);
}

static bool tell_gap(const struct copy_scene *scene, const struct manifest *manifest,
                     const struct spans *spans, const struct wal_span *wanted)
{
    struct wal_span gap;
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
    if (!wal_gap_find(spans->spans, spans->count, wanted, &gap))
        return false;
    lsn_format(gap.from, from);
    lsn_format(gap.to, to);
    findings_add(scene->findings, FINDING(.kind = FINDING_GAP, .backup = manifest->id),
                 "no region has the WAL from %s to %s on timeline %" PRIu32
                 ": the backup cannot be copied",
                 from, to, gap.timeline);
    return true;
}

bool copy_plan_has_history(const struct repo_names *names, uint32_t timeline,
                           char ret_lack[REPO_NAME_MAX])
{
    wal_archive_history_prefix(timeline, ret_lack);
    const size_t at = repo_names_lower_bound(names, ret_lack);
    return timeline <= 1 ||
           (at < names->count && text_starts_with(names->names[at].name, ret_lack));
}

static bool tell_history(const struct copy_scene *scene, const struct manifest *manifest,
                         uint32_t timeline)
{
    char lack[REPO_NAME_MAX];
    if (copy_plan_has_history(scene->names, timeline, lack))
        return false;
    findings_add(scene->findings, FINDING(.kind = FINDING_MISSING, .backup = manifest->id),
                 "no region has the history of timeline %" PRIu32
                 " (%s…): the backup cannot be copied",
                 timeline, lack);
    return true;
}

static bool plan_wal_of(const struct copy_scene *scene, const struct manifest *manifest,
                        struct copy_items *items)
{
    bool complete = true;
    for (size_t i = 0; i < manifest->wal_count; i++) {
        const struct wal_span wanted = manifest_wal_span(manifest, i);
        CLEANUP(spans_done) struct spans spans = {0};
        struct wal_plan plan = {.scene = scene, .items = items};
        const struct wal_walk walk = {scene->names, manifest->wal_segment_bytes, plan_piece, &plan};
        walk_wal(&walk, &wanted);
        spans = plan.spans;
        wal_gap_sort(spans.spans, spans.count);
        complete = !tell_gap(scene, manifest, &spans, &wanted) && complete;
        complete = !tell_history(scene, manifest, wanted.timeline) && complete;
    }
    return complete;
}

/* The histories of all timelines: they are small, and a restore to a later one needs them. */
static void plan_histories(const struct copy_scene *scene, struct copy_items *items)
{
    for (size_t i = repo_names_lower_bound(scene->names, "wal/"); i < scene->names->count; i++) {
        struct repo_name *name = &scene->names->names[i];
        uint32_t timeline;
        if (!text_starts_with(name->name, "wal/"))
            return;
        if (!(name->regions & scene->to) && wal_archive_parse_history_name(name->name, &timeline))
            add(scene, name, CONTAINER_HISTORY, items);
    }
}

bool copy_plan_backup(const struct copy_scene *scene, const struct manifest *manifest,
                      struct copy_items *items)
{
    const size_t before = items->count;
    plan_histories(scene, items);
    const bool packs = plan_packs(scene, manifest, items);
    if (plan_wal_of(scene, manifest, items) && packs)
        return true;
    shrink(scene, items, before);
    return false;
}

void copy_plan_wal(const struct copy_scene *scene, struct copy_items *items)
{
    plan_histories(scene, items);
    for (size_t i = repo_names_lower_bound(scene->names, "wal/"); i < scene->names->count; i++) {
        struct repo_name *name = &scene->names->names[i];
        if (!text_starts_with(name->name, "wal/"))
            return;
        if ((name->regions & scene->from) && !(name->regions & scene->to) &&
            !is_superseded(scene->names, name->name, scene->from | scene->to))
            add(scene, name, CONTAINER_WAL, items);
    }
}

/* What is there */

static void note_piece(void *arg, struct repo_name *name, const struct wal_piece *piece)
{
    (void)name;
    add_span(arg, piece);
}

bool copy_plan_has_packs(const struct repo_names *names, const struct manifest_packs *packs,
                         char ret_lack[REPO_NAME_MAX])
{
    for (uint64_t number = packs->first; number <= packs->last; number++) {
        repo_pack_name(packs->backup, (uint32_t)number, ret_lack);
        if (!repo_names_find(names, ret_lack))
            return false;
    }
    return true;
}

bool copy_plan_has_wal(const struct repo_names *names, const struct manifest *manifest,
                       size_t range, char ret_lack[REPO_NAME_MAX])
{
    const struct wal_span wanted = manifest_wal_span(manifest, range);
    CLEANUP(spans_done) struct spans spans = {0};
    const struct wal_walk walk = {names, manifest->wal_segment_bytes, note_piece, &spans};
    struct wal_span gap;
    char lsn[LSN_TEXT_BYTES];
    walk_wal(&walk, &wanted);
    wal_gap_sort(spans.spans, spans.count);
    if (!wal_gap_find(spans.spans, spans.count, &wanted, &gap))
        return true;
    lsn_format(gap.from, lsn);
    snprintf(ret_lack, REPO_NAME_MAX, "WAL from %s on timeline %" PRIu32, lsn, gap.timeline);
    return false;
}

void copy_plan_wal_prefix(const struct manifest *manifest, size_t range,
                          char ret_prefix[REPO_NAME_MAX])
{
    const struct wal_span wanted = manifest_wal_span(manifest, range);
    const uint64_t log = wanted.from >> WAL_LOG_SHIFT;
    if (log == (wanted.to - 1) >> WAL_LOG_SHIFT)
        wal_archive_log_prefix(wanted.timeline, log, ret_prefix);
    else
        wal_archive_timeline_prefix(wanted.timeline, ret_prefix);
}
