// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/source_name.h"

struct expectation {
    const char *path;
    enum source_class class;
    uint64_t relfilenode;
    uint32_t segment;
};

static void expect(const struct expectation *rows, size_t count, bool is_directory)
{
    for (size_t i = 0; i < count; i++) {
        struct source_name name = source_name_of(rows[i].path, is_directory);
        if (name.class != rows[i].class || name.relfilenode != rows[i].relfilenode ||
            name.segment != rows[i].segment)
            fail_msg("'%s' is class %d, relation %lu, segment %u", rows[i].path, name.class,
                     (unsigned long)name.relfilenode, name.segment);
    }
}

static void forks_and_segments_of_relations_are_told_apart(void **state)
{
    (void)state;
    static const struct expectation rows[] = {
        {"base/5/1259", SOURCE_RELATION, 1259, 0},
        {"base/5/1259.1", SOURCE_RELATION, 1259, 1},
        {"base/5/16384.131071", SOURCE_RELATION, 16384, 131071},
        {"base/5/1259_fsm", SOURCE_RELATION_AUX, 1259, 0},
        {"base/5/1259_vm", SOURCE_RELATION_AUX, 1259, 0},
        {"base/5/1259_vm.2", SOURCE_RELATION_AUX, 1259, 2},
        {"base/5/1259_init", SOURCE_RELATION_INIT, 1259, 0},
        {"base/5/4294967295", SOURCE_RELATION, 4294967295, 0},
        {"global/1262", SOURCE_RELATION, 1262, 0},
        {"global/1262_fsm", SOURCE_RELATION_AUX, 1262, 0},
        {"pg_tblspc/16385/PG_17_202406281/5/16390", SOURCE_RELATION, 16390, 0},
        {"pg_tblspc/16385/PG_17_202406281/5/16390_init", SOURCE_RELATION_INIT, 16390, 0},
    };
    expect(rows, ARRAY_SIZE(rows), false);
}

static void what_only_looks_like_a_relation_is_plain(void **state)
{
    (void)state;
    static const struct expectation rows[] = {
        {"base/5/01259", SOURCE_PLAIN, 0, 0},
        {"base/5/0", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.0", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.01", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.x", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.1x", SOURCE_PLAIN, 0, 0},
        {"base/5/1259_foo", SOURCE_PLAIN, 0, 0},
        {"base/5/1259_fsmx", SOURCE_PLAIN, 0, 0},
        {"base/5/1259_fsm_vm", SOURCE_PLAIN, 0, 0},
        {"base/5/4294967296", SOURCE_PLAIN, 0, 0},
        {"base/5/99999999999999999999", SOURCE_PLAIN, 0, 0},
        {"base/5/1259.4294967296", SOURCE_PLAIN, 0, 0},
        {"base/5/x/1259", SOURCE_PLAIN, 0, 0},
        {"base/x/1259", SOURCE_PLAIN, 0, 0},
        {"base/1259", SOURCE_PLAIN, 0, 0},
        {"1259", SOURCE_PLAIN, 0, 0},
        {"pg_xact/0000", SOURCE_PLAIN, 0, 0},
        {"pg_tblspc/16385/5/16390", SOURCE_PLAIN, 0, 0},
        {"base/5/pg_filenode.map", SOURCE_PLAIN, 0, 0},
        {"base/5/PG_VERSION", SOURCE_PLAIN, 0, 0},
    };
    expect(rows, ARRAY_SIZE(rows), false);
}

static void what_a_server_makes_anew_is_left_out(void **state)
{
    (void)state;
    static const struct expectation rows[] = {
        {.path = "backup_label"},
        {.path = "backup_label.old"},
        {.path = "tablespace_map"},
        {.path = "tablespace_map.old"},
        {.path = "backup_manifest"},
        {.path = "postmaster.pid"},
        {.path = "postmaster.opts"},
        {.path = "postgresql.auto.conf.tmp"},
        {.path = "current_logfiles.tmp"},
        {.path = "standby.signal"},
        {.path = "recovery.signal"},
        {.path = ".s.PGSQL.5432.lock"},
        {.path = "global/pg_internal.init"},
        {.path = "base/5/pg_internal.init"},
        {.path = "base/5/pg_internal.init.4711"},
        {.path = "pg_tblspc/16385/PG_17_202406281/5/pg_internal.init"},
        {.path = "base/pgsql_tmp"},
        {.path = "base/pgsql_tmp/pgsql_tmp4711.0"},
        {.path = "pg_tblspc/16385/PG_17_202406281/pgsql_tmp"},
        {.path = "pg_wal/000000010000000000000001"},
        {.path = "pg_wal/archive_status/000000010000000000000001.ready"},
        {.path = "pg_wal/summaries/x.summary"},
        {.path = "pg_replslot/lifeboat/state"},
        {.path = "pg_dynshmem/mmap.1"},
        {.path = "pg_notify/0000"},
        {.path = "pg_serial/0000"},
        {.path = "pg_snapshots/1"},
        {.path = "pg_stat_tmp/global.stat"},
        {.path = "pg_subtrans/0000"},
    };
    expect(rows, ARRAY_SIZE(rows), false);
    expect(rows, ARRAY_SIZE(rows), true);
}

