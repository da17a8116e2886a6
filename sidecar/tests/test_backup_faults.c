// SPDX-License-Identifier: Apache-2.0
/*
 * The fault loop: backups of a real server in which the n-th call of a store fails, for every n.
 * Whatever fails, backup_run comes back, says success only for what restores, and leaves the
 * backup that was committed before as it was, byte for byte.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "common/tests/helper_directory.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_fault.h"

enum {
    FILE_BYTES_MAX = 64 << 20,
    ROOM_BYTES = 1 << 30,
    DESCRIPTORS = 16,
    FOR_GOOD = 1 << 20,
    NEEDED_CALLS = 10, /* of a store, at least, without which there is no backup */
};

/* What is to happen in the stores that are opened next: first 0 is never. */
static struct {
    const char *region; /* in this one */
    unsigned first, count;
    enum store_fault fault;
    atomic_uint calls; /* of that region */
} plan;

static struct helper_postgres *server;
static struct helper_repo helper;

int __real_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel,
                      struct error *err);
int __wrap_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel,
                      struct error *err);

int __wrap_store_open(struct store **ret_store, const struct policy_region *region,
                      const struct secrets *secrets, const struct cancel *cancel, struct error *err)
{
    struct store *store;
    if (__real_store_open(&store, region, secrets, cancel, err) < 0)
        return -1;
    *ret_store = store;
    if (plan.first == 0 || strcmp(store->region, plan.region) != 0)
        return 0;
    *ret_store = store_fault_wrap(store);
    store_fault_count(*ret_store, &plan.calls);
    store_fault_set(*ret_store, plan.first, plan.count, plan.fault);
    return 0;
}

static void plan_fault(const char *region, unsigned first, unsigned count, enum store_fault fault)
{
    plan.region = region;
    plan.first = first;
    plan.count = count;
    plan.fault = fault;
    plan.calls = 0;
}

/* "" unless it was committed. */
static int back_up(char ret_id[BACKUP_ID_BYTES], struct error *err)
{
    CLEANUP(cancel_done) struct cancel cancel;
    struct backup_result done = {0};
    assert_int_equal(cancel_init(&cancel, err), 0);
    struct pg_options pg = helper_postgres_login(server, "lifeboat", &cancel);
    struct backup_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .pg = &pg,
        .type = BACKUP_FULL,
        .cancel = &cancel,
    };
    int result = backup_run(&options, &done, err);
    memcpy(ret_id, result == 0 ? done.manifest.id : "", result == 0 ? BACKUP_ID_BYTES : 1);
    manifest_done(&done.manifest);
    return result;
}

/* Of the tree that is walked: names and contents, in any order. */
static uint8_t fingerprint[DIGEST_BYTES];

