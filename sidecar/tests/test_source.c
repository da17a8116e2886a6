// SPDX-License-Identifier: Apache-2.0
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
#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg_control.h"
#include "sidecar/source.h"
#include "sidecar/tests/helper_tree.h"

enum { NOBODY = 65534 };

static struct helper_tree tree;
static struct cancel cancel;
static struct source source;

static int set_up(void **state)
{
    (void)state;
    struct error err;
    helper_tree_make(&tree);
    return cancel_init(&cancel, &err);
}

static int tear_down(void **state)
{
    (void)state;
    if (getuid() == 0 && seteuid(0) < 0) /* after a test that failed as somebody else */
        return -1;
    source_done(&source);
    cancel_done(&cancel);
    helper_tree_remove(&tree);
    return 0;
}

static void walk(void)
{
    struct error err;
    if (source_open(&source, tree.data, &err) < 0 || source_walk(&source, &cancel, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_failure(const char *text)
{
    struct error err;
    if (source_open(&source, tree.data, &err) == 0 && source_walk(&source, &cancel, &err) == 0)
        fail_msg("the walk went well");
    assert_int_equal(err.kind, ERROR_PERMANENT);
    if (!strstr(err.text, text))
        fail_msg("'%s' lacks '%s'", err.text, text);
}

/* All that the walk found as "file directory/ link>target", sorted within each kind. */
static void expect_found(const char *expected)
{
    struct error err;
    CLEANUP(buf_done) struct buf found = BUF(65536);
    int result = 0;
    for (size_t i = 0; i < source.file_count; i++)
        result |= buf_format(&found, &err, "%s ", source.files[i].path);
    for (size_t i = 0; i < source.other_count; i++) {
        const struct entry *entry = &source.others[i];
        result |= entry->type == ENTRY_LINK
                      ? buf_format(&found, &err, "%s>%s ", entry->path, entry->target)
                      : buf_format(&found, &err, "%s/ ", entry->path);
    }
    assert_int_equal(result, 0);
    CLEANUP(own_freep) char *text = buf_string(&found);
    assert_string_equal(text, expected);
}

static void files_come_sorted_by_path_with_their_sizes(void **state)
{
    (void)state;
    helper_tree_text(&tree, "base/5/1259", "relation");
    helper_tree_text(&tree, "base/5/1259.1", "segment");
    helper_tree_text(&tree, "base.conf", "");
    helper_tree_text(&tree, "base/16384/1259", "x");
    walk();
    expect_found("PG_VERSION base.conf base/16384/1259 base/5/1259 base/5/1259.1 "
                 "base/ base/16384/ base/5/ global/ ");
    assert_int_equal(source.bytes, 3 + 1 + 8 + 7);
    assert_int_equal(source.files[4].size, 7);
    assert_int_equal(source.files[4].class, SOURCE_RELATION);
    assert_int_equal(source.files[4].segment, 1);
}

static void what_passes_is_left_out_and_its_directories_stay(void **state)
{
    (void)state;
    helper_tree_text(&tree, "pg_wal/000000010000000000000001", "wal");
    helper_tree_text(&tree, "pg_wal/archive_status/000000010000000000000001.done", "");
    helper_tree_text(&tree, "pg_replslot/lifeboat/state", "slot");
    helper_tree_text(&tree, "base/pgsql_tmp/pgsql_tmp1.0", "sort");
    helper_tree_text(&tree, "standby.signal", "");
    helper_tree_text(&tree, "postmaster.pid", "1");
    walk();
    expect_found("PG_VERSION base/ global/ pg_replslot/ pg_wal/ pg_wal/archive_status/ ");
}

static void wal_summaries_keep_their_directory_where_there_is_one(void **state)
{
    (void)state;
    helper_tree_text(&tree, "pg_wal/summaries/1.summary", "");
    helper_tree_directory(&tree, "pg_wal/archive_status");
    walk();
    expect_found("PG_VERSION global/ pg_wal/ pg_wal/archive_status/ pg_wal/summaries/ ");
}

static void wal_on_a_volume_of_its_own_becomes_a_directory(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *target = own_format("%s/wal", tree.directory);
    assert_int_equal(mkdir(target, 0755), 0);
    helper_tree_link(&tree, "pg_wal", target);
    walk();
    expect_found("PG_VERSION global/ pg_wal/ pg_wal/archive_status/ ");
    assert_int_equal(source.others[1].type, ENTRY_DIRECTORY);
    assert_int_equal(source.others[1].mode, 0700);
}

static void unlogged_relations_leave_only_their_init_fork(void **state)
{
    (void)state;
    static const char *const names[] = {"16400",      "16400.1", "16400_fsm", "16400_vm",
                                        "16400_init", "16401",   "16401_fsm", "1640"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(own_freep) char *path = own_format("base/5/%s", names[i]);
        helper_tree_text(&tree, path, "x");
    }
    helper_tree_text(&tree, "base/6/16400", "another database's");
    walk();
    expect_found("PG_VERSION base/5/1640 base/5/16400_init base/5/16401 base/5/16401_fsm "
                 "base/6/16400 base/ base/5/ base/6/ global/ ");
}

static void only_our_directory_of_a_tablespace_is_walked(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *location = own_format("%s/space", tree.directory);
    CLEANUP(own_freep)
    char *expected = own_format("PG_VERSION pg_tblspc/16385/" HELPER_TREE_VERSION "/5/16390 "
                                "pg_tblspc/16385/" HELPER_TREE_VERSION "/5/16391_init "
                                "global/ pg_tblspc/ pg_tblspc/16385>%s "
                                "pg_tblspc/16385/" HELPER_TREE_VERSION "/ "
                                "pg_tblspc/16385/" HELPER_TREE_VERSION "/5/ ",
                                location);
    helper_tree_text(&tree, "../space/" HELPER_TREE_VERSION "/5/16390", "ours");
    helper_tree_text(&tree, "../space/" HELPER_TREE_VERSION "/5/16391", "unlogged");
    helper_tree_text(&tree, "../space/" HELPER_TREE_VERSION "/5/16391_init", "");
    helper_tree_text(&tree, "../space/" HELPER_TREE_VERSION "/pgsql_tmp/pgsql_tmp1.0", "sort");
    helper_tree_text(&tree, "../space/PG_16_202307071/5/16390", "of another version");
    helper_tree_text(&tree, "../space/notes", "of somebody");
    helper_tree_link(&tree, "pg_tblspc/16385", location);
    walk();
    expect_found(expected);

    struct error err;
    CLEANUP(own_closep) int fd = -1;
    char content[8] = "";
    assert_int_equal(
        source_open_file(&source, "pg_tblspc/16385/" HELPER_TREE_VERSION "/5/16390", &fd, &err), 0);
    assert_int_equal(read(fd, content, sizeof(content)), 4);
    assert_string_equal(content, "ours");
}

static void a_tablespace_in_place_is_a_directory(void **state)
{
    (void)state;
    helper_tree_text(&tree, "pg_tblspc/16386/" HELPER_TREE_VERSION "/5/16390", "x");
    helper_tree_text(&tree, "pg_tblspc/16386/PG_18_202506291/5/16390", "x");
    walk();
    expect_found("PG_VERSION pg_tblspc/16386/" HELPER_TREE_VERSION "/5/16390 "
                 "global/ pg_tblspc/ pg_tblspc/16386/ pg_tblspc/16386/" HELPER_TREE_VERSION "/ "
                 "pg_tblspc/16386/" HELPER_TREE_VERSION "/5/ ");
}

static void a_tablespace_that_is_not_mounted_here_fails(void **state)
{
    (void)state;
    helper_tree_link(&tree, "pg_tblspc/16385", "/nowhere/space");
    expect_failure("tablespace 16385 has no directory '/nowhere/space/" HELPER_TREE_VERSION
                   "' here: mount its volume at the same path");
}

static void foreign_links_and_special_files_are_left_out(void **state)
{
    (void)state;
    helper_tree_link(&tree, "postgresql.conf", "/etc/passwd");
    helper_tree_link(&tree, "log", "/var/log");
    helper_tree_link(&tree, "dangling", "/nowhere");
    assert_int_equal(mkfifoat(tree.fd, "pipe", 0600), 0);
    helper_tree_text(&tree, "pg_hba.conf", "x");
    walk();
    expect_found("PG_VERSION pg_hba.conf global/ ");
}

static void a_link_in_place_of_data_fails(void **state)
{
    (void)state;
    helper_tree_directory(&tree, "../elsewhere");
    helper_tree_directory(&tree, "base");
    helper_tree_link(&tree, "base/5", "../../elsewhere");
    expect_failure("'base/5' is a symbolic link");
}

static void a_path_that_is_too_long_fails(void **state)
{
    (void)state;
    char name[251];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CLEANUP(own_freep) char *path = own_format("%s/%s/%s/%s/%s", name, name, name, name, name);
    helper_tree_text(&tree, path, "x");
    expect_failure("longer than 1024 bytes");
}

static void a_missing_or_foreign_directory_is_named(void **state)
{
    (void)state;
    assert_int_equal(unlinkat(tree.fd, "PG_VERSION", 0), 0);
    expect_failure("is not a data directory of PostgreSQL: it has no PG_VERSION");
    snprintf(tree.data, sizeof(tree.data), "%.60s/nothing", tree.directory);
    expect_failure("set --pgdata or mount it at this path");
}

static void another_users_directory_names_both_users(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(tree.directory, 0755), 0);
    assert_int_equal(chown(tree.data, 999, 999), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    expect_failure("belongs to uid 999 and is not readable for uid 65534: run lifeboat-sidecar as "
                   "uid 999");
    assert_int_equal(seteuid(0), 0);
}

static void an_unreadable_subdirectory_names_the_remedy(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    helper_tree_directory(&tree, "lost+found");
    assert_int_equal(chmod(tree.directory, 0755), 0);
    assert_int_equal(fchownat(tree.fd, "global", NOBODY, NOBODY, 0), 0);
    assert_int_equal(chown(tree.data, NOBODY, NOBODY), 0);
    assert_int_equal(fchmodat(tree.fd, "PG_VERSION", 0644, 0), 0);
    assert_int_equal(seteuid(NOBODY), 0);
    expect_failure("open 'lost+found': permission denied: make it readable for uid 65534 or "
                   "remove it");
    assert_int_equal(seteuid(0), 0);
}

static void a_file_that_vanished_is_not_found(void **state)
{
    (void)state;
    struct error err;
    int fd;
    helper_tree_text(&tree, "base/5/1259", "x");
    helper_tree_text(&tree, "base/5/1260", "x");
    walk();
    assert_int_equal(unlinkat(tree.fd, "base/5/1259", 0), 0);
    assert_int_equal(source_open_file(&source, "base/5/1259", &fd, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);

    helper_tree_link(&tree, "base/5/1259", "1260");
    assert_int_equal(source_open_file(&source, "base/5/1259", &fd, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);

    assert_int_equal(unlinkat(tree.fd, "base/5/1259", 0), 0);
    assert_int_equal(mkfifoat(tree.fd, "base/5/1259", 0600), 0);
    assert_int_equal(source_open_file(&source, "base/5/1259", &fd, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
}

static void a_directory_swapped_for_a_link_leads_nowhere(void **state)
{
    (void)state;
    struct error err;
    int fd;
    helper_tree_text(&tree, "base/5/1259", "x");
    helper_tree_text(&tree, "../secret/1259", "x");
    walk();
    assert_int_equal(renameat(tree.fd, "base/5", tree.fd, "base/6"), 0);
    helper_tree_link(&tree, "base/5", "../../secret");
    assert_int_equal(source_open_file(&source, "base/5/1259", &fd, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_int_equal(source_open_file(&source, "../secret/1259", &fd, &err), -1);
}

static void a_torn_control_file_is_waited_for(void **state)
{
    (void)state;
    struct error err;
    struct pg_control control;
    CLEANUP(buf_done) struct buf content = BUF(PG_CONTROL_BYTES);
    walk();
    assert_int_equal(source_read_control(&source, &cancel, &content, &control, &err), 0);
    assert_int_equal(control.catalog_version, 202406281);
    assert_int_equal(content.size, PG_CONTROL_BYTES);

    helper_tree_write(&tree, "global/pg_control", 40, "torn", 4);
    cancel_trigger(&cancel); /* instead of waiting for the server */
    assert_int_equal(source_read_control(&source, &cancel, &content, &control, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

static void a_canceled_walk_ends(void **state)
{
    (void)state;
    struct error err;
    cancel_trigger(&cancel);
    assert_int_equal(source_open(&source, tree.data, &err), 0);
    assert_int_equal(source_walk(&source, &cancel, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_come_sorted_by_path_with_their_sizes),
        TEST(what_passes_is_left_out_and_its_directories_stay),
        TEST(wal_summaries_keep_their_directory_where_there_is_one),
        TEST(wal_on_a_volume_of_its_own_becomes_a_directory),
        TEST(unlogged_relations_leave_only_their_init_fork),
        TEST(only_our_directory_of_a_tablespace_is_walked),
        TEST(a_tablespace_in_place_is_a_directory),
        TEST(a_tablespace_that_is_not_mounted_here_fails),
        TEST(foreign_links_and_special_files_are_left_out),
        TEST(a_link_in_place_of_data_fails),
        TEST(a_path_that_is_too_long_fails),
        TEST(a_missing_or_foreign_directory_is_named),
        TEST(another_users_directory_names_both_users),
        TEST(an_unreadable_subdirectory_names_the_remedy),
        TEST(a_file_that_vanished_is_not_found),
        TEST(a_directory_swapped_for_a_link_leads_nowhere),
        TEST(a_torn_control_file_is_waited_for),
        TEST(a_canceled_walk_ends),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
