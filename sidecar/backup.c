// SPDX-License-Identifier: Apache-2.0
#include "sidecar/backup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "common/throttle.h"
#include "sidecar/backup_index.h"
#include "sidecar/captured_rows.h"
#include "sidecar/change_search.h"
#include "sidecar/changes.h"
#include "sidecar/heartbeat.h"
#include "sidecar/heartbeat_note.h"
#include "sidecar/lanes.h"
#include "sidecar/manifest.h"
#include "sidecar/packer.h"
#include "sidecar/parent.h"
#include "sidecar/parent_search.h"
#include "sidecar/pg.h"
#include "sidecar/pg_control.h"
#include "sidecar/policy.h"
#include "sidecar/preflight.h"
#include "sidecar/prior.h"
#include "sidecar/progress.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/scan.h"
#include "sidecar/source.h"
#include "sidecar/timeline.h"
#include "sidecar/upload.h"
#include "sidecar/wal_presence.h"
#include "sidecar/wal_receiver.h"
#include "sidecar/witness.h"

enum {
    CONTENT_MAX = 3, /* backup_label, pg_control, tablespace_map */
    /* how long a standby may take to replay what its parent holds */
    REPLAY_WAIT_MS = 60 * 1000,
    REPLAY_TICK_MS = 200,
    /* how long the server may take to summarize the WAL up to the start */
    SUMMARY_WAIT_MS = 60 * 1000,
};

struct job {
    const struct backup_options *options;
    struct crew *crew;
    struct pg *pg;
    struct pg_server server;
    const char *pgdata;
    struct source source;
    struct regions *regions;
    struct repo *repo;
    struct lanes *lanes;
    struct heartbeat *heartbeat;
    struct wal_receiver *wal;
    struct timeline timeline;
    struct parent_search search;
    struct parent_child child;   /* the facts about this backup */
    struct prior *prior;         /* the parent; NULL: the backup is full */
    struct captured_rows *known; /* what it has of each file; the scan's as soon as that starts */
    struct changes *changes;     /* since its start; NULL: they are not known */
    char *fallback;
    struct upload *upload;
    struct scan *scan;
    struct throttle read_limit;
    struct packer *packer; /* for what is not a file of the walk */
    atomic_uint next_pack;
    struct buf control;
    struct pg_backup_end end;
    struct entry content[CONTENT_MAX];
    size_t content_count;
    struct manifest manifest;
};

static void drop_parent(struct job *job)
{
    captured_rows_freep(&job->known);
    prior_closep(&job->prior);
}

