// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_wal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/timeline.h"
#include "sidecar/verify_region.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_course.h"
#include "sidecar/wal_gap.h"

/* An object of the archive. */
struct item {
    const struct repo_name *name;
    struct wal_piece piece; /* of a history only the timeline */
    bool is_history, usable, wanted;
    bool told; /* that it cannot be read */
};

struct work {
    struct verify_region *region;
    uint32_t segment_bytes; /* which names are read by, until the object itself says it */
    bool sizes_differ;      /* of segments, between backups: then only objects say it */
    struct item *items;
    size_t count;
    atomic_size_t next;
    struct wal_span *spans; /* of usable items, sorted */
    size_t span_count;
    struct wal_span *needed; /* by all backups */
    size_t needed_count;
    struct wal_line *lines;
    size_t line_count;
};

static bool is_selected(const struct verify_region *region, const struct manifest *manifest)
{
    return !region->only || strcmp(region->only, manifest->id) == 0;
}

static bool overlap(const struct wal_span *a, const struct wal_span *b)
{
    return a->timeline == b->timeline && a->from < b->to && b->from < a->to;
}

/* Whether any selected backup needs WAL of this span, or this timeline's history. */
static bool is_needed(const struct verify_region *region, const struct item *item)
{
    const struct wal_span span = wal_piece_span(&item->piece);
    for (size_t i = 0; i < region->manifest_count; i++) {
        const struct manifest *manifest = &region->manifests[i];
        for (size_t j = 0; is_selected(region, manifest) && j < manifest->wal_count; j++) {
            const struct wal_span range = manifest_wal_span(manifest, j);
            if (item->is_history ? range.timeline == span.timeline : overlap(&range, &span))
                return true;
        }
    }
    return false;
}

/* Reading */

/* Also when it is in no sample: what is not what its name says can only be told from inside. */
static bool is_wanted(const struct work *work, const struct item *item)
{
    const struct verify_region *region = work->region;
    if (is_needed(region, item))
        return true;
    return !region->only && (item->is_history || work->sizes_differ ||
                             item->piece.segment_bytes != work->segment_bytes ||
                             verify_sample_takes(&region->sample, item->name->name));
}

static void add_item(struct work *work, const struct repo_name *name)
{
    struct verify_region *region = work->region;
    struct item item = {.name = name, .usable = true};
    item.is_history = wal_archive_parse_history_name(name->name, &item.piece.timeline);
    if (!item.is_history &&
        wal_archive_guess_name(name->name, work->segment_bytes, &item.piece) < 0) {
        findings_add(region->findings,
                     FINDING(.kind = FINDING_DAMAGED, .region = region->name, .object = name->name),
                     "no name of WAL");
        return;
    }
    item.wanted = is_wanted(work, &item);
    work->items[work->count++] = item;
}

static bool same_bytes(const struct item *a, const struct item *b)
{
    const struct wal_span x = wal_piece_span(&a->piece), y = wal_piece_span(&b->piece);
    return a->is_history == b->is_history && x.timeline == y.timeline && x.from == y.from &&
           x.to == y.to;
}

/* Names come sorted, so objects for the same bytes stand side by side. Whether they are that, only
 * they themselves say. */
static void want_rivals(struct work *work)
{
    for (size_t i = 1; i < work->count; i++)
        if (same_bytes(&work->items[i - 1], &work->items[i]))
            work->items[i - 1].wanted = work->items[i].wanted = true;
}

/* Who streams takes away the parts of a segment once that is complete: 1: what is there now has the
 * same bytes, and is sound; 0: err says what is wrong. */
static int read_successor(const struct work *work, const struct item *item, struct error *err)
{
    const struct wal_span span = wal_piece_span(&item->piece);
    struct error why;
    CLEANUP(buf_done) struct buf segment = BUF(item->piece.segment_bytes);
    if (err->kind != ERROR_NOT_FOUND || item->is_history)
        return 0;
    if (wal_archive_get(work->region->repo, span.timeline, span.from, span.to,
                        item->piece.segment_bytes, &segment, &why) == 0)
        return 1;
    if (why.kind != ERROR_NOT_FOUND)
        *err = why;
    return why.kind == ERROR_CANCELED ? -1 : 0;
}

static int read_item(struct work *work, struct item *item, struct error *err)
{
    struct verify_region *region = work->region;
    const char *name = item->name->name;
    if (wal_archive_check(region->repo, name, &item->piece, err) == 0) {
        verify_region_count(region, item->name->size);
        return 0;
    }
    const int succeeded = read_successor(work, item, err);
    if (succeeded > 0)
        return 0;
    if (succeeded < 0 || err->kind == ERROR_CANCELED)
        return -1;
    const enum finding_kind kind = finding_kind_of(err);
    item->usable = kind == FINDING_UNREADABLE; /* nothing is known against it */
    item->told = true;
    verify_region_tell(region, FINDING(.kind = kind, .region = region->name, .object = name),
                       err->text);
    return 0;
}

