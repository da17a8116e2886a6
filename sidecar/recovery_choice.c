// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_choice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/recovery_target.h"
#include "sidecar/recovery_time.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_search.h"

enum { WINDOWS_SHOWN = 3, US_PER_MS = 1000 };

struct choice {
    struct recovery_survey *survey;
    const struct recovery_target *target;
    const char *backup;                  /* NULL: any */
    const struct recovery_window *ended; /* the first one behind whose end the target is … */
    const struct wal_span *gap;          /* … because WAL is missing there */
};

/* How a target is reached within a window. */
struct way {
    const struct manifest *backup; /* to begin with */
    struct wal_record stop;        /* at which recovery ends; NONE: it has not to be looked for */
};

/* The timeline that recovery shall follow; 0: each backup its own. */
static uint32_t wanted_timeline(const struct choice *choice)
{
    const struct recovery_windows *windows = &choice->survey->windows;
    const struct recovery_target *target = choice->target;
    if (target->kind == RECOVERY_TARGET_IMMEDIATE || target->timeline == RECOVERY_TIMELINE_CURRENT)
        return 0;
    if (target->timeline == RECOVERY_TIMELINE_NUMBER)
        return target->timeline_number;
    return windows->windows[windows->count - 1].timeline;
}

static bool may_serve(const struct choice *choice, const struct recovery_window *window,
                      const struct manifest *backup)
{
    if (choice->backup && strcmp(choice->backup, backup->id) != 0)
        return false;
    return wanted_timeline(choice) != 0 || recovery_windows_timeline(backup) == window->timeline;
}

/* Whether all that is in the backup came before the target. */
static bool is_before(const struct recovery_target *target, const struct manifest *backup)
{
    if (target->kind == RECOVERY_TARGET_TIME)
        return backup->finished_ms * US_PER_MS <= target->time_us;
    if (target->kind == RECOVERY_TARGET_LSN)
        return backup->stop_lsn <= target->lsn;
    return true;
}

/* The newest backup of the window before index end that serves; NULL: none. */
static const struct manifest *newest(const struct choice *choice,
                                     const struct recovery_window *window, size_t end)
{
    for (size_t i = end; i > 0; i--) {
        const struct manifest *backup = window->backups[i - 1];
        if (may_serve(choice, window, backup) && is_before(choice->target, backup))
            return backup;
    }
    return NULL;
}

static int find(const struct choice *choice, const struct recovery_window *window, uint64_t from,
                uint64_t to, struct wal_record *ret_record, struct error *err)
{
    static const int kinds[] = {
        [RECOVERY_TARGET_TIME] = WAL_SEARCH_TIME,
        [RECOVERY_TARGET_LSN] = WAL_SEARCH_LSN,
        [RECOVERY_TARGET_XID] = WAL_SEARCH_XID,
        [RECOVERY_TARGET_NAME] = WAL_SEARCH_NAME,
    };
    const struct recovery_target *target = choice->target;
    const struct wal_search search = {
        .repo = choice->survey->options.repo,
        .history = recovery_survey_history(choice->survey, window->timeline),
        .segment_bytes = window->backups[0]->wal_segment_bytes,
        .from = from,
        .to = to,
        .cancel = choice->survey->options.cancel,
    };
    struct wal_search_wish wish = {
        .time_us = target->time_us,
        .later = !target->exclusive,
        .xid = target->xid,
        .name = target->name,
        .lsn = target->lsn,
    };
    wish.by = (__typeof__(wish.by))kinds[target->kind];
    *ret_record = (struct wal_record){0};
    return from < to ? wal_search_first(&search, &wish, ret_record, err) : 0;
}

/* The target is behind the end of the window. */
static void note_end(struct choice *choice, const struct recovery_window *window)
{
    if (choice->ended)
        return;
    choice->ended = window;
    choice->gap = recovery_windows_gap(&choice->survey->windows, window);
}

/* Each gives 1 with the way; 0: not in this window; or -1. */

/* Time or LSN: known beforehand, so the backup is; it has to be reached. */
static int try_place(struct choice *choice, const struct recovery_window *window,
                     struct way *ret_way, struct error *err)
{
    const struct manifest *backup = newest(choice, window, window->backup_count);
    *ret_way = (struct way){.backup = backup};
    if (!backup)
        return 0;
    if (find(choice, window, backup->stop_lsn, window->to.lsn, &ret_way->stop, err) < 0)
        return -1;
    if (ret_way->stop.kind != WAL_RECORD_NONE)
        return 1;
    note_end(choice, window);
    return 0;
}

/* Transaction or restore point: looked for from each backup to the next, the newest first. */
static int try_search(struct choice *choice, const struct recovery_window *window,
                      struct way *ret_way, struct error *err)
{
    uint64_t to = window->to.lsn;
    for (size_t i = window->backup_count; i > 0; i--) {
        const struct manifest *backup = window->backups[i - 1];
        if (!may_serve(choice, window, backup))
            continue;
        *ret_way = (struct way){.backup = backup};
        if (find(choice, window, backup->stop_lsn, to, &ret_way->stop, err) < 0)
            return -1;
        if (ret_way->stop.kind != WAL_RECORD_NONE)
            return 1;
        to = backup->stop_lsn;
    }
    return 0;
}

