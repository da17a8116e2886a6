// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_windows.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/timeline.h"

/* The way of recovery that follows one timeline. */
struct path {
    const struct recovery_facts *facts;
    uint32_t timeline;
    struct timeline_span alone;        /* where nothing is known of its history */
    const struct timeline_span *spans; /* the timelines that lead to it, and itself */
    size_t span_count;
    struct wal_course course; /* of these alone; lends lines */
    struct wal_line *lines;
    const struct manifest **backups; /* that lie on it, by their stop LSN */
    size_t backup_count;
};

static void path_done(struct path *path)
{
    free(path->lines);
    free(path->backups);
}

static const struct timeline_span *find_span(const struct path *path, uint32_t timeline)
{
    for (size_t i = 0; i < path->span_count; i++)
        if (path->spans[i].timeline == timeline)
            return &path->spans[i];
    return NULL;
}

uint32_t recovery_windows_timeline(const struct manifest *backup)
{
    return backup->wal_count > 0 ? backup->wal[backup->wal_count - 1].timeline : 0;
}

/* All that the backup needs comes before its timeline is left for the next. */
static bool is_on(const struct path *path, const struct manifest *backup)
{
    for (size_t i = 0; i < backup->wal_count; i++) {
        const struct timeline_span *span = find_span(path, backup->wal[i].timeline);
        if (!span || backup->wal[i].stop_lsn > span->end_lsn)
            return false;
    }
    return backup->wal_count > 0;
}

static bool has_its_wal(const struct path *path, const struct manifest *backup)
{
    for (size_t i = 0; i < backup->wal_count; i++) {
        const struct manifest_wal_range *range = &backup->wal[i];
        const struct wal_span wanted = {range->timeline, range->start_lsn, range->stop_lsn};
        struct wal_span gap;
        if (wal_course_gap(&path->course, &wanted, &gap))
            return false;
    }
    return true;
}

static int compare_backups(const void *a, const void *b)
{
    const struct manifest *x = *(const struct manifest *const *)a;
    const struct manifest *y = *(const struct manifest *const *)b;
    if (x->stop_lsn != y->stop_lsn)
        return x->stop_lsn < y->stop_lsn ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void path_init(struct path *path, const struct recovery_facts *facts,
                      const struct wal_line *line)
{
    *path = (struct path){.facts = facts, .timeline = line->timeline};
    path->alone = (struct timeline_span){line->timeline, 0, UINT64_MAX};
    path->spans = line->history ? line->history->spans : &path->alone;
    path->span_count = line->history ? line->history->count : 1;
    path->lines = own_alloc((facts->line_count + 1) * sizeof(path->lines[0]));
    size_t lines = 0;
    for (size_t i = 0; i < facts->line_count; i++)
        if (find_span(path, facts->lines[i].timeline))
            path->lines[lines++] = facts->lines[i];
    path->course = (struct wal_course){.spans = facts->spans,
                                       .span_count = facts->span_count,
                                       .lines = path->lines,
                                       .line_count = lines};
    path->backups = own_alloc((facts->backup_count + 1) * sizeof(path->backups[0]));
    for (size_t i = 0; i < facts->backup_count; i++)
        if (is_on(path, facts->backups[i]) && has_its_wal(path, facts->backups[i]))
            path->backups[path->backup_count++] = facts->backups[i];
    if (path->backup_count > 0)
        qsort(path->backups, path->backup_count, sizeof(path->backups[0]), compare_backups);
}

/* Up to where the timeline has WAL; 0: none. */
static uint64_t newest_wal(const struct recovery_facts *facts, uint32_t timeline)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < facts->span_count; i++)
        if (facts->spans[i].timeline == timeline && facts->spans[i].to > newest)
            newest = facts->spans[i].to;
    return newest;
}

/* Where the WAL ends that goes on from there without a gap. */
static struct recovery_point reach(const struct path *path, const struct recovery_point *from)
{
    const struct timeline_span *end = path->spans + path->span_count;
    for (const struct timeline_span *span = find_span(path, from->timeline); span < end; span++) {
        const uint64_t first = span->begin_lsn > from->lsn ? span->begin_lsn : from->lsn;
        const struct wal_span wanted = {span->timeline, first, span->end_lsn};
        struct wal_span gap;
        if (wal_course_gap(&path->course, &wanted, &gap))
            return (struct recovery_point){.timeline = gap.timeline, .lsn = gap.from};
    }
    return *from; /* not reached: the last timeline goes on for ever, and its WAL does not */
}

