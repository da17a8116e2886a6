// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/repo_keys.h"
#include "sidecar/user_keys.h"
#include "sidecar/verify_backup.h"
#include "sidecar/verify_keys.h"
#include "sidecar/verify_wal.h"
#include "sidecar/verify_witness.h"

struct job {
    const struct verify_options *options;
    struct findings *findings;
    struct user_keys users;
    uint64_t system_identifier;
    struct verify_view views[REGIONS_MAX];
    size_t view_count;
    uint64_t total_bytes; /* of what is to be read, as far as it is known */
    struct verify_result result;
};

static void job_done(struct job *job)
{
    for (size_t i = 0; i < job->view_count; i++)
        verify_view_done(&job->views[i]);
    user_keys_done(&job->users);
}

/* Which repository, and which backup if only one is wanted: as all regions together say. */
static int find_repository(struct job *job, struct error *err)
{
    const struct verify_options *options = job->options;
    const struct regions_choice choice = {.only = options->region};
    const struct repo_wish wish = {.system_identifier = options->system_identifier,
                                   .backup = options->backup};
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    if (regions_open(&regions, options->policy, options->secrets, &choice, options->cancel, err) <
            0 ||
        repo_open_read(&repo, options->policy, options->secrets, regions, &wish, err) < 0)
        return -1;
    job->system_identifier = repo->document.system_identifier;
    if (!options->backup)
        return 0;
    return repo_find_backup(repo, options->backup, job->result.backup, NULL, err);
}

/* The manifests of a region */

static void add_seen(struct verify_view *view, const char *id, const struct manifest *manifest)
{
    view->seen = own_resize(view->seen, view->seen_count + 1, sizeof(view->seen[0]));
    struct verify_seen *seen = &view->seen[view->seen_count++];
    *seen = (struct verify_seen){.readable = manifest};
    memcpy(seen->what.backup, id, strlen(id) + 1);
    if (!manifest)
        return;
    memcpy(seen->what.sha256, manifest->sha256, sizeof(manifest->sha256));
    view->memories = own_resize(view->memories, view->memory_count + manifest->witness_count + 1,
                                sizeof(view->memories[0]));
    for (size_t i = 0; i < manifest->witness_count; i++) {
        struct verify_memory *memory = &view->memories[view->memory_count++];
        memory->what = manifest->witnesses[i];
        memcpy(memory->by, manifest->id, sizeof(memory->by));
    }
}

static int load_manifest(struct verify_region *region, const struct repo_name *name,
                         struct verify_view *view, struct error *err)
{
    const char *id = name->name + strlen("manifests/");
    struct manifest *manifest = &region->manifests[region->manifest_count];
    enum backup_type type;
    int64_t start_ms;
    if (!backup_id_parse(id, &type, &start_ms)) {
        findings_add(region->findings,
                     FINDING(.kind = FINDING_DAMAGED, .region = region->name, .object = name->name),
                     "a manifest whose name is no backup id");
        return 0;
    }
    if (repo_load_manifest(region->repo, id, manifest, err) == 0) {
        region->manifest_count++;
        verify_region_count(region, name->size);
        add_seen(view, id, manifest);
        return 0;
    }
    if (err->kind == ERROR_CANCELED)
        return -1;
    add_seen(view, id, NULL);
    verify_region_tell(region,
                       FINDING(.kind = finding_kind_of(err), .region = region->name, .backup = id,
                               .object = name->name),
                       err->text);
    return 0;
}

static void note_retired(const struct verify_region *region, struct verify_view *view)
{
    const struct verify_names names = verify_region_names(region, "retired/");
    view->retired = own_alloc((names.count + 1) * sizeof(view->retired[0]));
    for (size_t i = 0; i < names.count; i++) {
        const char *id = names.names[i].name + strlen("retired/");
        enum backup_type type;
        int64_t start_ms;
        if (backup_id_parse(id, &type, &start_ms))
            memcpy(view->retired[view->retired_count++], id, strlen(id) + 1);
    }
}

static int load_manifests(struct verify_region *region, struct verify_view *view, struct error *err)
{
    const struct verify_names names = verify_region_names(region, "manifests/");
    region->manifests = own_alloc((names.count + 1) * sizeof(region->manifests[0]));
    for (size_t i = 0; i < names.count; i++)
        if (load_manifest(region, &names.names[i], view, err) < 0)
            return -1;
    note_retired(region, view);
    return 0;
}