static int work_main(void *arg, struct error *err)
{
    struct work *work = arg;
    for (size_t i; (i = atomic_fetch_add(&work->next, 1)) < work->count;)
        if (cancel_check(work->region->cancel, err) < 0 ||
            (work->items[i].wanted && read_item(work, &work->items[i], err) < 0))
            return -1;
    return 0;
}

static int read_items(struct work *work, struct error *err)
{
    CLEANUP(crew_freep) struct crew *crew = crew_new(work->region->cancel);
    for (size_t i = 0; i < work->region->workers; i++)
        if (crew_start(crew, "verify", work_main, work, err) < 0)
            return -1;
    return crew_join(crew, err);
}

static void compare_items(const struct work *work)
{
    for (size_t i = 1; i < work->count; i++) {
        const struct item *a = &work->items[i - 1], *b = &work->items[i];
        if (!a->usable || !b->usable || !same_bytes(a, b))
            continue;
        findings_add(work->region->findings,
                     FINDING(.kind = FINDING_INCONSISTENT, .region = work->region->name,
                             .object = b->name->name),
                     "it contradicts '%s': two servers wrote on the same timeline", a->name->name);
    }
}

/* Gaps */

static void collect_spans(struct work *work)
{
    work->spans = own_alloc((work->count + 1) * sizeof(work->spans[0]));
    for (size_t i = 0; i < work->count; i++)
        if (work->items[i].usable && !work->items[i].is_history)
            work->spans[work->span_count++] = wal_piece_span(&work->items[i].piece);
    wal_gap_sort(work->spans, work->span_count);
}

static void check_backup(const struct work *work, const struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->wal_count; i++) {
        struct wal_span wanted = manifest_wal_span(manifest, i), gap;
        while (wal_gap_find(work->spans, work->span_count, &wanted, &gap)) {
            char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES], name[WAL_SEGMENT_NAME_BYTES];
            lsn_format(gap.from, from);
            lsn_format(gap.to, to);
            wal_segment_name(gap.timeline, gap.from, manifest->wal_segment_bytes, name);
            findings_add(
                work->region->findings,
                FINDING(.kind = FINDING_GAP, .region = work->region->name, .backup = manifest->id),
                "no WAL from %s to %s on timeline %" PRIu32
                " (segment %s): the backup cannot become consistent",
                from, to, gap.timeline, name);
            wanted.from = gap.to;
        }
    }
}

/* A gap that a backup needs was told with that backup. */
static bool is_told(const struct work *work, const struct wal_span *gap)
{
    for (size_t i = 0; i < work->region->manifest_count; i++) {
        const struct manifest *manifest = &work->region->manifests[i];
        for (size_t j = 0; j < manifest->wal_count; j++) {
            const struct wal_span range = manifest_wal_span(manifest, j);
            if (overlap(&range, gap))
                return true;
        }
    }
    return false;
}

/* What recovery from the backups to the newest WAL misses on a timeline. */
static void check_timeline(const struct work *work, const struct wal_course *course,
                           const struct wal_line *line)
{
    struct wal_span wanted = wal_course_wanted(course, line), gap;
    for (; wal_course_gap(course, &wanted, &gap); wanted.from = gap.to) {
        char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
        if (is_told(work, &gap))
            continue;
        lsn_format(gap.from, from);
        lsn_format(gap.to, to);
        findings_add(work->region->findings,
                     FINDING(.kind = FINDING_GAP, .note = true, .region = work->region->name),
                     "no WAL from %s to %s on timeline %" PRIu32
                     ": recovery from the backups before ends at %s",
                     from, to, gap.timeline, from);
    }
}

/* Timelines */

static bool has_line(const struct work *work, uint32_t timeline)
{
    for (size_t i = 0; i < work->line_count; i++)
        if (work->lines[i].timeline == timeline)
            return true;
    return false;
}

static void add_line(struct work *work, uint32_t timeline)
{
    if (has_line(work, timeline))
        return;
    work->lines = own_resize(work->lines, work->line_count + 1, sizeof(work->lines[0]));
    work->lines[work->line_count++] = (struct wal_line){.timeline = timeline};
}

/* Every timeline that there is anything of, and what the backups need. */
static void collect_lines(struct work *work)
{
    const struct verify_region *region = work->region;
    for (size_t i = 0; i < work->count; i++)
        if (work->items[i].usable)
            add_line(work, work->items[i].piece.timeline);
    for (size_t i = 0; i < region->manifest_count; i++) {
        const struct manifest *manifest = &region->manifests[i];
        for (size_t j = 0; j < manifest->wal_count; j++) {
            work->needed =
                own_resize(work->needed, work->needed_count + 1, sizeof(work->needed[0]));
            work->needed[work->needed_count++] = manifest_wal_span(manifest, j);
            add_line(work, manifest->wal[j].timeline);
        }
    }
}

