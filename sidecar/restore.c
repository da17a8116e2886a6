// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "common/throttle.h"
#include "sidecar/crc32c.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/pg_backup_manifest.h"
#include "sidecar/pg_control.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/recovery_choice.h"
#include "sidecar/recovery_demands.h"
#include "sidecar/recovery_settings.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/recovery_target.h"
#include "sidecar/regions.h"
#include "sidecar/relocation.h"
#include "sidecar/repo.h"
#include "sidecar/restore_claim.h"
#include "sidecar/restore_config.h"
#include "sidecar/restore_delta.h"
#include "sidecar/restore_marker.h"
#include "sidecar/restore_plan.h"
#include "sidecar/restore_read.h"
#include "sidecar/restore_sizes.h"
#include "sidecar/restore_sweep.h"
#include "sidecar/restore_wal.h"
#include "sidecar/restore_worker.h"
#include "sidecar/target.h"

enum {
    VERSION_MIN = 15,
    VERSION_MAX = 18,
    VERSION_DIVISOR = 10000,             /* of server_version_num */
    BACKUP_MANIFEST_BYTES_MAX = 1 << 30, /* what PostgreSQL's programs read at most */
    FILE_MODE = 0600,
    CONFIG_BYTES_MAX = 1 << 20,
};

struct job {
    const struct restore_options *options;
    struct regions *regions;
    struct repo *repo;
    struct manifest manifest;
    struct target *target;
    struct restore_marker marker; /* of this restore */
    bool has_marker;              /* the directory has one, perhaps of another */
    bool is_used;                 /* the directory has content */
    struct throttle write_limit;
    struct restore_plan plan;
    struct restore_sizes sizes;
    struct restore_sweep sweep;
    uint8_t control_bytes[PG_CONTROL_BYTES];
    struct pg_control control;
    struct pg_backup_manifest_file configs[RESTORE_CONFIG_FILES + 1]; /* those that were written */
    size_t config_count;
    uint32_t timeline;         /* that recovery follows; 0: without a target */
    struct pg_demands demands; /* of the WAL behind the backup; then those of the backup, too */
    uint64_t fetched_bytes, kept_bytes;
    uint64_t wal_bytes;      /* that were read on the way to the target */
    bool writing, startable; /* how far the target has come */
    bool has_tablespaces;
};

static void job_done(struct job *job)
{
    restore_sweep_done(&job->sweep);
    restore_sizes_done(&job->sizes);
    restore_plan_done(&job->plan);
    target_closep(&job->target);
    manifest_done(&job->manifest);
    repo_closep(&job->repo);
    regions_closep(&job->regions);
    throttle_done(&job->write_limit);
}

/* Which backup to look for: a restore of the newest that was left half-way goes on with the one
 * that was the newest then. */
static const char *wanted_backup(const struct job *job, const struct restore_marker *found)
{
    const char *backup = job->options->backup;
    bool is_latest = !backup || strcmp(backup, "Latest") == 0;
    if (is_latest && job->has_marker && !job->options->delta &&
        memcmp(found->repository, job->repo->id, sizeof(found->repository)) == 0)
        return found->backup;
    return backup;
}

static size_t worker_count(const struct job *job)
{
    return job->options->workers ? job->options->workers : job->options->policy->workers;
}

/* Each takes the memory of a worker and of an upload. */
static size_t wal_reader_count(const struct job *job)
{
    const size_t workers = worker_count(job), uploads = job->options->policy->uploads;
    return workers < uploads ? workers : uploads;
}

