// SPDX-License-Identifier: Apache-2.0
/*
 * Restores that fail at the n-th call of the system or of the store, or are killed at any moment.
 * After each: what lies there cannot be started, unless it is what was there before or all of the
 * backup; and the same restore, run again, makes it all of the backup. Into an empty directory, and
 * over a database that differs.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/container.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/restore_marker.h"
#include "sidecar/store.h"
#include "sidecar/target.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/tests/helper_restore.h"
#include "sidecar/tests/helper_store_plan.h"
#include "common/tests/helper_chance.h"
#include "common/tests/helper_directory.h"
#include "common/tests/helper_held.h"

enum {
    FILE_MAX = 64 << 20,
    DESCRIPTORS = 16,
    PAGES = 150, /* of the larger files */
    MOMENTS = 4, /* at which each call of the system fails */
    FOR_GOOD = 1 << 20,
    FRAMES_MAX = 256,
};

/* Calls of the system that a restore makes, by the linker's --wrap. */
enum call {
    CALL_PWRITE,
    CALL_PREAD,
    CALL_FTRUNCATE,
    CALL_FALLOCATE,
    CALL_FCHMOD,
    CALL_FSYNC,
    CALL_SYNCFS,
    CALL_RENAMEAT,
    CALL_MKDIRAT,
    CALL_UNLINKAT,
    CALLS
};

static const char *const call_names[CALLS] = {"pwrite",  "pread",   "ftruncate", "fallocate",
                                              "fchmod",  "fsync",   "syncfs",    "renameat",
                                              "mkdirat", "unlinkat"};

static struct {
    atomic_uint calls[CALLS];
    enum call call;
    unsigned at; /* 0: never */
    int errnum;
} fault;

static struct helper_backup backup;
static char *scratch; /* a new directory for each restore */

static bool could_start_at_sync; /* pg_control was there before all else was on disk */

/* Frames that were opened one by one, and how often. */
static struct {
    pthread_mutex_t lock;
    struct opened {
        char name[REPO_NAME_MAX];
        uint32_t frame;
        unsigned times;
    } frames[FRAMES_MAX];
    size_t count;
} opened = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_due(enum call call)
{
    const unsigned number = atomic_fetch_add(&fault.calls[call], 1) + 1;
    if (fault.at == 0 || call != fault.call || number != fault.at)
        return false;
    errno = fault.errnum;
    return true;
}

#define WRAP(type, name, call, parameters, arguments)                                              \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return is_due(call) ? -1 : __real_##name arguments;                                        \
    }
WRAP(ssize_t, pwrite, CALL_PWRITE, (int fd, const void *data, size_t size, off_t at),
     (fd, data, size, at))
WRAP(ssize_t, pread, CALL_PREAD, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(int, ftruncate, CALL_FTRUNCATE, (int fd, off_t size), (fd, size))
WRAP(int, fallocate, CALL_FALLOCATE, (int fd, int mode, off_t from, off_t size),
     (fd, mode, from, size))
WRAP(int, fchmod, CALL_FCHMOD, (int fd, mode_t mode), (fd, mode))
WRAP(int, renameat, CALL_RENAMEAT, (int from, const char *old, int to, const char *new),
     (from, old, to, new))
WRAP(int, mkdirat, CALL_MKDIRAT, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP(int, unlinkat, CALL_UNLINKAT, (int fd, const char *path, int flags), (fd, path, flags))

/* What is killed here loses nothing that the kernel has: so these only cost time. */
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);

int __wrap_fsync(int fd)
{
    (void)fd;
    return is_due(CALL_FSYNC) ? -1 : 0;
}

int __wrap_syncfs(int fd)
{
    (void)fd;
    CLEANUP(own_freep) char *control = own_format("%s/pg/global/pg_control", scratch);
    could_start_at_sync = access(control, F_OK) == 0;
    return is_due(CALL_SYNCFS) ? -1 : 0;
}

static void note_opened(const char *name, uint32_t frame)
{
    pthread_mutex_lock(&opened.lock);
    size_t i = 0;
    while (i < opened.count &&
           (opened.frames[i].frame != frame || strcmp(opened.frames[i].name, name) != 0))
        i++;
    if (i == opened.count && i < FRAMES_MAX) {
        snprintf(opened.frames[i].name, REPO_NAME_MAX, "%s", name);
        opened.frames[i].frame = frame;
        opened.frames[i].times = 0;
        opened.count++;
    }
    opened.frames[i % FRAMES_MAX].times++;
    pthread_mutex_unlock(&opened.lock);
}

int __real_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err);
int __wrap_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err);

