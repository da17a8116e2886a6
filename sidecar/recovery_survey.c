// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_survey.h"

#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_search.h"

static const char manifests[] = "manifests/";

void recovery_survey_done(struct recovery_survey *survey)
{
    recovery_windows_done(&survey->windows);
    for (size_t i = 0; i < survey->line_count; i++)
        timeline_done(&survey->histories[i]);
    for (size_t i = 0; i < survey->loaded_count; i++)
        manifest_done(&survey->loaded[i]);
    free(survey->backups);
    free(survey->loaded);
    free(survey->spans);
    free(survey->lines);
    free(survey->histories);
    *survey = (struct recovery_survey){0};
}

static void add_line(struct recovery_survey *survey, uint32_t timeline)
{
    for (size_t i = 0; i < survey->line_count; i++)
        if (survey->lines[i].timeline == timeline)
            return;
    survey->lines = own_resize(survey->lines, survey->line_count + 1, sizeof(survey->lines[0]));
    survey->lines[survey->line_count++] = (struct wal_line){.timeline = timeline};
}

static int compare_lines(const void *a, const void *b)
{
    const struct wal_line *x = a, *y = b;
    return (x->timeline > y->timeline) - (x->timeline < y->timeline);
}

/* Names of WAL: where the size of segments was changed (pg_resetwal --wal-segsize) only the objects
 * say it */

/* The one that the backups next to a log have, and those in it; 0: they differ. */
static uint32_t segment_bytes_in(const struct recovery_survey *survey, uint64_t log)
{
    const struct manifest *before = NULL, *behind = NULL;
    uint32_t found = 0;
    for (size_t i = 0; i < survey->backup_count; i++) {
        const struct manifest *backup = survey->backups[i];
        if (backup->stop_lsn >> WAL_LOG_SHIFT < log) {
            before = !before || backup->stop_lsn > before->stop_lsn ? backup : before;
        } else if (backup->start_lsn >> WAL_LOG_SHIFT > log) {
            behind = !behind || backup->start_lsn < behind->start_lsn ? backup : behind;
        } else if (found != 0 && found != backup->wal_segment_bytes) {
            return 0;
        } else {
            found = backup->wal_segment_bytes;
        }
    }
    const struct manifest *const next[] = {before, behind};
    for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
        if (next[i] && found != 0 && found != next[i]->wal_segment_bytes)
            return 0;
        found = next[i] ? next[i]->wal_segment_bytes : found;
    }
    return found;
}

/* 1; 0: it is none, or cannot be told, which is logged. */
static int ask_object(struct recovery_survey *survey, const struct repo_name *name,
                      struct wal_piece *ret_piece, struct error *err)
{
    if (cancel_check(survey->options.cancel, err) < 0)
        return -1;
    if (wal_archive_describe(survey->options.repo, name->name, name->size, ret_piece, err) == 0)
        return 1;
    if (err->kind == ERROR_CANCELED)
        return -1;
    if (err->kind == ERROR_TRANSIENT && !survey->incomplete) {
        survey->incomplete = true;
        survey->unlisted_error = *err;
    }
    log_warn("Passed over an object of the WAL archive", S("object", name->name),
             S("error", err->text));
    return 0;
}

/* The log that was asked about last, and the size of its segments. */
struct log_size {
    uint64_t log;
    uint32_t segment_bytes;
};

static int read_name(struct recovery_survey *survey, const struct repo_name *name,
                     struct log_size *last, struct wal_piece *ret_piece, struct error *err)
{
    struct wal_piece guess;
    if (wal_archive_guess_name(name->name, last->segment_bytes, &guess) < 0)
        return 0;
    const uint64_t log = guess.segment_lsn >> WAL_LOG_SHIFT;
    if (log != last->log)
        *last = (struct log_size){log, segment_bytes_in(survey, log)};
    if (last->segment_bytes == 0)
        return ask_object(survey, name, ret_piece, err);
    return wal_archive_parse_name(name->name, last->segment_bytes, ret_piece) == 0;
}

static int read_names(struct recovery_survey *survey, const struct repo_names *names,
                      struct error *err)
{
    struct log_size last = {.log = UINT64_MAX};
    survey->spans = own_alloc((names->count + 1) * sizeof(survey->spans[0]));
    for (size_t i = 0; i < names->count; i++) {
        struct wal_piece piece;
        if (wal_archive_parse_history_name(names->names[i].name, &piece.timeline)) {
            add_line(survey, piece.timeline);
            continue;
        }
        const int read = read_name(survey, &names->names[i], &last, &piece, err);
        if (read < 0)
            return -1;
        if (read == 0)
            continue;
        survey->spans[survey->span_count++] = wal_piece_span(&piece);
        if (survey->span_count < 2 ||
            survey->spans[survey->span_count - 2].timeline != piece.timeline)
            add_line(survey, piece.timeline);
    }
    wal_gap_sort(survey->spans, survey->span_count);
    return 0;
}

static void read_backups(struct recovery_survey *survey)
{
    for (size_t i = 0; i < survey->backup_count; i++)
        for (size_t j = 0; j < survey->backups[i]->wal_count; j++)
            add_line(survey, survey->backups[i]->wal[j].timeline);
    if (survey->line_count > 0)
        qsort(survey->lines, survey->line_count, sizeof(survey->lines[0]), compare_lines);
}

static void be_alone(struct timeline *history, uint32_t timeline)
{
    *history = (struct timeline){.spans = own_alloc(sizeof(history->spans[0])), .count = 1};
    history->spans[0] = (struct timeline_span){.timeline = timeline, .end_lsn = UINT64_MAX};
}