static bool is_selected(const struct verify_region *region, const struct manifest *manifest)
{
    return !region->only || strcmp(region->only, manifest->id) == 0;
}

/* The packs of a region */

/* Marks the packs that a manifest lists; gives the bytes of those that will be read. */
static uint64_t mark_packs(struct verify_region *region, const struct manifest *manifest)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < region->pack_names.count; i++) {
        const struct repo_name *name = &region->pack_names.names[i];
        const char *at = name->name + strlen("packs/");
        struct verify_pack *pack;
        for (size_t j = 0; j < manifest->pack_count; j++) {
            const struct manifest_packs *packs = &manifest->packs[j];
            const size_t length = strlen(packs->backup);
            if (strncmp(at, packs->backup, length) != 0 || at[length] != '/')
                continue;
            unsigned long number = strtoul(at + length + 1, NULL, 10);
            if (number < packs->first || number > packs->last ||
                verify_region_pack(region, packs->backup, (uint32_t)number, &pack) != name)
                continue;
            if ((!pack->referenced || region->only) && is_selected(region, manifest) &&
                verify_sample_takes(&region->sample, name->name))
                bytes += name->size;
            pack->referenced = true;
        }
    }
    return bytes;
}

static void tell_orphans(const struct verify_region *region)
{
    for (size_t i = 0; i < region->pack_names.count; i++) {
        const struct repo_name *name = &region->pack_names.names[i];
        if (!region->packs[i].referenced)
            findings_add(region->findings,
                         FINDING(.kind = FINDING_ORPHAN, .note = true, .region = region->name,
                                 .object = name->name),
                         "no manifest lists this pack (%" PRIu64
                         " bytes): its backup failed, or still runs",
                         name->size);
    }
}

/* Objects that nothing in the format accounts for. */
static void tell_strangers(const struct verify_region *region)
{
    static const char *const prefixes[] = {"drills/", "holds/",   "keys/",    "manifests/",
                                           "packs/",  "retired/", "running/", "wal/"};
    for (size_t i = 0; i < region->names.count; i++) {
        const struct repo_name *name = &region->names.names[i];
        bool known = strcmp(name->name, "repository.json") == 0;
        for (size_t j = 0; j < ARRAY_SIZE(prefixes); j++)
            known = known || text_starts_with(name->name, prefixes[j]);
        if (!known)
            findings_add(region->findings,
                         FINDING(.kind = FINDING_ORPHAN, .note = true, .region = region->name,
                                 .object = name->name),
                         "no object of a repository has such a name");
    }
}

static void count_total(struct job *job, struct verify_region *region)
{
    const struct verify_names wal = verify_region_names(region, "wal/");
    region->pack_names = verify_region_names(region, "packs/");
    region->packs = own_alloc((region->pack_names.count + 1) * sizeof(region->packs[0]));
    for (size_t i = 0; i < region->manifest_count; i++)
        job->total_bytes += mark_packs(region, &region->manifests[i]);
    for (size_t i = 0; i < wal.count && !region->only; i++)
        if (verify_sample_takes(&region->sample, wal.names[i].name))
            job->total_bytes += wal.names[i].size;
    progress_set_total(job->options->progress, job->total_bytes);
}

/* Regions */

/* A region whose repository cannot be opened serves nobody by itself: that is all to be said of
 * it. */
static int open_region(struct job *job, const char *name, struct regions **ret_regions,
                       struct repo **ret_repo, struct error *err)
{
    const struct verify_options *options = job->options;
    const struct regions_choice choice = {.only = name};
    const struct repo_wish wish = {.system_identifier = job->system_identifier};
    if (regions_open(ret_regions, options->policy, options->secrets, &choice, options->cancel,
                     err) == 0 &&
        repo_open_read(ret_repo, options->policy, options->secrets, *ret_regions, &wish, err) == 0)
        return 0;
    if (err->kind == ERROR_CANCELED)
        return -1;
    findings_add(job->findings, FINDING(.kind = finding_kind_of(err), .region = name),
                 "the region's repository cannot be opened: %s", err->text);
    return 0;
}