/* The backup that is wanted, or the one from which the target is reached. */
static int choose_backup(struct job *job, const char *wanted, char ret_id[BACKUP_ID_BYTES],
                         struct error *err)
{
    const struct recovery_target *target = job->options->target;
    const bool is_given = wanted && strcmp(wanted, "Latest") != 0;
    const struct recovery_survey_options all = {.repo = job->repo, .cancel = job->options->cancel};
    CLEANUP(recovery_survey_done) struct recovery_survey survey = {0};
    struct recovery_choice choice;
    if (repo_find_backup(job->repo, wanted, ret_id, NULL, err) < 0)
        return -1;
    if (!target || target->kind == RECOVERY_TARGET_NONE)
        return 0;
    const struct recovery_way way = {
        .survey = &survey,
        .choice = &choice,
        .threads = wal_reader_count(job),
        .cancel = job->options->cancel,
        .progress = job->options->progress,
    };
    if (recovery_survey_make(&survey, &all, err) < 0 ||
        recovery_choice_make(&survey, target, is_given ? ret_id : NULL, &choice, err) < 0 ||
        recovery_demands_find(&way, &job->demands, err) < 0)
        return -1;
    job->timeline = choice.timeline;
    job->wal_bytes = choice.to_lsn - choice.from_lsn;
    memcpy(ret_id, choice.backup, sizeof(choice.backup));
    return 0;
}

/* The backup that is wanted, if it is one that this version can restore. */
static int find_backup(struct job *job, struct error *err)
{
    const struct restore_options *options = job->options;
    struct restore_marker found = {0};
    char id[BACKUP_ID_BYTES];
    const struct regions_choice choice = {
        .only = options->region,
        .first = options->first,
        .excluded = options->excluded,
        .excluded_count = options->excluded_count,
    };
    const struct repo_wish wish = {.system_identifier = options->system_identifier,
                                   .backup = options->backup};
    progress_set_phase(options->progress, "planning");
    job->has_marker =
        restore_marker_peek(options->to, &found, err) == 0 || err->kind != ERROR_NOT_FOUND;
    if (regions_open(&job->regions, options->policy, options->secrets, &choice, options->cancel,
                     err) < 0 ||
        repo_open_read(&job->repo, options->policy, options->secrets, job->regions, &wish, err) <
            0 ||
        choose_backup(job, wanted_backup(job, &found), id, err) < 0 ||
        repo_load_manifest(job->repo, id, &job->manifest, err) < 0)
        return -1;
    memcpy(job->marker.backup, id, sizeof(id));
    memcpy(job->marker.repository, job->repo->id, sizeof(job->marker.repository));
    uint32_t version = job->manifest.version_num / VERSION_DIVISOR;
    if (version < VERSION_MIN || version > VERSION_MAX)
        return error_set(err, ERROR_PERMANENT,
                         "backup '%s' is of PostgreSQL %u: this version restores %d to %d", id,
                         version, VERSION_MIN, VERSION_MAX);
    if (restore_wal_check(&job->manifest, err) < 0)
        return error_wrap(err, "manifest of '%s'", id);
    return 0;
}

static int open_target(struct job *job, struct error *err)
{
    const enum target_use use = job->has_marker || job->options->delta ? TARGET_USED : TARGET_EMPTY;
    if (target_open(&job->target, job->options->to, use, err) < 0)
        return -1;
    target_limit(job->target, &job->write_limit, job->options->cancel);
    return 0;
}

static int read_index(struct job *job, const struct restore_read *read, struct error *err)
{
    for (size_t i = 0; i < job->manifest.index_count; i++) {
        if (cancel_check(job->options->cancel, err) < 0 || restore_read_index(read, i, err) < 0)
            return -1;
    }
    return restore_plan_check(&job->plan, err);
}

static int read_maps(struct job *job, const struct restore_read *read, struct error *err)
{
    restore_plan_sort_maps(&job->plan);
    for (size_t i = 0; i < job->plan.map_count; i++) {
        if (cancel_check(job->options->cancel, err) < 0 || restore_read_map(read, i, err) < 0)
            return -1;
    }
    restore_plan_group(&job->plan);
    return 0;
}

