// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_presence.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_gap.h"

struct presence {
    struct repo *repo;
    const struct manifest *manifest;
    struct wal_span *spans[REGIONS_MAX]; /* what is there */
    size_t counts[REGIONS_MAX];
};

static void presence_done(struct presence *presence)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        free(presence->spans[i]);
}

static bool is_asked(const struct presence *presence, size_t region)
{
    struct regions *regions = presence->repo->regions;
    return regions_at(regions, region)->writable && regions_usable(regions, region);
}

static void add_name(struct presence *presence, const struct repo_name *name)
{
    struct wal_piece piece;
    if (wal_archive_parse_name(name->name, presence->manifest->wal_segment_bytes, &piece) < 0)
        return;
    for (size_t i = 0; i < regions_count(presence->repo->regions); i++) {
        if (!(name->regions & 1u << i))
            continue;
        presence->spans[i] =
            own_resize(presence->spans[i], presence->counts[i] + 1, sizeof(presence->spans[i][0]));
        presence->spans[i][presence->counts[i]++] = wal_piece_span(&piece);
    }
}

static int list_range(struct presence *presence, const struct manifest_wal_range *range,
                      struct error *err)
{
    struct regions *regions = presence->repo->regions;
    for (uint64_t log = range->start_lsn >> WAL_LOG_SHIFT; log <= range->stop_lsn >> WAL_LOG_SHIFT;
         log++) {
        CLEANUP(repo_names_done) struct repo_names names = {0};
        char prefix[WAL_ARCHIVE_NAME_MAX];
        wal_archive_log_prefix(range->timeline, log, prefix);
        if (repo_list(presence->repo, prefix, &names, err) < 0)
            return -1;
        for (size_t i = 0; i < regions_count(regions); i++) {
            if (!(names.unlisted & 1u << i) || !is_asked(presence, i))
                continue;
            *err = names.unlisted_error;
            if (regions_lose(regions, i, err) < 0)
                return -1;
        }
        for (size_t i = 0; i < names.count; i++)
            add_name(presence, &names.names[i]);
    }
    return 0;
}

static int check_span(struct presence *presence, const struct wal_span *wanted, struct error *err)
{
    for (size_t i = 0; i < regions_count(presence->repo->regions); i++) {
        char from[LSN_TEXT_BYTES], to[LSN_TEXT_BYTES];
        struct wal_span gap;
        if (!is_asked(presence, i))
            continue;
        wal_gap_sort(presence->spans[i], presence->counts[i]);
        if (!wal_gap_find(presence->spans[i], presence->counts[i], wanted, &gap))
            continue;
        lsn_format(gap.from, from);
        lsn_format(gap.to, to);
        return error_set(err, ERROR_CONFLICT,
                         "WAL from %s to %s on timeline %" PRIu32
                         " is not in region '%s' any more: somebody removed it meanwhile, run the "
                         "backup again",
                         from, to, gap.timeline, regions_at(presence->repo->regions, i)->name);
    }
    return 0;
}

int wal_presence_check(struct repo *repo, const struct manifest *manifest, struct error *err)
{
    CLEANUP(presence_done) struct presence presence = {.repo = repo, .manifest = manifest};
    for (size_t i = 0; i < manifest->wal_count; i++)
        if (list_range(&presence, &manifest->wal[i], err) < 0)
            return -1;
    for (size_t i = 0; i < manifest->wal_count; i++) {
        const struct wal_span wanted = manifest_wal_span(manifest, i);
        if (check_span(&presence, &wanted, err) < 0)
            return -1;
    }
    return 0;
}
