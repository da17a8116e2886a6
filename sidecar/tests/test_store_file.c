// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/tests/helper_store.h"
#include "sidecar/tests/helper_store_contract.h"

/* Syncs of directories, in their order. */
enum { SYNCS_MAX = 64 };
static struct {
    bool counts;    /* only where one thread puts */
    unsigned fails; /* the one that fails, for the moment; 0: none */
    unsigned calls;
    ino_t done[SYNCS_MAX];
    size_t done_count;
} syncs;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat st;
    if (!syncs.counts || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
        return __real_fsync(fd);
    if (++syncs.calls == syncs.fails) {
        errno = EINTR;
        return -1;
    }
    assert_true(syncs.done_count < SYNCS_MAX);
    syncs.done[syncs.done_count++] = st.st_ino;
    return __real_fsync(fd);
}

static int set_up(void **state)
{
    struct helper_store *helper = own_alloc(sizeof(*helper));
    *state = helper;
    helper_store_open_file(helper);
    return 0;
}

static int tear_down(void **state)
{
    struct helper_store *helper = *state;
    helper_store_close(helper);
    own_freep(&helper);
    return 0;
}

static const char *path_of(const struct helper_store *helper, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", helper->objects, name);
    return path;
}

static void write_raw(const struct helper_store *helper, const char *name, int64_t age_seconds)
{
    CLEANUP(own_closep) int fd = open(path_of(helper, name), O_WRONLY | O_CREAT, 0600);
    struct timespec now;
    assert_true(fd >= 0);
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= age_seconds;
    assert_int_equal(futimens(fd, (struct timespec[2]){now, now}), 0);
}

static bool is_there(const struct helper_store *helper, const char *name)
{
    return access(path_of(helper, name), F_OK) == 0;
}

