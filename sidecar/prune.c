// SPDX-License-Identifier: Apache-2.0
#include "sidecar/prune.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/prune_facts.h"
#include "sidecar/repo.h"

struct job {
    const struct prune_options *options;
    struct regions *regions;
    struct repo *repo;
    struct prune_facts facts;
    struct prune_result result;
};

/* The region at work. */
struct pruning {
    struct job *job;
    uint32_t bit;
    struct prune_region *result;
    struct prune_removal removal;
    struct prune_plan plan;
};

static void job_done(struct job *job)
{
    prune_facts_done(&job->facts);
    repo_closep(&job->repo);
    regions_closep(&job->regions);
    prune_result_done(&job->result);
}

static int open_repository(struct job *job, struct error *err)
{
    const struct prune_options *options = job->options;
    const struct repo_wish wish = {.system_identifier = options->system_identifier, .own = true};
    if (options->region && !policy_find_region(options->policy, options->region, err))
        return -1;
    if (options->policy->quorum == 0)
        return error_set(err, ERROR_PERMANENT,
                         "spec.regions: every region is ReadOnly: nothing is removed from it");
    if (regions_open(&job->regions, options->policy, options->secrets, NULL, options->cancel, err) <
        0)
        return -1;
    return repo_open_read(&job->repo, options->policy, options->secrets, job->regions, &wish, err);
}

static void make_plan(struct pruning *pruning)
{
    prune_plan_done(&pruning->plan);
    prune_plan_make(&pruning->job->facts.scene, pruning->bit, &pruning->plan);
}

/* Telling */

static void note_decisions(const struct pruning *pruning)
{
    const struct prune_scene *scene = &pruning->job->facts.scene;
    struct prune_region *result = pruning->result;
    result->decision_count = 0;
    free(result->decisions);
    result->decisions = own_alloc((scene->backup_count + 1) * sizeof(result->decisions[0]));
    for (size_t i = scene->backup_count; i-- > 0;) {
        const struct prune_backup *backup = &scene->backups[i];
        int64_t start_ms;
        if (!(backup->regions & pruning->bit))
            continue;
        struct prune_decision *decision = &result->decisions[result->decision_count];
        if (!backup_id_parse(backup->id, &decision->type, &start_ms))
            continue;
        if (backup->manifest)
            decision->type = backup->manifest->type;
        memcpy(decision->id, backup->id, sizeof(decision->id));
        decision->verdict = pruning->plan.verdicts[i];
        decision->retired = (backup->retired & pruning->bit) != 0;
        CLEANUP(own_freep) char *manifest = own_format("manifests/%s", backup->id);
        decision->lock = prune_removal_lock(&pruning->removal, manifest);
        result->decision_count++;
    }
    memcpy(result->packs_kept, pruning->plan.packs_kept, sizeof(result->packs_kept));
    memcpy(result->wal_kept, pruning->plan.wal_kept, sizeof(result->wal_kept));
}

/* Doing */

static int remove_step(struct pruning *pruning, enum prune_step step, struct error *err)
{
    struct prune_removal *removal = &pruning->removal;
    const bool passing = step == PRUNE_HEARTBEATS || step == PRUNE_MARKERS;
    removal->count = removal->bytes = 0;
    const int result = prune_remove(removal, &pruning->plan.objects[step], passing, err);
    pruning->result->removed[step].count = removal->count;
    pruning->result->removed[step].bytes = removal->bytes;
    return result;
}

/* Where a manifest is locked, all of its backup stays. */
static void note_locked(struct pruning *pruning)
{
    struct prune_facts *facts = &pruning->job->facts;
    for (size_t i = 0; i < facts->scene.backup_count; i++) {
        struct prune_backup *backup = &facts->backups[i];
        CLEANUP(own_freep) char *name = own_format("manifests/%s", backup->id);
        if (prune_removal_lock(&pruning->removal, name))
            backup->locked |= pruning->bit;
    }
}

/* Backups whose manifests are locked are not retired: they serve until they may go. A manifest is
 * put last, so its retention ends last. */
static int ask_manifests(struct pruning *pruning, struct error *err)
{
    struct prune_removal *removal = &pruning->removal;
    const bool dry_run = removal->dry_run;
    removal->dry_run = true;
    const int asked = prune_remove(removal, &pruning->plan.objects[PRUNE_MANIFESTS], false, err);
    removal->dry_run = dry_run;
    if (asked < 0)
        return -1;
    note_locked(pruning);
    make_plan(pruning);
    note_decisions(pruning);
    return 0;
}

/* A marker for each backup that is to go, so that no new one builds on it. */
static int retire(const struct pruning *pruning, struct error *err)
{
    char now[CLOCK_TEXT_BYTES];
    const struct prune_objects *manifests = &pruning->plan.objects[PRUNE_MANIFESTS];
    clock_format(clock_now_ms(), now);
    CLEANUP(own_freep) char *text = own_format("{\"format\": 1, \"time\": \"%s\"}\n", now);
    struct store_bytes bytes = {.data = text, .size = strlen(text), .passing = true};
    digest_sha256(bytes.data, bytes.size, bytes.sha256);
    for (size_t i = 0; i < manifests->count; i++) {
        const char *id = manifests->names[i]->name + strlen("manifests/");
        CLEANUP(own_freep) char *name = own_format("retired/%s", id);
        CLEANUP(own_freep) char *full = repo_full_name(pruning->job->repo, name);
        if (store_put(pruning->removal.region->store, full, &bytes, err) < 0 &&
            err->kind != ERROR_CONFLICT) /* it was there */
            return -1;
    }
    return 0;
}