static void note_backups(struct job *job, const struct verify_region *region)
{
    size_t verified = 0;
    for (size_t i = 0; i < region->manifest_count; i++)
        verified += is_selected(region, &region->manifests[i]);
    job->result.backups = verified > job->result.backups ? verified : job->result.backups;
}

/* What remains to be said when all was read, or as much as the region gave. */
static void conclude(struct job *job, const struct verify_region *region)
{
    struct error why;
    job->result.regions++;
    job->result.objects += atomic_load(&region->objects);
    job->result.bytes += atomic_load(&region->bytes);
    if (verify_region_given_up(region, &why)) {
        findings_add(region->findings, FINDING(.kind = FINDING_UNREADABLE, .region = region->name),
                     "the region stopped answering and was given up; what was not read before is "
                     "not verified: %s",
                     why.text);
        return;
    }
    tell_orphans(region);
    tell_strangers(region);
    note_backups(job, region);
}

/* Everything that lies in one region. */
static int check_region(struct job *job, struct verify_region *region, struct error *err)
{
    struct verify_view *view = &job->views[job->view_count];
    progress_set_phase(region->progress, "planning");
    if (repo_list(region->repo, "", &region->names, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        findings_add(job->findings, FINDING(.kind = FINDING_UNREADABLE, .region = region->name),
                     "the region cannot be listed: %s", err->text);
        return 0;
    }
    view->region = region->name;
    job->view_count++;
    piece_hash_init(&region->hash, &region->repo->keyring.id_key);
    if (verify_keys_run(region, &job->users, err) < 0 || load_manifests(region, view, err) < 0)
        return -1;
    count_total(job, region);
    progress_set_phase(region->progress, "reading");
    for (size_t i = 0; i < region->manifest_count; i++)
        if (is_selected(region, &region->manifests[i]) &&
            verify_backup_run(region, &region->manifests[i], err) < 0)
            return -1;
    if (verify_wal_run(region, err) < 0)
        return -1;
    conclude(job, region);
    return 0;
}

static int verify_region(struct job *job, const char *name, struct error *err)
{
    const struct verify_options *options = job->options;
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    if (open_region(job, name, &regions, &repo, err) < 0)
        return -1;
    if (!repo)
        return 0;
    CLEANUP(verify_region_done)
    struct verify_region region = {
        .name = name,
        .repo = repo,
        .only = job->result.backup[0] ? job->result.backup : NULL,
        .sample = options->sample,
        .workers = options->workers ? options->workers : options->policy->workers,
        .findings = job->findings,
        .cancel = options->cancel,
        .progress = options->progress,
    };
    return check_region(job, &region, err);
}

static int verify_regions(struct job *job, struct error *err)
{
    const struct policy *policy = job->options->policy;
    for (size_t i = 0; i < policy->region_count; i++) {
        const char *name = policy->regions[i].name;
        if ((!job->options->region || strcmp(job->options->region, name) == 0) &&
            verify_region(job, name, err) < 0)
            return -1;
    }
    return 0;
}

static void check_witnesses(struct job *job)
{
    const struct verify_witness witness = {
        .views = job->views,
        .view_count = job->view_count,
        .complete = job->view_count == job->options->policy->region_count,
        .expected = job->options->expected,
        .expected_count = job->options->expected_count,
    };
    verify_witness_check(&witness, job->findings);
}

int verify_run(const struct verify_options *options, struct findings *findings,
               struct verify_result *ret_result, struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options, .findings = findings};
    const int64_t started_ms = clock_monotonic_ms();
    if (user_keys_load(&job.users, options->policy, options->secrets, err) < 0 ||
        find_repository(&job, err) < 0 || verify_regions(&job, err) < 0)
        return -1;
    check_witnesses(&job);
    const struct finding *kept;
    size_t count;
    job.result.sample = options->sample;
    job.result.duration_ms = clock_monotonic_ms() - started_ms;
    log_info("Verified the repository", U("regions", job.result.regions),
             U("backups", job.result.backups), U("objects", job.result.objects),
             U("wrong", findings_get(findings, false, &kept, &count)),
             U("notes", findings_get(findings, true, &kept, &count)),
             I("milliseconds", job.result.duration_ms));
    *ret_result = job.result;
    return 0;
}