/* pg_control into memory: it tells what the configuration must allow, and is written last. */
static int read_plan(struct job *job, struct error *err)
{
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(job->repo, PACK_READER_INTACT);
    const struct restore_read read = {
        .reader = reader, .manifest = &job->manifest, .plan = &job->plan, .sizes = &job->sizes};
    if (restore_plan_init(&job->plan, &job->manifest, err) < 0 ||
        restore_sizes_list(&job->sizes, &job->plan, job->repo, err) < 0 ||
        read_index(job, &read, err) < 0 || read_maps(job, &read, err) < 0 ||
        restore_read_control(&read, job->control_bytes, &job->control, err) < 0)
        return -1;
    job->plan.control_span.crc32c = crc32c_extend(0, job->control_bytes, PG_CONTROL_BYTES);
    pg_demands_raise(&job->demands, &job->control.demands);
    job->fetched_bytes += pack_reader_fetched_bytes(reader);
    return 0;
}

/* All that can be refused is, before the first byte is written. */
static int place_tablespaces(struct job *job, struct error *err)
{
    const struct restore_options *options = job->options;
    const struct restore_plan *plan = &job->plan;
    if (relocation_check(options->tablespaces, options->tablespace_count, plan->directories,
                         plan->directory_count, err) < 0)
        return -1;
    for (size_t i = 0; i < plan->directory_count; i++) {
        const struct entry *entry = &plan->directories[i];
        if (entry->type != ENTRY_LINK)
            continue;
        CLEANUP(own_freep)
        char *location =
            relocation_find(options->tablespaces, options->tablespace_count, entry->target);
        if (target_place_tablespace(job->target, entry, location, err) < 0)
            return -1;
        job->has_tablespaces = true;
    }
    return 0;
}

/* Whether the directory may be changed, and what of it has to go. */
static int look_at_target(struct job *job, struct error *err)
{
    bool is_empty = true;
    const struct restore_claim claim = {
        .target = job->target,
        .marker = &job->marker,
        .system_identifier = job->manifest.system_identifier,
        .control_bytes = job->control_bytes,
        .delta = job->options->delta,
    };
    if (restore_claim_check(&claim, &is_empty, err) < 0 || place_tablespaces(job, err) < 0)
        return -1;
    job->is_used = !is_empty;
    return is_empty ? 0 : restore_sweep_survey(&job->sweep, job->target, &job->plan, err);
}

/* From now on the directory is half a restore: it says so, and cannot start. */
static int begin(struct job *job, struct error *err)
{
    const char *control = job->plan.files[job->plan.control_file].path;
    const struct entry *owner = restore_plan_directory(&job->plan, "global");
    if (cancel_check(job->options->cancel, err) < 0 ||
        target_prepare(job->target, owner->uid, owner->gid, err) < 0)
        return -1;
    job->writing = true;
    if (restore_marker_save(job->target, &job->marker, err) < 0)
        return -1;
    if (!job->is_used)
        return 0;
    if (target_remove(job->target, control, TARGET_FILE, err) < 0 ||
        (target_sync_parent(job->target, control, err) < 0 && err->kind != ERROR_NOT_FOUND))
        return -1;
    return restore_sweep_remove(&job->sweep, job->target, err);
}

static int make_directories(struct job *job, struct error *err)
{
    for (size_t i = 0; i < job->plan.directory_count; i++) {
        const struct entry *entry = &job->plan.directories[i];
        int result = entry->type == ENTRY_LINK ? target_make_link(job->target, entry, err)
                                               : target_make_directory(job->target, entry, err);
        if (result < 0)
            return -1;
        if (strcmp(entry->path, "global") == 0 &&
            target_set_mode(job->target, entry->mode, err) < 0)
            return -1;
    }
    return 0;
}

/* Takes off the plan what the directory has already. */
static int compare(struct job *job, struct error *err)
{
    const struct restore_delta_options options = {
        .repo = job->repo,
        .plan = &job->plan,
        .sizes = &job->sizes,
        .target = job->target,
        .workers = worker_count(job),
        .cancel = job->options->cancel,
        .progress = job->options->progress,
    };
    uint64_t fetched_bytes;
    progress_set_phase(job->options->progress, "comparing");
    if (restore_delta_run(&options, &fetched_bytes, err) < 0)
        return -1;
    job->fetched_bytes += fetched_bytes;
    job->kept_bytes = restore_spans_bytes(&job->plan.kept);
    return 0;
}