/* The backups whose manifests were removed are gone. */
static void note_removed(struct pruning *pruning)
{
    struct prune_facts *facts = &pruning->job->facts;
    const struct prune_objects *manifests = &pruning->plan.objects[PRUNE_MANIFESTS];
    note_locked(pruning);
    for (size_t i = 0; i < manifests->count; i++) {
        const char *id = manifests->names[i]->name + strlen("manifests/");
        for (size_t j = 0; j < facts->scene.backup_count; j++) {
            struct prune_backup *backup = &facts->backups[j];
            if (strcmp(backup->id, id) == 0 && !(backup->locked & pruning->bit))
                backup->regions &= ~pruning->bit;
        }
    }
}

/* Manifests go first: a backup that is there is whole. */
static int apply(struct pruning *pruning, struct error *err)
{
    struct prune_facts *facts = &pruning->job->facts;
    if (retire(pruning, err) < 0 || prune_facts_refresh(facts, err) < 0)
        return -1;
    if (facts->unlisted & pruning->bit) {
        *err = pruning->removal.region->error; /* written once, before it was lost */
        return -1;
    }
    facts->scene.retired_only = true;
    note_locked(pruning);
    make_plan(pruning);
    note_decisions(pruning);
    if (remove_step(pruning, PRUNE_HEARTBEATS, err) < 0 ||
        remove_step(pruning, PRUNE_MANIFESTS, err) < 0)
        return -1;
    note_removed(pruning);
    make_plan(pruning);
    if (remove_step(pruning, PRUNE_PACKS, err) < 0 || remove_step(pruning, PRUNE_WAL, err) < 0)
        return -1;
    return remove_step(pruning, PRUNE_MARKERS, err);
}

/* What would be removed, without a look at what changes meanwhile. */
static int rehearse(struct pruning *pruning, struct error *err)
{
    for (enum prune_step step = 0; step < PRUNE_STEPS; step++)
        if (remove_step(pruning, step, err) < 0)
            return -1;
    return 0;
}

static int decide_and_remove(struct pruning *pruning, struct error *err)
{
    pruning->job->facts.scene.retired_only = false;
    make_plan(pruning);
    note_decisions(pruning);
    if (ask_manifests(pruning, err) < 0)
        return -1;
    return pruning->removal.dry_run ? rehearse(pruning, err) : apply(pruning, err);
}

static void log_region(const struct prune_region *region)
{
    if (region->locked_count > 0)
        log_warn("Left objects that are locked", S("region", region->name),
                 U("objects", region->locked_count), S("first", region->locked[0].object),
                 S("error", region->locked[0].message));
    log_info("Pruned a region", S("region", region->name),
             U("backups", region->removed[PRUNE_MANIFESTS].count),
             U("packs", region->removed[PRUNE_PACKS].count),
             U("wal", region->removed[PRUNE_WAL].count));
}

/* -1: CANCELED. */
static int prune_region(struct job *job, size_t index, struct error *err)
{
    const struct prune_options *options = job->options;
    struct region *region = regions_at(job->regions, index);
    struct prune_region *result = &job->result.regions[job->result.count++];
    struct pruning pruning = {
        .job = job,
        .bit = 1u << index,
        .result = result,
        .removal = {.repo = job->repo,
                    .region = region,
                    .workers = options->policy->uploads,
                    .cancel = options->cancel,
                    .dry_run = options->dry_run},
    };
    result->name = region->name;
    if (job->facts.unlisted & pruning.bit) {
        result->error = region->error;
        return 0;
    }
    const int done = decide_and_remove(&pruning, err);
    prune_plan_done(&pruning.plan);
    result->locked = TAKE(pruning.removal.locked);
    result->locked_count = pruning.removal.locked_count;
    if (done < 0)
        result->error = *err;
    else if (!options->dry_run)
        log_region(result);
    return done < 0 && err->kind == ERROR_CANCELED ? -1 : 0;
}

void prune_result_done(struct prune_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        struct prune_region *region = &result->regions[i];
        struct prune_removal removal = {.locked = region->locked,
                                        .locked_count = region->locked_count};
        prune_removal_done(&removal);
        free(region->decisions);
    }
    *result = (struct prune_result){0};
}

int prune_run(const struct prune_options *options, struct prune_result *ret_result,
              struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options};
    if (open_repository(&job, err) < 0 ||
        prune_facts_load(&job.facts, job.repo, &options->policy->retention, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(job.regions); i++) {
        const struct region *region = regions_at(job.regions, i);
        if (!region->writable || (options->region && strcmp(options->region, region->name) != 0))
            continue;
        if (prune_region(&job, i, err) < 0)
            return -1;
    }
    *ret_result = job.result;
    job.result = (struct prune_result){0};
    return 0;
}
