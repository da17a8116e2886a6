// SPDX-License-Identifier: Apache-2.0
#include "sidecar/copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/copy_heartbeat.h"
#include "sidecar/copy_mover.h"
#include "sidecar/findings.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/repo_keys.h"
#include "sidecar/user_keys.h"

enum { RUNNING_MS = 60 * 60 * 1000 };

static const char document_name[] = "repository.json";

struct job {
    const struct copy_options *options;
    struct regions *regions, *target_regions;
    struct repo *repo, *target;
    size_t from, to; /* indices of the regions */
    struct repo_names names;
    struct copy_items *items; /* of each backup of the result */
    struct copy_items wal;    /* that no backup needs */
    struct copy_mover mover;
    struct copy_result result;
};

void copy_result_done(struct copy_result *result)
{
    free(result->backups);
    *result = (struct copy_result){0};
}

static void job_done(struct job *job)
{
    for (size_t i = 0; i < job->result.backup_count; i++)
        copy_items_done(&job->items[i]);
    free(job->items);
    copy_items_done(&job->wal);
    repo_names_done(&job->names);
    repo_closep(&job->target);
    repo_closep(&job->repo);
    regions_closep(&job->target_regions);
    regions_closep(&job->regions);
    free(job->result.backups);
}

/* Opening */

/* The region must answer: nothing else would do instead, and nobody wants to wait for it again and
 * again to be told so. */
static int check_region(struct job *job, const char *name, size_t *ret_index, struct error *err)
{
    const struct policy *policy = job->options->policy;
    for (size_t i = 0; i < regions_count(job->regions); i++)
        if (strcmp(regions_at(job->regions, i)->name, name) == 0)
            *ret_index = i;
    const struct region *region = regions_at(job->regions, *ret_index);
    if (!regions_usable(job->regions, *ret_index)) {
        *err = region->error;
        return -1;
    }
    CLEANUP(own_freep)
    char *any = own_format("%s.%s/%s", policy->namespace, policy->name, document_name);
    bool there;
    return store_has(region->store, any, &there, err);
}

static int open_repository(struct job *job, struct error *err)
{
    const struct copy_options *options = job->options;
    const struct regions_choice choice = {.first = options->from};
    const struct repo_wish wish = {.system_identifier = options->system_identifier};
    const struct policy_region *to = policy_find_region(options->policy, options->to, err);
    if (!to || !policy_find_region(options->policy, options->from, err))
        return -1;
    if (to->read_only)
        return error_set(err, ERROR_PERMANENT,
                         "region '%s' (--to) is ReadOnly: give it access ReadWrite", to->name);
    if (regions_open(&job->regions, options->policy, options->secrets, &choice, options->cancel,
                     err) < 0 ||
        check_region(job, options->from, &job->from, err) < 0 ||
        check_region(job, options->to, &job->to, err) < 0)
        return -1;
    return repo_open_read(&job->repo, options->policy, options->secrets, job->regions, &wish, err);
}

static int list_objects(struct job *job, struct error *err)
{
    if (repo_list(job->repo, "", &job->names, err) < 0)
        return -1;
    const size_t needed[] = {job->from, job->to};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (!(job->names.unlisted & 1u << needed[i]))
            continue;
        *err = job->names.unlisted_error;
        return error_wrap(err, "region '%s' cannot be listed, and perhaps others",
                          regions_at(job->regions, needed[i])->name);
    }
    return 0;
}

static void init_mover(struct job *job, struct findings *findings)
{
    const struct copy_options *options = job->options;
    struct copy_mover *mover = &job->mover;
    mover->repo = job->repo;
    mover->scene = (struct copy_scene){
        .names = &job->names,
        .from = 1u << job->from,
        .to = 1u << job->to,
        .from_name = options->from,
        .to_name = options->to,
        .findings = findings,
    };
    mover->workers = options->workers ? options->workers : options->policy->uploads;
    mover->findings = findings;
    mover->cancel = options->cancel;
    mover->progress = options->progress;
}

/* Planning */

static bool is_retired(const struct job *job, const char *id)
{
    CLEANUP(own_freep) char *name = own_format("retired/%s", id);
    return repo_names_find(&job->names, name) != NULL;
}

/* Whoever makes it will put the manifest into all regions itself, or did not live to do it. */
static bool is_in_progress(const struct job *job, const char *id)
{
    CLEANUP(own_freep) char *prefix = own_format("running/%s/", id);
    for (size_t i = repo_names_lower_bound(&job->names, prefix);
         i < job->names.count && text_starts_with(job->names.names[i].name, prefix); i++) {
        const struct repo_name *name = &job->names.names[i];
        const size_t region = (size_t)__builtin_ctz(name->regions);
        const int64_t skew_ms = regions_at(job->regions, region)->store->clock_skew_ms;
        if (copy_heartbeat_is_backups(name->name) &&
            clock_now_ms() + skew_ms - name->modified_ms < RUNNING_MS)
            return true;
    }
    return false;
}

