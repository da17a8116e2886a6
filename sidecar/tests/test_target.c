// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "common/throttle.h"
#include "sidecar/entry.h"
#include "sidecar/target.h"
#include "common/tests/helper_directory.h"

static const struct target_attributes plain = {.mode = 0600, .mtime_s = 1, .size = 5};

static int set_up(void **state)
{
    *state = helper_directory_new();
    return 0;
}

static int tear_down(void **state)
{
    helper_directory_remove(*state);
    return 0;
}

static char *below(void **state, const char *name)
{
    return own_format("%s/%s", (const char *)*state, name);
}

/* The target "pg" below the test's directory. */
static struct target *open_pg(void **state)
{
    struct target *target;
    struct error err;
    CLEANUP(own_freep) char *path = below(state, "pg");
    if (target_open(&target, path, TARGET_EMPTY, &err) < 0)
        fail_msg("%s", err.text);
    return target;
}

static void expect_refused(void **state, const char *name, enum error_kind kind, const char *text)
{
    struct target *target;
    struct error err;
    CLEANUP(own_freep) char *path = below(state, name);
    assert_int_equal(target_open(&target, path, TARGET_EMPTY, &err), -1);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text))
        fail_msg("no '%s' in '%s'", text, err.text);
}

static void make_directory(struct target *target, const char *path)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    const struct entry entry = {.path = copy, .type = ENTRY_DIRECTORY, .mode = 0700};
    struct error err;
    if (target_make_directory(target, &entry, &err) < 0)
        fail_msg("%s", err.text);
}

static int place(struct target *target, const char *path, const char *location, struct error *err)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    const struct entry entry = {.path = copy, .type = ENTRY_LINK};
    return target_place_tablespace(target, &entry, location, err);
}

static int write_file(struct target *target, const char *path, struct error *err)
{
    return target_write_file(target, path, &plain, "hello", err);
}