static void job_done(struct job *job)
{
    pg_closep(&job->pg); /* ends a backup that was not stopped */
    crew_freep(&job->crew);
    packer_freep(&job->packer);
    scan_freep(&job->scan);
    lanes_freep(&job->lanes);
    upload_freep(&job->upload);
    wal_receiver_closep(&job->wal);
    heartbeat_freep(&job->heartbeat);
    drop_parent(job);
    parent_search_done(&job->search);
    timeline_done(&job->timeline);
    changes_freep(&job->changes);
    own_freep(&job->fallback);
    repo_closep(&job->repo);
    regions_closep(&job->regions);
    source_done(&job->source);
    for (size_t i = 0; i < job->content_count; i++)
        entry_done(&job->content[i]);
    buf_done(&job->control);
    pg_backup_end_done(&job->end);
    manifest_done(&job->manifest);
    throttle_done(&job->read_limit);
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

/* A limit makes all packs that are on their way into a region take this long at least. */
static int64_t limited_put_ms(const struct policy *policy)
{
    uint64_t per_second = policy->limits.upload_bytes_per_second;
    return per_second == 0
               ? 0
               : (int64_t)((uint64_t)policy->uploads * UPLOAD_BUFFER_BYTES * 1000 / per_second);
}

/* From here on each region goes at its own speed. */
static int open_lanes(struct job *job, struct error *err)
{
    const struct policy *policy = job->options->policy;
    const struct lanes_options options = {
        .regions = job->regions,
        .cancel = job->options->cancel,
        .threads = policy->uploads,
        .packs = policy->workers + policy->uploads,
        .patience_ms = FANOUT_PATIENCE_MS + 2 * limited_put_ms(policy),
    };
    if (lanes_new(&job->lanes, &options, err) < 0)
        return -1;
    job->repo->lanes = job->lanes;
    return 0;
}

/* The slot comes before the start, so that the server keeps all WAL from the start LSN on. */
static int open_wal(struct job *job, struct error *err)
{
    struct wal_receiver_options options = {
        .pg = job->options->pg,
        .segment_bytes = job->server.wal_segment_bytes,
        .system_identifier = job->server.system_identifier,
        .repo = job->repo,
        .crew = job->crew,
        .cancel = job->options->cancel,
    };
    if (wal_receiver_open(&job->wal, &options, err) < 0)
        return -1;
    return wal_receiver_history(job->wal, &job->timeline, err);
}

/* What is known of the backup before it starts; LSNs are still to come. */
static int look_for_parents(struct job *job, struct error *err)
{
    job->child = (struct parent_child){
        .type = job->options->type,
        .system_identifier = job->server.system_identifier,
        .checksums = job->server.checksums,
        .start_lsn = UINT64_MAX,
        .stop_lsn = UINT64_MAX,
        .timeline = &job->timeline,
    };
    if (job->child.type != BACKUP_FULL && parent_search_load(&job->search, job->repo, err) < 0)
        return -1;
    job->child.regions = parent_search_regions(job->repo);
    return 0;
}

static uint64_t stop_of(const struct parent_candidate *candidate)
{
    return candidate->wal[candidate->wal_count - 1].stop_lsn;
}

/* A standby must have replayed what the parent holds. One that does not come so far in time takes
 * another parent. Gives the LSN that was waited for, 0: none. */
static int wait_until_replayed(struct job *job, uint64_t *ret_lsn, struct error *err)
{
    const struct parent_search *search = &job->search;
    struct parent_choice choice = parent_choose(&job->child, search->candidates, search->count);
    int64_t deadline_ms = clock_monotonic_ms() + REPLAY_WAIT_MS;
    uint64_t replayed_lsn = 0;
    *ret_lsn = choice.index == SIZE_MAX ? 0 : stop_of(&search->candidates[choice.index]);
    if (!job->server.in_recovery || *ret_lsn == 0)
        return 0;
    for (;;) {
        if (pg_replayed_lsn(job->pg, &replayed_lsn, err) < 0)
            return -1;
        if (replayed_lsn >= *ret_lsn || clock_monotonic_ms() >= deadline_ms)
            return 0;
        if (cancel_sleep(job->options->cancel, REPLAY_TICK_MS, err) < 0)
            return -1;
    }
}

static int start_once(struct job *job, struct error *err)
{
    struct parent_child *child = &job->child;
    const struct policy *policy = job->options->policy;
    struct pg_control control;
    CLEANUP(own_freep)
    char *label = own_format("lifeboat %s/%s", policy->namespace, policy->name);
    if (pg_backup_start(job->pg, label, &child->start_lsn, err) < 0)
        return -1;
    child->stop_lsn = child->start_lsn;
    if (!job->server.in_recovery)
        return 0;
    if (source_read_control(&job->source, job->options->cancel, &job->control, &control, err) < 0)
        return -1;
    child->stop_lsn = control.min_recovery_lsn;
    return 0;
}

/* A backup from a standby is consistent from its minRecoveryPoint on, which an idle one may keep
 * behind what it has replayed until it is asked for a restart point that it has made already
 * (CreateRestartPoint in access/transam/xlog.c): then it is asked a second time. */
static int start_backup(struct job *job, struct error *err)
{
    uint64_t wanted_lsn;
    if (wait_until_replayed(job, &wanted_lsn, err) < 0 || start_once(job, err) < 0)
        return -1;
    if (job->server.in_recovery && job->child.stop_lsn < wanted_lsn) {
        CLEANUP(pg_backup_end_done) struct pg_backup_end unused = {0};
        if (pg_backup_stop(job->pg, &unused, err) < 0 || start_once(job, err) < 0)
            return -1;
    }
    job->manifest.start_lsn = job->child.start_lsn;
    return source_walk(&job->source, job->options->cancel, err);
}

/* One that was given stands, also where no parent is found and the backup becomes full. */
static int choose_id(struct job *job, struct error *err)
{
    struct manifest *manifest = &job->manifest;
    const char *given = job->options->origin.id;
    if (!given)
        return backup_id_new(manifest->type, manifest->started_ms, manifest->id, err);
    snprintf(manifest->id, sizeof(manifest->id), "%s", given);
    return 0;
}

/* The backup gets its id, and a heartbeat that says so to whoever prunes. */
static int announce(struct job *job, const struct parent_candidate *parent, struct error *err)
{
    struct manifest *manifest = &job->manifest;
    manifest->type = parent ? job->child.type : BACKUP_FULL;
    manifest->started_ms = clock_now_ms();
    memset(manifest->parent, 0, sizeof(manifest->parent));
    if (parent)
        memcpy(manifest->parent, parent->id, sizeof(parent->id));
    if (choose_id(job, err) < 0)
        return -1;
    log_info("Started backup", S("backup", manifest->id), S("parent", manifest->parent),
             S("pgdata", job->pgdata), U("systemIdentifier", job->server.system_identifier),
             B("standby", job->server.in_recovery));
    struct heartbeat_note note = {
        .timeline = wal_receiver_timeline(job->wal),
        .start_lsn = manifest->start_lsn,
    };
    memcpy(note.parent, manifest->parent, sizeof(note.parent));
    return heartbeat_new(&job->heartbeat, job->repo, manifest->id, &note, err);
}

/* Whoever prunes either has seen our heartbeat, or we see that the parent is retired. */
static int open_parent(struct job *job, const struct parent_candidate *parent, struct error *err)
{
    const struct parent_child *child = &job->child;
    if (parent_search_check(job->repo, parent->id, child->regions, err) < 0 ||
        parent_search_check_wal(job->repo, parent, child, job->server.wal_segment_bytes, err) < 0 ||
        prior_open(&job->prior, job->repo, parent->id, job->manifest.id, child->regions, err) < 0)
        return -1;
    return prior_join(job->prior, &job->source, &job->known, err);
}

static void retract(struct job *job)
{
    heartbeat_remove(job->heartbeat);
    heartbeat_freep(&job->heartbeat);
    drop_parent(job);
}

/* Announces the backup with the best parent that turns out to be whole. */
static int choose_parent(struct job *job, struct error *err)
{
    struct parent_search *search = &job->search;
    for (;;) {
        struct parent_choice choice = parent_choose(&job->child, search->candidates, search->count);
        struct parent_candidate *parent =
            choice.index == SIZE_MAX ? NULL : &search->candidates[choice.index];
        own_freep(&job->fallback);
        if (choice.reason[0] != '\0')
            job->fallback = own_strdup(choice.reason);
        if (announce(job, parent, err) < 0)
            return -1;
        if (!parent || open_parent(job, parent, err) == 0)
            break;
        if (err->kind != ERROR_CONFLICT && err->kind != ERROR_CORRUPT &&
            err->kind != ERROR_NOT_FOUND)
            return -1;
        parent_search_refuse(search, choice.index, err);
        retract(job);
    }
    if (job->fallback)
        log_warn("Fell back to another parent or a full backup", S("backup", job->manifest.id),
                 S("reason", job->fallback));
    return heartbeat_start(job->heartbeat, job->crew, job->options->cancel, err);
}

static void count_progress(void *arg, uint64_t bytes)
{
    progress_add(arg, bytes);
}

static void count_file(void *arg)
{
    progress_add_file(arg);
}

/* A page's LSN tells that it is the parent's only where all changes to it are logged: without
 * checksums, setting a page all-visible is not. */
static bool page_lsn_tells(const struct job *job)
{
    return job->prior && job->server.checksums &&
           job->prior->manifest.wal[0].timeline == wal_receiver_timeline(job->wal);
}

static void note_fallback(struct job *job, const char *reason)
{
    CLEANUP(own_freep) char *before = TAKE(job->fallback);
    job->fallback = before ? own_format("%s; %s", before, reason) : own_strdup(reason);
    log_warn("Fell back to reading all relations", S("backup", job->manifest.id),
             S("reason", reason));
}

/* Where the server summarizes WAL, unchanged blocks need not be read. */
static int find_changes(struct job *job, struct error *err)
{
    if (!job->prior || !job->server.summarizes_wal)
        return 0;
    const struct manifest *parent = &job->prior->manifest;
    struct change_search search = {
        .pg = job->pg,
        .timeline = &job->timeline,
        .parent_timeline = parent->wal[0].timeline,
        .start_lsn = parent->start_lsn,
        .end_lsn = job->manifest.start_lsn,
        .wait_ms = SUMMARY_WAIT_MS,
        .cancel = job->options->cancel,
    };
    if (change_search_run(&search, &job->changes, err) == 0)
        return 0;
    if (err->kind == ERROR_CANCELED || err->kind == ERROR_TRANSIENT)
        return -1;
    note_fallback(job, err->text);
    return 0;
}

static int copy_files(struct job *job, struct error *err)
{
    const struct policy *policy = job->options->policy;
    if (wal_receiver_start(job->wal, job->manifest.start_lsn, err) < 0 ||
        find_changes(job, err) < 0)
        return -1;
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
        .prior = job->prior,
        .known = job->known,
        .changes = job->changes,
        .page_lsn = page_lsn_tells(job),
        .limit = &job->read_limit,
        .cancel = job->options->cancel,
        .crew = job->crew,
        .progress = count_progress,
        .file_done = count_file,
        .progress_arg = job->options->progress,
    };
    job->packer = packer_new(&options.packer);
    job->known = NULL;
    if (scan_start(&job->scan, &options, err) < 0)
        return -1;
    return scan_wait(job->scan, err);
}