static int load_history(const struct recovery_survey *survey, struct wal_line *line,
                        struct timeline *history, struct error *err)
{
    if (wal_archive_load_history(survey->options.repo, line->timeline, history, err) == 0) {
        line->history = history;
        return 0;
    }
    if (err->kind == ERROR_CANCELED || (err->kind == ERROR_TRANSIENT && !survey->incomplete))
        return -1;
    log_warn("Could not tell where a timeline comes from", U("timeline", line->timeline),
             S("error", err->text));
    be_alone(history, line->timeline);
    return 0;
}

static int load_histories(struct recovery_survey *survey, struct error *err)
{
    survey->histories = own_alloc((survey->line_count + 1) * sizeof(survey->histories[0]));
    for (size_t i = 0; i < survey->line_count; i++)
        if (cancel_check(survey->options.cancel, err) < 0 ||
            load_history(survey, &survey->lines[i], &survey->histories[i], err) < 0)
            return -1;
    return 0;
}

/* As given, or listed into ret_listed; NULL: that failed. */
static const struct repo_names *names_below(struct recovery_survey *survey, const char *prefix,
                                            struct repo_names *ret_listed, struct error *err)
{
    if (survey->options.names)
        return survey->options.names;
    if (repo_list(survey->options.repo, prefix, ret_listed, err) < 0)
        return NULL;
    if (ret_listed->unlisted != 0) {
        survey->incomplete = true;
        survey->unlisted_error = ret_listed->unlisted_error;
    }
    return ret_listed;
}

static int read_wal(struct recovery_survey *survey, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names listed = {0};
    const struct repo_names *names = names_below(survey, "wal/", &listed, err);
    return names ? read_names(survey, names, err) : -1;
}

/* Once the backups are known. */
static int look(struct recovery_survey *survey, struct error *err)
{
    if (survey->backup_count == 0)
        return 0;
    if (read_wal(survey, err) < 0)
        return -1;
    read_backups(survey);
    if (load_histories(survey, err) < 0)
        return -1;
    const struct recovery_facts facts = {
        .backups = survey->backups,
        .backup_count = survey->backup_count,
        .spans = survey->spans,
        .span_count = survey->span_count,
        .lines = survey->lines,
        .line_count = survey->line_count,
    };
    recovery_windows_plan(&facts, &survey->windows);
    return 0;
}

/* Backups */

static void lend_manifests(struct recovery_survey *survey)
{
    const struct recovery_survey_options *options = &survey->options;
    survey->backups = own_alloc((options->backup_count + 1) * sizeof(survey->backups[0]));
    for (size_t i = 0; i < options->backup_count; i++)
        survey->backups[survey->backup_count++] = options->backups[i];
}

static int load_manifest(struct recovery_survey *survey, const char *id, struct error *err)
{
    struct manifest *manifest = &survey->loaded[survey->loaded_count];
    if (cancel_check(survey->options.cancel, err) < 0)
        return -1;
    if (repo_load_manifest(survey->options.repo, id, manifest, err) == 0) {
        survey->loaded_count++;
        survey->backups[survey->backup_count++] = manifest;
        return 0;
    }
    if (err->kind == ERROR_CANCELED)
        return -1;
    log_warn("Passed over a backup whose manifest cannot be read", S("backup", id),
             S("error", err->text));
    return 0;
}

static int load_manifests(struct recovery_survey *survey, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names listed = {0};
    const struct repo_names *names = names_below(survey, manifests, &listed, err);
    if (!names)
        return -1;
    const size_t first = repo_names_lower_bound(names, manifests);
    size_t end = first;
    while (end < names->count && text_starts_with(names->names[end].name, manifests))
        end++;
    survey->loaded = own_alloc((end - first + 1) * sizeof(survey->loaded[0]));
    survey->backups = own_alloc((end - first + 1) * sizeof(survey->backups[0]));
    for (size_t i = first; i < end; i++)
        if (load_manifest(survey, names->names[i].name + strlen(manifests), err) < 0)
            return -1;
    return 0;
}

int recovery_survey_make(struct recovery_survey *ret_survey,
                         const struct recovery_survey_options *options, struct error *err)
{
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {.options = *options};
    if (options->backups)
        lend_manifests(&survey);
    else if (load_manifests(&survey, err) < 0)
        return -1;
    if (look(&survey, err) < 0)
        return -1;
    *ret_survey = survey;
    survey = (struct recovery_survey){0};
    ret_survey->options.names = NULL;
    return 0;
}

const struct timeline *recovery_survey_history(const struct recovery_survey *survey,
                                               uint32_t timeline)
{
    for (size_t i = 0; i < survey->line_count; i++)
        if (survey->lines[i].timeline == timeline)
            return &survey->histories[i];
    return NULL;
}

static int find_end(const struct recovery_survey *survey, struct recovery_window *window,
                    struct error *err)
{
    const struct wal_search search = {
        .repo = survey->options.repo,
        .history = recovery_survey_history(survey, window->timeline),
        .segment_bytes = window->backups[0]->wal_segment_bytes,
        .from = window->from.lsn,
        .to = window->to.lsn,
        .cancel = survey->options.cancel,
    };
    struct wal_record last = {0};
    if (search.from < search.to && wal_search_last(&search, &last, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        log_warn("Could not tell when the last transaction ended", U("timeline", window->timeline),
                 S("error", err->text));
        return 0;
    }
    if (last.kind == WAL_RECORD_NONE)
        return 0;
    window->to.time_us = last.time_us;
    window->to_is_transaction = true;
    return 0;
}

int recovery_survey_find_ends(struct recovery_survey *survey, size_t last, struct error *err)
{
    const struct recovery_windows *windows = &survey->windows;
    for (size_t i = windows->count > last ? windows->count - last : 0; i < windows->count; i++)
        if (find_end(survey, &windows->windows[i], err) < 0)
            return -1;
    return 0;
}