int __wrap_container_read(struct container *container, struct frame_codec *codec, uint32_t index,
                          const void *sealed, void *plain, struct error *err)
{
    note_opened(container->name, index);
    return __real_container_read(container, codec, index, sealed, plain, err);
}

static void disarm(void)
{
    opened.count = 0;
    fault.at = 0;
    store_plan_fault("r0", 0, 0, STORE_FAULT_PERMANENT);
    for (size_t i = 0; i < CALLS; i++)
        fault.calls[i] = 0;
}

/* What a server that starts would find */

static uint8_t fingerprint[DIGEST_BYTES];

static int add_to_fingerprint(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    const char *name = path + at->base;
    if (type != FTW_F || strcmp(name, RESTORE_MARKER_PATH) == 0 ||
        strcmp(name, target_unfinished) == 0 || strcmp(name, "backup_manifest") == 0)
        return 0;
    CLEANUP(buf_done) struct buf content = BUF(FILE_MAX);
    uint8_t digest[DIGEST_BYTES];
    struct error err;
    assert_int_equal(buf_read_file(&content, AT_FDCWD, path, &err), 0);
    const char *relative = path + strlen(scratch);
    assert_int_equal(buf_append(&content, relative, strlen(relative), &err), 0);
    digest_sha256(content.data, content.size, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        fingerprint[i] ^= digest[i];
    return 0;
}

static void take_fingerprint(uint8_t ret_fingerprint[DIGEST_BYTES])
{
    memset(fingerprint, 0, sizeof(fingerprint));
    assert_int_equal(nftw(scratch, add_to_fingerprint, DESCRIPTORS, FTW_PHYS), 0);
    memcpy(ret_fingerprint, fingerprint, DIGEST_BYTES);
}

/* The scenarios */

static void overwrite(const char *path, uint64_t offset, const char *text)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", scratch, path);
    CLEANUP(own_closep) int fd = open(full, O_WRONLY | O_CLOEXEC);
    struct error err;
    assert_int_equal(buf_pwrite(fd, text, strlen(text), offset, &err), 0);
}

static int restore(bool delta, struct error *err)
{
    struct restore_result unused;
    const struct restore_options options = {.delta = delta, .workers = 2};
    const struct helper_held held = helper_held_now();
    const int result = helper_restore(&backup, scratch, &options, &unused, err);
    helper_held_expect(&held);
    return result;
}

static void must_restore(bool delta)
{
    struct error err;
    if (restore(delta, &err) < 0)
        fail_msg("%s", err.text);
}

/* An empty directory, or one with a database that differs from the backup. */
static void prepare(bool delta)
{
    if (scratch)
        helper_directory_remove(scratch);
    scratch = helper_directory_new();
    disarm();
    if (!delta)
        return;
    must_restore(false);
    overwrite("pg/base/5/100", 7 * 8192, "changed");
    overwrite("pg/base/5/102", 3 * 8192, "in a hole");
    overwrite("pg/base/5/104", 100 * 8192, "changed");
    overwrite("fast/" HELPER_TREE_VERSION "/5/200", 8192, "changed");
    helper_directory_write(scratch, "pg/base/7/1", "dropped later");
    disarm();
}

static uint8_t before[2][DIGEST_BYTES], after[DIGEST_BYTES]; /* [0]: unused, it was empty */

static void learn_fingerprints(void)
{
    prepare(true);
    take_fingerprint(before[true]);
    must_restore(true);
    take_fingerprint(after);
}

static void expect_sound(bool delta, const char *when)
{
    CLEANUP(own_freep) char *control = own_format("%s/pg/global/pg_control", scratch);
    uint8_t now[DIGEST_BYTES];
    if (access(control, F_OK) < 0)
        return;
    take_fingerprint(now);
    if (memcmp(now, after, DIGEST_BYTES) != 0 &&
        (!delta || memcmp(now, before[true], DIGEST_BYTES) != 0))
        fail_msg("%s: half a restore could be started", when);
}