static void expect_bytes(const struct job *job)
{
    const struct restore_spans all = {job->plan.spans, job->plan.span_count};
    progress_set_total(job->options->progress,
                       restore_spans_bytes(&all) + job->wal_bytes +
                           restore_wal_count(&job->manifest) * job->manifest.wal_segment_bytes);
}

static int write_files(struct job *job, struct error *err)
{
    const struct restore_worker_options options = {
        .repo = job->repo,
        .manifest = &job->manifest,
        .plan = &job->plan,
        .target = job->target,
        .workers = worker_count(job),
        .fetchers = job->options->policy->uploads,
        .cancel = job->options->cancel,
        .progress = job->options->progress,
    };
    uint64_t fetched_bytes;
    restore_sizes_give(&job->sizes, &job->manifest, job->is_used, &job->plan);
    if (restore_worker_run(&options, &fetched_bytes, err) < 0)
        return -1;
    job->fetched_bytes += fetched_bytes;
    restore_plan_sum(&job->plan);
    const struct restore_wal wal = {
        .repo = job->repo, .manifest = &job->manifest, .target = job->target};
    if (restore_wal_histories(&wal, err) < 0)
        return -1;
    return job->timeline == 0 ? 0 : restore_wal_forks(&wal, job->timeline, err);
}

/* Looks whether a directory that had content has a configuration of its own. */
static int read_config(struct job *job, const char *path, struct buf *content, bool *ret_found,
                       struct error *err)
{
    *ret_found = job->is_used && target_read(job->target, path, content, err) == 0;
    return *ret_found || !job->is_used || err->kind == ERROR_NOT_FOUND ? 0 : -1;
}

static int write_config(struct job *job, size_t index, struct error *err)
{
    const char *path = restore_config_paths[index];
    CLEANUP(buf_done) struct buf content = BUF(CONFIG_BYTES_MAX);
    CLEANUP(own_freep) char *text = NULL;
    struct pg_backup_manifest_file file = {.path = path, .mtime_s = clock_now_ms() / 1000};
    bool found;
    if (read_config(job, path, &content, &found, err) < 0)
        return -1;
    if (!found) {
        text = restore_config_format(index, &job->control);
        const struct target_attributes attributes = {
            .mode = FILE_MODE, .mtime_s = file.mtime_s, .size = strlen(text)};
        if (target_save_file(job->target, path, &attributes, text, err) < 0 ||
            buf_append(&content, text, strlen(text), err) < 0)
            return -1;
    }
    file.size = content.size;
    file.crc32c = crc32c_extend(0, content.data, content.size);
    job->configs[job->config_count++] = file;
    return 0;
}

/* Configuration that the source kept outside its data directory; what is there stays. */
static int write_configs(struct job *job, struct error *err)
{
    for (size_t i = 0; i < RESTORE_CONFIG_FILES; i++) {
        if (!restore_plan_file(&job->plan, restore_config_paths[i]) &&
            write_config(job, i, err) < 0)
            return -1;
    }
    return 0;
}

/* The regions that a recovery asks for WAL: those of the restore; none: all, as the policy has
 * them.
 */
static size_t fetch_regions(const struct job *job, const char *ret_names[REGIONS_MAX])
{
    const struct restore_options *options = job->options;
    size_t count = 0;
    if (!options->region && !options->first && options->excluded_count == 0)
        return 0;
    for (; count < regions_count(job->regions); count++)
        ret_names[count] = regions_at(job->regions, count)->name;
    return count;
}