static mode_t mode_of(void **state, const char *name)
{
    CLEANUP(own_freep) char *path = below(state, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void a_new_directory_is_made_with_its_parents_for_the_owner_only(void **state)
{
    struct target *target;
    struct error err;
    CLEANUP(own_freep) char *path = below(state, "a/b/pg/");
    assert_int_equal(target_open(&target, path, TARGET_EMPTY, &err), 0);
    assert_int_equal(mode_of(state, "a/b/pg"), 0700);
    target_closep(&target);
    assert_int_equal(target_open(&target, path, TARGET_EMPTY, &err), 0); /* it is empty still */
    target_closep(&target);
}

static void the_modes_that_postgresql_refuses_are_mended(void **state)
{
    static const struct {
        mode_t before, after;
    } cases[] = {{0755, 0700}, {02770, 0700}, {0750, 0750}, {0700, 0700}};
    CLEANUP(own_freep) char *path = below(state, "pg");
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(chmod(path, cases[i].before), 0);
        struct target *target = open_pg(state);
        assert_int_equal(mode_of(state, "pg"), cases[i].after);
        target_closep(&target);
    }
}

static void group_access_is_taken_over_and_nothing_more(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    struct error err;
    assert_int_equal(target_set_mode(target, 07777, &err), 0);
    assert_int_equal(mode_of(state, "pg"), 0750);
    assert_int_equal(target_set_mode(target, 0, &err), 0);
    assert_int_equal(mode_of(state, "pg"), 0700);
}

static void a_directory_that_is_not_empty_is_refused_and_left_alone(void **state)
{
    helper_directory_write(*state, "pg/precious", "text");
    expect_refused(state, "pg", ERROR_CONFLICT, "is not empty (it has 'precious')");
    helper_directory_expect(*state, "pg/precious", "text");
}

static void a_running_server_is_named_by_its_process(void **state)
{
    helper_directory_write(*state, "pg/postmaster.pid", "4711\n/var/lib\n");
    expect_refused(state, "pg", ERROR_CONFLICT, "PostgreSQL (process 4711) runs in");
}

static void a_file_in_the_place_of_the_directory_is_refused(void **state)
{
    helper_directory_write(*state, "pg", "text");
    expect_refused(state, "pg", ERROR_PERMANENT, "Not a directory");
    expect_refused(state, "pg/below", ERROR_PERMANENT, "Not a directory");
    struct target *target;
    struct error err;
    assert_int_equal(target_open(&target, "", TARGET_EMPTY, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void two_restores_do_not_meet_in_one_directory(void **state)
{
    struct target *target = open_pg(state);
    expect_refused(state, "pg", ERROR_CONFLICT, "another restore writes to");
    target_closep(&target);
}

static void a_file_gets_its_size_mode_and_time(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(target_close_file) struct target_file file = {.fd = -1};
    const struct target_attributes attributes = {
        .mode = 06640, .mtime_s = 1234567890, .size = 1 << 20};
    struct error err;
    make_directory(target, "base");
    mode_t mask = umask(0177);
    assert_int_equal(target_open_file(target, "base/1", &file, &err), 0);
    umask(mask);
    assert_int_equal(target_write(&file, "hello", 5, 8192, &err), 0);
    assert_int_equal(target_finish(&file, &attributes, &err), 0);
    struct stat st;
    assert_int_equal(fstat(file.fd, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0640); /* no set-uid bit */
    assert_int_equal(st.st_mtime, 1234567890);
    assert_int_equal(st.st_size, 1 << 20);
    assert_true(st.st_blocks * 512 < 1 << 19); /* the rest is a hole */
    assert_int_equal(target_sync(target, &err), 0);
}

static void a_limit_holds_for_all_that_is_written(void **state)
{
    enum { SIZE = 128 << 10, RATE = 512 << 10 };
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(own_freep) char *data = own_alloc(SIZE + 1);
    const struct target_attributes attributes = {.mode = 0600, .size = SIZE};
    struct cancel cancel;
    struct throttle limit;
    struct error err;
    memset(data, 'd', SIZE);
    assert_int_equal(cancel_init(&cancel, &err), 0);
    int64_t started_ms = clock_monotonic_ms();
    throttle_init(&limit, RATE);
    target_limit(target, &limit, &cancel);
    assert_int_equal(target_write_file(target, "a", &attributes, data, &err), 0);
    assert_int_equal(target_write_file(target, "b", &attributes, data, &err), 0);
    assert_true(clock_monotonic_ms() - started_ms >= 2 * 1000 * SIZE / RATE);
    helper_directory_expect(*state, "pg/b", data);

    cancel_trigger(&cancel);
    assert_int_equal(target_write_file(target, "c", &attributes, data, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    throttle_done(&limit);
    cancel_done(&cancel);
}

static void a_directory_is_usable_by_its_owner_whatever_the_backup_says(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    char path[] = "base";
    const struct entry entry = {.path = path, .type = ENTRY_DIRECTORY, .mode = 07050};
    struct error err;
    assert_int_equal(target_make_directory(target, &entry, &err), 0);
    assert_int_equal(mode_of(state, "pg/base"), 0750);
}

static void no_path_leads_out_of_the_target(void **state)
{
    static const char *const paths[] = {"../evil", "/tmp/evil", "base/../../evil",
                                        "..",      "/",         "base/../../pg-evil/x"};
    CLEANUP(target_closep) struct target *target = open_pg(state);
    make_directory(target, "base");
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct error err;
        CLEANUP(own_freep) char *copy = own_strdup(paths[i]);
        const struct entry entry = {.path = copy, .type = ENTRY_DIRECTORY, .mode = 0700};
        assert_int_equal(write_file(target, paths[i], &err), -1);
        assert_int_equal(target_make_directory(target, &entry, &err), -1);
    }
    helper_directory_expect_missing(*state, "evil");
}

static void a_directory_swapped_for_a_link_leads_nowhere(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(own_freep) char *outside = below(state, "outside");
    CLEANUP(own_freep) char *link = below(state, "pg/base");
    CLEANUP(own_freep) char *file_link = below(state, "pg/file");
    CLEANUP(own_freep) char *victim = below(state, "outside/victim");
    struct error err;
    helper_directory_write(*state, "outside/victim", "text");
    make_directory(target, "base");
    assert_int_equal(rmdir(link), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(write_file(target, "base/victim", &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_non_null(strstr(err.text, "a symbolic link stands in the way"));
    char path[] = "base/new";
    const struct entry entry = {.path = path, .type = ENTRY_DIRECTORY, .mode = 0700};
    assert_int_equal(target_make_directory(target, &entry, &err), -1);
    helper_directory_expect_missing(*state, "outside/new");
    assert_int_equal(symlink(victim, file_link), 0);
    assert_int_equal(write_file(target, "file", &err), -1);
    helper_directory_expect(*state, "outside/victim", "text");
}

static void a_full_disk_names_the_file_and_the_remedy(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(target_close_file)
    struct target_file full = {
        .target = target, .path = "base/5/1259", .fd = open("/dev/full", O_WRONLY)};
    struct error err;
    assert_int_equal(target_write(&full, "x", 1, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    assert_string_equal(err.text, "write 'base/5/1259': the volume is full; free space on it or "
                                  "restore to a larger one");
}

static void the_files_of_a_tablespace_go_to_its_location(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(own_freep) char *location = below(state, "srv/fast");
    char path[] = "pg_tblspc/16385";
    const struct entry link = {.path = path, .type = ENTRY_LINK};
    struct error err;
    assert_int_equal(target_place_tablespace(target, &link, location, &err), 0);
    make_directory(target, "pg_tblspc");
    make_directory(target, "pg_tblspc/163850"); /* in place, and not the other */
    assert_int_equal(target_make_link(target, &link, &err), 0);
    make_directory(target, "pg_tblspc/16385/PG_15");
    assert_int_equal(write_file(target, "pg_tblspc/16385/PG_15/1", &err), 0);
    assert_int_equal(write_file(target, "pg_tblspc/163850/2", &err), 0);
    helper_directory_expect(*state, "srv/fast/PG_15/1", "hello");
    helper_directory_expect(*state, "pg/pg_tblspc/16385/PG_15/1", "hello");
    helper_directory_expect(*state, "pg/pg_tblspc/163850/2", "hello");
    assert_int_equal(write_file(target, "pg_tblspc/16385/../../evil", &err), -1);
    assert_int_equal(write_file(target, "pg_tblspc/16385/PG_15/../../evil", &err), -1);
    assert_int_equal(target_sync(target, &err), 0);
}

static void expect_misplaced(void **state, const char *path, const char *name, enum error_kind kind,
                             const char *text)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    CLEANUP(own_freep) char *taken = below(state, "srv/taken");
    CLEANUP(own_freep) char *location = name[0] == '+' ? below(state, name + 1) : own_strdup(name);
    struct error err;
    assert_int_equal(place(target, "pg_tblspc/1", taken, &err), 0);
    assert_int_equal(place(target, path, location, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s: %s, not '%s'", location, err.text, text);
}

static void a_tablespace_is_refused_where_it_does_harm(void **state)
{
    CLEANUP(own_freep) char *link = below(state, "link");
    CLEANUP(own_freep) char *inside = below(state, "pg");
    helper_directory_write(*state, "full/file", "text");
    assert_int_equal(symlink(inside, link), 0);
    expect_misplaced(state, "pg_tblspc/2", "+full", ERROR_CONFLICT, "is not empty");
    expect_misplaced(state, "pg_tblspc/2", "+srv/taken", ERROR_CONFLICT, "one inside the other");
    expect_misplaced(state, "pg_tblspc/2", "+srv/taken/x", ERROR_CONFLICT, "one inside the other");
    expect_misplaced(state, "pg_tblspc/2", "relative", ERROR_PERMANENT, "not an absolute path");
    expect_misplaced(state, "pg_tblspc/2", "+a/../b", ERROR_PERMANENT, "not an absolute path");
    expect_misplaced(state, "pg_tblspc/2x", "+new", ERROR_CORRUPT, "not that of a tablespace");
    expect_misplaced(state, "pg_tblspc/", "+new", ERROR_CORRUPT, "not that of a tablespace");
    expect_misplaced(state, "base", "+new", ERROR_CORRUPT, "not that of a tablespace");
    expect_misplaced(state, "pg_tblspc/2", "+pg/new", ERROR_CONFLICT, "one inside the other");
    helper_directory_expect_missing(*state, "pg/new");
    expect_misplaced(state, "pg_tblspc/2", "/", ERROR_PERMANENT, "not an absolute path");
    expect_misplaced(state, "pg_tblspc/2", "+link/new", ERROR_CONFLICT, "one inside the other");
}

/* What has content already */

static struct target *open_used(void **state)
{
    struct target *target;
    struct error err;
    CLEANUP(own_freep) char *path = below(state, "pg");
    if (target_open(&target, path, TARGET_USED, &err) < 0)
        fail_msg("%s", err.text);
    return target;
}

static void a_file_appears_whole_or_not_at_all(void **state)
{
    CLEANUP(target_closep) struct target *target = open_pg(state);
    struct error err;
    make_directory(target, "global");
    helper_directory_write(*state, "pg/lifeboat_unfinished.tmp", "the longer half of another");
    assert_int_equal(target_save_file(target, "global/new", &plain, "hello", &err), 0);
    helper_directory_expect(*state, "pg/global/new", "hello");
    helper_directory_expect_missing(*state, "pg/lifeboat_unfinished.tmp");
    assert_int_equal(target_save_file(target, "missing/new", &plain, "hello", &err), -1);
    helper_directory_expect_missing(*state, "pg/missing");
}

static void what_was_never_given_its_name_is_nothing(void **state)
{
    helper_directory_write(*state, "pg/lifeboat_unfinished.tmp", "half");
    CLEANUP(target_closep) struct target *target = open_pg(state);
    assert_non_null(target);
}

static void nothing_is_read_or_removed_outside_the_target(void **state)
{
    helper_directory_write(*state, "outside/precious", "text");
    helper_directory_write(*state, "pg/file", "text");
    CLEANUP(own_freep) char *outside = below(state, "outside");
    CLEANUP(own_freep) char *link = below(state, "pg/link");
    assert_int_equal(symlink(outside, link), 0);
    CLEANUP(target_closep) struct target *target = open_used(state);
    CLEANUP(buf_done) struct buf content = BUF(100);
    struct target_file file = {.fd = -1};
    struct error err;
    assert_int_equal(target_read(target, "link/precious", &content, &err), -1);
    assert_int_equal(target_read(target, "../outside/precious", &content, &err), -1);
    assert_int_equal(target_read(target, "link", &content, &err), -1);
    assert_int_equal(target_read(target, "", &content, &err), -1);
    assert_int_equal(target_reopen_file(target, "link/precious", &file, &err), -1);
    assert_int_equal(target_remove(target, "link/precious", TARGET_FILE, &err), -1);
    assert_int_equal(target_remove(target, "../outside/precious", TARGET_FILE, &err), -1);
    assert_int_equal(target_remove(target, "missing/at/all", TARGET_FILE, &err), 0);
    assert_int_equal(target_remove(target, "link", TARGET_LINK, &err), 0);
    helper_directory_expect(*state, "outside/precious", "text");
}

static int note_kind(void *arg, const struct target_item *item, struct error *err)
{
    (void)err;
    unsigned *seen = arg;
    assert_false(item->mount);
    seen[item->kind]++;
    if (item->kind == TARGET_FILE)
        assert_int_equal(item->writable, strcmp(item->path, "dir/linked") != 0);
    return 0;
}

static void what_lies_there_is_told(void **state)
{
    helper_directory_write(*state, "pg/dir/file", "text");
    helper_directory_write(*state, "pg/dir/below/file", "text");
    helper_directory_write(*state, "pg/dir/linked", "text");
    CLEANUP(own_freep) char *linked = below(state, "pg/dir/linked");
    CLEANUP(own_freep) char *elsewhere = below(state, "elsewhere");
    CLEANUP(own_freep) char *dangling = below(state, "pg/dir/dangling");
    CLEANUP(own_freep) char *fifo = below(state, "pg/dir/fifo");
    assert_int_equal(link(linked, elsewhere), 0);
    assert_int_equal(symlink("/nowhere", dangling), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    CLEANUP(target_closep) struct target *target = open_used(state);
    unsigned seen[4] = {0};
    struct error err;
    assert_int_equal(target_list(target, "dir", note_kind, seen, &err), 0);
    assert_int_equal(seen[TARGET_FILE], 2);
    assert_int_equal(seen[TARGET_DIRECTORY], 1);
    assert_int_equal(seen[TARGET_LINK], 1);
    assert_int_equal(seen[TARGET_OTHER], 1);
    assert_int_equal(target_list(target, "missing", note_kind, seen, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void a_part_that_is_cleared_reads_as_zeros(void **state)
{
    helper_directory_write(*state, "pg/file", "0123456789");
    CLEANUP(target_closep) struct target *target = open_used(state);
    CLEANUP(target_close_file) struct target_file file = {.fd = -1};
    struct error err;
    char data[12];
    assert_int_equal(target_reopen_file(target, "file", &file, &err), 0);
    assert_int_equal(target_clear(&file, 2, 5, &err), 0);
    assert_int_equal(target_pread(&file, data, sizeof(data), 0, &err), 0);
    assert_memory_equal(data, "01\0\0\00056789\0\0", sizeof(data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        WITH_DIRECTORY(a_new_directory_is_made_with_its_parents_for_the_owner_only),
        WITH_DIRECTORY(the_modes_that_postgresql_refuses_are_mended),
        WITH_DIRECTORY(group_access_is_taken_over_and_nothing_more),
        WITH_DIRECTORY(a_directory_that_is_not_empty_is_refused_and_left_alone),
        WITH_DIRECTORY(a_running_server_is_named_by_its_process),
        WITH_DIRECTORY(a_file_in_the_place_of_the_directory_is_refused),
        WITH_DIRECTORY(two_restores_do_not_meet_in_one_directory),
        WITH_DIRECTORY(a_file_gets_its_size_mode_and_time),
        WITH_DIRECTORY(a_limit_holds_for_all_that_is_written),
        WITH_DIRECTORY(a_directory_is_usable_by_its_owner_whatever_the_backup_says),
        WITH_DIRECTORY(no_path_leads_out_of_the_target),
        WITH_DIRECTORY(a_directory_swapped_for_a_link_leads_nowhere),
        WITH_DIRECTORY(a_full_disk_names_the_file_and_the_remedy),
        WITH_DIRECTORY(the_files_of_a_tablespace_go_to_its_location),
        WITH_DIRECTORY(a_tablespace_is_refused_where_it_does_harm),
        WITH_DIRECTORY(a_file_appears_whole_or_not_at_all),
        WITH_DIRECTORY(what_was_never_given_its_name_is_nothing),
        WITH_DIRECTORY(nothing_is_read_or_removed_outside_the_target),
        WITH_DIRECTORY(what_lies_there_is_told),
        WITH_DIRECTORY(a_part_that_is_cleared_reads_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