static void expect_it_goes_on(bool delta, const char *when)
{
    struct error err;
    disarm();
    if (restore(delta, &err) < 0)
        fail_msg("%s, then: %s", when, err.text);
    helper_restore_expect_source(&backup, scratch);
    helper_restore_check_manifest(scratch);
    helper_directory_expect_missing(scratch, "pg/" RESTORE_MARKER_PATH);
    helper_directory_expect_missing(scratch, "pg/lifeboat_unfinished.tmp");
}

/* Whether it failed. */
static bool fail_once(bool delta, const char *when)
{
    struct error err;
    const bool failed = restore(delta, &err) < 0;
    expect_sound(delta, when);
    if (failed) {
        expect_it_goes_on(delta, when);
        return true;
    }
    helper_restore_expect_source(&backup, scratch); /* no false success */
    helper_restore_check_manifest(scratch);
    return false;
}

/* So that the same restore would only find a database. */
static bool is_complete(void)
{
    CLEANUP(own_freep) char *control = own_format("%s/pg/global/pg_control", scratch);
    CLEANUP(own_freep) char *marker = own_format("%s/pg/" RESTORE_MARKER_PATH, scratch);
    return access(control, F_OK) == 0 && access(marker, F_OK) < 0;
}

/* Which of total times is the next to fail: all, or the first, the last and some between. 0: none.
 */
static unsigned next_moment(unsigned attempt, unsigned total)
{
    if (helper_chance_full())
        return attempt < total ? attempt + 1 : 0;
    if (attempt >= MOMENTS || total == 0)
        return 0;
    if (attempt < 2)
        return attempt == 0 ? 1 : total;
    return (unsigned)helper_chance_below(total) + 1;
}

static void fail_call(bool delta, enum call call)
{
    prepare(delta);
    must_restore(delta);
    const unsigned total = fault.calls[call];
    unsigned failures = 0;
    for (unsigned attempt = 0, at; (at = next_moment(attempt, total)) > 0; attempt++) {
        CLEANUP(own_freep)
        char *when = own_format("%s %u of %u, delta %d", call_names[call], at, total, delta);
        prepare(delta);
        fault.call = call;
        fault.at = at;
        fault.errnum = attempt % 2 ? ENOSPC : EIO;
        failures += fail_once(delta, when);
    }
    if (total > 0 && call != CALL_PREAD && failures == 0)
        fail_msg("no failure of %s mattered", call_names[call]);
}

static void no_failing_call_of_the_system_leaves_half_a_restore(void **state)
{
    (void)state;
    for (enum call call = 0; call < CALLS; call++) {
        fail_call(false, call);
        fail_call(true, call);
    }
}

/* Each call of the store once, or with each kind of fault. Gives how many restores did what is not
 * expected of them: to get over a fault that happens once, to fail where it stays. */
static unsigned fail_store(bool delta, const enum store_fault *kinds, unsigned kind_count,
                           unsigned count)
{
    prepare(delta);
    must_restore(delta);
    const unsigned total = store_plan.calls;
    const unsigned tries = helper_chance_full() ? kind_count : 1;
    unsigned failures = 0;
    assert_true(total >= 8);
    for (unsigned i = 0; i < total * tries; i++) {
        const unsigned at = i / tries + 1;
        const enum store_fault kind = kinds[i % kind_count];
        CLEANUP(own_freep)
        char *when = own_format("store call %u of %u, fault %d, delta %d", at, total, kind, delta);
        prepare(delta);
        store_plan_fault("r0", at, count, kind);
        failures += fail_once(delta, when);
    }
    return count == 1 ? failures : total - failures;
}

static void no_failing_call_of_the_store_leaves_half_a_restore(void **state)
{
    (void)state;
    static const enum store_fault passing[] = {STORE_FAULT_TRANSIENT, STORE_FAULT_LOST_ANSWER,
                                               STORE_FAULT_PARTIAL};
    static const enum store_fault lasting[] = {STORE_FAULT_PERMANENT};
    for (int delta = 0; delta < 2; delta++) {
        assert_int_equal(fail_store(delta, passing, ARRAY_SIZE(passing), 1), 0);
        assert_int_equal(fail_store(delta, lasting, ARRAY_SIZE(lasting), FOR_GOOD), 0);
    }
}