/* How the copy recovers to its target; own_freep both texts. */
static int format_settings(const struct job *job, const char *before, char **ret_text,
                           struct error *err)
{
    const struct restore_options *options = job->options;
    const char *regions[REGIONS_MAX];
    const struct recovery_command command = {
        .program = options->fetch.program,
        .asker = options->fetch.asker,
        .policy = options->fetch.policy,
        .secrets = options->fetch.secrets,
        .regions = regions,
        .region_count = fetch_regions(job, regions),
        .system_identifier = job->manifest.system_identifier,
        .stop_at_gaps = options->target && options->target->kind != RECOVERY_TARGET_LATEST,
    };
    CLEANUP(own_freep) char *restore_command = NULL;
    if (job->timeline == 0) {
        *ret_text = recovery_settings_apply(before, NULL);
        return 0;
    }
    if (recovery_settings_format_command(&command, &restore_command, err) < 0)
        return -1;
    const struct recovery_settings settings = {.target = options->target,
                                               .timeline = job->timeline,
                                               .restore_command = restore_command,
                                               .demands = &job->demands};
    *ret_text = recovery_settings_apply(before, &settings);
    return 0;
}

/* What makes PostgreSQL recover to a target. */
static int write_signal(struct job *job, struct error *err)
{
    const struct target_attributes attributes = {.mode = FILE_MODE,
                                                 .mtime_s = clock_now_ms() / 1000};
    return job->timeline == 0
               ? 0
               : target_save_file(job->target, "recovery.signal", &attributes, "", err);
}

/* What the configuration of a copy must say, whatever the source's said. */
static int write_settings(struct job *job, struct error *err)
{
    struct restore_file *file = restore_plan_file(&job->plan, RECOVERY_SETTINGS_PATH);
    CLEANUP(buf_done) struct buf content = BUF(CONFIG_BYTES_MAX);
    if (file && target_read(job->target, RECOVERY_SETTINGS_PATH, &content, err) < 0)
        return -1;
    CLEANUP(own_freep) char *before = buf_string(&content);
    CLEANUP(own_freep) char *text = NULL;
    if (format_settings(job, before, &text, err) < 0)
        return -1;
    const struct target_attributes attributes = {.mode = file ? file->mode : FILE_MODE,
                                                 .mtime_s = clock_now_ms() / 1000,
                                                 .size = strlen(text)};
    const uint32_t crc32c = crc32c_extend(0, text, attributes.size);
    if (file) {
        file->mtime_s = attributes.mtime_s;
        file->size = attributes.size;
        file->crc32c = crc32c;
    } else {
        job->configs[job->config_count++] =
            (struct pg_backup_manifest_file){.path = RECOVERY_SETTINGS_PATH,
                                             .size = attributes.size,
                                             .mtime_s = attributes.mtime_s,
                                             .crc32c = crc32c};
    }
    if (target_save_file(job->target, RECOVERY_SETTINGS_PATH, &attributes, text, err) < 0)
        return -1;
    return write_signal(job, err);
}

/* Once all else is on disk: from now on PostgreSQL starts. */
static int write_control(struct job *job, struct error *err)
{
    const struct restore_file *file = &job->plan.files[job->plan.control_file];
    const struct target_attributes attributes = {
        .mode = file->mode, .mtime_s = file->mtime_s, .size = file->size};
    if (cancel_check(job->options->cancel, err) < 0 || target_sync(job->target, err) < 0 ||
        target_save_file(job->target, file->path, &attributes, job->control_bytes, err) < 0)
        return -1;
    job->startable = true;
    return 0;
}

static int write_backup_manifest(struct job *job, struct error *err)
{
    const struct restore_plan *plan = &job->plan;
    size_t count = plan->file_count + job->config_count;
    CLEANUP(own_freep)
    struct pg_backup_manifest_file *files = own_alloc(count * sizeof(files[0]));
    for (size_t i = 0; i < plan->file_count; i++)
        files[i] = (struct pg_backup_manifest_file){.path = plan->files[i].path,
                                                    .size = plan->files[i].size,
                                                    .mtime_s = plan->files[i].mtime_s,
                                                    .crc32c = plan->files[i].crc32c};
    memcpy(files + plan->file_count, job->configs, job->config_count * sizeof(files[0]));
    CLEANUP(buf_done) struct buf text = BUF(BACKUP_MANIFEST_BYTES_MAX);
    if (pg_backup_manifest_format(&job->manifest, files, count, &text, err) < 0)
        return error_wrap(err, "format 'backup_manifest'");
    const struct target_attributes attributes = {
        .mode = FILE_MODE, .mtime_s = clock_now_ms() / 1000, .size = text.size};
    return target_save_file(job->target, "backup_manifest", &attributes, text.data, err);
}

