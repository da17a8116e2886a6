// SPDX-License-Identifier: Apache-2.0
#include "sidecar/parent_search.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

static void describe(struct parent_candidate *candidate, struct manifest *manifest)
{
    candidate->system_identifier = manifest->system_identifier;
    candidate->type = manifest->type;
    candidate->checksums = manifest->checksums;
    candidate->wal = TAKE(manifest->wal);
    candidate->wal_count = manifest->wal_count;
    candidate->pack_ranges = manifest->pack_count;
}

static int add_candidate(struct parent_search *search, const struct repo_name *name,
                         struct error *err)
{
    const char *id = name->name + strlen("manifests/");
    struct parent_candidate candidate = {.regions = name->regions};
    int64_t start_ms;
    if (!backup_id_parse(id, &candidate.type, &start_ms))
        return 0;
    memcpy(candidate.id, id, strlen(id) + 1);
    CLEANUP(manifest_done) struct manifest manifest = {0};
    search->candidates =
        own_resize(search->candidates, search->count + 1, sizeof(search->candidates[0]));
    search->candidates[search->count++] = candidate;
    if (repo_load_manifest(search->repo, id, &manifest, err) == 0)
        describe(&search->candidates[search->count - 1], &manifest);
    else if (err->kind == ERROR_CANCELED)
        return -1;
    else
        parent_search_refuse(search, search->count - 1, err);
    return 0;
}

static int mark_retired(struct parent_search *search, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(search->repo, "retired/", &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++)
        for (size_t j = 0; j < search->count; j++)
            if (strcmp(names.names[i].name + strlen("retired/"), search->candidates[j].id) == 0)
                search->candidates[j].retired = true;
    return 0;
}

/* The same bytes of WAL by name, but for the hash of their content. */
static bool contradicts(const char *a, const char *b)
{
    size_t size = (size_t)(strrchr(a, '-') - a);
    return strrchr(b, '-') == b + size && memcmp(a, b, size) == 0;
}

static int check_log(struct repo *repo, const char *prefix, uint64_t start_lsn,
                     uint32_t segment_bytes, struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    const char *before = NULL;
    if (repo_list(repo, prefix, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name;
        struct wal_piece piece;
        if (wal_archive_parse_name(name, segment_bytes, &piece) < 0 ||
            piece.segment_lsn + piece.to <= start_lsn)
            continue;
        if (before && contradicts(before, name))
            return error_set(err, ERROR_CONFLICT, "'%s' and '%s' are of different histories",
                             before, name);
        before = name;
    }
    return 0;
}

void parent_search_refuse(struct parent_search *search, size_t index, const struct error *reason)
{
    struct parent_candidate *candidate = &search->candidates[index];
    size_t size = strlen(reason->text);
    if (size >= sizeof(candidate->refused))
        size = sizeof(candidate->refused) - 1;
    memcpy(candidate->refused, reason->text, size);
    candidate->refused[size] = '\0';
    log_warn("Passed a backup over as parent", S("backup", candidate->id),
             S("reason", reason->text));
}

uint32_t parent_search_regions(const struct repo *repo)
{
    uint32_t regions = 0;
    for (size_t i = 0; i < regions_count(repo->regions); i++)
        if (regions_at(repo->regions, i)->writable && regions_usable(repo->regions, i))
            regions |= 1u << i;
    return regions;
}

int parent_search_check(struct repo *repo, const char *id, uint32_t regions, struct error *err)
{
    CLEANUP(own_freep) char *retired = own_format("retired/%s", id);
    CLEANUP(repo_names_done) struct repo_names retirements = {0}, manifests = {0};
    char manifest[REPO_NAME_MAX];
    repo_manifest_name(id, manifest);
    if (repo_list(repo, retired, &retirements, err) < 0 ||
        repo_list(repo, manifest, &manifests, err) < 0)
        return -1;
    if (retirements.count > 0)
        return error_set(err, ERROR_CONFLICT, "it is retired");
    regions &= parent_search_regions(repo); /* one that was lost meanwhile gets no child either */
    if (manifests.count != 1 || (regions & ~manifests.names[0].regions) != 0)
        return error_set(err, ERROR_CONFLICT, "it is not in every region");
    return 0;
}

int parent_search_check_wal(struct repo *repo, const struct parent_candidate *parent,
                            const struct parent_child *child, uint32_t segment_bytes,
                            struct error *err)
{
    uint64_t start_lsn = parent->wal[0].start_lsn;
    for (size_t i = 0; i < child->timeline->count; i++) {
        const struct timeline_span *span = &child->timeline->spans[i];
        uint64_t from = span->begin_lsn > start_lsn ? span->begin_lsn : start_lsn;
        uint64_t to = span->end_lsn < child->start_lsn ? span->end_lsn : child->start_lsn;
        if (span->timeline < parent->wal[0].timeline || from > to)
            continue;
        for (uint64_t log = from >> WAL_LOG_SHIFT; log <= to >> WAL_LOG_SHIFT; log++) {
            char prefix[WAL_ARCHIVE_NAME_MAX];
            wal_archive_log_prefix(span->timeline, log, prefix);
            if (check_log(repo, prefix, from, segment_bytes, err) < 0)
                return -1;
        }
    }
    return 0;
}

void parent_search_done(struct parent_search *search)
{
    for (size_t i = 0; i < search->count; i++)
        free(search->candidates[i].wal);
    free(search->candidates);
    *search = (struct parent_search){0};
}

int parent_search_load(struct parent_search *ret_search, struct repo *repo, struct error *err)
{
    CLEANUP(parent_search_done) struct parent_search search = {.repo = repo};
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(repo, "manifests/", &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++)
        if (add_candidate(&search, &names.names[i], err) < 0)
            return -1;
    if (mark_retired(&search, err) < 0)
        return -1;
    *ret_search = search;
    search = (struct parent_search){0};
    return 0;
}