/* All WAL there is: nothing of it may be missing behind the window. */
static int try_latest(struct choice *choice, const struct recovery_window *window,
                      struct way *ret_way)
{
    *ret_way = (struct way){.backup = newest(choice, window, window->backup_count)};
    if (!ret_way->backup)
        return 0;
    if (!window->ended)
        return 1;
    note_end(choice, window);
    return 0;
}

static int try_window(struct choice *choice, const struct recovery_window *window,
                      struct way *ret_way, struct error *err)
{
    switch (choice->target->kind) {
    case RECOVERY_TARGET_TIME:
    case RECOVERY_TARGET_LSN:
        return try_place(choice, window, ret_way, err);
    case RECOVERY_TARGET_XID:
    case RECOVERY_TARGET_NAME:
        return try_search(choice, window, ret_way, err);
    case RECOVERY_TARGET_LATEST:
        return try_latest(choice, window, ret_way);
    default:
        *ret_way = (struct way){.backup = newest(choice, window, window->backup_count)};
        return ret_way->backup ? 1 : 0;
    }
}

/* PostgreSQL takes no timeline for its target whose history it cannot read. */
static bool has_history(const struct recovery_survey *survey, uint32_t timeline)
{
    for (size_t i = 0; i < survey->line_count; i++)
        if (survey->lines[i].timeline == timeline)
            return survey->lines[i].history != NULL;
    return false;
}

/* Whether the segments of the record can be had of this timeline, up to its end. */
static bool has_record(const struct recovery_survey *survey, uint32_t timeline,
                       uint32_t segment_bytes, const struct wal_record *record)
{
    const struct wal_span wanted = {
        .timeline = timeline,
        .from = wal_segment_start(record->lsn, segment_bytes),
        .to = record->end_lsn,
    };
    struct wal_span missing;
    return !wal_gap_find(survey->spans, survey->span_count, &wanted, &missing);
}

static uint64_t end_of(const struct recovery_target *target, const struct recovery_window *window,
                       const struct way *way)
{
    if (target->kind == RECOVERY_TARGET_IMMEDIATE)
        return way->backup->stop_lsn;
    return way->stop.kind == WAL_RECORD_NONE ? window->to.lsn : way->stop.end_lsn;
}

/* "timeline 1 from 2026-11-21T16:14:20Z (0/3000120) to 2026-11-21T16:20:11Z (0/5000000)" */
static char *describe_window(const struct recovery_window *window)
{
    char from_lsn[LSN_TEXT_BYTES], to_lsn[LSN_TEXT_BYTES];
    char from[RECOVERY_TIME_BYTES], to[RECOVERY_TIME_BYTES];
    const int seconds = (int)strlen("2026-11-21T16:14:20");
    lsn_format(window->from.lsn, from_lsn);
    lsn_format(window->to.lsn, to_lsn);
    recovery_time_format(window->from.time_us, from);
    recovery_time_format(window->to.time_us, to);
    return own_format("timeline %" PRIu32 " from %.*sZ (%s) to %.*sZ (%s)", window->timeline,
                      seconds, from, from_lsn, seconds, to, to_lsn);
}

/* The newest windows; own_freep. */
static char *describe_windows(const struct recovery_windows *windows)
{
    char *text = own_strdup("");
    for (size_t i = windows->count, shown = 0; i > 0 && shown < WINDOWS_SHOWN; i--, shown++) {
        CLEANUP(own_freep) char *before = text;
        CLEANUP(own_freep) char *window = describe_window(&windows->windows[i - 1]);
        text = own_format("%s%s%s", before, shown > 0 ? "; " : "", window);
    }
    if (windows->count <= WINDOWS_SHOWN)
        return text;
    CLEANUP(own_freep) char *before = text;
    return own_format("%s; and %zu more, see 'list --windows'", before,
                      windows->count - WINDOWS_SHOWN);
}

static bool has_window(const struct choice *choice, uint32_t timeline)
{
    const struct recovery_windows *windows = &choice->survey->windows;
    for (size_t i = 0; i < windows->count; i++)
        if (timeline == 0 || windows->windows[i].timeline == timeline)
            return true;
    return false;
}

/* Why the target is in no window, nor behind one; own_freep. */
static char *describe_absence(const struct choice *choice)
{
    const uint32_t timeline = wanted_timeline(choice);
    if (!has_window(choice, timeline))
        return own_format(": no backup leads to timeline %" PRIu32, timeline);
    switch (choice->target->kind) {
    case RECOVERY_TARGET_XID:
        return own_strdup(": no such transaction ended in the WAL behind the backups (a "
                          "subtransaction ends with the transaction around it)");
    case RECOVERY_TARGET_NAME:
        return own_strdup(": it is not in the WAL behind the backups");
    case RECOVERY_TARGET_TIME:
    case RECOVERY_TARGET_LSN:
        return own_strdup(": no backup had ended by then");
    default:
        return own_strdup("");
    }
}