static int add_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F || strcmp(path + strlen(path) - strlen("backup_manifest"),
                                "backup_manifest") == 0) /* has the time of the restore */
        return 0;
    CLEANUP(buf_done) struct buf content = BUF(FILE_BYTES_MAX);
    struct error err;
    uint8_t digest[DIGEST_BYTES];
    if (buf_read_file(&content, AT_FDCWD, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(content.size, st->st_size);
    const char *name = strstr(path, "/pg/");
    assert_non_null(name);
    assert_int_equal(buf_append(&content, name, strlen(name), &err), 0);
    digest_sha256(content.data, content.size, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        fingerprint[i] ^= digest[i];
    return 0;
}

/* Restores a backup and takes the fingerprint of what was restored. */
static void restore(const char *id, const char *region)
{
    CLEANUP(cancel_done) struct cancel cancel;
    struct restore_result result;
    struct error err;
    char *scratch = helper_directory_new();
    CLEANUP(own_freep) char *to = own_format("%s/pg", scratch);
    assert_int_equal(cancel_init(&cancel, &err), 0);
    struct restore_options options = {
        .policy = helper.policy,
        .secrets = helper.secrets,
        .to = to,
        .backup = id,
        .region = region,
        .cancel = &cancel,
    };
    plan_fault("", 0, 0, STORE_FAULT_PERMANENT);
    if (restore_run(&options, &result, &err) < 0)
        fail_msg("restore %s: %s", id, err.text);
    memset(fingerprint, 0, sizeof(fingerprint));
    assert_int_equal(nftw(to, add_file, DESCRIPTORS, FTW_PHYS), 0);
    helper_directory_remove(scratch);
}

/* How many backups a region has; whether id (not NULL) is among them. */
static size_t count_backups(const char *region, const char *id, bool *ret_found)
{
    struct error err;
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    plan_fault("", 0, 0, STORE_FAULT_PERMANENT);
    if (regions_open(&regions, helper.policy, helper.secrets,
                     &(struct regions_choice){.only = region}, &helper.cancel, &err) < 0 ||
        repo_open_read(&repo, helper.policy, helper.secrets, regions, &(struct repo_wish){0},
                       &err) < 0 ||
        repo_list(repo, "manifests/", &names, &err) < 0)
        fail_msg("%s", err.text);
    *ret_found = false;
    for (size_t i = 0; i < names.count; i++)
        *ret_found |= strcmp(names.names[i].name + strlen("manifests/"), id) == 0;
    return names.count;
}

/* A hundred backups and restores that are all fsynced take minutes on a disk, seconds in memory. */
static void choose_directory(void)
{
    static const char memory[] = "/dev/shm";
    struct statvfs fs;
    if (statvfs(memory, &fs) == 0 && access(memory, W_OK) == 0 &&
        fs.f_bavail >= ROOM_BYTES / fs.f_frsize)
        setenv("TMPDIR", memory, 0);
}

static int set_up(void **state)
{
    /* one small database, so that a loop of backups takes seconds */
    static const struct helper_postgres_options options = {
        .initdb = "--wal-segsize=1",
        .settings = "autovacuum = off\nmax_wal_size = 32MB\nmin_wal_size = 2MB\n",
    };
    (void)state;
    choose_directory();
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    server = helper_postgres_start(&options);
    helper_postgres_add_role(server, "secret");
    helper_postgres_do(server, "UPDATE pg_database SET datistemplate = false;\n"
                               "DROP DATABASE template0;\n"
                               "DROP DATABASE template1;\n"
                               "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i;\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_postgres_stop(&server);
    return 0;
}

/* The last backup that was committed, and what it restores to. */
struct committed {
    char id[BACKUP_ID_BYTES];
    size_t count; /* so many are there */
    uint8_t content[DIGEST_BYTES];
};

/* After a backup: either it is there and restores, or all is as it was. */
static void check_outcome(struct committed *last, const char *id, const struct error *err)
{
    bool found;
    bool failed = id[0] == '\0';
    size_t count = count_backups("r0", failed ? last->id : id, &found);
    assert_true(found);
    assert_int_equal(count, last->count + !failed);
    restore(failed ? last->id : id, "r0");
    if (failed) {
        assert_int_not_equal(err->kind, ERROR_CANCELED); /* the cause, not what followed from it */
        assert_memory_equal(fingerprint, last->content, sizeof(fingerprint));
        return;
    }
    memcpy(last->id, id, sizeof(last->id));
    memcpy(last->content, fingerprint, sizeof(fingerprint));
    last->count = count;
}

/* A backup with a fault at each call, one after the other, until one comes through without meeting
 * it. Calls that a backup can do without may fail unseen. Gives how many backups failed. */
static unsigned loop(enum store_fault fault, unsigned count)
{
    char id[BACKUP_ID_BYTES];
    struct committed last = {0};
    struct error err = {0};
    unsigned failures = 0, n = 0, calls = 0;
    helper_repo_prepare(&helper, 1, 1);
    do {
        plan_fault("r0", n, count, fault); /* first without one */
        failures += back_up(id, &err) < 0;
        calls = plan.calls;
        check_outcome(&last, id, &err);
    } while (n++ == 0 || calls + 1 >= n);
    helper_repo_close(&helper);
    return failures;
}

static void a_lost_answer_at_any_call_is_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(loop(STORE_FAULT_LOST_ANSWER, 1), 0);
}

static void a_failure_at_any_call_leaves_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(loop(STORE_FAULT_PERMANENT, 1), NEEDED_CALLS, UINT_MAX);
}

static void a_store_that_goes_away_at_any_call_leaves_what_was_committed(void **state)
{
    (void)state;
    assert_in_range(loop(STORE_FAULT_TRANSIENT, FOR_GOOD), NEEDED_CALLS, UINT_MAX);
}

/* The other one carries on; the lost one has the whole backup or none of it. */
static void a_region_lost_at_any_call_has_no_half_backup(void **state)
{
    (void)state;
    char id[BACKUP_ID_BYTES];
    struct error err = {0};
    bool found;
    unsigned n = 0, calls = 0;
    helper_repo_prepare(&helper, 2, 1);
    do {
        plan_fault("r1", n, FOR_GOOD, STORE_FAULT_PERMANENT);
        if (back_up(id, &err) < 0)
            fail_msg("call %u: %s", n, err.text);
        calls = plan.calls;
        count_backups("r0", id, &found);
        assert_true(found);
        restore(id, "r0");
        count_backups("r1", id, &found);
        if (found)
            restore(id, "r1");
    } while (n++ == 0 || calls + 1 >= n);
    assert_true(found); /* nothing failed in the last one */
    helper_repo_close(&helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_answer_at_any_call_is_made_up_for),
        cmocka_unit_test(a_failure_at_any_call_leaves_what_was_committed),
        cmocka_unit_test(a_store_that_goes_away_at_any_call_leaves_what_was_committed),
        cmocka_unit_test(a_region_lost_at_any_call_has_no_half_backup),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
