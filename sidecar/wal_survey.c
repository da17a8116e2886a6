// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_survey.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_anchor.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_place.h"
#include "sidecar/wal_tails.h"

struct survey {
    const struct wal_survey_options *options;
    bool any;      /* one region is enough */
    bool unlisted; /* one of them was not listed */
    struct wal_span *spans;
    size_t count;
};

static void survey_done(struct survey *survey)
{
    free(survey->spans);
}

static bool a_quorum_has(const struct survey *survey, const struct repo_name *name)
{
    struct regions *regions = survey->options->repo->regions;
    const uint32_t there = name->regions & regions_mask(regions, false);
    return (size_t)__builtin_popcount(there) >= regions_quorum(regions);
}

static void note_names(struct survey *survey, const struct repo_names *names)
{
    struct wal_piece piece;
    for (size_t i = 0; i < names->count; i++) {
        const struct repo_name *name = &names->names[i];
        if (wal_archive_parse_name(name->name, survey->options->segment_bytes, &piece) < 0 ||
            !(survey->any || a_quorum_has(survey, name)))
            continue;
        survey->spans = own_resize(survey->spans, survey->count + 1, sizeof(survey->spans[0]));
        survey->spans[survey->count++] = wal_piece_span(&piece);
    }
}

/* What crashes left behind goes: parts of segments that every region here has complete. */
static void note_tails(const struct survey *survey, const struct repo_names *names)
{
    const struct wal_survey_options *options = survey->options;
    const uint32_t all = regions_mask(options->repo->regions, false);
    struct wal_piece piece;
    for (int complete = 0; complete <= 1; complete++)
        for (size_t i = 0; i < names->count; i++) {
            const struct repo_name *name = &names->names[i];
            if (wal_archive_parse_name(name->name, options->segment_bytes, &piece) < 0 ||
                (piece.to - piece.from == options->segment_bytes) != complete)
                continue;
            if (!complete)
                wal_tails_add(options->tails, name->name, &piece);
            else if ((name->regions & all) == all)
                wal_tails_cover(options->tails, name->name, &piece);
        }
}

static int list_log(struct survey *survey, uint32_t timeline, uint64_t log, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_log_prefix(timeline, log, prefix);
    if (repo_list(survey->options->repo, prefix, &names, err) < 0)
        return -1;
    survey->unlisted |= names.unlisted != 0;
    note_names(survey, &names);
    if (survey->options->tails)
        note_tails(survey, &names);
    return 0;
}

static uint64_t max_of(uint64_t x, uint64_t y)
{
    return x > y ? x : y;
}

static uint64_t min_of(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

static int list_between(struct survey *survey, uint64_t begin_lsn, uint64_t end_lsn,
                        struct error *err)
{
    const struct timeline *history = survey->options->history;
    for (size_t i = 0; i < history->count; i++) {
        const struct timeline_span *line = &history->spans[i];
        if (line->end_lsn <= begin_lsn)
            continue;
        const uint64_t from = max_of(line->begin_lsn, begin_lsn);
        const uint64_t to = min_of(line->end_lsn, end_lsn);
        for (uint64_t log = from >> WAL_LOG_SHIFT; log <= to >> WAL_LOG_SHIFT; log++)
            if (list_log(survey, line->timeline, log, err) < 0)
                return -1;
    }
    return 0;
}

static int list_all(struct survey *survey, struct error *err)
{
    const struct timeline *history = survey->options->history;
    for (size_t i = 0; i < history->count; i++) {
        CLEANUP(repo_names_done) struct repo_names names = {0};
        char prefix[WAL_ARCHIVE_NAME_MAX];
        wal_archive_timeline_prefix(history->spans[i].timeline, prefix);
        if (repo_list(survey->options->repo, prefix, &names, err) < 0)
            return -1;
        note_names(survey, &names);
    }
    return 0;
}

static struct wal_place find_place(struct survey *survey)
{
    const struct wal_place_facts facts = {
        .spans = survey->spans,
        .span_count = survey->count,
        .history = survey->options->history,
        .kept_lsn = survey->options->kept_lsn,
    };
    wal_gap_sort(survey->spans, survey->count);
    return wal_place_find(&facts);
}

int wal_survey_run(const struct wal_survey_options *options, struct wal_place *ret_place,
                   struct error *err)
{
    CLEANUP(survey_done) struct survey survey = {.options = options};
    if (list_between(&survey, options->kept_lsn, options->server_lsn, err) < 0)
        return -1;
    *ret_place = find_place(&survey);
    if (ret_place->joins)
        return 0;
    if (list_all(&survey, err) < 0)
        return -1;
    *ret_place = find_place(&survey);
    return 0;
}

/* From the first byte to the last of it; of several timelines, that of the first. */
static struct wal_span find_missing(const struct survey *survey, const struct wal_span *gap)
{
    const struct timeline *history = survey->options->history;
    struct wal_span all = {0}, missing;
    for (size_t i = 0; i < history->count; i++) {
        const struct timeline_span *line = &history->spans[i];
        struct wal_span wanted = {line->timeline, max_of(line->begin_lsn, gap->from),
                                  min_of(line->end_lsn, gap->to)};
        for (; wanted.from < wanted.to &&
               wal_gap_find(survey->spans, survey->count, &wanted, &missing);
             wanted.from = missing.to) {
            if (all.to == 0)
                all = missing;
            all.to = missing.to;
        }
    }
    return all;
}

int wal_survey_gap(const struct wal_survey_options *options, struct wal_span *gap,
                   struct error *err)
{
    CLEANUP(survey_done) struct survey survey = {.options = options, .any = true};
    if (regions_count(options->repo->regions) < options->region_count)
        return 0;
    if (list_between(&survey, gap->from, gap->to, err) < 0)
        return -1;
    if (survey.unlisted)
        return 0;
    wal_gap_sort(survey.spans, survey.count);
    *gap = find_missing(&survey, gap);
    return 1;
}

int wal_survey_look_back(const struct wal_survey_options *options, uint64_t end_lsn,
                         struct wal_span *ret_gap, struct error *err)
{
    struct wal_span all = {.to = end_lsn};
    if (regions_count(options->repo->regions) < options->region_count)
        return 0;
    int told = wal_anchor_find(options->repo, options->history, INT64_MAX, &all.from, err);
    if (told < 0 && err->kind != ERROR_CANCELED)
        return 0;
    if (told > 0 && (all.from == 0 || all.from >= end_lsn))
        all.to = 0;
    else if (told > 0)
        told = wal_survey_gap(options, &all, err);
    if (told > 0)
        *ret_gap = all;
    return told;
}
