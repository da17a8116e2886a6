// SPDX-License-Identifier: Apache-2.0
/* The walk against pg_basebackup: both must read the same of a running server. */
#include <fcntl.h>
#include <ftw.h>
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

#include "common/cancel.h"
#include "common/own.h"
#include "sidecar/source.h"
#include "sidecar/tests/helper_postgres.h"

enum { PATHS_MAX = 10000 };

/* Sorted paths, a directory's with a '/' at its end. */
struct paths {
    char *at[PATHS_MAX];
    size_t count;
};

static struct helper_postgres *server;
static char *copy; /* of pg_basebackup */
static struct paths found, expected;

static void add(struct paths *paths, const char *path, bool is_directory)
{
    assert_true(paths->count < PATHS_MAX);
    paths->at[paths->count++] = own_format("%s%s", path, is_directory ? "/" : "");
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct paths *paths)
{
    qsort(paths->at, paths->count, sizeof(paths->at[0]), compare);
}

static void paths_done(struct paths *paths)
{
    while (paths->count > 0)
        free(paths->at[--paths->count]);
}

/* What pg_basebackup makes or moves, and we take from elsewhere. */
static bool is_ours(const char *path)
{
    return strcmp(path, "backup_label") == 0 || strcmp(path, "global/pg_control") == 0;
}

static int add_copied(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type, (void)ftw;
    const char *relative = path + strlen(copy);
    if (*relative != '\0' && !is_ours(relative + 1))
        add(&expected, relative + 1, S_ISDIR(st->st_mode));
    return 0;
}

static void make_decoy(const char *path)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", server->data, path);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs("decoy", file);
    fclose(file);
}

static char *make_location(const char *name)
{
    struct stat st;
    char *path = own_format("%s/%s", server->directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(stat(server->data, &st), 0);
    assert_int_equal(chown(path, st.st_uid, st.st_gid), 0);
    return path;
}

static void fill_server(const char *space)
{
    CLEANUP(own_freep) char *sql = own_format("CREATE TABLESPACE space LOCATION '%s'", space);
    helper_postgres_do(server, sql);
    helper_postgres_do(server, "CREATE TABLE plain AS SELECT generate_series(1, 100000) AS n");
    helper_postgres_do(server, "CREATE TABLE there (n int) TABLESPACE space");
    helper_postgres_do(server, "CREATE UNLOGGED TABLE unlogged AS SELECT * FROM plain");
    helper_postgres_do(server, "CREATE UNLOGGED TABLE unlogged_there (n int PRIMARY KEY) "
                               "TABLESPACE space");
    helper_postgres_do(server, "VACUUM plain, unlogged");
    helper_postgres_do(server, "CHECKPOINT");
    CLEANUP(own_freep)
    char *temporary = helper_postgres_sql(
        server, "SELECT 'base/' || oid || '/t3_99999' FROM pg_database WHERE datname = 'postgres'");
    make_decoy(temporary);
    make_decoy("backup_manifest");
    make_decoy("postgresql.auto.conf.tmp");
    make_decoy("global/pg_internal.init.4711");
    make_decoy("pg_notify/decoy");
    make_decoy("pg_wal/decoy");
    make_decoy("pg_replslot/decoy");
    make_decoy("base/pgsql_tmp4711.0");
    make_decoy("notes of somebody");
}

static int set_up(void **state)
{
    (void)state;
    static const struct helper_postgres_options options = {
        .initdb = "--data-checksums",
        .settings = "autovacuum = off\n",
    };
    server = helper_postgres_start(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    helper_postgres_stop(&server);
    return 0;
}

static void the_walk_finds_what_pg_basebackup_copies(void **state)
{
    (void)state;
    struct error err;
    struct cancel cancel;
    struct source source = {.pgdata = -1};
    CLEANUP(own_freep) char *space = make_location("space");
    fill_server(space);
    copy = make_location("copy");
    CLEANUP(own_freep) char *mapping = own_format("%s=%s/space-copy", space, server->directory);
    const char *const arguments[] = {"-D", copy,   "-X", "none", "-T", mapping, "--no-manifest",
                                     "-c", "fast", NULL};
    char *output = helper_postgres_run(server, "pg_basebackup", arguments);
    own_freep(&output);
    assert_int_equal(nftw(copy, add_copied, 16, 0), 0);

    assert_int_equal(cancel_init(&cancel, &err), 0);
    if (source_open(&source, server->data, &err) < 0 || source_walk(&source, &cancel, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < source.file_count; i++)
        add(&found, source.files[i].path, false);
    for (size_t i = 0; i < source.other_count; i++)
        add(&found, source.others[i].path, true);
    source_done(&source);
    cancel_done(&cancel);

    sort(&found);
    sort(&expected);
    assert_true(expected.count > 500);
    for (size_t i = 0; i < expected.count || i < found.count; i++)
        assert_string_equal(i < found.count ? found.at[i] : "(end)",
                            i < expected.count ? expected.at[i] : "(end)");
    paths_done(&found);
    paths_done(&expected);
    own_freep(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_walk_finds_what_pg_basebackup_copies),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
