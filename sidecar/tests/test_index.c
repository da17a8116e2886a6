// SPDX-License-Identifier: Apache-2.0
/* Entries and the index frames that hold them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/index.h"

static const char backup[] = "20261121T082118Z-full-3fa2";

struct collected {
    struct entry entries[8];
    size_t count;
    size_t fail_at; /* 0: never */
};

static int collect(void *arg, const struct backup_table *table, struct entry *entry,
                   struct error *err)
{
    struct collected *collected = arg;
    assert_true(table->count <= 1);
    if (collected->count + 1 == collected->fail_at)
        return error_set(err, ERROR_CANCELED, "enough");
    if (collected->count < ARRAY_SIZE(collected->entries)) {
        collected->entries[collected->count] = *entry;
        *entry = (struct entry){0};
    }
    collected->count++;
    return 0;
}

static void collected_done(struct collected *collected)
{
    for (size_t i = 0; i < ARRAY_SIZE(collected->entries); i++)
        entry_done(&collected->entries[i]);
}

static struct entry file_of(const char *path, uint64_t size)
{
    struct entry entry = {.path = own_strdup(path),
                          .type = ENTRY_FILE,
                          .mode = 0600,
                          .uid = 999,
                          .gid = UINT32_MAX,
                          .mtime_s = -5,
                          .size = size,
                          .inode = UINT64_MAX,
                          .birth_ns = 1795249278123456789};
    map_resize(&entry.map, size);
    return entry;
}

static void add(struct index_writer *writer, struct entry entry)
{
    assert_int_equal(index_writer_add(writer, &entry), 0);
    entry_done(&entry);
}

static void take(struct index_writer **writer, struct buf *plain)
{
    *plain = BUF(FRAME_PLAIN_MAX);
    index_writer_take(*writer, plain);
    index_writer_freep(writer);
}

static void entries_of_all_types_come_back(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_add(&table, backup);
    struct index_writer *writer = index_writer_new(&table);
    struct entry damaged = file_of("base/5/1259", 3 * PIECE_BYTES),
                 large = file_of("base/5/16384", 5 * PIECE_BYTES + 3);
    struct place place = {.pack = 3, .frame = 1, .piece = 7};
    map_resize(&damaged.map, 0);
    map_add(&damaged.map, 3 * PIECE_BYTES, &place);
    damaged.bad_blocks = own_alloc(2 * sizeof(uint32_t));
    damaged.bad_blocks[0] = 1;
    damaged.bad_blocks[1] = UINT32_MAX;
    damaged.bad_block_count = 2;
    map_done(&large.map);
    large.map_refs = own_alloc(2 * sizeof(*large.map_refs));
    large.map_refs[0] = (struct entry_map_ref){place, 4 * PIECE_BYTES};
    large.map_refs[1] = (struct entry_map_ref){place, PIECE_BYTES + 3};
    large.map_ref_count = 2;
    add(writer, (struct entry){.path = own_strdup("base"), .type = ENTRY_DIRECTORY, .mode = 0700});
    add(writer, damaged);
    add(writer, large);
    add(writer, (struct entry){.path = own_strdup("pg_tblspc/16385"),
                               .type = ENTRY_LINK,
                               .mode = 0777,
                               .target = own_strdup("/srv/fast")});
    CLEANUP(buf_done) struct buf plain;
    take(&writer, &plain);

    CLEANUP(collected_done) struct collected got = {0};
    struct error err;
    assert_int_equal(index_parse(plain.data, plain.size, collect, &got, &err), 0);
    assert_int_equal(got.count, 4);
    assert_string_equal(got.entries[0].path, "base");
    assert_int_equal(got.entries[0].mode, 0700);
    const struct entry *file = &got.entries[1];
    assert_string_equal(file->path, "base/5/1259");
    assert_int_equal(file->uid, 999);
    assert_int_equal(file->gid, UINT32_MAX);
    assert_int_equal(file->mtime_s, -5);
    assert_int_equal(file->inode, UINT64_MAX);
    assert_int_equal(file->birth_ns, 1795249278123456789);
    assert_int_equal(file->bad_block_count, 2);
    assert_int_equal(file->bad_blocks[1], UINT32_MAX);
    assert_int_equal(file->map.runs[0].place.piece, 7);
    assert_string_equal(got.entries[2].path, "base/5/16384");
    assert_int_equal(got.entries[2].map_ref_count, 2);
    assert_int_equal(got.entries[2].map_refs[1].covers, PIECE_BYTES + 3);
    assert_string_equal(got.entries[3].target, "/srv/fast");
}

