// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_control.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/restore_wal.h"
#include "sidecar/target.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/tests/helper_restore.h"
#include "sidecar/wal_archive.h"
#include "common/tests/helper_directory.h"

enum { FILE_MAX = 64 << 20, DESCRIPTORS = 16, OBJECTS_MAX = 64, PATIENCE_MS = 20000 };

static struct helper_backup backup; /* in two regions; tests leave it as it was */
static char *scratch;               /* a new directory for each test */

static int open_backup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    helper_backup_open(&backup, 2);
    helper_backup_commit(&backup);
    return 0;
}

static int close_backup(void **state)
{
    (void)state;
    helper_backup_close(&backup);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    scratch = helper_directory_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_directory_remove(scratch);
    return 0;
}

static int restore(const struct helper_backup *from, const struct restore_options *extra,
                   struct restore_result *ret_result, struct error *err)
{
    return helper_restore(from, scratch, extra, ret_result, err);
}

static void expect_source_restored(void)
{
    helper_restore_expect_source(&backup, scratch);
}

static struct restore_result must_restore(const struct helper_backup *from,
                                          const struct restore_options *extra)
{
    struct restore_result result;
    struct error err;
    if (restore(from, extra, &result, &err) < 0)
        fail_msg("%s", err.text);
    return result;
}

/* Fails, says so, and leaves nothing that starts. */
static void expect_failure(const struct helper_backup *from, const struct restore_options *extra,
                           enum error_kind kind, const char *text)
{
    struct restore_result unused;
    struct error err;
    if (restore(from, extra, &unused, &err) == 0)
        fail_msg("restored, but not '%s'", text);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("'%s' (%s), not '%s' (%s)", err.text, error_kind_name(err.kind), text,
                 error_kind_name(kind));
    helper_directory_expect_missing(scratch, "pg/global/pg_control");
    helper_directory_expect_missing(scratch, "pg/backup_manifest");
}

static void empty_scratch(void)
{
    helper_directory_remove(scratch);
    scratch = helper_directory_new();
}

static void read_file(struct buf *content, const char *directory, const char *path)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", directory, path);
    struct error err;
    if (buf_read_file(content, AT_FDCWD, full, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_segment(const char *name, size_t from, size_t size)
{
    CLEANUP(own_freep) char *path = own_format("pg/pg_wal/%s", name);
    CLEANUP(own_freep) char *done = own_format("pg/pg_wal/archive_status/%s.done", name);
    CLEANUP(buf_done) struct buf content = BUF(FILE_MAX);
    read_file(&content, scratch, path);
    assert_int_equal(content.size, HELPER_BACKUP_SEGMENT);
    assert_memory_equal(content.data, backup.wal + from, size);
    for (size_t i = size; i < content.size; i++)
        assert_int_equal(content.data[i], 0);
    helper_directory_expect(scratch, done, "");
}

static void a_backup_comes_back_byte_for_byte(void **state)
{
    (void)state;
    static const size_t workers[] = {1, 8, 0};
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        struct restore_result result =
            must_restore(&backup, &(struct restore_options){.workers = workers[i]});
        assert_string_equal(result.backup, HELPER_PACKS_BACKUP);
        assert_true(result.fetched_bytes > 15 << 20);
        expect_source_restored();
        assert_int_equal(helper_restore_check_manifest(scratch),
                         result.files + 3); /* and the configuration */
        empty_scratch();
    }
}

static uint64_t packs_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)at;
    packs_bytes += type == FTW_F ? (uint64_t)st->st_size : 0;
    return 0;
}

/* Index, maps and pg_control come from packs that have data too. */
static void every_pack_is_fetched_once(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *packs = helper_repo_path(&backup.repo, 0, "packs");
    packs_bytes = 0;
    assert_int_equal(nftw(packs, add_size, DESCRIPTORS, FTW_PHYS), 0);
    assert_true(packs_bytes > 15 << 20);
    struct restore_result result = must_restore(&backup, &(struct restore_options){0});
    assert_true(result.fetched_bytes < packs_bytes + (1 << 18));
}

