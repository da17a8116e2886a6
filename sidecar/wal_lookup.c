// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_ahead.h"
#include "sidecar/wal_answer.h"
#include "sidecar/wal_archive.h"

/* All that the regions have behind a place on a timeline. */
struct view {
    const struct wal_lookup *lookup;
    const struct wal_ahead_segment *place;
    uint64_t end; /* what lies before is of no interest */
    bool unasked, unread;
    struct error unasked_error, unread_error;
    struct wal_span *spans;
    size_t span_count;
    struct timeline *histories;
    size_t history_count;
};

static void view_done(struct view *view)
{
    for (size_t i = 0; i < view->history_count; i++)
        timeline_done(&view->histories[i]);
    free(view->histories);
    free(view->spans);
}

/* Every region is asked now, also those that did not answer lately. Whether there were any. */
static bool forget_doubts(struct regions *regions)
{
    bool any = false;
    for (size_t i = 0; i < regions_count(regions); i++) {
        any |= regions_doubted(regions, i, NULL);
        regions_note_answer(regions, i, NULL);
    }
    return any;
}

/* What is not where it was looked for may be in a region that was not asked. */
static bool is_worth_asking_all(const struct wal_lookup *lookup, const struct error *err)
{
    return err->kind == ERROR_TRANSIENT && forget_doubts(lookup->repo->regions);
}

static void note_unasked(struct view *view, const struct error *why)
{
    if (!view->unasked)
        view->unasked_error = *why;
    view->unasked = true;
}

/* false: nobody could be asked, or not everybody, which is noted. */
static bool list(struct view *view, bool level, const char *prefix, struct repo_names *ret_names)
{
    struct error err;
    struct repo *repo = view->lookup->repo;
    const int listed = level ? repo_list_level(repo, prefix, ret_names, &err)
                             : repo_list(repo, prefix, ret_names, &err);
    if (listed < 0)
        note_unasked(view, &err);
    else if (ret_names->unlisted != 0)
        note_unasked(view, &ret_names->unlisted_error);
    return listed == 0;
}

static void read_history(struct view *view, uint32_t timeline)
{
    struct error err;
    struct timeline history;
    if (wal_archive_load_history(view->lookup->repo, timeline, &history, &err) < 0) {
        if (!view->unread)
            view->unread_error = err;
        view->unread = true;
        return;
    }
    view->histories =
        own_resize(view->histories, view->history_count + 1, sizeof(view->histories[0]));
    view->histories[view->history_count++] = history;
}

/* Those of later timelines, which may have left this one. */
static void read_histories(struct view *view)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    uint32_t last = view->place->timeline;
    if (!list(view, true, "wal/", &names))
        return;
    for (size_t i = 0; i < names.count; i++) { /* sorted: several of one timeline lie together */
        uint32_t timeline;
        if (!wal_archive_parse_history_name(names.names[i].name, &timeline) || timeline <= last)
            continue;
        read_history(view, timeline);
        last = timeline;
    }
}

/* Whether any of it lies behind the end. */
static bool add_spans(struct view *view, const struct repo_names *names)
{
    bool later = false;
    for (size_t i = 0; i < names->count; i++) {
        struct wal_piece piece;
        if (wal_archive_parse_name(names->names[i].name, view->lookup->segment_bytes, &piece) < 0 ||
            piece.segment_lsn + piece.to <= view->end)
            continue;
        view->spans = own_resize(view->spans, view->span_count + 1, sizeof(view->spans[0]));
        view->spans[view->span_count++] = wal_piece_span(&piece);
        later = true;
    }
    return later;
}

/* "wal/00000001/0000000A/" */
static bool parse_log(const char *name, const char *prefix, uint64_t *ret_log)
{
    char *end;
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return false;
    const char *digits = name + strlen(prefix);
    errno = 0;
    *ret_log = strtoull(digits, &end, 16);
    return end == digits + 8 && strcmp(end, "/") == 0;
}