static void every_frame_is_opened_once(void **state)
{
    (void)state;
    unsigned twice = 0;
    prepare(false);
    must_restore(false);
    assert_in_range(opened.count, 3, FRAMES_MAX - 1);
    for (size_t i = 0; i < opened.count; i++) {
        assert_in_range(opened.frames[i].times, 1, 2);
        twice += opened.frames[i].times - 1;
    }
    assert_in_range(twice, 0, 1); /* that with pg_control, which is looked at before */
}

static void one_call_makes_all_durable_before_it_can_start(void **state)
{
    (void)state;
    for (int delta = 0; delta < 2; delta++) {
        prepare(delta);
        must_restore(delta);
        assert_int_equal(fault.calls[CALL_SYNCFS], 1);
        assert_false(could_start_at_sync);
        assert_in_range(fault.calls[CALL_FSYNC], 1, 16); /* files that must appear whole */
    }
}

/* Killing */

/* Whether it came before the end. */
static bool kill_after(int64_t nanoseconds, bool delta)
{
    const struct timespec pause = {.tv_sec = nanoseconds / 1000000000,
                                   .tv_nsec = nanoseconds % 1000000000};
    struct error err;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(restore(delta, &err) < 0);
    nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static int64_t duration_ns(bool delta)
{
    struct timespec start, end;
    prepare(delta);
    clock_gettime(CLOCK_MONOTONIC, &start);
    must_restore(delta);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - start.tv_sec) * 1000000000 + (end.tv_nsec - start.tv_nsec);
}

/* Twice in a row each, so that what goes on is killed too. After one that came too late the next
 * come sooner: how long a restore takes depends on what else the machine does. */
static void a_restore_killed_at_any_moment_cannot_start_and_goes_on(void **state)
{
    (void)state;
    const unsigned kills = helper_chance_kills();
    for (int delta = 0; delta < 2; delta++) {
        uint64_t duration = (uint64_t)duration_ns(delta);
        unsigned hits = 0;
        for (unsigned i = 0; i < kills; i++) {
            prepare(delta);
            for (int again = 0; again < 2; again++) {
                const uint64_t moment = helper_chance_below(duration + 1);
                CLEANUP(own_freep)
                char *when = own_format("killed after %" PRIu64 " ns, delta %d", moment, delta);
                if (kill_after((int64_t)moment, delta))
                    hits++;
                else
                    duration -= duration / 4;
                expect_sound(delta, when);
                if (again && (delta || !is_complete()))
                    expect_it_goes_on(delta, when);
                if (!delta && is_complete())
                    break; /* too late */
            }
        }
        assert_in_range(hits, 2, 2 * kills);
    }
}

/* A thousand restores must be quick. */
static void make_it_small(void)
{
    static const char *const cut[] = {"base/5/100", "base/5/104"};
    assert_int_equal(unlinkat(backup.tree.fd, "pg_stat/large", 0), 0);
    for (unsigned i = 20; i < 300; i++) {
        CLEANUP(own_freep) char *path = own_format("pg_multixact/members/%04X", i);
        assert_int_equal(unlinkat(backup.tree.fd, path, 0), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
        CLEANUP(own_freep) char *path = own_format("%s/%s", backup.tree.data, cut[i]);
        assert_int_equal(truncate(path, PAGES * 8192), 0);
    }
}

static int open_backup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    helper_backup_open(&backup, 1);
    make_it_small();
    helper_backup_commit(&backup);
    learn_fingerprints();
    return 0;
}

static int close_backup(void **state)
{
    (void)state;
    helper_directory_remove(scratch);
    helper_backup_close(&backup);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failing_call_of_the_system_leaves_half_a_restore),
        cmocka_unit_test(no_failing_call_of_the_store_leaves_half_a_restore),
        cmocka_unit_test(every_frame_is_opened_once),
        cmocka_unit_test(one_call_makes_all_durable_before_it_can_start),
        cmocka_unit_test(a_restore_killed_at_any_moment_cannot_start_and_goes_on),
    };
    return cmocka_run_group_tests(tests, open_backup, close_backup);
}