static void only_the_first_bad_blocks_are_listed_and_all_are_counted(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    struct index_writer *writer = index_writer_new(&table);
    struct entry damaged = file_of("base/5/1259", PIECE_BYTES);
    damaged.bad_blocks = own_alloc(ENTRY_BAD_BLOCKS_MAX * sizeof(uint32_t));
    for (uint32_t i = 0; i < ENTRY_BAD_BLOCKS_MAX; i++)
        damaged.bad_blocks[i] = 2 * i;
    damaged.bad_block_count = 5000;
    add(writer, damaged);
    CLEANUP(buf_done) struct buf plain;
    take(&writer, &plain);
    CLEANUP(collected_done) struct collected got = {0};
    struct error err;
    assert_int_equal(index_parse(plain.data, plain.size, collect, &got, &err), 0);
    assert_int_equal(got.entries[0].bad_block_count, 5000);
    assert_int_equal(got.entries[0].bad_blocks[ENTRY_BAD_BLOCKS_MAX - 1], 2046);
}

static void a_full_frame_is_taken_and_the_next_begins_anew(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_add(&table, backup);
    CLEANUP(index_writer_freep) struct index_writer *writer = index_writer_new(&table);
    CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
    size_t frames = 0, seen = 0;
    enum { FILES = 50000 };
    for (int i = 0; i <= FILES; i++) {
        char path[100];
        snprintf(path, sizeof(path), "base/5/%05d", i);
        CLEANUP(entry_done) struct entry entry = file_of(path, PIECE_BYTES);
        if (i < FILES && index_writer_add(writer, &entry) == 0)
            continue;
        index_writer_take(writer, &plain);
        struct collected got = {.count = ARRAY_SIZE(got.entries)}; /* only counts */
        struct error err;
        assert_true(plain.size > 0 && plain.size <= FRAME_PLAIN_MAX);
        assert_int_equal(index_parse(plain.data, plain.size, collect, &got, &err), 0);
        seen += got.count - ARRAY_SIZE(got.entries);
        frames++;
        if (i < FILES)
            assert_int_equal(index_writer_add(writer, &entry), 0);
    }
    assert_true(frames > 1);
    assert_int_equal(seen, FILES);
    index_writer_take(writer, &plain);
    assert_int_equal(plain.size, 0);
}