/* The first that lies behind the end: a log is 4 GiB of WAL, and one that is there is not empty. */
static void find_later(struct view *view)
{
    bool later = false;
    CLEANUP(repo_names_done) struct repo_names logs = {0};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_timeline_prefix(view->place->timeline, prefix);
    if (!list(view, true, prefix, &logs))
        return;
    for (size_t i = 0; i < logs.count && !later && !view->unasked; i++) {
        CLEANUP(repo_names_done) struct repo_names names = {0};
        uint64_t log;
        if (parse_log(logs.names[i].name, prefix, &log) && log >= view->end >> WAL_LOG_SHIFT &&
            list(view, false, logs.names[i].name, &names))
            later = add_spans(view, &names);
    }
}

static enum wal_answer_kind decide(struct view *view, const struct error *got, bool stop_at_gaps,
                                   struct error *ret_why)
{
    if (got->kind == ERROR_NOT_FOUND) {
        forget_doubts(view->lookup->repo->regions);
        find_later(view);
        if (!view->unasked)
            read_histories(view);
    }
    const struct wal_answer_facts facts = {
        .timeline = view->place->timeline,
        .segment_bytes = view->lookup->segment_bytes,
        .from = view->place->lsn,
        .end = view->end,
        .stop_at_gaps = stop_at_gaps,
        .got = got,
        .unasked = view->unasked ? &view->unasked_error : NULL,
        .unread = view->unread ? &view->unread_error : NULL,
        .spans = view->spans,
        .span_count = view->span_count,
        .histories = view->histories,
        .history_count = view->history_count,
    };
    return wal_answer_decide(&facts, ret_why);
}

int wal_lookup_whole(const struct wal_lookup *lookup, const struct wal_ahead_segment *wanted,
                     struct buf *content, struct error *err)
{
    const struct wal_piece whole = {
        .timeline = wanted->timeline,
        .segment_lsn = wanted->lsn,
        .segment_bytes = lookup->segment_bytes,
        .to = lookup->segment_bytes,
    };
    return wal_archive_get_whole(lookup->repo, &whole, content, err);
}

enum wal_answer_kind wal_lookup_segment(const struct wal_lookup *lookup,
                                        const struct wal_ahead_segment *wanted, bool stop_at_gaps,
                                        struct buf *content, struct error *ret_why)
{
    CLEANUP(view_done) struct view view = {.lookup = lookup, .place = wanted};
    struct error got;
    if (wal_lookup_whole(lookup, wanted, content, &got) == 0 ||
        (is_worth_asking_all(lookup, &got) && wal_lookup_whole(lookup, wanted, content, &got) == 0))
        return WAL_CONTENT;
    view.end = wanted->lsn + content->size;
    const enum wal_answer_kind kind = decide(&view, &got, stop_at_gaps, ret_why);
    if (kind != WAL_CONTENT || wal_archive_pad(content, lookup->segment_bytes, ret_why) == 0)
        return kind;
    return WAL_AGAIN;
}

/* There is none if all regions say so. */
static enum wal_answer_kind miss_history(const struct wal_lookup *lookup, uint32_t timeline,
                                         const struct error *got, struct error *ret_why)
{
    struct error err;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_history_prefix(timeline, prefix);
    *ret_why = *got;
    if (got->kind != ERROR_NOT_FOUND)
        return WAL_AGAIN;
    forget_doubts(lookup->repo->regions);
    if (repo_list(lookup->repo, prefix, &names, &err) < 0)
        *ret_why = err;
    else if (names.unlisted != 0)
        *ret_why = names.unlisted_error;
    else if (names.count == 0)
        return WAL_NONE;
    return WAL_AGAIN;
}

enum wal_answer_kind wal_lookup_history(const struct wal_lookup *lookup, uint32_t timeline,
                                        struct buf *content, struct error *ret_why)
{
    struct error err;
    buf_clear(content);
    if (wal_archive_get_history(lookup->repo, timeline, content, &err) == 0 ||
        (is_worth_asking_all(lookup, &err) &&
         wal_archive_get_history(lookup->repo, timeline, content, &err) == 0))
        return WAL_CONTENT;
    return miss_history(lookup, timeline, &err, ret_why);
}