static struct copy_items *add_backup(struct job *job, const char *id, bool was_there)
{
    struct copy_result *result = &job->result;
    const size_t index = result->backup_count++;
    result->backups = own_resize(result->backups, result->backup_count, sizeof(result->backups[0]));
    job->items = own_resize(job->items, result->backup_count, sizeof(job->items[0]));
    job->items[index] = (struct copy_items){0};
    result->backups[index] = (struct copy_backup){.was_there = was_there};
    memcpy(result->backups[index].id, id, strlen(id) + 1);
    return &job->items[index];
}

static void tell_not_planned(struct job *job, const char *id, const struct error *why)
{
    findings_add(job->mover.findings,
                 FINDING(.kind = finding_kind_of(why), .region = job->options->from, .backup = id),
                 "its manifest cannot be read: %s", why->text);
}

/* A backup whose manifest the region lacks; or has, but not all that it refers to. */
static int plan_backup(struct job *job, const char *id, const struct repo_name *name,
                       struct error *err)
{
    const bool was_there = name->regions & job->mover.scene.to;
    CLEANUP(manifest_done) struct manifest manifest = {0};
    CLEANUP(copy_items_done) struct copy_items items = {0};
    CLEANUP(own_freep) char *hold = own_format("holds/%s", id);
    if (repo_load_manifest(job->repo, id, &manifest, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        tell_not_planned(job, id, err);
        add_backup(job, id, was_there);
        return 0;
    }
    const bool complete = copy_plan_backup(&job->mover.scene, &manifest, &items);
    if (complete && !was_there)
        copy_plan_object(&job->mover.scene, hold, 0, &items);
    if (was_there && complete && items.count == 0)
        return 0;
    struct copy_items *planned = add_backup(job, id, was_there);
    struct copy_backup *backup = &job->result.backups[job->result.backup_count - 1];
    backup->objects = items.count + (complete && !was_there);
    backup->bytes = items.bytes + (backup->objects > items.count ? name->size : 0);
    backup->copied = complete;
    *planned = items;
    items = (struct copy_items){0};
    return 0;
}

static int plan_name(struct job *job, const struct repo_name *name, struct error *err)
{
    const char *id = name->name + strlen("manifests/");
    enum backup_type type;
    int64_t start_ms;
    if (!(name->regions & job->mover.scene.from) || !backup_id_parse(id, &type, &start_ms) ||
        is_retired(job, id))
        return 0;
    if ((name->regions & job->mover.scene.to) || !is_in_progress(job, id))
        return plan_backup(job, id, name, err);
    findings_add(
        job->mover.findings,
        FINDING(.kind = FINDING_MISSING, .note = true, .region = job->options->to, .backup = id),
        "it is still being made, or was an hour ago: copy again later");
    return 0;
}

static int plan(struct job *job, struct error *err)
{
    progress_set_phase(job->options->progress, "planning");
    for (size_t i = repo_names_lower_bound(&job->names, "manifests/");
         i < job->names.count && text_starts_with(job->names.names[i].name, "manifests/"); i++)
        if (plan_name(job, &job->names.names[i], err) < 0)
            return -1;
    copy_plan_wal(&job->mover.scene, &job->wal);
    uint64_t bytes = job->wal.bytes;
    for (size_t i = 0; i < job->result.backup_count; i++)
        bytes += job->result.backups[i].bytes;
    progress_set_total(job->options->progress, bytes);
    return 0;
}

/* Keys */

/* The document of the first region that has a sound one. */
static int copy_document(struct job *job, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(REPO_DOCUMENT_MAX);
    CLEANUP(own_freep) char *full = repo_full_name(job->repo, document_name);
    const struct repo_name *name = repo_names_find(&job->names, document_name);
    struct store *to = regions_at(job->regions, job->to)->store;
    bool found = false;
    if (!name || name->regions & job->mover.scene.to)
        return 0; /* nowhere: the repository could not have been opened */
    job->result.objects++;
    for (size_t i = 0; i < regions_count(job->regions) && !found; i++) {
        CLEANUP(repo_document_done) struct repo_document document = {0};
        buf_clear(&text);
        found = (name->regions & 1u << i) && regions_usable(job->regions, i) &&
                store_get_all(regions_at(job->regions, i)->store, full, &text, err) == 0 &&
                repo_document_parse(text.data, text.size, &document, err) == 0 &&
                repo_document_same(&document, &job->repo->document, err) == 0;
    }
    if (!found)
        return error_wrap(err, "'%s'", full);
    struct store_bytes bytes = {.data = text.data, .size = text.size};
    digest_sha256(text.data, text.size, bytes.sha256);
    if (job->options->dry_run || store_put(to, full, &bytes, err) == 0 ||
        err->kind == ERROR_CONFLICT)
        return 0;
    return -1;
}

/* Once they are there the region is opened by itself, as if it were the only one. */
static int copy_keys(struct job *job, struct error *err)
{
    const struct copy_options *options = job->options;
    const struct regions_choice choice = {.only = options->to};
    const struct repo_wish wish = {.system_identifier = job->repo->document.system_identifier};
    CLEANUP(user_keys_done) struct user_keys users = {0};
    size_t put;
    if (user_keys_load(&users, options->policy, options->secrets, err) < 0 ||
        repo_keys_copy(job->repo, &users, job->to, options->dry_run, &put, err) < 0 ||
        copy_document(job, err) < 0)
        return error_wrap(err, "copy the keys to region '%s'", options->to);
    job->result.objects += put;
    if (options->dry_run)
        return 0;
    if (regions_open(&job->target_regions, options->policy, options->secrets, &choice,
                     options->cancel, err) < 0 ||
        repo_open_read(&job->target, options->policy, options->secrets, job->target_regions, &wish,
                       err) < 0)
        return -1;
    job->mover.target = job->target;
    return 0;
}

/* Committing */

/* 1: gone, and that is right; asked anew, as prune may have begun meanwhile. */
static int was_retired(struct job *job, const char *id, struct error *err)
{
    CLEANUP(own_freep) char *name = own_format("retired/%s", id);
    CLEANUP(own_freep) char *full = repo_full_name(job->repo, name);
    for (size_t i = 0; i < regions_count(job->regions); i++) {
        bool there = false;
        if (!regions_usable(job->regions, i) || (atomic_load(&job->mover.down) & 1u << i))
            continue;
        if (store_has(regions_at(job->regions, i)->store, full, &there, err) < 0 &&
            (i == job->to || err->kind == ERROR_CANCELED))
            return -1;
        if (there)
            return 1;
    }
    return 0;
}

static int has_packs(struct job *job, const struct manifest_packs *packs,
                     char ret_lack[REPO_NAME_MAX], struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names names = {0};
    CLEANUP(own_freep) char *prefix = own_format("packs/%s/", packs->backup);
    if (repo_list(job->target, prefix, &names, err) < 0)
        return -1;
    return copy_plan_has_packs(&names, packs, ret_lack);
}

static int has_wal(struct job *job, const struct manifest *manifest, size_t range,
                   char ret_lack[REPO_NAME_MAX], struct error *err)
{
    CLEANUP(repo_names_done) struct repo_names wal = {0}, histories = {0};
    const uint32_t timeline = manifest->wal[range].timeline;
    char prefix[REPO_NAME_MAX];
    copy_plan_wal_prefix(manifest, range, prefix);
    if (repo_list(job->target, prefix, &wal, err) < 0)
        return -1;
    if (!copy_plan_has_wal(&wal, manifest, range, ret_lack))
        return 0;
    if (copy_plan_has_history(&histories, timeline, prefix))
        return 1; /* it has none */
    if (repo_list(job->target, prefix, &histories, err) < 0)
        return -1;
    return copy_plan_has_history(&histories, timeline, ret_lack);
}

/* A listing of the region, made anew, must show it all: 1; 0: it was told what lacks. */
static int check_there(struct job *job, const struct manifest *manifest, struct error *err)
{
    char lack[REPO_NAME_MAX] = "";
    int complete = 1;
    for (size_t i = 0; i < manifest->pack_count && complete > 0; i++)
        complete = has_packs(job, &manifest->packs[i], lack, err);
    for (size_t i = 0; i < manifest->wal_count && complete > 0; i++)
        complete = has_wal(job, manifest, i, lack, err);
    if (complete == 0)
        findings_add(job->mover.findings,
                     FINDING(.kind = FINDING_MISSING, .region = job->options->to,
                             .backup = manifest->id, .object = lack),
                     "it is not there after all was copied: the manifest was not put");
    return complete;
}

/* Read back and held against what its source was. */
static int check_manifest(struct job *job, const struct manifest *manifest, struct error *err)
{
    CLEANUP(manifest_done) struct manifest there = {0};
    if (repo_load_manifest(job->target, manifest->id, &there, err) < 0)
        return -1;
    if (memcmp(there.sha256, manifest->sha256, sizeof(there.sha256)) == 0)
        return 0;
    return error_set(err, ERROR_CONFLICT, "region '%s' has another backup with the id %s",
                     job->options->to, manifest->id);
}

static int put_manifest(struct job *job, const struct manifest *manifest, struct error *err)
{
    char name[REPO_NAME_MAX];
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    uint8_t sha256[DIGEST_BYTES];
    repo_manifest_name(manifest->id, name);
    const struct copy_item item = {repo_names_find(&job->names, name), CONTAINER_MANIFEST};
    const int fetched = copy_mover_fetch(&job->mover, &item, manifest->id, &object, err);
    if (fetched <= 0)
        return fetched;
    digest_sha256(object.data, object.size, sha256);
    if (memcmp(sha256, manifest->sha256, sizeof(sha256)) != 0) {
        findings_add(job->mover.findings,
                     FINDING(.kind = FINDING_INCONSISTENT, .region = job->options->from,
                             .backup = manifest->id, .object = name),
                     "it is another one than it was a moment ago");
        return 0;
    }
    if (copy_mover_put(&job->mover, name, &object, err) < 0 ||
        check_manifest(job, manifest, err) < 0)
        return -1;
    progress_add(job->options->progress, object.size);
    return 1;
}

/* 1: the backup is there; 0: it was told why not. */
static int commit(struct job *job, const struct manifest *manifest, struct error *err)
{
    const int retired = was_retired(job, manifest->id, err);
    if (retired < 0)
        return -1;
    if (retired > 0) {
        findings_add(job->mover.findings,
                     FINDING(.kind = FINDING_MISSING, .note = true, .region = job->options->to,
                             .backup = manifest->id),
                     "it was removed while it was copied");
        return 0;
    }
    const int there = check_there(job, manifest, err);
    return there <= 0 ? there : put_manifest(job, manifest, err);
}

/* Copying */

static int copy_backup(struct job *job, size_t index, struct error *err)
{
    struct copy_backup *backup = &job->result.backups[index];
    CLEANUP(manifest_done) struct manifest manifest = {0};
    CLEANUP(copy_heartbeat_freep) struct copy_heartbeat *heartbeat = NULL;
    struct copy_load load = {.items = &job->items[index], .backup = backup->id};
    size_t failed = 0;
    if (!backup->copied)
        return 0; /* planning found that it cannot be */
    backup->copied = false;
    if (repo_load_manifest(job->repo, backup->id, &manifest, err) < 0) {
        if (err->kind == ERROR_CANCELED)
            return -1;
        tell_not_planned(job, backup->id, err);
        return 0;
    }
    if (!backup->was_there && copy_heartbeat_new(&heartbeat, job->target, &manifest, err) < 0)
        return -1;
    load.heartbeat = heartbeat;
    if (copy_mover_move(&job->mover, &load, &failed, err) < 0)
        return -1;
    if (failed > 0)
        return 0;
    const int done = backup->was_there ? 1 : commit(job, &manifest, err);
    backup->copied = done > 0;
    if (backup->copied)
        log_info("Copied backup", S("backup", backup->id), S("from", job->options->from),
                 S("to", job->options->to), U("objects", backup->objects),
                 U("bytes", backup->bytes));
    return done < 0 ? -1 : 0;
}

static int copy_all(struct job *job, struct error *err)
{
    struct copy_result *result = &job->result;
    size_t failed;
    if (job->options->dry_run) {
        result->objects += job->wal.count;
        result->bytes = job->wal.bytes;
        for (size_t i = 0; i < result->backup_count; i++) {
            result->objects += result->backups[i].objects;
            result->bytes += result->backups[i].bytes;
        }
        return 0;
    }
    progress_set_phase(job->options->progress, "copying");
    for (size_t i = 0; i < result->backup_count; i++)
        if (copy_backup(job, i, err) < 0)
            return -1;
    if (copy_mover_move(&job->mover, &(struct copy_load){.items = &job->wal}, &failed, err) < 0)
        return -1;
    result->objects += atomic_load(&job->mover.objects);
    result->bytes = atomic_load(&job->mover.bytes);
    return 0;
}

int copy_run(const struct copy_options *options, struct findings *findings,
             struct copy_result *ret_result, struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options};
    const int64_t started_ms = clock_monotonic_ms();
    if (open_repository(&job, err) < 0 || list_objects(&job, err) < 0)
        return -1;
    init_mover(&job, findings);
    if (plan(&job, err) < 0 || copy_keys(&job, err) < 0 || copy_all(&job, err) < 0)
        return -1;
    job.result.dry_run = options->dry_run;
    job.result.from = options->from;
    job.result.to = options->to;
    job.result.duration_ms = clock_monotonic_ms() - started_ms;
    *ret_result = job.result;
    log_info("Copied a region", S("from", options->from), S("to", options->to),
             U("backups", job.result.backup_count), U("objects", job.result.objects),
             U("bytes", job.result.bytes), B("dryRun", options->dry_run));
    job.result.backups = NULL;
    return 0;
}
