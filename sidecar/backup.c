// SPDX-License-Identifier: Apache-2.0
#include "sidecar/backup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup_index.h"
#include "sidecar/heartbeat.h"
#include "sidecar/manifest.h"
#include "sidecar/packer.h"
#include "sidecar/pg.h"
#include "sidecar/pg_control.h"
#include "sidecar/policy.h"
#include "sidecar/preflight.h"
#include "sidecar/progress.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/upload.h"
#include "sidecar/wal_receiver.h"
#include "sidecar/witness.h"

enum { CONTENT_MAX = 3 }; /* backup_label, pg_control, tablespace_map */

struct job {
    const struct backup_options *options;
    struct crew *crew;
    struct pg *pg;
    struct pg_server server;
    const char *pgdata;
    struct source source;
    struct regions *regions;
    struct repo *repo;
    struct heartbeat *heartbeat;
    struct wal_receiver *wal;
    struct upload *upload;
    struct scan *scan;
    struct packer *packer; /* for what is not a file of the walk */
    atomic_uint next_pack;
    struct buf control;
    struct pg_backup_end end;
    struct entry content[CONTENT_MAX];
    size_t content_count;
    struct manifest manifest;
};

static void job_done(struct job *job)
{
    pg_closep(&job->pg); /* ends a backup that was not stopped */
    crew_freep(&job->crew);
    packer_freep(&job->packer);
    scan_freep(&job->scan);
    upload_freep(&job->upload);
    wal_receiver_closep(&job->wal);
    heartbeat_freep(&job->heartbeat);
    repo_closep(&job->repo);
    regions_closep(&job->regions);
    source_done(&job->source);
    for (size_t i = 0; i < job->content_count; i++)
        entry_done(&job->content[i]);
    buf_done(&job->control);
    pg_backup_end_done(&job->end);
    manifest_done(&job->manifest);
}

/* The server answers, may be backed up by this role, and PGDATA is its data directory. */
static int connect_source(struct job *job, struct error *err)
{
    const struct backup_options *options = job->options;
    if (pg_open(&job->pg, options->pg, err) < 0 || pg_inspect(job->pg, &job->server, err) < 0)
        return -1;
    job->pgdata = options->pgdata ? options->pgdata : job->server.data_directory;
    if (source_open(&job->source, job->pgdata, err) < 0)
        return -1;
    return preflight_same_server(&job->source, job->pgdata, &job->server, options->cancel, err);
}

static int open_repository(struct job *job, struct error *err)
{
    const struct backup_options *options = job->options;
    if (regions_open(&job->regions, options->policy, options->secrets, NULL, options->cancel, err) <
        0)
        return -1;
    return repo_open_write(&job->repo, options->policy, options->secrets, job->regions,
                           job->server.system_identifier, err);
}

/* The backup gets its id, and a heartbeat that says so to whoever prunes. */
static int announce(struct job *job, struct error *err)
{
    struct manifest *manifest = &job->manifest;
    manifest->type = BACKUP_FULL;
    manifest->started_ms = clock_now_ms();
    if (backup_id_new(manifest->type, manifest->started_ms, manifest->id, err) < 0)
        return -1;
    log_info("Started backup", S("backup", manifest->id), S("pgdata", job->pgdata),
             U("systemIdentifier", job->server.system_identifier),
             B("standby", job->server.in_recovery));
    return heartbeat_start(&job->heartbeat, job->repo, manifest->id, job->crew,
                           job->options->cancel, err);
}

/* The slot comes before the start, so that the server keeps all WAL from the start LSN on. */
static int start_backup(struct job *job, struct error *err)
{
    struct manifest *manifest = &job->manifest;
    struct wal_receiver_options options = {
        .pg = job->options->pg,
        .segment_bytes = job->server.wal_segment_bytes,
        .system_identifier = job->server.system_identifier,
        .repo = job->repo,
        .crew = job->crew,
        .cancel = job->options->cancel,
    };
    CLEANUP(own_freep) char *label = own_format("lifeboat %s", manifest->id);
    if (wal_receiver_open(&job->wal, &options, err) < 0 ||
        pg_backup_start(job->pg, label, &manifest->start_lsn, err) < 0)
        return -1;
    return wal_receiver_start(job->wal, manifest->start_lsn, err);
}

