// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/changes.h"
#include "sidecar/timeline.h"

static void a_set_has_what_was_added(void **state)
{
    (void)state;
    CLEANUP(block_set_done) struct block_set set = {0};
    static const uint32_t blocks[] = {7, 3, 70000, 3, 65535, 65536, UINT32_MAX, 0};
    assert_false(block_set_has(&set, 0));
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        block_set_add(&set, blocks[i]);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        assert_true(block_set_has(&set, blocks[i]));
    assert_false(block_set_has(&set, 1));
    assert_false(block_set_has(&set, 65537));
    assert_false(block_set_has(&set, 200000));
    assert_false(block_set_has(&set, UINT32_MAX - 1));
}

static void a_dense_set_has_what_was_added(void **state)
{
    (void)state;
    CLEANUP(block_set_done) struct block_set set = {0};
    enum { FIRST = 65536, COUNT = 20000 };
    for (uint32_t i = 0; i < COUNT; i++) /* in no order, each but every third, twice */
        if ((i * 7919) % COUNT % 3 != 0) {
            block_set_add(&set, FIRST + (i * 7919) % COUNT);
            block_set_add(&set, FIRST + (i * 7919) % COUNT);
        }
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(block_set_has(&set, FIRST + i), i % 3 != 0);
    assert_false(block_set_has(&set, FIRST + COUNT));
    assert_false(block_set_has(&set, 1));
}

static void files_of_relations_have_keys(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        struct changes_key key;
    } rows[] = {
        {"base/5/16384", {1663, 5, 16384}},
        {"base/16385/16390.3", {1663, 16385, 16390}},
        {"global/1262", {1664, 0, 1262}},
        {"pg_tblspc/16400/PG_17_202406281/5/16401.1", {16400, 5, 16401}},
    };
    static const char *const others[] = {"PG_VERSION", "base/5/PG_VERSION", "pg_xact/0000",
                                         "global/pg_filenode.map"};
    struct changes_key key;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(changes_key_of(rows[i].path, &key));
        assert_int_equal(key.tablespace, rows[i].key.tablespace);
        assert_int_equal(key.database, rows[i].key.database);
        assert_int_equal(key.relfilenode, rows[i].key.relfilenode);
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_false(changes_key_of(others[i], &key));
}

static bool changed(const struct changes *changes, const struct changes_key *key, uint32_t block)
{
    return changes_has(changes_find(changes, key), block);
}

static void blocks_that_are_listed_changed(void **state)
{
    (void)state;
    CLEANUP(changes_freep) struct changes *changes = changes_new();
    static const struct changes_key a = {1663, 5, 16384}, b = {1663, 6, 16384},
                                    c = {1664, 5, 16384};
    assert_false(changed(changes, &a, 7));
    changes_add(changes, &(struct changes_row){.key = a, .block = 7});
    changes_add(changes, &(struct changes_row){.key = b, .block = 8});
    changes_add(changes, &(struct changes_row){.key = a, .block = 200000}); /* second segment */
    assert_true(changed(changes, &a, 7));
    assert_true(changed(changes, &a, 200000));
    assert_false(changed(changes, &a, 8));
    assert_true(changed(changes, &b, 8));
    assert_false(changed(changes, &b, 7));
    assert_null(changes_find(changes, &c));
}

static void blocks_from_the_limit_on_changed(void **state)
{
    (void)state;
    CLEANUP(changes_freep) struct changes *changes = changes_new();
    static const struct changes_key key = {1663, 5, 16384};
    changes_add(changes, &(struct changes_row){.key = key, .block = 100, .is_limit = true});
    changes_add(changes, &(struct changes_row){.key = key, .block = 50, .is_limit = true});
    changes_add(changes, &(struct changes_row){.key = key, .block = 80, .is_limit = true});
    assert_false(changed(changes, &key, 49));
    assert_true(changed(changes, &key, 50));
    assert_true(changed(changes, &key, 1000000));
}

static void a_database_that_was_copied_as_files_is_new(void **state)
{
    (void)state;
    CLEANUP(changes_freep) struct changes *changes = changes_new();
    static const struct changes_key copied = {1663, 5, 16384}, moved = {16400, 5, 16384};
    changes_add(changes, &(struct changes_row){.key = {1663, 5, 0}, .is_limit = true});
    assert_true(changed(changes, &copied, 0));
    assert_false(changed(changes, &moved, 0));
}

