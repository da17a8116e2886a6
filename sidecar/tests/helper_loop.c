// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_loop.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_held.h"
#include "common/text.h"
#include "sidecar/backup.h"
#include "sidecar/manifest.h"
#include "sidecar/pg.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/tests/helper_postgres.h"

enum { FILE_BYTES_MAX = 64 << 20, DESCRIPTORS = 16 };

/* Of the tree that is walked: names and contents, in any order; nftw has no argument for them. */
static uint8_t all[DIGEST_BYTES], relations[DIGEST_BYTES];
static size_t root_length;

static bool is_made_anew(const char *name)
{
    return strcmp(name, "backup_manifest") == 0 || strcmp(name, "pg_internal.init") == 0;
}

static int add_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
    const char *name = path + root_length;
    if (type != FTW_F || is_made_anew(path + at->base))
        return 0;
    CLEANUP(buf_done) struct buf content = BUF(FILE_BYTES_MAX);
    struct error err;
    uint8_t digest[DIGEST_BYTES];
    if (buf_read_file(&content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(content.size, st->st_size);
    assert_int_equal(buf_append(&content, name, strlen(name), &err), 0);
    digest_sha256(content.data, content.size, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        all[i] ^= digest[i];
        relations[i] ^= text_starts_with(name, "/base/") ? digest[i] : 0;
    }
    return 0;
}

static void take_fingerprints(const char *directory)
{
    memset(all, 0, sizeof(all));
    memset(relations, 0, sizeof(relations));
    root_length = strlen(directory);
    assert_int_equal(nftw(directory, add_file, DESCRIPTORS, FTW_PHYS), 0);
}

/* Restores a backup and takes the fingerprints of what was restored. */
static void restore(struct helper_loop *loop, const char *id, const char *region)
{
    CLEANUP(cancel_done) struct cancel cancel;
    struct restore_result result;
    struct error err;
    char *scratch = helper_directory_new();
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    assert_int_equal(cancel_init(&cancel, &err), 0);
    const struct restore_options options = {
        .policy = loop->repo.policy,
        .secrets = loop->repo.secrets,
        .to = to,
        .backup = id,
        .region = region,
        .cancel = &cancel,
    };
    if (restore_run(&options, &result, &err) < 0)
        fail_msg("restore %s: %s", id, err.text);
    take_fingerprints(to);
    assert_memory_equal(relations, loop->relations, sizeof(relations));
    helper_directory_remove(scratch);
}

static void open_region(struct helper_loop *loop, const char *region, struct regions **ret_regions,
                        struct repo **ret_repo)
{
    struct error err;
    if (regions_open(ret_regions, loop->repo.policy, loop->repo.secrets,
                     &(struct regions_choice){.only = region}, &loop->repo.cancel, &err) < 0 ||
        repo_open_read(ret_repo, loop->repo.policy, loop->repo.secrets, *ret_regions,
                       &(struct repo_wish){0}, &err) < 0)
        fail_msg("%s", err.text);
}

/* How many backups a region has, whether id is among them, and the last one that is another. */
static size_t count_backups(struct helper_loop *loop, const char *region, const char *id,
                            bool *ret_found, char ret_other[BACKUP_ID_BYTES])
{
    struct error err;
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    open_region(loop, region, &regions, &repo);
    if (repo_list(repo, "manifests/", &names, &err) < 0)
        fail_msg("%s", err.text);
    *ret_found = false;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i].name + strlen("manifests/");
        if (strcmp(name, id) == 0)
            *ret_found = true;
        else
            snprintf(ret_other, BACKUP_ID_BYTES, "%s", name);
    }
    return names.count;
}

static void forget(struct helper_loop *loop, const char *id)
{
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    open_region(loop, "r0", &regions, &repo);
    CLEANUP(own_freep)
    char *path = own_format("%s/r0/%smanifests/%s", loop->repo.directory, repo->prefix, id);
    assert_int_equal(unlink(path), 0);
}

bool helper_loop_restores(struct helper_loop *loop, const char *region, const char *id)
{
    bool found;
    char unused[BACKUP_ID_BYTES];
    count_backups(loop, region, id, &found, unused);
    if (found)
        restore(loop, id, region);
    return found;
}

/* Of a backup that failed: whether it is there all the same. */
static bool check_failed(struct helper_loop *loop, const struct error *err)
{
    bool found;
    char other[BACKUP_ID_BYTES];
    const size_t count = count_backups(loop, "r0", loop->id, &found, other);
    assert_int_not_equal(err->kind, ERROR_CANCELED); /* the cause, not what followed from it */
    assert_true(found);
    assert_in_range(count, 1, 2);
    restore(loop, loop->id, "r0");
    assert_memory_equal(all, loop->content, sizeof(all));
    if (count == 1)
        return false;
    restore(loop, other, "r0");
    forget(loop, other);
    return true;
}

bool helper_loop_check(struct helper_loop *loop, const char *id, const struct error *err)
{
    bool found;
    char unused[BACKUP_ID_BYTES];
    const bool is_first = loop->id[0] == '\0';
    if (id[0] == '\0')
        return check_failed(loop, err);
    assert_int_equal(count_backups(loop, "r0", id, &found, unused), is_first ? 1 : 2);
    assert_true(found);
    restore(loop, id, "r0");
    if (is_first) {
        memcpy(loop->id, id, sizeof(loop->id));
        memcpy(loop->content, all, sizeof(all));
    } else {
        forget(loop, id);
    }
    return false;
}

int helper_loop_back_up(struct helper_loop *loop, enum backup_type type,
                        char ret_id[BACKUP_ID_BYTES], struct error *err)
{
    CLEANUP(cancel_done) struct cancel cancel;
    struct backup_result done = {0};
    assert_int_equal(cancel_init(&cancel, err), 0);
    const struct helper_held before = helper_held_now();
    struct pg_options pg = helper_postgres_login(loop->server, "lifeboat", &cancel);
    const struct backup_options options = {
        .policy = loop->repo.policy,
        .secrets = loop->repo.secrets,
        .pg = &pg,
        .type = type,
        .cancel = &cancel,
    };
    const int result = backup_run(&options, &done, err);
    helper_held_expect(&before);
    memset(ret_id, 0, BACKUP_ID_BYTES);
    if (result == 0)
        memcpy(ret_id, done.manifest.id, BACKUP_ID_BYTES);
    manifest_done(&done.manifest);
    return result;
}

void helper_loop_close(struct helper_loop *loop)
{
    helper_repo_close(&loop->repo);
}

void helper_loop_open(struct helper_loop *loop, size_t regions)
{
    loop->id[0] = '\0';
    helper_repo_prepare(&loop->repo, regions, 1);
}

void helper_loop_stop(struct helper_loop *loop)
{
    helper_postgres_stop(&loop->server);
}

/* One small database, so that a loop of backups takes seconds. */
void helper_loop_start(struct helper_loop *loop)
{
    static const struct helper_postgres_options options = {
        .initdb = "--wal-segsize=1",
        .settings = "autovacuum = off\nmax_wal_size = 32MB\nmin_wal_size = 2MB\n",
    };
    helper_directory_in_memory();
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    loop->server = helper_postgres_start(&options);
    helper_postgres_add_role(loop->server, "secret");
    helper_postgres_do(loop->server, "UPDATE pg_database SET datistemplate = false;\n"
                                     "DROP DATABASE template0;\n"
                                     "DROP DATABASE template1;\n"
                                     "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i;\n"
                                     "VACUUM;\n"
                                     "CHECKPOINT;\n");
    take_fingerprints(loop->server->data);
    memcpy(loop->relations, relations, sizeof(relations));
}