static void count_progress(void *arg, uint64_t bytes)
{
    progress_add(arg, bytes);
}

static int copy_files(struct job *job, struct error *err)
{
    const struct policy *policy = job->options->policy;
    if (source_walk(&job->source, job->options->cancel, err) < 0)
        return -1;
    if (job->options->progress)
        progress_set_total(job->options->progress, job->source.bytes);
    job->upload = upload_new(job->repo, policy->workers + policy->uploads, job->options->cancel);
    struct scan_options options = {
        .source = &job->source,
        .checksums = job->server.checksums,
        .segment_blocks = job->server.segment_blocks,
        .start_lsn = job->manifest.start_lsn,
        .workers = policy->workers,
        .packer =
            {
                .repo = job->repo,
                .upload = job->upload,
                .backup_id = job->manifest.id,
                .next_pack = &job->next_pack,
                .level = policy->compression_level,
            },
        .cancel = job->options->cancel,
        .crew = job->crew,
        .progress = job->options->progress ? count_progress : NULL,
        .progress_arg = job->options->progress,
    };
    job->packer = packer_new(&options.packer);
    if (upload_start(job->upload, job->crew, policy->uploads, err) < 0 ||
        scan_start(&job->scan, &options, err) < 0)
        return -1;
    return scan_wait(job->scan, err);
}

/* pg_control after all other files and before the stop: on a standby its minRecoveryPoint is the
 * end of the backup. */
static int stop_backup(struct job *job, struct error *err)
{
    struct pg_control control;
    if (source_read_control(&job->source, job->options->cancel, &job->control, &control, err) < 0)
        return -1;
    return pg_backup_stop(job->pg, &job->end, err);
}

static int add_content(struct job *job, const char *path, const void *content, size_t size,
                       struct error *err)
{
    struct stat st;
    assert(job->content_count < CONTENT_MAX);
    if (fstat(job->source.pgdata, &st) < 0)
        return error_errno(err, errno, "stat '%s'", job->pgdata);
    struct entry metadata = {
        .path = own_strdup(path),
        .type = ENTRY_FILE,
        .mode = st.st_mode & 0660, /* 0600, or 0640 in a cluster with group access */
        .uid = st.st_uid,
        .gid = st.st_gid,
        .mtime_s = clock_now_ms() / 1000,
    };
    int result = scan_add_content(job->packer, &metadata, content, size,
                                  &job->content[job->content_count], err);
    entry_done(&metadata);
    if (result == 0)
        job->content_count++;
    return result;
}

/* What does not come from the walk, in order of paths, and the index of everything. */
static int write_index(struct job *job, struct error *err)
{
    const char *label = job->end.backup_label, *map = job->end.tablespace_map;
    if (add_content(job, "backup_label", label, strlen(label), err) < 0 ||
        add_content(job, "global/pg_control", job->control.data, job->control.size, err) < 0)
        return -1;
    if (map[0] != '\0' && add_content(job, "tablespace_map", map, strlen(map), err) < 0)
        return -1;
    struct backup_index index = {
        .scan = job->scan,
        .source = &job->source,
        .content = job->content,
        .content_count = job->content_count,
    };
    if (backup_index_write(&index, job->packer, &job->manifest, err) < 0)
        return -1;
    return packer_flush(job->packer, err);
}

/* Until every pack and all WAL up to the stop LSN is in a quorum of buckets. */
static int wait_until_stored(struct job *job, struct error *err)
{
    upload_close(job->upload);
    if (wal_receiver_finish(job->wal, job->end.stop_lsn, err) < 0)
        return -1;
    heartbeat_stop(job->heartbeat);
    return crew_join(job->crew, err);
}

static void note_page_errors(struct job *job)
{
    struct manifest *manifest = &job->manifest;
    const struct scan_page_error *errors;
    manifest->page_error_count = scan_page_errors(job->scan, &errors, &manifest->page_error_shown);
    if (manifest->page_error_shown > MANIFEST_PAGE_ERRORS_MAX)
        manifest->page_error_shown = MANIFEST_PAGE_ERRORS_MAX;
    manifest->page_errors =
        own_alloc((manifest->page_error_shown + 1) * sizeof(manifest->page_errors[0]));
    for (size_t i = 0; i < manifest->page_error_shown; i++)
        manifest->page_errors[i] = (struct manifest_page_error){
            .path = own_strdup(errors[i].path),
            .block = errors[i].block,
        };
    if (manifest->page_error_count > 0)
        log_warn("Found damaged pages in the database", S("backup", manifest->id),
                 U("pages", manifest->page_error_count), S("file", errors[0].path),
                 U("block", errors[0].block));
}