/* Frames that were opened. */
enum { OPENED_MAX = 1024 };
static struct {
    bool is_counting;
    atomic_size_t count;
    char names[OPENED_MAX][REPO_NAME_MAX + 16]; /* "<object> <frame>" */
} opened;

int __real_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err);
int __wrap_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err);
int __wrap_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err)
{
    if (opened.is_counting) {
        const size_t at = atomic_fetch_add(&opened.count, 1);
        if (at < OPENED_MAX)
            snprintf(opened.names[at], sizeof(opened.names[at]), "%s %u", container->name, index);
    }
    return __real_container_read(container, codec, index, sealed, plain, err);
}

static int compare_opened(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void every_frame_is_opened_once(void **state)
{
    (void)state;
    opened.is_counting = true;
    must_restore(&backup, &(struct restore_options){0});
    opened.is_counting = false;
    const size_t count = atomic_load(&opened.count);
    assert_in_range(count, 15, OPENED_MAX); /* of the large file alone */
    qsort(opened.names, count, sizeof(opened.names[0]), compare_opened);
    for (size_t i = 1; i < count; i++)
        assert_string_not_equal(opened.names[i - 1], opened.names[i]);
}

/* Where writers of the large file wait for each other. */
enum { WRITERS = 2 };
static struct {
    atomic_bool is_armed;
    atomic_uint came; /* of the threads that began to write to it, the first ones meet */
    pthread_barrier_t barrier;
} meeting;

static bool is_large(int fd)
{
    static const char name[] = "/pg_stat/large";
    char path[sizeof("/proc/self/fd/") + 12], target[256];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(path, target, sizeof(target));
    const size_t length = strlen(name);
    return size > (ssize_t)length && memcmp(target + size - length, name, length) == 0;
}

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at)
{
    static _Thread_local bool began;
    if (meeting.is_armed && !began && is_large(fd)) {
        began = true;
        if (atomic_fetch_add(&meeting.came, 1) < WRITERS)
            pthread_barrier_wait(&meeting.barrier);
    }
    return __real_pwrite(fd, data, size, at);
}

static void workers_write_to_one_large_file_at_once(void **state)
{
    (void)state;
    assert_int_equal(pthread_barrier_init(&meeting.barrier, NULL, WRITERS), 0);
    meeting.is_armed = true; /* they wait for ever if one has it for itself */
    must_restore(&backup, &(struct restore_options){.workers = WRITERS});
    meeting.is_armed = false;
    pthread_barrier_destroy(&meeting.barrier);
    expect_source_restored();
}

static void holes_stay_holes(void **state)
{
    (void)state;
    must_restore(&backup, &(struct restore_options){0});
    CLEANUP(own_freep) char *hole = own_format("%s/pg/base/5/102", scratch);
    CLEANUP(own_freep) char *partly = own_format("%s/pg/base/5/103", scratch);
    struct stat st;
    assert_int_equal(stat(hole, &st), 0);
    assert_int_equal(st.st_blocks, 0);
    assert_int_equal(stat(partly, &st), 0);
    assert_true(st.st_blocks * 512 <= 4 * 8192);
}

static void wal_of_every_timeline_is_there_as_if_archived(void **state)
{
    (void)state;
    must_restore(&backup, &(struct restore_options){0});
    expect_segment("000000010000000000000001", 0x100000, HELPER_BACKUP_SEGMENT);
    expect_segment("000000020000000000000001", 0x100000, HELPER_BACKUP_SEGMENT);
    expect_segment("000000020000000000000002", 0x200000, 0x100);
    helper_directory_expect(scratch, "pg/pg_wal/00000002.history",
                            "1\t0/180000\tno recovery target specified\n");
    helper_directory_expect(scratch, "pg/pg_wal/archive_status/00000002.history.done", "");
    helper_directory_expect_missing(scratch, "pg/pg_wal/00000001.history");
}

