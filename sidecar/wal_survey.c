// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_survey.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_place.h"
#include "sidecar/wal_tails.h"

struct survey {
    const struct wal_survey_options *options;
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
            !a_quorum_has(survey, name))
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
    note_names(survey, &names);
    if (survey->options->tails)
        note_tails(survey, &names);
    return 0;
}

/* What is there from kept_lsn on. */
static int list_since(struct survey *survey, struct error *err)
{
    const struct wal_survey_options *options = survey->options;
    const uint64_t kept_lsn = options->kept_lsn;
    for (size_t i = 0; i < options->history->count; i++) {
        const struct timeline_span *line = &options->history->spans[i];
        if (line->end_lsn <= kept_lsn)
            continue;
        const uint64_t from = line->begin_lsn > kept_lsn ? line->begin_lsn : kept_lsn;
        const uint64_t to =
            line->end_lsn < options->server_lsn ? line->end_lsn : options->server_lsn;
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
    if (list_since(&survey, err) < 0)
        return -1;
    *ret_place = find_place(&survey);
    if (ret_place->joins)
        return 0;
    if (list_all(&survey, err) < 0)
        return -1;
    *ret_place = find_place(&survey);
    return 0;
}