static struct recovery_point stop_of(const struct manifest *backup)
{
    return (struct recovery_point){.timeline = recovery_windows_timeline(backup),
                                   .lsn = backup->stop_lsn,
                                   .time_us = backup->finished_ms * 1000};
}

static struct recovery_window *open_window(struct recovery_windows *windows,
                                           const struct path *path, const struct manifest *first)
{
    windows->windows =
        own_resize(windows->windows, windows->count + 1, sizeof(windows->windows[0]));
    struct recovery_window *window = &windows->windows[windows->count++];
    *window = (struct recovery_window){.timeline = path->timeline, .from = stop_of(first)};
    window->to = reach(path, &window->from);
    window->backups = own_alloc(path->backup_count * sizeof(window->backups[0]));
    return window;
}

/* The first is opened by the first backup, another one by each backup behind a gap. */
static void add_windows(struct recovery_windows *windows, const struct path *path)
{
    struct recovery_window *window = NULL;
    for (size_t i = 0; i < path->backup_count; i++) {
        const struct manifest *backup = path->backups[i];
        if (!window || backup->stop_lsn > window->to.lsn)
            window = open_window(windows, path, backup);
        window->backups[window->backup_count++] = backup;
        if (backup->finished_ms * 1000 > window->to.time_us)
            window->to.time_us = backup->finished_ms * 1000;
    }
}

/* Those of one history are found along every timeline that it led to. */
static void add_gap(struct recovery_windows *windows, const struct wal_span *gap)
{
    for (size_t i = 0; i < windows->gap_count; i++)
        if (windows->gaps[i].timeline == gap->timeline && windows->gaps[i].from == gap->from &&
            windows->gaps[i].to == gap->to)
            return;
    windows->gaps = own_resize(windows->gaps, windows->gap_count + 1, sizeof(windows->gaps[0]));
    windows->gaps[windows->gap_count++] = *gap;
}

/* All that is missing behind the end of the first window, up to the newest WAL there is. */
static void add_gaps(struct recovery_windows *windows, const struct path *path,
                     const struct recovery_point *from)
{
    const struct timeline_span *end = path->spans + path->span_count;
    for (const struct timeline_span *span = find_span(path, from->timeline); span < end; span++) {
        struct wal_span wanted = {.timeline = span->timeline,
                                  .from = span->begin_lsn > from->lsn ? span->begin_lsn : from->lsn,
                                  .to = span->end_lsn};
        struct wal_span gap = {0};
        if (span->end_lsn == UINT64_MAX)
            wanted.to = newest_wal(path->facts, span->timeline);
        for (; wanted.from < wanted.to && wal_course_gap(&path->course, &wanted, &gap);
             wanted.from = gap.to)
            add_gap(windows, &gap);
    }
}

/* Of gaps, which may be those of other timelines: they are the same where they begin. */
static void note_ends(struct recovery_windows *windows)
{
    for (size_t i = 0; i < windows->count; i++) {
        struct recovery_window *window = &windows->windows[i];
        window->ended = recovery_windows_gap(windows, window);
    }
}

/* A timeline of which nothing but its history is there leads no further than the one before. */
static bool has_anything(const struct recovery_facts *facts, uint32_t timeline)
{
    if (newest_wal(facts, timeline) > 0)
        return true;
    for (size_t i = 0; i < facts->backup_count; i++)
        if (recovery_windows_timeline(facts->backups[i]) == timeline)
            return true;
    return false;
}

const struct wal_span *recovery_windows_gap(const struct recovery_windows *windows,
                                            const struct recovery_window *window)
{
    for (size_t i = 0; i < windows->gap_count; i++)
        if (windows->gaps[i].timeline == window->to.timeline &&
            windows->gaps[i].from == window->to.lsn)
            return &windows->gaps[i];
    return NULL;
}

void recovery_windows_done(struct recovery_windows *windows)
{
    for (size_t i = 0; i < windows->count; i++)
        free(windows->windows[i].backups);
    free(windows->windows);
    free(windows->gaps);
    *windows = (struct recovery_windows){0};
}

void recovery_windows_plan(const struct recovery_facts *facts, struct recovery_windows *ret_windows)
{
    struct recovery_windows windows = {0};
    for (size_t i = 0; i < facts->line_count; i++) {
        if (!has_anything(facts, facts->lines[i].timeline))
            continue;
        CLEANUP(path_done) struct path path;
        const size_t first = windows.count;
        path_init(&path, facts, &facts->lines[i]);
        add_windows(&windows, &path);
        if (windows.count > first)
            add_gaps(&windows, &path, &windows.windows[first].to);
    }
    wal_gap_sort(windows.gaps, windows.gap_count);
    note_ends(&windows);
    *ret_windows = windows;
}