/* pg_control after all other files and before the stop: on a standby its minRecoveryPoint is where
 * the copy becomes consistent. The log goes on from there to what the standby shows by now. */
static int stop_backup(struct job *job, struct error *err)
{
    struct pg_control control;
    if (source_read_control(&job->source, job->options->cancel, &job->control, &control, err) < 0)
        return -1;
    if (pg_backup_stop(job->pg, &job->end, err) < 0)
        return -1;
    if (job->prior && job->end.consistent_lsn < job->prior->manifest.stop_lsn)
        return error_set(err, ERROR_TRANSIENT,
                         "the backup stops before its parent '%s': run it again",
                         job->manifest.parent);
    return 0;
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

/* What does not come from the walk, in order of paths, and the index of everything. pg_control has
 * a frame of its own: a restore opens it before it does anything else. */
static int write_index(struct job *job, struct error *err)
{
    const char *label = job->end.backup_label, *map = job->end.tablespace_map;
    if (add_content(job, "backup_label", label, strlen(label), err) < 0 ||
        packer_end_frame(job->packer, err) < 0 ||
        add_content(job, "global/pg_control", job->control.data, job->control.size, err) < 0 ||
        packer_end_frame(job->packer, err) < 0)
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
    if (wal_receiver_finish(job->wal, job->end.stop_lsn, err) < 0 ||
        upload_finish(job->upload, err) < 0)
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
    const struct backup_origin *origin = &job->options->origin;
    manifest->backup_name = own_strdup(origin->backup_name);
    manifest->backup_uid = own_strdup(origin->backup_uid);
    manifest->source_pod = own_strdup(origin->pod);
    manifest->source_region = own_strdup(origin->region);
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
    manifest->bytes_reused = scan_bytes_reused(job->scan);
    manifest->change_source = own_strdup(!job->prior           ? "all"
                                         : job->changes        ? "walSummaries"
                                         : page_lsn_tells(job) ? "pageLsn"
                                                               : "pageHash");
    manifest->fallback = TAKE(job->fallback);
    manifest->packs = own_alloc(sizeof(manifest->packs[0]));
    manifest->packs[manifest->pack_count] =
        (struct manifest_packs){.first = 1, .last = atomic_load(&job->next_pack) - 1};
    memcpy(manifest->packs[manifest->pack_count++].backup, manifest->id, BACKUP_ID_BYTES);
    if (job->prior)
        prior_list_packs(job->prior, manifest);
    note_page_errors(job);
}

/* The manifest: from now on the backup exists. */
static int commit(struct job *job, struct error *err)
{
    char name[REPO_NAME_MAX];
    CLEANUP(own_freep) char *text = NULL;
    describe(job);
    if (job->prior && parent_search_check(job->repo, job->manifest.parent,
                                          parent_search_regions(job->repo), err) < 0)
        return error_wrap(err, "parent '%s'", job->manifest.parent);
    if (heartbeat_check(job->heartbeat, err) < 0 ||
        wal_presence_check(job->repo, &job->manifest, err) < 0)
        return -1;
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
    struct progress *progress = job->options->progress;
    progress_set_phase(progress, "starting");
    if (connect_source(job, err) < 0 || open_repository(job, err) < 0 || open_lanes(job, err) < 0 ||
        open_wal(job, err) < 0)
        return -1;
    if (look_for_parents(job, err) < 0 || start_backup(job, err) < 0 || choose_parent(job, err) < 0)
        return -1;
    progress_set_phase(progress, "copying");
    if (copy_files(job, err) < 0 || stop_backup(job, err) < 0)
        return -1;
    progress_set_phase(progress, "finishing");
    if (write_index(job, err) < 0 || wait_until_stored(job, err) < 0)
        return -1;
    return commit(job, err);
}

int backup_run(const struct backup_options *options, struct backup_result *ret_result,
               struct error *err)
{
    CLEANUP(job_done) struct job job = {.options = options, .source = {.pgdata = -1}};
    job.control = BUF(PG_CONTROL_BYTES);
    atomic_init(&job.next_pack, 1);
    throttle_init(&job.read_limit, options->policy->limits.read_bytes_per_second);
    job.crew = crew_new(options->cancel);
    if (run_steps(&job, err) < 0) {
        /* what a thread failed of comes before what its failure made fail here */
        crew_fail(job.crew, err);
        return crew_join(job.crew, err) < 0 ? lanes_explain(job.lanes, err) : -1;
    }
    *ret_result = (struct backup_result){
        .manifest = job.manifest,
        .regions = regions_mask(job.regions, false),
        .lost_regions = regions_mask(job.regions, true),
    };
    for (size_t i = 0; i < regions_count(job.regions); i++) {
        const struct region *region = regions_at(job.regions, i);
        if (ret_result->lost_regions & 1u << i) /* then nobody writes there any more */
            ret_result->losses[i] = (struct backup_loss){region->error, region->lost_ms};
    }
    job.manifest = (struct manifest){0};
    return 0;
}