static void temporary_relations_are_left_out(void **state)
{
    (void)state;
    static const struct expectation rows[] = {
        {.path = "base/5/t3_16384"},
        {.path = "base/5/t0_16384"},
        {.path = "base/5/t12_16384.1"},
        {.path = "base/5/t3_16384_fsm"},
        {.path = "base/5/t3_16384_vm.1"},
        {.path = "pg_tblspc/1/PG_17_1/5/t3_16384"},
        {"base/5/t3_", SOURCE_PLAIN, 0, 0},
        {"base/5/t_16384", SOURCE_PLAIN, 0, 0},
        {"base/5/t3_16384_x", SOURCE_PLAIN, 0, 0},
        {"t3_16384", SOURCE_PLAIN, 0, 0},
        {"pg_xact/t3_16384", SOURCE_PLAIN, 0, 0},
    };
    expect(rows, ARRAY_SIZE(rows), false);
}

static void directories_with_passing_content_stay_empty(void **state)
{
    (void)state;
    static const struct expectation rows[] = {
        {"pg_wal", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_wal/archive_status", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_wal/summaries", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_replslot", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_dynshmem", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_notify", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_serial", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_snapshots", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_stat_tmp", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_subtrans", SOURCE_SKIP_CONTENT, 0, 0},
        {"pg_wal/elsewhere", SOURCE_SKIP, 0, 0},
        {"pg_walk", SOURCE_PLAIN, 0, 0},
    };
    expect(rows, ARRAY_SIZE(rows), true);
}

static void all_else_is_read(void **state)
{
    (void)state;
    static const struct expectation files[] = {
        {"global/pg_control", SOURCE_CONTROL, 0, 0},
        {"PG_VERSION", SOURCE_PLAIN, 0, 0},
        {"postgresql.conf", SOURCE_PLAIN, 0, 0},
        {"postgresql.auto.conf", SOURCE_PLAIN, 0, 0},
        {"current_logfiles", SOURCE_PLAIN, 0, 0},
        {"pg_hba.conf", SOURCE_PLAIN, 0, 0},
        {"pg_multixact/members/0000", SOURCE_PLAIN, 0, 0},
        {"pg_stat/pgstat.stat", SOURCE_PLAIN, 0, 0},
        {"pg_logical/replorigin_checkpoint", SOURCE_PLAIN, 0, 0},
        {"pg_twophase/000002EF", SOURCE_PLAIN, 0, 0},
        {"log/backup_label", SOURCE_PLAIN, 0, 0},
        {"pg_walk/1", SOURCE_PLAIN, 0, 0},
    };
    static const struct expectation directories[] = {
        {"base", SOURCE_PLAIN, 0, 0},        {"base/5", SOURCE_PLAIN, 0, 0},
        {"base/5/1259", SOURCE_PLAIN, 0, 0}, {"pg_tblspc/16385", SOURCE_PLAIN, 0, 0},
        {"log", SOURCE_PLAIN, 0, 0},
    };
    expect(files, ARRAY_SIZE(files), false);
    expect(directories, ARRAY_SIZE(directories), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks_and_segments_of_relations_are_told_apart),
        cmocka_unit_test(what_only_looks_like_a_relation_is_plain),
        cmocka_unit_test(what_a_server_makes_anew_is_left_out),
        cmocka_unit_test(temporary_relations_are_left_out),
        cmocka_unit_test(directories_with_passing_content_stay_empty),
        cmocka_unit_test(all_else_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