static void put_wal(struct helper_backup *to, uint32_t timeline, uint32_t end)
{
    const struct wal_piece piece = {
        .timeline = timeline,
        .segment_lsn = 0x200000,
        .segment_bytes = HELPER_BACKUP_SEGMENT,
        .to = end,
    };
    uint64_t unused = 0;
    struct error err;
    if (wal_archive_put(to->repo.repo, &piece, to->wal + 0x200000, &unused, &err) < 0)
        fail_msg("%s", err.text);
}

static void write_forks(const struct helper_backup *from, uint32_t timeline)
{
    CLEANUP(manifest_done) struct manifest manifest = {0};
    CLEANUP(target_closep) struct target *target = NULL;
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    CLEANUP(own_freep) char *wal_directory = own_format("%s/pg_wal", to);
    CLEANUP(own_freep) char *status_directory = own_format("%s/archive_status", wal_directory);
    struct error err;
    if (repo_load_manifest(from->repo.repo, HELPER_PACKS_BACKUP, &manifest, &err) < 0 ||
        target_open(&target, to, TARGET_EMPTY, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(mkdir(wal_directory, 0700), 0);
    assert_int_equal(mkdir(status_directory, 0700), 0);
    const struct restore_wal wal = {
        .repo = from->repo.repo, .manifest = &manifest, .target = target};
    if (restore_wal_forks(&wal, timeline, &err) < 0)
        fail_msg("%s", err.text);
}

/* Timelines 2 and 3 are left behind the backup, 3 where a segment begins. */
static void a_segment_with_a_fork_on_the_way_to_a_target_is_there_up_to_it(void **state)
{
    (void)state;
    static const char history[] = "1\t0/180000\tx\n2\t0/200180\tx\n3\t0/300000\tx\n";
    struct helper_backup other;
    uint64_t unused = 0;
    struct error err;
    helper_backup_open(&other, 1);
    helper_backup_commit(&other);
    put_wal(&other, 3, HELPER_BACKUP_SEGMENT);
    if (wal_archive_put_history(other.repo.repo, 4, history, strlen(history), &unused, &err) < 0)
        fail_msg("%s", err.text);
    write_forks(&other, 4);
    expect_segment("000000020000000000000002", 0x200000, 0x180);
    helper_directory_expect_missing(scratch, "pg/pg_wal/000000010000000000000001");
    helper_directory_expect_missing(scratch, "pg/pg_wal/000000030000000000000003");
    helper_backup_close(&other);
}

static void tablespaces_are_linked_to_where_they_went(void **state)
{
    (void)state;
    must_restore(&backup, &(struct restore_options){0});
    char target[256] = {0};
    CLEANUP(own_freep) char *link = own_format("%s/pg/pg_tblspc/16385", scratch);
    CLEANUP(own_freep) char *expected = own_format("%s/fast", scratch);
    assert_true(readlink(link, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, expected);
    helper_directory_expect_missing(scratch, "pg/tablespace_map");
}

static void configuration_that_was_elsewhere_is_written(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf settings = BUF(FILE_MAX);
    must_restore(&backup, &(struct restore_options){0});
    read_file(&settings, scratch, "pg/postgresql.conf");
    CLEANUP(own_freep) char *text = buf_string(&settings);
    assert_non_null(strstr(text, "\nmax_connections = 77\n"));
    assert_non_null(strstr(text, "\nwal_level = replica\n"));
    read_file(&settings, scratch, "pg/pg_hba.conf");
    read_file(&settings, scratch, "pg/pg_ident.conf");
}

static void configuration_in_the_backup_is_kept(void **state)
{
    (void)state;
    struct helper_backup other;
    helper_backup_open(&other, 1);
    helper_tree_text(&other.tree, "postgresql.conf", "work_mem = 1GB\n");
    helper_backup_commit(&other);
    must_restore(&other, &(struct restore_options){0});
    helper_directory_expect(scratch, "pg/postgresql.conf", "work_mem = 1GB\n");
    helper_backup_close(&other);
}

enum { SOMEBODY = 1234 };

static int expect_owner(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)type;
    if (at->level > 0 && (st->st_uid != SOMEBODY || st->st_gid != SOMEBODY))
        fail_msg("'%s' is owned by %u:%u", path, st->st_uid, st->st_gid);
    return 0;
}

static void what_root_restores_is_its_former_owners(void **state)
{
    (void)state;
    struct helper_backup other;
    if (geteuid() != 0)
        skip();
    helper_backup_open(&other, 1);
    assert_int_equal(fchownat(other.tree.fd, "global", SOMEBODY, SOMEBODY, 0), 0);
    helper_backup_commit(&other);
    struct restore_result unused;
    struct error err;
    assert_int_equal(restore(&other, &(struct restore_options){0}, &unused, &err), 0);
    assert_int_equal(nftw(scratch, expect_owner, DESCRIPTORS, FTW_PHYS), 0);
    helper_backup_close(&other);
}

/* Damage */

static char *objects[OBJECTS_MAX]; /* names below the repository */
static size_t object_count;
static char *object_prefix;

static int note_object(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)at;
    if (type != FTW_F)
        return 0;
    assert_true(object_count < OBJECTS_MAX);
    objects[object_count++] = own_strdup(path + strlen(object_prefix));
    return 0;
}

static void list_objects(void)
{
    object_count = 0;
    object_prefix = helper_repo_path(&backup.repo, 0, "");
    assert_int_equal(nftw(object_prefix, note_object, DESCRIPTORS, FTW_PHYS), 0);
    own_freep(&object_prefix);
    assert_true(object_count >= 10); /* repository, 2 keys, manifest, 2 packs, 4 of WAL */
}

static void free_objects(void)
{
    for (size_t i = 0; i < object_count; i++)
        own_freep(&objects[i]);
}

static void expect_named(const char *name, const struct restore_options *options)
{
    struct restore_result unused;
    struct error err;
    if (restore(&backup, options, &unused, &err) == 0)
        fail_msg("restored without '%s'", name);
    if (!strstr(err.text, name))
        fail_msg("'%s' does not name '%s'", err.text, name);
    helper_directory_expect_missing(scratch, "pg/global/pg_control");
    empty_scratch();
}

/* What a person is told of an object that is not there: not all names can be known then, but what
 * is missing is. */
static char *name_of_missing(const char *object)
{
    if (strstr(object, ".history"))
        return own_strdup("timeline 2");
    const char *last = strrchr(object, '/');
    if (text_starts_with(object, "wal/"))
        return own_format("%.24s", last + 1);
    if (text_starts_with(object, "keys/"))
        return own_format("%.16s", last + 1);
    return own_strdup(text_starts_with(object, "manifests/") ? "no backup" : object);
}

static void each_object_that_is_damaged_is_named(void **state)
{
    (void)state;
    const struct restore_options one_region = {.region = "r0"};
    list_objects();
    for (size_t i = 0; i < object_count; i++) {
        helper_repo_damage(&backup.repo, 0, objects[i]);
        expect_named(objects[i], &one_region);
        helper_repo_damage(&backup.repo, 0, objects[i]);
    }
    free_objects();
    must_restore(&backup, &one_region);
}

static void each_object_that_is_missing_is_named(void **state)
{
    (void)state;
    const struct restore_options one_region = {.region = "r0"};
    list_objects();
    for (size_t i = 0; i < object_count; i++) {
        CLEANUP(own_freep) char *path = helper_repo_path(&backup.repo, 0, objects[i]);
        CLEANUP(own_freep) char *aside = own_format("%s/aside", backup.repo.directory);
        CLEANUP(own_freep) char *name = name_of_missing(objects[i]);
        assert_int_equal(rename(path, aside), 0);
        expect_named(name, &one_region);
        assert_int_equal(rename(aside, path), 0);
    }
    free_objects();
    must_restore(&backup, &one_region);
}

static void what_one_region_lost_comes_from_another(void **state)
{
    (void)state;
    list_objects();
    for (size_t i = 0; i < object_count; i++)
        helper_repo_damage(&backup.repo, i % 2, objects[i]);
    must_restore(&backup, &(struct restore_options){0});
    expect_source_restored();
    helper_restore_check_manifest(scratch);
    for (size_t i = 0; i < object_count; i++)
        helper_repo_damage(&backup.repo, i % 2, objects[i]);
    free_objects();
}

static void a_failed_restore_says_what_it_leaves(void **state)
{
    (void)state;
    const char *pack = "packs/" HELPER_PACKS_BACKUP "/000001";
    const struct restore_options one_region = {.region = "r0"};
    helper_repo_damage(&backup.repo, 0, pack);
    expect_failure(&backup, &one_region, ERROR_CORRUPT, pack);
    empty_scratch();
    expect_failure(&backup, &one_region, ERROR_CORRUPT,
                   "is incomplete and cannot start (no pg_control): run the same restore again, "
                   "which goes on, or empty it and its tablespaces");
    helper_repo_damage(&backup.repo, 0, pack);
}

static void nothing_is_written_into_a_directory_in_use(void **state)
{
    (void)state;
    helper_directory_write(scratch, "pg/precious", "text");
    expect_failure(&backup, &(struct restore_options){0}, ERROR_CONFLICT, "is not empty");
    helper_directory_expect(scratch, "pg/precious", "text");
    helper_directory_expect_missing(scratch, "fast");
    empty_scratch();
    helper_directory_write(scratch, "fast/precious", "text");
    expect_failure(&backup, &(struct restore_options){0}, ERROR_CONFLICT, "is not empty");
    helper_directory_expect(scratch, "fast/precious", "text");
    helper_directory_expect_missing(scratch, "pg/base");
}

/* Backups that lie */

static void expect_edit_refused(void (*edit)(struct manifest *), enum error_kind kind,
                                const char *text)
{
    struct helper_backup other;
    helper_backup_open(&other, 1);
    assert_int_equal(unlinkat(other.tree.fd, "pg_stat/large", 0), 0); /* to be quick */
    other.edit = edit;
    helper_backup_commit(&other);
    expect_failure(&other, &(struct restore_options){0}, kind, text);
    helper_backup_close(&other);
    empty_scratch();
}

static void claim_version_14(struct manifest *manifest)
{
    manifest->version_num = 140012;
}

static void claim_another_segment_size(struct manifest *manifest)
{
    manifest->wal_segment_bytes = 16 << 20;
}

static void hide_the_packs(struct manifest *manifest)
{
    manifest->packs[0].first = manifest->packs[0].last;
}

static void take_data_for_an_index(struct manifest *manifest)
{
    manifest->index[0] = (struct manifest_index){.pack = 1, .frame = 0};
}

static void take_nothing_for_an_index(struct manifest *manifest)
{
    manifest->index[0].frame = 1000;
}

static void list_the_index_twice(struct manifest *manifest)
{
    manifest->index = own_resize(manifest->index, 2, sizeof(manifest->index[0]));
    manifest->index[1] = manifest->index[0];
    manifest->index_count = 2;
}

static void want_more_wal_than_there_is(struct manifest *manifest)
{
    manifest->stop_lsn = manifest->wal[1].stop_lsn = 0x200101;
}

static void want_no_wal(struct manifest *manifest)
{
    manifest->wal_count = 0;
}

static void want_all_wal_there_can_be(struct manifest *manifest)
{
    manifest->stop_lsn = manifest->wal[1].stop_lsn = UINT64_MAX;
}

static void a_backup_that_lies_is_refused(void **state)
{
    (void)state;
    expect_edit_refused(claim_version_14, ERROR_PERMANENT,
                        "is of PostgreSQL 14: this version restores 15 to 18");
    expect_edit_refused(claim_another_segment_size, ERROR_CORRUPT, "that of another database");
    expect_edit_refused(hide_the_packs, ERROR_CORRUPT, "is not listed by the manifest");
    expect_edit_refused(take_data_for_an_index, ERROR_CORRUPT, "is of type 1, not 3");
    expect_edit_refused(take_nothing_for_an_index, ERROR_CORRUPT, "has no frame 1000");
    expect_edit_refused(list_the_index_twice, ERROR_CORRUPT, "it comes after");
    expect_edit_refused(want_more_wal_than_there_is, ERROR_NOT_FOUND, "0/200100");
    expect_edit_refused(want_no_wal, ERROR_CORRUPT, "no WAL");
    expect_edit_refused(want_all_wal_there_can_be, ERROR_CORRUPT, "segments of WAL");
}

/* Cancelling */

static void a_restore_that_was_cancelled_before_writes_nothing(void **state)
{
    (void)state;
    struct cancel cancel;
    struct error err;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    cancel_trigger(&cancel);
    expect_failure(&backup, &(struct restore_options){.cancel = &cancel}, ERROR_CANCELED, "");
    helper_directory_expect_missing(scratch, "pg/base");
    cancel_done(&cancel);
}

/* Holds the restore up in a log line, which a full pipe does not take, until files are being
 * written; then cancels it and lets it go. */
struct obstacle {
    struct cancel cancel;
    int pipe[2];
    int watch;
};

static void fill_pipe(int fd)
{
    char line[4096] = {0};
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (size_t size = sizeof(line); size > 0; size /= 2)
        while (write(fd, line, size) > 0)
            ;
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

static void *cancel_when_writing(void *arg)
{
    struct obstacle *obstacle = arg;
    char event[4096];
    struct pollfd made = {.fd = obstacle->watch, .events = POLLIN}; /* "base", for example */
    poll(&made, 1, PATIENCE_MS);
    cancel_trigger(&obstacle->cancel);
    while (read(obstacle->pipe[0], event, sizeof(event)) > 0)
        ;
    return NULL;
}

static void a_restore_that_is_cancelled_cannot_start(void **state)
{
    (void)state;
    const char *pack = "packs/" HELPER_PACKS_BACKUP "/000001";
    struct obstacle obstacle;
    struct error err;
    pthread_t thread;
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_int_equal(cancel_init(&obstacle.cancel, &err), 0);
    assert_int_equal(pipe(obstacle.pipe), 0);
    obstacle.watch = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(obstacle.watch, to, IN_CREATE) >= 0);
    fill_pipe(obstacle.pipe[1]);
    helper_repo_damage(&backup.repo, 0, pack); /* "asked the next region" will be logged */
    log_set_fd(obstacle.pipe[1]);
    log_set_level(LOG_LEVEL_INFO);
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_writing, &obstacle), 0);
    expect_failure(&backup, &(struct restore_options){.cancel = &obstacle.cancel, .workers = 1},
                   ERROR_CANCELED, "is incomplete and cannot start");
    log_set_fd(STDERR_FILENO);
    log_set_level(LOG_LEVEL_ERROR);
    close(obstacle.pipe[1]);
    pthread_join(thread, NULL);
    close(obstacle.pipe[0]);
    close(obstacle.watch);
    cancel_done(&obstacle.cancel);
    helper_repo_damage(&backup.repo, 0, pack);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_backup_comes_back_byte_for_byte),
        TEST(every_pack_is_fetched_once),
        TEST(every_frame_is_opened_once),
        TEST(workers_write_to_one_large_file_at_once),
        TEST(holes_stay_holes),
        TEST(wal_of_every_timeline_is_there_as_if_archived),
        TEST(a_segment_with_a_fork_on_the_way_to_a_target_is_there_up_to_it),
        TEST(tablespaces_are_linked_to_where_they_went),
        TEST(configuration_that_was_elsewhere_is_written),
        TEST(configuration_in_the_backup_is_kept),
        TEST(what_root_restores_is_its_former_owners),
        TEST(each_object_that_is_damaged_is_named),
        TEST(each_object_that_is_missing_is_named),
        TEST(what_one_region_lost_comes_from_another),
        TEST(a_failed_restore_says_what_it_leaves),
        TEST(nothing_is_written_into_a_directory_in_use),
        TEST(a_backup_that_lies_is_refused),
        TEST(a_restore_that_was_cancelled_before_writes_nothing),
        TEST(a_restore_that_is_cancelled_cannot_start),
    };
    return cmocka_run_group_tests(tests, open_backup, close_backup);
}
