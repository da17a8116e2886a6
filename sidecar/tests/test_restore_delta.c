// SPDX-License-Identifier: Apache-2.0
/* Restores into directories that have something: what is equal stays, what differs is made equal,
 * what is foreign is left alone, and what was left half-way is gone on with. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg_control.h"
#include "sidecar/crc32c.h"
#include "sidecar/repo.h"
#include "sidecar/restore.h"
#include "sidecar/restore_marker.h"
#include "sidecar/tests/helper_backup.h"
#include "sidecar/tests/helper_restore.h"
#include "common/tests/helper_directory.h"

#define OTHER_BACKUP "20260101T000000Z-full-0000"

static struct helper_backup backup;
static char *scratch; /* a new directory for each test */

static const struct restore_options plain = {0}, delta = {.delta = true};

static int open_backup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    helper_backup_open(&backup, 1);
    helper_backup_commit(&backup);
    return 0;
}

static int close_backup(void **state)
{
    (void)state;
    helper_backup_close(&backup);
    return 0;
}

static struct restore_result must_restore(const struct restore_options *options)
{
    struct restore_result result;
    struct error err;
    if (helper_restore(&backup, scratch, options, &result, &err) < 0)
        fail_msg("%s", err.text);
    return result;
}

static int set_up(void **state)
{
    (void)state;
    scratch = helper_directory_new();
    must_restore(&plain);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_directory_remove(scratch);
    return 0;
}

static char *below(const char *path)
{
    return own_format("%s/%s", scratch, path);
}

static void expect_equal(void)
{
    helper_restore_expect_source(&backup, scratch);
    helper_restore_check_manifest(scratch);
    helper_directory_expect_missing(scratch, "pg/" RESTORE_MARKER_PATH);
}

static void expect_refused(const struct restore_options *options, const char *text)
{
    struct restore_result unused;
    struct error err;
    if (helper_restore(&backup, scratch, options, &unused, &err) == 0)
        fail_msg("restored, but not '%s'", text);
    if (err.kind != ERROR_CONFLICT || !strstr(err.text, text))
        fail_msg("'%s' (%s), not '%s'", err.text, error_kind_name(err.kind), text);
}

static void overwrite(const char *path, uint64_t offset, const char *text)
{
    CLEANUP(own_freep) char *full = below(path);
    CLEANUP(own_closep) int fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct error err;
    assert_true(fd >= 0);
    assert_int_equal(buf_pwrite(fd, text, strlen(text), offset, &err), 0);
}

static void cut(const char *path, off_t size)
{
    CLEANUP(own_freep) char *full = below(path);
    assert_int_equal(truncate(full, size), 0);
}

static void remove_file(const char *path)
{
    CLEANUP(own_freep) char *full = below(path);
    assert_int_equal(unlink(full), 0);
}

/* As a restore leaves it when it is killed before pg_control. */
static void leave_half(const char *id)
{
    struct restore_marker marker = {0};
    snprintf(marker.backup, sizeof(marker.backup), "%s", id);
    memcpy(marker.repository, backup.repo.repo->id, sizeof(marker.repository));
    CLEANUP(own_freep) char *text = restore_marker_format(&marker);
    helper_directory_write(scratch, "pg/" RESTORE_MARKER_PATH, text);
    remove_file("pg/global/pg_control");
    remove_file("pg/backup_manifest");
}

static void what_is_equal_is_neither_fetched_nor_written(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *path = below("pg/pg_stat/large");
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    struct restore_result result = must_restore(&delta);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_true(result.kept_bytes > 22 << 20);
    assert_true(result.fetched_bytes < 3 << 20); /* index, maps, hashes, pg_control */
    expect_equal();
}

static void what_differs_is_made_equal(void **state)
{
    (void)state;
    overwrite("pg/base/5/100", 7 * 8192 + 100, "changed"); /* a page */
    overwrite("pg/base/5/101", 0, "no more empty");
    overwrite("pg/base/5/102", 3 * 8192, "in a hole");
    overwrite("pg/base/5/103", 19 * 8192, "before the data and in it");
    overwrite("pg/base/5/104", 8192 + 5, "between two pages");
    overwrite("pg/pg_stat/large", (15 << 20) + 5, "behind the end");
    overwrite("fast/" HELPER_TREE_VERSION "/5/200", 8192, "elsewhere");
    cut("pg/pg_multixact/members/0001", 3);
    cut("pg/base/5/103", 21 * 8192 + 17);
    remove_file("pg/pg_multixact/members/0002");
    struct restore_result result = must_restore(&delta);
    assert_true(result.kept_bytes > 22 << 20);
    assert_true(result.fetched_bytes < 12 << 20); /* and not the packs of the large file */
    expect_equal();
}