static void an_error_of_the_callback_ends_the_parse(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    struct index_writer *writer = index_writer_new(&table);
    add(writer, file_of("a", 0));
    add(writer, file_of("b", 0));
    CLEANUP(buf_done) struct buf plain;
    take(&writer, &plain);
    CLEANUP(collected_done) struct collected got = {.fail_at = 2};
    struct error err;
    assert_int_equal(index_parse(plain.data, plain.size, collect, &got, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(got.count, 1);
}

static void paths_that_leave_the_directory_are_not_valid(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/",     "/etc/passwd", "..",       "../x", "a/../b",
                                      "a/..", "a//b",  "a/",          ".",        "./a",  "a/./b",
                                      "a/.",  "//a/b", "base/5/..",   "../../etc"};
    static const char *const good[] = {"a",    "base/5/1259", "...", "a/..b", "a/b..",
                                       ".dot", "a\\..\\b",    " ",   "a/.b/c"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (entry_path_valid(bad[i]))
            fail_msg("'%s' passed", bad[i]);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!entry_path_valid(good[i]))
            fail_msg("'%s' was refused", good[i]);
    char path[ENTRY_PATH_MAX + 2];
    memset(path, 'a', sizeof(path));
    path[ENTRY_PATH_MAX] = '\0';
    assert_true(entry_path_valid(path));
    path[ENTRY_PATH_MAX] = 'a';
    path[ENTRY_PATH_MAX + 1] = '\0';
    assert_false(entry_path_valid(path));
}

/* An index frame without backups whose entries are directories: (shared, suffix) each. */
struct step {
    size_t shared;
    const char *suffix;
    size_t size;
};

static int parse_steps(const struct step *steps, size_t count, struct error *err)
{
    CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
    static const uint8_t rest[] = {ENTRY_DIRECTORY, 0, 0, 0, 0};
    bytes_put_varint(&plain, 0);
    bytes_put_varint(&plain, count);
    for (size_t i = 0; i < count; i++) {
        bytes_put_varint(&plain, steps[i].shared);
        bytes_put_varint(&plain, steps[i].size);
        bytes_put(&plain, steps[i].suffix, steps[i].size);
        bytes_put(&plain, rest, sizeof(rest));
    }
    CLEANUP(collected_done) struct collected got = {0};
    return index_parse(plain.data, plain.size, collect, &got, err);
}

static void assert_steps_corrupt(const struct step *steps, size_t count)
{
    struct error err = {0};
    assert_int_equal(parse_steps(steps, count, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

#define STEPS_CORRUPT(...)                                                                         \
    assert_steps_corrupt((const struct step[]){__VA_ARGS__},                                       \
                         ARRAY_SIZE(((const struct step[]){__VA_ARGS__})))

static void hostile_paths_are_corrupt(void **state)
{
    (void)state;
    struct error err;
    const struct step good[] = {{0, "base", 4}, {4, "/5", 2}, {6, "/1", 2}, {0, "c", 1}};
    assert_int_equal(parse_steps(good, ARRAY_SIZE(good), &err), 0);
    char large[ENTRY_PATH_MAX + 1];
    memset(large, 'x', sizeof(large));
    STEPS_CORRUPT({0, "", 0});
    STEPS_CORRUPT({0, "..", 2});
    STEPS_CORRUPT({0, "/etc/passwd", 11});
    STEPS_CORRUPT({0, "a\0b", 3});
    STEPS_CORRUPT({0, "a", 1}, {1, "/../../b", 8});
    STEPS_CORRUPT({0, "a/.", 3});
    STEPS_CORRUPT({0, "a/b", 3}, {2, ".", 1}); /* "a/." by way of the shared bytes */
    STEPS_CORRUPT({0, large, sizeof(large)});
    STEPS_CORRUPT({0, large, ENTRY_PATH_MAX}, {ENTRY_PATH_MAX, "y", 1}); /* too long together */
    STEPS_CORRUPT({1, "a", 1});                                          /* shares with nothing */
    STEPS_CORRUPT({0, "ab", 2}, {3, "c", 1});
    STEPS_CORRUPT({0, "a", 1}, {0, "a", 1}); /* twice */
    STEPS_CORRUPT({0, "a", 1}, {1, "", 0});
    STEPS_CORRUPT({0, "b", 1}, {0, "a", 1}); /* not sorted */
    STEPS_CORRUPT({0, "\xff", 1}, {0, "a", 1});
}

static void a_frame_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_add(&table, backup);
    struct index_writer *writer = index_writer_new(&table);
    add(writer, file_of("a", PIECE_BYTES));
    add(writer, (struct entry){.path = own_strdup("b"),
                               .type = ENTRY_LINK,
                               .target = own_strdup("/srv/fast")});
    CLEANUP(buf_done) struct buf plain;
    take(&writer, &plain);
    bytes_put8(&plain, 0);
    for (size_t size = 0; size <= plain.size; size++) {
        if (size == plain.size - 1)
            continue;
        CLEANUP(own_freep) uint8_t *copy = own_alloc(size);
        memcpy(copy, plain.data, size);
        CLEANUP(collected_done) struct collected got = {0};
        struct error err = {0};
        assert_int_equal(index_parse(copy, size, collect, &got, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

/* One file entry in a frame with one backup: rest stands behind its path, "f". */
static int parse_file(const uint8_t *rest, size_t size, struct error *err)
{
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
    backup_table_add(&table, backup);
    backup_table_format(&table, &plain);
    bytes_put(&plain, "\1\0\1f", 4);
    bytes_put(&plain, rest, size);
    CLEANUP(collected_done) struct collected got = {0};
    return index_parse(plain.data, plain.size, collect, &got, err);
}

static void assert_file_corrupt(const uint8_t *rest, size_t size)
{
    struct error err = {0};
    assert_int_equal(parse_file(rest, size, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

#define FILE_GOOD(...)                                                                             \
    assert_int_equal(                                                                              \
        parse_file((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), &err),  \
        0)

#define FILE_CORRUPT(...)                                                                          \
    assert_file_corrupt((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void an_entry_that_breaks_a_rule_is_corrupt(void **state)
{
    (void)state;
    struct error err;
    FILE_GOOD(2, 0xFF, 0x1F, 0, 0, 0); /* what the broken ones below are made of */
    FILE_GOOD(3, 0, 0, 0, 0, 2, '/', 'x');
    FILE_GOOD(1, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x15);
    FILE_GOOD(1, 0, 0, 0, 0, 0, 0, 0, 2, 5, 1, 0);
    FILE_GOOD(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, 0, 10);
    FILE_CORRUPT(0, 0, 0, 0, 0); /* types */
    FILE_CORRUPT(4, 0, 0, 0, 0);
    FILE_CORRUPT(2, 0x80, 0x20, 0, 0, 0);                   /* mode 010000 */
    FILE_CORRUPT(2, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0); /* uid 2^32 */
    FILE_CORRUPT(3, 0, 0, 0, 0, 0);                         /* link to nothing */
    FILE_CORRUPT(3, 0, 0, 0, 0, 3, '/', 0, 'x');            /* with a NUL */
    FILE_CORRUPT(1, 0, 0, 0, 0, 0x80, 0x40, 0, 0, 0, 0);    /* a map is missing */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x16);      /* longer than the file */
    FILE_CORRUPT(1, 0, 0, 0, 0, 0, 0, 0, 2, 5, 0, 0);       /* block 5 twice */
    FILE_CORRUPT(1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0); /* overflow */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, 0, 9);  /* parts cover too little */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, 0, 11); /* too much */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 2, 0, 1, 0, 5, 0, 1, 0, 5); /* not by pieces */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 1, 1, 0, 10);            /* backup 1 of 1 */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 10);            /* pack 0 */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, 0x80, 8, 10);      /* frame 1024 */
    FILE_CORRUPT(1, 0, 0, 0, 0, 10, 0, 0, 0, 0x81, 0x20);                /* 4097 parts */
    FILE_CORRUPT(1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0);              /* parts of nothing */
    /* a size of 2^63 */
    FILE_CORRUPT(1, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0, 0,
                 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_of_all_types_come_back),
        cmocka_unit_test(only_the_first_bad_blocks_are_listed_and_all_are_counted),
        cmocka_unit_test(a_full_frame_is_taken_and_the_next_begins_anew),
        cmocka_unit_test(an_error_of_the_callback_ends_the_parse),
        cmocka_unit_test(paths_that_leave_the_directory_are_not_valid),
        cmocka_unit_test(hostile_paths_are_corrupt),
        cmocka_unit_test(a_frame_cut_anywhere_is_corrupt),
        cmocka_unit_test(an_entry_that_breaks_a_rule_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
