// SPDX-License-Identifier: Apache-2.0
#include "sidecar/recovery_survey.h"

#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
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

/* WAL is taken for what its name says. */
static void read_names(struct recovery_survey *survey, const struct repo_names *names)
{
    survey->spans = own_alloc((names->count + 1) * sizeof(survey->spans[0]));
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->names[i].name;
        struct wal_piece piece;
        if (wal_archive_parse_history_name(name, &piece.timeline)) {
            add_line(survey, piece.timeline);
            continue;
        }
        if (wal_archive_parse_name(name, survey->segment_bytes, &piece) < 0)
            continue;
        survey->spans[survey->span_count++] = wal_piece_span(&piece);
        if (survey->span_count < 2 ||
            survey->spans[survey->span_count - 2].timeline != piece.timeline)
            add_line(survey, piece.timeline);
    }
    wal_gap_sort(survey->spans, survey->span_count);
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
    log_warn("Cannot tell where a timeline comes from", U("timeline", line->timeline),
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
    if (!names)
        return -1;
    read_names(survey, names);
    return 0;
}

/* Once the backups are known. */
static int look(struct recovery_survey *survey, struct error *err)
{
    if (survey->backup_count == 0)
        return 0;
    survey->segment_bytes = survey->backups[survey->backup_count - 1]->wal_segment_bytes;
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
        .segment_bytes = survey->segment_bytes,
        .from = window->from.lsn,
        .to = window->to.lsn,
        .cancel = survey->options.cancel,
    };
    struct wal_record last = {0};
    if (search.from < search.to && wal_search_last(&search, &last, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        log_warn("Cannot tell when the last transaction ended", U("timeline", window->timeline),
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