static void many_relations_are_told_apart(void **state)
{
    (void)state;
    CLEANUP(changes_freep) struct changes *changes = changes_new();
    enum { RELATIONS = 20000 };
    for (uint32_t i = 1; i <= RELATIONS; i++)
        changes_add(changes, &(struct changes_row){.key = {1663, 5, i}, .block = i});
    for (uint32_t i = 1; i <= RELATIONS; i++) {
        struct changes_key key = {1663, 5, i};
        assert_true(changed(changes, &key, i));
        assert_false(changed(changes, &key, i + 1));
    }
}

static void wal_is_planned_per_timeline(void **state)
{
    (void)state;
    struct timeline_span spans[] = {
        {.timeline = 1, .end_lsn = 0x5000},
        {.timeline = 3, .begin_lsn = 0x5000, .end_lsn = 0x9000},
        {.timeline = 4, .begin_lsn = 0x9000, .end_lsn = UINT64_MAX},
    };
    const struct timeline timeline = {.spans = spans, .count = 3};
    struct changes_range ranges[CHANGES_RANGES_MAX];
    assert_int_equal(changes_plan(&timeline, 1, 0x4000, 0xA000, ranges), 3);
    assert_int_equal(ranges[0].start_lsn, 0x4000);
    assert_int_equal(ranges[0].end_lsn, 0x5000);
    assert_int_equal(ranges[1].timeline, 3);
    assert_int_equal(ranges[1].end_lsn, 0x9000);
    assert_int_equal(ranges[2].start_lsn, 0x9000);
    assert_int_equal(ranges[2].end_lsn, 0xA000);
    assert_int_equal(changes_plan(&timeline, 4, 0x9500, 0xA000, ranges), 1);
    assert_int_equal(changes_plan(&timeline, 4, 0xA000, 0xA000, ranges), 0); /* idle */
    assert_int_equal(changes_plan(&timeline, 3, 0x8000, 0x9000, ranges), 1);
}

static void a_gap_between_summaries_is_found(void **state)
{
    (void)state;
    struct changes_range summaries[] = {
        {.timeline = 1, .start_lsn = 0x3000, .end_lsn = 0x4000},
        {.timeline = 1, .start_lsn = 0x1000, .end_lsn = 0x2000},
        {.timeline = 1, .start_lsn = 0x2000, .end_lsn = 0x3000},
        {.timeline = 2, .start_lsn = 0x4000, .end_lsn = 0x6000},
        {.timeline = 1, .start_lsn = 0x5000, .end_lsn = 0x6000},
    };
    static const struct {
        struct changes_range range;
        uint64_t missing; /* 0: covered */
    } rows[] = {
        {{1, 0x1000, 0x4000}, 0},      {{1, 0x1800, 0x3800}, 0},      {{1, 0x1000, 0x4001}, 0x4000},
        {{1, 0x0fff, 0x2000}, 0x0fff}, {{1, 0x3000, 0x6000}, 0x4000}, {{2, 0x4000, 0x6000}, 0},
        {{3, 0x4000, 0x6000}, 0x4000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t missing;
        assert_int_equal(changes_cover(summaries, ARRAY_SIZE(summaries), &rows[i].range, &missing),
                         rows[i].missing == 0);
        if (rows[i].missing != 0)
            assert_int_equal(missing, rows[i].missing);
    }
    uint64_t missing;
    assert_false(changes_cover(NULL, 0, &rows[0].range, &missing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_has_what_was_added),
        cmocka_unit_test(a_dense_set_has_what_was_added),
        cmocka_unit_test(files_of_relations_have_keys),
        cmocka_unit_test(blocks_that_are_listed_changed),
        cmocka_unit_test(blocks_from_the_limit_on_changed),
        cmocka_unit_test(a_database_that_was_copied_as_files_is_new),
        cmocka_unit_test(many_relations_are_told_apart),
        cmocka_unit_test(wal_is_planned_per_timeline),
        cmocka_unit_test(a_gap_between_summaries_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