/* Says what a failed restore leaves behind, after its cause. */
static int explain(const struct job *job, struct error *err)
{
    const struct error cause = *err;
    if (!job->writing)
        return -1;
    if (job->startable)
        return error_set(err, cause.kind,
                         "%s; the data in '%s' is complete, but its backup_manifest is not: run "
                         "the same restore again",
                         cause.text, job->options->to);
    return error_set(
        err, cause.kind,
        "%s; '%s' is incomplete and cannot start (no pg_control): run the same restore "
        "again, which goes on, or empty it%s",
        cause.text, job->options->to, job->has_tablespaces ? " and its tablespaces" : "");
}

/* Where it came from, most of it first. */
static void note_regions(const struct job *job, struct restore_result *result)
{
    for (size_t i = 0; i < regions_count(job->regions); i++) {
        struct region *region = regions_at(job->regions, i);
        uint64_t bytes = atomic_load(&region->fetched_bytes);
        size_t at = bytes > 0 ? result->region_count++ : 0;
        if (bytes == 0)
            continue;
        for (; at > 0 && result->regions[at - 1].fetched_bytes < bytes; at--)
            result->regions[at] = result->regions[at - 1];
        result->regions[at].name = region->name;
        result->regions[at].fetched_bytes = bytes;
    }
}

static void report(const struct job *job, int64_t started_ms, struct restore_result *ret_result)
{
    struct restore_result result = {.timeline = job->timeline,
                                    .files = job->plan.file_count,
                                    .bytes = job->plan.bytes,
                                    .kept_bytes = job->kept_bytes,
                                    .fetched_bytes = job->fetched_bytes,
                                    .duration_ms = clock_monotonic_ms() - started_ms};
    memcpy(result.backup, job->manifest.id, sizeof(result.backup));
    note_regions(job, &result);
    if (job->manifest.page_error_count > 0)
        log_warn("Restored pages that were damaged in the source already",
                 S("backup", result.backup), U("pages", job->manifest.page_error_count));
    log_info("Restored backup", S("backup", result.backup), S("to", job->options->to),
             U("files", result.files), U("bytes", result.bytes), U("keptBytes", result.kept_bytes),
             I("milliseconds", result.duration_ms));
    *ret_result = result;
}

static int run_steps(struct job *job, struct error *err)
{
    if (find_backup(job, err) < 0 || open_target(job, err) < 0 || read_plan(job, err) < 0 ||
        look_at_target(job, err) < 0 || begin(job, err) < 0 || make_directories(job, err) < 0)
        return -1;
    expect_bytes(job);
    if (job->is_used && compare(job, err) < 0)
        return -1;
    progress_set_phase(job->options->progress, "copying");
    if (write_files(job, err) < 0 || write_configs(job, err) < 0 || write_settings(job, err) < 0)
        return -1;
    progress_set_phase(job->options->progress, "finishing");
    if (write_control(job, err) < 0 || write_backup_manifest(job, err) < 0)
        return -1;
    return restore_marker_remove(job->target, err);
}

int restore_run(const struct restore_options *options, struct restore_result *ret_result,
                struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options};
    int64_t started_ms = clock_monotonic_ms();
    throttle_init(&job.write_limit, options->policy->limits.write_bytes_per_second);
    if (run_steps(&job, err) < 0)
        return explain(&job, err);
    report(&job, started_ms, ret_result);
    return 0;
}