static void describe(struct job *job)
{
    struct manifest *manifest = &job->manifest;
    const struct policy *policy = job->options->policy;
    const struct pg_server *server = &job->server;
    manifest->policy_namespace = own_strdup(policy->namespace);
    manifest->policy_name = own_strdup(policy->name);
    manifest->system_identifier = server->system_identifier;
    manifest->version_num = server->version_num;
    manifest->wal_segment_bytes = server->wal_segment_bytes;
    manifest->checksums = server->checksums;
    manifest->bootstrap_superuser = own_strdup(server->bootstrap_superuser);
    manifest->from_standby = server->in_recovery;
    manifest->stop_lsn = job->end.stop_lsn;
    manifest->finished_ms = clock_now_ms();
    manifest->wal = own_alloc(sizeof(manifest->wal[0]));
    manifest->wal[manifest->wal_count++] = (struct manifest_wal_range){
        .timeline = wal_receiver_timeline(job->wal),
        .start_lsn = manifest->start_lsn,
        .stop_lsn = manifest->stop_lsn,
    };
    manifest->bytes_read = scan_bytes_read(job->scan);
    manifest->bytes_stored = upload_stored_bytes(job->upload) + wal_receiver_stored_bytes(job->wal);
    manifest->change_source = own_strdup("all");
    manifest->packs = own_alloc(sizeof(manifest->packs[0]));
    manifest->packs[manifest->pack_count] =
        (struct manifest_packs){.first = 1, .last = atomic_load(&job->next_pack) - 1};
    memcpy(manifest->packs[manifest->pack_count++].backup, manifest->id, BACKUP_ID_BYTES);
    note_page_errors(job);
}

/* The manifest: from now on the backup exists. */
static int commit(struct job *job, struct error *err)
{
    char name[REPO_NAME_MAX];
    CLEANUP(own_freep) char *text = NULL;
    describe(job);
    if (witness_collect(job->repo, &job->manifest, err) < 0 ||
        manifest_format(&job->manifest, &text, err) < 0)
        return -1;
    repo_manifest_name(job->manifest.id, name);
    struct repo_blob blob = {
        .kind = CONTAINER_MANIFEST,
        .name = name,
        .plain = text,
        .size = strlen(text),
        .rule = PUT_NEW,
    };
    if (repo_put_sealed(job->repo, &blob, NULL, job->manifest.sha256, err) < 0)
        return error_wrap(err, "commit");
    CLEANUP(own_freep) char *regions = regions_names(job->regions, false);
    log_info("Committed backup", S("backup", job->manifest.id), S("regions", regions),
             U("bytes", job->manifest.bytes_total), U("stored", job->manifest.bytes_stored),
             I("milliseconds", job->manifest.finished_ms - job->manifest.started_ms));
    heartbeat_remove(job->heartbeat);
    return 0;
}

static int run_steps(struct job *job, struct error *err)
{
    if (connect_source(job, err) < 0 || open_repository(job, err) < 0 || announce(job, err) < 0)
        return -1;
    if (start_backup(job, err) < 0 || copy_files(job, err) < 0 || stop_backup(job, err) < 0)
        return -1;
    if (write_index(job, err) < 0 || wait_until_stored(job, err) < 0)
        return -1;
    return commit(job, err);
}

int backup_run(const struct backup_options *options, struct manifest *ret_manifest,
               struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options, .source = {.pgdata = -1}};
    job.control = BUF(PG_CONTROL_BYTES);
    atomic_init(&job.next_pack, 1);
    if (options->type != BACKUP_FULL)
        return error_set(err, ERROR_PERMANENT,
                         "--type '%s': this version makes full backups only: use full",
                         backup_type_names[options->type]);
    job.crew = crew_new(options->cancel);
    if (run_steps(&job, err) < 0) {
        /* what a thread failed of comes before what its failure made fail here */
        crew_fail(job.crew, err);
        return crew_join(job.crew, err);
    }
    *ret_manifest = job.manifest;
    job.manifest = (struct manifest){0};
    return 0;
}