/* PostgreSQL stops at a time when it sees a transaction that ended later, and at an LSN when a
 * record begins there: without one it would come to the end of the WAL and fail. own_freep */
static char *describe_reason(const struct choice *choice)
{
    char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES], last[RECOVERY_TIME_BYTES];
    const struct recovery_window *ended = choice->ended;
    if (choice->gap) {
        lsn_format(choice->gap->from, from);
        lsn_format(choice->gap->to, to);
        return own_format(": no WAL from %s to %s on timeline %" PRIu32
                          ", and there is more behind that",
                          from, to, choice->gap->timeline);
    }
    if (!ended)
        return describe_absence(choice);
    lsn_format(ended->to.lsn, to);
    if (choice->target->kind == RECOVERY_TARGET_LSN)
        return own_format(": no record begins there or later, as the WAL ends at %s", to);
    recovery_time_format(ended->to.time_us, last);
    return own_format(": %s at %s, and PostgreSQL stops at a time only when it sees a transaction "
                      "that ended later; --target-latest gives all there is",
                      ended->to_is_transaction
                          ? "the last transaction in the WAL ended"
                          : "no transaction ended since the last backup, which was finished",
                      last);
}

/* What no region says it has, one that did not answer may have. */
static int refuse_for(const struct choice *choice, const char *text, struct error *err)
{
    const struct recovery_survey *survey = choice->survey;
    if (!survey->incomplete)
        return error_set(err, ERROR_PERMANENT, "%s", text);
    return error_set(err, ERROR_TRANSIENT, "not all regions could be listed (%s); without them %s",
                     survey->unlisted_error.text, text);
}

static int refuse(const struct choice *choice, struct error *err)
{
    if (recovery_survey_find_ends(choice->survey, SIZE_MAX, err) < 0)
        return -1;
    CLEANUP(own_freep) char *target = recovery_target_describe(choice->target);
    CLEANUP(own_freep) char *windows = describe_windows(&choice->survey->windows);
    CLEANUP(own_freep)
    char *backup =
        choice->backup ? own_format(" from backup '%s'", choice->backup) : own_strdup("");
    CLEANUP(own_freep) char *text = NULL;
    if (choice->survey->windows.count == 0) {
        text = own_format("there is no recovery to %s%s: no backup has its WAL", target, backup);
        return refuse_for(choice, text, err);
    }
    CLEANUP(own_freep) char *reason = describe_reason(choice);
    text = own_format("there is no recovery to %s%s%s; there is to %s", target, backup, reason,
                      windows);
    return refuse_for(choice, text, err);
}

/*
 * The timeline on which recovery ends. A later one leads there as well, but begins with a copy of
 * the segment with the fork: PostgreSQL would replay the copy and, for what transactions have
 * prepared that are left over at the end, look for the original (XLogReadDetermineTimeline in
 * access/transam/xlogutils.c). A later one is taken only while nothing else is in the repository.
 */
uint32_t recovery_choice_timeline(const struct recovery_survey *survey,
                                  const struct recovery_window *window,
                                  const struct wal_record *stop)
{
    const struct timeline *history = recovery_survey_history(survey, window->timeline);
    const struct timeline_span *last = &history->spans[history->count - 1], *span = history->spans;
    if (stop->kind == WAL_RECORD_NONE)
        return window->timeline;
    while (span < last && span->end_lsn <= stop->lsn)
        span++;
    while (span < last &&
           !(has_history(survey, span->timeline) &&
             has_record(survey, span->timeline, window->backups[0]->wal_segment_bytes, stop)))
        span++;
    return span->timeline;
}

int recovery_choice_make(struct recovery_survey *survey, const struct recovery_target *target,
                         const char *backup, struct recovery_choice *ret_choice, struct error *err)
{
    struct choice choice = {.survey = survey, .target = target, .backup = backup};
    const uint32_t timeline = survey->windows.count > 0 ? wanted_timeline(&choice) : 0;
    for (size_t i = survey->windows.count; i > 0; i--) {
        const struct recovery_window *window = &survey->windows.windows[i - 1];
        struct way way;
        if (timeline != 0 && window->timeline != timeline)
            continue;
        const int tried = try_window(&choice, window, &way, err);
        if (tried < 0)
            return -1;
        if (tried == 0)
            continue;
        snprintf(ret_choice->backup, sizeof(ret_choice->backup), "%s", way.backup->id);
        ret_choice->timeline = recovery_choice_timeline(survey, window, &way.stop);
        ret_choice->from_lsn = way.backup->stop_lsn;
        ret_choice->segment_bytes = way.backup->wal_segment_bytes;
        ret_choice->to_lsn = end_of(target, window, &way);
        return 0;
    }
    return refuse(&choice, err);
}