static void a_missing_directory_is_named_with_a_remedy(void **state)
{
    struct helper_store *helper = *state;
    struct store *store = NULL;
    struct error err;
    struct policy_region region = helper->region;
    region.file_path = "/nonexistent/backups";
    assert_int_equal(store_open(&store, &region, NULL, &helper->cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text,
                        "open region 'test': file.path: no directory '/nonexistent/backups'; "
                        "create it, or mount there what holds it");
}

static void a_file_is_no_directory(void **state)
{
    struct helper_store *helper = *state;
    struct store *store = NULL;
    struct error err;
    struct policy_region region = helper->region;
    write_raw(helper, "file", 0);
    region.file_path = path_of(helper, "file");
    assert_int_equal(store_open(&store, &region, NULL, &helper->cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "Not a directory"));
}

static void objects_are_for_their_owner_only(void **state)
{
    struct helper_store *helper = *state;
    struct stat st;
    helper_store_assert_put(helper->store, "a/b", "x");
    assert_int_equal(stat(path_of(helper, "a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path_of(helper, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
}

static void nothing_is_left_of_a_put(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    const struct store_bytes bytes = helper_store_text("x");
    helper_store_assert_put(helper->store, "a", "x");
    assert_int_equal(store_put(helper->store, "a", &bytes, &err), -1);
    assert_int_equal(rmdir(path_of(helper, "incoming~")), 0);
}

static void assert_synced(const struct helper_store *helper, const char *directory)
{
    struct stat st;
    bool synced = false;
    assert_return_code(stat(path_of(helper, directory), &st), errno);
    for (size_t i = 0; i < syncs.done_count; i++)
        synced = synced || syncs.done[i] == st.st_ino;
    if (!synced)
        fail_msg("'%s' was never made durable", directory);
}

static void what_could_not_be_made_durable_is_by_the_next_attempt(void **state)
{
    struct helper_store *helper = *state;
    syncs.counts = true;
    helper_store_assert_put(helper->store, "x/b/c", "as a whole");
    const unsigned calls = syncs.calls;
    assert_int_equal(calls, 3);
    for (unsigned fails = 1; fails <= calls; fails++) {
        helper_store_close(helper);
        helper_store_open_file(helper);
        syncs.calls = 0;
        syncs.done_count = 0;
        syncs.fails = fails;
        helper_store_assert_put(helper->store, "a/b/c", "in the end");
        assert_true(syncs.calls > calls);
        assert_synced(helper, ".");
        assert_synced(helper, "a");
        assert_synced(helper, "a/b");
        helper_store_assert_content(helper->store, "a/b/c", "in the end");
    }
    syncs.counts = false;
}

static void leftovers_of_a_crash_are_not_listed_and_go_after_a_day(void **state)
{
    struct helper_store *helper = *state;
    assert_int_equal(mkdir(path_of(helper, "incoming~"), 0700), 0);
    write_raw(helper, "incoming~/old", 25 * 60 * 60);
    write_raw(helper, "incoming~/new", 60 * 60);
    CLEANUP(own_freep) char *none = helper_store_names(helper->store, "", STORE_DEEP);
    assert_string_equal(none, "");
    CLEANUP(own_freep) char *flat = helper_store_names(helper->store, "", STORE_SHALLOW);
    assert_string_equal(flat, "");
    helper_store_assert_put(helper->store, "a", "x");
    assert_false(is_there(helper, "incoming~/old"));
    assert_true(is_there(helper, "incoming~/new"));
}

static void files_of_others_are_not_listed(void **state)
{
    struct helper_store *helper = *state;
    write_raw(helper, "a b", 0);
    write_raw(helper, ".nfs~1", 0);
    assert_int_equal(mkdir(path_of(helper, "lost+found"), 0700), 0);
    assert_int_equal(mkdir(path_of(helper, "empty"), 0700), 0);
    assert_int_equal(symlink("/etc", path_of(helper, "etc")), 0);
    assert_int_equal(mkfifo(path_of(helper, "fifo"), 0600), 0);
    helper_store_assert_put(helper->store, "ours/x", "x");
    CLEANUP(own_freep) char *deep = helper_store_names(helper->store, "", STORE_DEEP);
    assert_string_equal(deep, "ours/x ");
    CLEANUP(own_freep) char *flat = helper_store_names(helper->store, "", STORE_SHALLOW);
    assert_string_equal(flat, "ours/ ");
}

static void symbolic_links_lead_nowhere(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(1 << 20);
    const struct store_bytes bytes = helper_store_text("x");
    CLEANUP(own_freep) char *outside = own_format("%s/outside", helper->directory);
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(symlink("../outside", path_of(helper, "link")), 0);
    assert_int_equal(symlink("/etc/hostname", path_of(helper, "host")), 0);
    assert_int_equal(store_get_all(helper->store, "host", &got, &err), -1);
    assert_int_equal(store_put(helper->store, "link/x", &bytes, &err), -1);
    assert_int_equal(store_put(helper->store, "link/y/x", &bytes, &err), -1);
    assert_int_equal(got.size, 0);
    write_raw(helper, "link/x", 0);
    assert_int_equal(store_get_all(helper->store, "link/x", &got, &err), -1);
    assert_int_equal(store_remove(helper->store, "link/x", &err), 0);
    assert_true(is_there(helper, "link/x"));
}

static void a_removal_takes_directories_that_it_empties(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    helper_store_assert_put(helper->store, "a/b/c/d", "x");
    helper_store_assert_put(helper->store, "a/e", "x");
    assert_int_equal(store_remove(helper->store, "a/b/c/d", &err), 0);
    assert_false(is_there(helper, "a/b"));
    assert_true(is_there(helper, "a/e"));
}

static void a_fifo_is_no_object_and_blocks_nobody(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    CLEANUP(buf_done) struct buf got = BUF(10);
    assert_int_equal(mkfifo(path_of(helper, "fifo"), 0600), 0);
    assert_int_equal(store_get_all(helper->store, "fifo", &got, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

/* As a file system without renameat2's flags answers (NFS). */
static int forbid_renameat2(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int put_without_renameat2(struct store *store)
{
    struct error err;
    const struct store_bytes bytes = helper_store_text("linked"),
                             other = helper_store_text("other");
    if (forbid_renameat2() < 0)
        return 2;
    if (store_put(store, "a/b", &bytes, &err) < 0)
        return 3;
    if (store_put(store, "a/b", &other, &err) == 0 || err.kind != ERROR_CONFLICT)
        return 4;
    return 0;
}

static void a_file_system_without_renameat2_gets_links(void **state)
{
    struct helper_store *helper = *state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(put_without_renameat2(helper->store));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    helper_store_assert_content(helper->store, "a/b", "linked");
    assert_int_equal(rmdir(path_of(helper, "incoming~")), 0);
}

static int check_order(void *arg, const struct store_object *object, struct error *err)
{
    char *last = arg;
    (void)err;
    assert_true(strcmp(last, object->name) < 0);
    snprintf(last, 64, "%s", object->name);
    return 0;
}

static void a_listing_is_in_bytewise_order(void **state)
{
    struct helper_store *helper = *state;
    struct error err;
    char last[64] = "";
    helper_store_assert_put(helper->store, "a/b", "");
    helper_store_assert_put(helper->store, "a-b", "");
    helper_store_assert_put(helper->store, "a.b", "");
    helper_store_assert_put(helper->store, "a0", "");
    assert_int_equal(store_list(helper->store, "", STORE_DEEP, check_order, last, &err), 0);
    assert_string_equal(last, "a0");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_directory_is_named_with_a_remedy),
        TEST(a_file_is_no_directory),
        TEST(objects_are_for_their_owner_only),
        TEST(nothing_is_left_of_a_put),
        TEST(what_could_not_be_made_durable_is_by_the_next_attempt),
        TEST(leftovers_of_a_crash_are_not_listed_and_go_after_a_day),
        TEST(files_of_others_are_not_listed),
        TEST(symbolic_links_lead_nowhere),
        TEST(a_removal_takes_directories_that_it_empties),
        TEST(a_fifo_is_no_object_and_blocks_nobody),
        TEST(a_file_system_without_renameat2_gets_links),
        TEST(a_listing_is_in_bytewise_order),
    };
    return helper_store_contract("contract over file", helper_store_open_file) +
           cmocka_run_group_tests(tests, NULL, NULL);
}