/* Whether the history of a timeline is there and nothing is known against it. */
static struct item *find_history(const struct work *work, uint32_t timeline)
{
    for (size_t i = 0; i < work->count; i++)
        if (work->items[i].is_history && work->items[i].usable &&
            work->items[i].piece.timeline == timeline)
            return &work->items[i];
    return NULL;
}

/* What was sound, or not read, a moment ago: then nobody knows where the timeline forks off, and
 * which gaps there are. One of two minds was told already. */
static int tell_unread_history(const struct work *work, struct item *item, const struct error *err)
{
    if (err->kind == ERROR_CANCELED)
        return -1;
    if (err->kind != ERROR_CONFLICT && !item->told)
        verify_region_tell(work->region,
                           FINDING(.kind = finding_kind_of(err), .region = work->region->name,
                                   .object = item->name->name),
                           err->text);
    item->told = true;
    return 0;
}

/* One that is missing, damaged or of two minds was told already. */
static int load_history(struct work *work, struct wal_line *line, struct timeline *history,
                        struct error *err)
{
    struct verify_region *region = work->region;
    struct item *item = find_history(work, line->timeline);
    CLEANUP(buf_done) struct buf content = BUF(TIMELINE_HISTORY_MAX);
    if (line->timeline > 1 && !item)
        return 0;
    if (item && wal_archive_get_history(region->repo, line->timeline, &content, err) < 0)
        return tell_unread_history(work, item, err);
    if (timeline_parse(line->timeline, content.data, content.size, history, err) == 0)
        line->history = history;
    else
        findings_add(region->findings,
                     FINDING(.kind = FINDING_INCONSISTENT, .region = region->name,
                             .object = item->name->name),
                     "%s", err->text);
    return 0;
}

static void check_history(const struct work *work, uint32_t timeline, const char *backup)
{
    if (timeline > 1 && !find_history(work, timeline))
        findings_add(
            work->region->findings,
            FINDING(.kind = FINDING_MISSING, .region = work->region->name, .backup = backup),
            "no history of timeline %" PRIu32 " (wal/%08" PRIX32 ".history-…)", timeline, timeline);
}

static int check_timelines(struct work *work, struct error *err)
{
    int result = 0;
    collect_lines(work);
    struct timeline *histories = own_alloc((work->line_count + 1) * sizeof(histories[0]));
    for (size_t i = 0; i < work->line_count && result == 0; i++)
        result = load_history(work, &work->lines[i], &histories[i], err);
    const struct wal_course course = {work->spans,        work->span_count, work->needed,
                                      work->needed_count, work->lines,      work->line_count};
    for (size_t i = 0; i < work->line_count && result == 0; i++) {
        check_timeline(work, &course, &work->lines[i]);
        check_history(work, work->lines[i].timeline, NULL);
    }
    for (size_t i = 0; i < work->line_count; i++)
        timeline_done(&histories[i]);
    free(histories);
    return result;
}

static int check_continuity(struct work *work, struct error *err)
{
    const struct verify_region *region = work->region;
    for (size_t i = 0; i < region->manifest_count; i++) {
        const struct manifest *manifest = &region->manifests[i];
        if (!is_selected(region, manifest))
            continue;
        check_backup(work, manifest);
        for (size_t j = 0; j < manifest->wal_count; j++)
            check_history(work, manifest->wal[j].timeline, manifest->id);
    }
    return region->only ? 0 : check_timelines(work, err);
}

/* Names are read as the newest of the backups at stake has it. */
static void choose_segment_bytes(struct work *work)
{
    const struct verify_region *region = work->region;
    const uint32_t oldest = region->manifests[0].wal_segment_bytes;
    work->segment_bytes = oldest;
    for (size_t i = 0; i < region->manifest_count; i++) {
        const struct manifest *manifest = &region->manifests[i];
        work->sizes_differ |= manifest->wal_segment_bytes != oldest;
        if (is_selected(region, manifest))
            work->segment_bytes = manifest->wal_segment_bytes;
    }
}

int verify_wal_run(struct verify_region *region, struct error *err)
{
    const struct verify_names names = verify_region_names(region, "wal/");
    struct work work = {.region = region};
    if (region->manifest_count == 0)
        return 0; /* nobody needs it, and nothing says how large its segments are */
    choose_segment_bytes(&work);
    work.items = own_alloc((names.count + 1) * sizeof(work.items[0]));
    for (size_t i = 0; i < names.count; i++)
        add_item(&work, &names.names[i]);
    want_rivals(&work);
    int result = read_items(&work, err);
    if (result == 0) {
        compare_items(&work);
        collect_spans(&work);
        result = check_continuity(&work, err);
    }
    free(work.items);
    free(work.lines);
    free(work.needed);
    free(work.spans);
    return result;
}