static void what_the_backup_has_not_is_removed(void **state)
{
    (void)state;
    helper_directory_write(scratch, "pg/base/5/9999", "dropped later");
    helper_directory_write(scratch, "pg/base/77/PG_VERSION", "17\n");
    helper_directory_write(scratch, "pg/base/77/deep/er", "x");
    helper_directory_write(scratch, "pg/pg_wal/000000020000000000000009", "of another future");
    helper_directory_write(scratch, "pg/pg_wal/archive_status/000000020000000000000009.ready", "");
    helper_directory_write(scratch, "pg/standby.signal", "");
    helper_directory_write(scratch, "pg/postmaster.opts", "postgres\n");
    helper_directory_write(scratch, "pg/backup_label.old", "x");
    helper_directory_write(scratch, "pg/log/postgresql.log", "a long story");
    helper_directory_write(scratch, "fast/" HELPER_TREE_VERSION "/5/300", "x");
    helper_directory_write(scratch, "fast/" HELPER_TREE_VERSION "/6/1", "x");
    CLEANUP(own_freep) char *other = below("other");
    CLEANUP(own_freep) char *link = below("pg/pg_tblspc/20000");
    assert_int_equal(mkdir(other, 0700), 0);
    helper_directory_write(scratch, "other/precious", "text");
    assert_int_equal(symlink(other, link), 0);
    must_restore(&delta);
    expect_equal();
    helper_directory_expect_missing(scratch, "fast/" HELPER_TREE_VERSION "/6");
    helper_directory_expect_missing(scratch, "fast/" HELPER_TREE_VERSION "/5/300");
    helper_directory_expect_missing(scratch, "pg/pg_wal/000000020000000000000009");
    helper_directory_expect(scratch, "other/precious", "text"); /* only the link is ours */
}

static void a_file_where_a_directory_was_and_the_other_way_round(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *directory = below("pg/pg_multixact/members");
    CLEANUP(own_freep) char *moved = below("pg/pg_multixact/moved");
    assert_int_equal(rename(directory, moved), 0);
    helper_directory_write(scratch, "pg/pg_multixact/members", "a file");
    remove_file("pg/base/5/101");
    helper_directory_write(scratch, "pg/base/5/101/below", "a directory");
    must_restore(&delta);
    expect_equal();
}

static void modes_are_mended(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *directory = below("pg/base");
    CLEANUP(own_freep) char *file = below("pg/base/5/100");
    CLEANUP(own_freep) char *root = below("pg");
    struct stat st;
    assert_int_equal(chmod(directory, 02770), 0); /* as fsGroup does */
    assert_int_equal(chmod(root, 02770), 0);
    assert_int_equal(chmod(file, 0644), 0);
    must_restore(&delta);
    expect_equal();
    assert_int_equal(stat(root, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void a_file_with_another_name_is_not_written_through(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *file = below("pg/base/5/100");
    CLEANUP(own_freep) char *other = below("snapshot");
    overwrite("pg/base/5/100", 0, "changed");
    assert_int_equal(link(file, other), 0); /* cp --link, pg_upgrade --link */
    must_restore(&delta);
    expect_equal();
    CLEANUP(buf_done) struct buf content = BUF(8 << 20);
    struct error err;
    assert_int_equal(buf_read_file(&content, AT_FDCWD, other, &err), 0);
    assert_memory_equal(content.data, "changed", 7);
}

static void configuration_of_the_target_stays(void **state)
{
    (void)state;
    remove_file("pg/postgresql.conf");
    remove_file("pg/pg_ident.conf");
    helper_directory_write(scratch, "pg/postgresql.conf", "work_mem = 1GB\n");
    must_restore(&delta);
    expect_equal(); /* and the manifest lists it */
    helper_directory_expect(scratch, "pg/postgresql.conf", "work_mem = 1GB\n");
}

static void into_an_empty_directory_it_is_a_plain_restore(void **state)
{
    (void)state;
    helper_directory_remove(scratch);
    scratch = helper_directory_new();
    struct restore_result result = must_restore(&delta);
    assert_int_equal(result.kept_bytes, 0);
    expect_equal();
}

/* What is refused, and left as it was */

static void expect_foreign(const char *path, const char *top)
{
    CLEANUP(own_freep) char *full = below(top);
    CLEANUP(own_freep) char *aside = below("aside");
    helper_directory_write(scratch, path, "text");
    expect_refused(&delta, "move it away");
    helper_directory_expect(scratch, path, "text");
    assert_int_equal(rename(full, aside), 0);
    helper_directory_remove(own_strdup(aside));
}

static void what_is_foreign_is_left_alone(void **state)
{
    (void)state;
    overwrite("pg/base/5/100", 0, "changed");
    expect_foreign("pg/certificates/server.key", "pg/certificates");
    expect_foreign("fast/PG_16_202307071/5/1", "fast/PG_16_202307071");
    helper_directory_write(scratch, "pg/notes.txt", "text");
    expect_refused(&delta, "'notes.txt' in '");
    remove_file("pg/notes.txt");
    helper_directory_write(scratch, "pg/pg_hba.conf.bak", "text");
    expect_refused(&delta, "'pg_hba.conf.bak' in '");
    remove_file("pg/pg_hba.conf.bak");
    CLEANUP(own_freep) char *link = below("pg/pg_wal/link");
    assert_int_equal(symlink("/etc", link), 0);
    expect_refused(&delta, "'pg_wal/link' in '");
    assert_int_equal(unlink(link), 0);
    CLEANUP(own_freep) char *pipe = below("pg/base/pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    expect_refused(&delta, "is no file");
    assert_int_equal(unlink(pipe), 0);
    helper_directory_expect_missing(scratch, "pg/" RESTORE_MARKER_PATH);
    must_restore(&delta);
    expect_equal();
}

static void a_running_server_is_left_alone(void **state)
{
    (void)state;
    helper_directory_write(scratch, "pg/postmaster.pid", "4711\n");
    expect_refused(&delta, "PostgreSQL (process 4711) runs in");
    helper_directory_expect_missing(scratch, "pg/" RESTORE_MARKER_PATH);
}

static void a_directory_that_is_no_database_is_left_alone(void **state)
{
    (void)state;
    helper_directory_remove(scratch);
    scratch = helper_directory_new();
    helper_directory_write(scratch, "pg/precious", "text");
    expect_refused(&delta, "no data directory of PostgreSQL");
    helper_directory_write(scratch, "pg/global/pg_control", "not that either");
    struct restore_result unused;
    struct error err;
    assert_int_equal(helper_restore(&backup, scratch, &delta, &unused, &err), -1);
    assert_non_null(strstr(err.text, "cannot be told"));
    helper_directory_expect(scratch, "pg/precious", "text");
}

static void a_database_of_another_system_is_left_alone(void **state)
{
    (void)state;
    enum { CRC = 288 }; /* in version 1300 */
    CLEANUP(own_freep) char *path = below("pg/global/pg_control");
    CLEANUP(buf_done) struct buf control = BUF(PG_CONTROL_BYTES);
    struct error err;
    assert_int_equal(buf_read_file(&control, AT_FDCWD, path, &err), 0);
    control.data[0] ^= 1;
    const uint32_t crc = crc32c_extend(0, control.data, CRC);
    memcpy(control.data + CRC, &crc, sizeof(crc));
    CLEANUP(own_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(buf_pwrite(fd, control.data, control.size, 0, &err), 0);
    expect_refused(&delta, "is the data directory of database system");
}

static void a_tablespace_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    remove_file("pg/pg_tblspc/16385"); /* so the target does not say that it is its own */
    expect_refused(&delta, "is not empty");
    helper_directory_expect_missing(scratch, "pg/" RESTORE_MARKER_PATH);
}

/* Going on */

static void half_a_restore_goes_on_and_trusts_nothing(void **state)
{
    (void)state;
    leave_half(HELPER_PACKS_BACKUP);
    overwrite("pg/pg_stat/large", 5 << 20, "half a write");
    cut("pg/base/5/104", 100 * 8192);
    remove_file("pg/base/5/100");
    remove_file("pg/pg_tblspc/16385");
    CLEANUP(own_freep) char *fast = below("fast");
    CLEANUP(own_freep) char *aside = below("aside");
    assert_int_equal(rename(fast, aside), 0); /* its link was not on disk yet: so it is empty */
    helper_directory_write(scratch, "pg/lifeboat_unfinished.tmp", "half a file");
    struct restore_result result = must_restore(&plain);
    assert_true(result.kept_bytes > 10 << 20);
    expect_equal();
}

static void a_restore_of_the_newest_goes_on_with_what_was_the_newest(void **state)
{
    (void)state;
    leave_half(HELPER_PACKS_BACKUP);
    struct restore_result result = must_restore(&(struct restore_options){.backup = "Latest"});
    assert_string_equal(result.backup, HELPER_PACKS_BACKUP);
    expect_equal();
}

static void half_of_another_restore_says_how_to_go_on(void **state)
{
    (void)state;
    leave_half(OTHER_BACKUP);
    expect_refused(&(struct restore_options){.backup = HELPER_PACKS_BACKUP},
                   "has half a restore of '" OTHER_BACKUP "': go on with --backup " OTHER_BACKUP);
    must_restore(&(struct restore_options){.backup = HELPER_PACKS_BACKUP, .delta = true});
    expect_equal();
}

static void half_a_restore_of_another_repository_is_refused_always(void **state)
{
    (void)state;
    struct restore_marker marker = {.backup = HELPER_PACKS_BACKUP};
    CLEANUP(own_freep) char *text = restore_marker_format(&marker);
    helper_directory_write(scratch, "pg/" RESTORE_MARKER_PATH, text);
    expect_refused(&plain, "from another repository");
    expect_refused(&delta, "from another repository");
}

static void a_restore_that_wanted_only_its_manifest_goes_on(void **state)
{
    (void)state;
    struct restore_marker marker = {.backup = HELPER_PACKS_BACKUP};
    memcpy(marker.repository, backup.repo.repo->id, sizeof(marker.repository));
    CLEANUP(own_freep) char *text = restore_marker_format(&marker);
    helper_directory_write(scratch, "pg/" RESTORE_MARKER_PATH, text);
    remove_file("pg/backup_manifest");
    must_restore(&plain);
    expect_equal();
}

static void a_database_that_was_started_since_is_not_taken_back(void **state)
{
    (void)state;
    struct restore_marker marker = {.backup = HELPER_PACKS_BACKUP};
    memcpy(marker.repository, backup.repo.repo->id, sizeof(marker.repository));
    CLEANUP(own_freep) char *text = restore_marker_format(&marker);
    helper_directory_write(scratch, "pg/" RESTORE_MARKER_PATH, text);
    overwrite("pg/global/pg_control", 16, "in recovery");
    overwrite("pg/base/5/100", 0, "new data");
    expect_refused(&plain, "was in use since a restore into it");
    must_restore(&delta);
    expect_equal();
}

static void a_marker_that_is_none_is_refused(void **state)
{
    (void)state;
    helper_directory_write(scratch, "pg/" RESTORE_MARKER_PATH, "{\"format\": 1}");
    struct restore_result unused;
    struct error err;
    assert_int_equal(helper_restore(&backup, scratch, &plain, &unused, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, RESTORE_MARKER_PATH));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_equal_is_neither_fetched_nor_written),
        TEST(what_differs_is_made_equal),
        TEST(what_the_backup_has_not_is_removed),
        TEST(a_file_where_a_directory_was_and_the_other_way_round),
        TEST(modes_are_mended),
        TEST(a_file_with_another_name_is_not_written_through),
        TEST(configuration_of_the_target_stays),
        TEST(into_an_empty_directory_it_is_a_plain_restore),
        TEST(what_is_foreign_is_left_alone),
        TEST(a_running_server_is_left_alone),
        TEST(a_directory_that_is_no_database_is_left_alone),
        TEST(a_database_of_another_system_is_left_alone),
        TEST(a_tablespace_of_somebody_else_is_left_alone),
        TEST(half_a_restore_goes_on_and_trusts_nothing),
        TEST(a_restore_of_the_newest_goes_on_with_what_was_the_newest),
        TEST(half_of_another_restore_says_how_to_go_on),
        TEST(half_a_restore_of_another_repository_is_refused_always),
        TEST(a_restore_that_wanted_only_its_manifest_goes_on),
        TEST(a_database_that_was_started_since_is_not_taken_back),
        TEST(a_marker_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, open_backup, close_backup);
}
