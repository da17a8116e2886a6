// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pg_control.h"
#include "sidecar/restore_plan.h"

#define OLD "20261120T000000Z-full-0001"
#define NEW "20261121T000000Z-incr-0002"

/* A frame's table: place.backup 0 is the newer one. */
enum { AT_NEW, AT_OLD };

static char table_ids[][BACKUP_ID_BYTES] = {NEW, OLD};
static const struct backup_table table = {.ids = table_ids, .count = ARRAY_SIZE(table_ids)};

/* Positions: packs 1 to 3 of OLD are 0 to 2, 7 of OLD is 3, 1 to 2 of NEW are 4 and 5. */
static struct manifest_packs packs[] = {
    {.backup = NEW, .first = 1, .last = 2},
    {.backup = OLD, .first = 7, .last = 7},
    {.backup = OLD, .first = 1, .last = 3},
};
static const struct manifest manifest = {.packs = packs, .pack_count = ARRAY_SIZE(packs)};

static struct restore_plan plan;

static int set_up(void **state)
{
    (void)state;
    struct error err;
    return restore_plan_init(&plan, &manifest, &err);
}

static int tear_down(void **state)
{
    (void)state;
    restore_plan_done(&plan);
    return 0;
}

static int add(const char *path, enum entry_type type, struct error *err)
{
    struct entry entry = {.path = own_strdup(path), .type = type, .mode = 0700};
    if (type == ENTRY_LINK)
        entry.target = own_strdup("/srv");
    int result = restore_plan_add(&plan, &table, &entry, err);
    entry_done(&entry);
    return result;
}

static void add_directory(const char *path)
{
    struct error err;
    if (add(path, ENTRY_DIRECTORY, &err) < 0)
        fail_msg("%s", err.text);
}

/* size bytes at a place; the map becomes the caller's plan's. */
struct run {
    uint32_t length; /* bytes; 0 ends the row */
    struct place place;
    bool zero;
};

static struct map map_of(const struct run *runs)
{
    struct map map = {0};
    for (; runs->length > 0; runs++) {
        if (runs->zero)
            map_add_zero(&map, runs->length);
        else
            map_add(&map, runs->length, &runs->place);
    }
    return map;
}

static int add_file(const char *path, uint64_t size, const struct run *runs, struct error *err)
{
    struct entry entry = {
        .path = own_strdup(path), .type = ENTRY_FILE, .size = size, .map = map_of(runs)};
    int result = restore_plan_add(&plan, &table, &entry, err);
    entry_done(&entry);
    return result;
}

static void must_add_file(const char *path, uint64_t size, const struct run *runs)
{
    struct error err;
    if (add_file(path, size, runs, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_corrupt(int result, const struct error *err, const char *text)
{
    assert_int_equal(result, -1);
    if (err->kind != ERROR_CORRUPT || !strstr(err->text, text))
        fail_msg("'%s' (%s), not '%s'", err->text, error_kind_name(err->kind), text);
}

static void expect_span(size_t index, const struct restore_span *expected)
{
    const struct restore_span *span = &plan.spans[index];
    assert_true(index < plan.span_count);
    assert_int_equal(span->file, expected->file);
    assert_int_equal(span->file_piece, expected->file_piece);
    assert_int_equal(span->pack, expected->pack);
    assert_int_equal(span->piece, expected->piece);
    assert_int_equal(span->length, expected->length);
}

static void runs_that_go_on_in_file_and_pack_are_one_span(void **state)
{
    (void)state;
    const struct run runs[] = {
        {.length = 126 * PIECE_BYTES, .place = {AT_NEW, 1, 0, 2}}, /* to the frame's end */
        {.length = FRAME_PLAIN_MAX, .place = {AT_NEW, 1, 1, 0}},
        {.length = PIECE_BYTES, .place = {AT_NEW, 1, 2, 0}},
        {.length = 100, .place = {AT_NEW, 1, 3, 0}}, /* frame 2 may go on without this file */
        {0}};
    must_add_file("a", 127 * PIECE_BYTES + FRAME_PLAIN_MAX + 100, runs);
    restore_plan_group(&plan);
    assert_int_equal(plan.span_count, 2);
    expect_span(0, &(struct restore_span){
                       .pack = 4, .piece = 2, .length = 127 * PIECE_BYTES + FRAME_PLAIN_MAX});
    expect_span(1, &(struct restore_span){
                       .pack = 4, .piece = 3 * FRAME_PIECES, .file_piece = 255, .length = 100});
}

static void spans_are_grouped_by_pack_in_its_order(void **state)
{
    (void)state;
    const struct run a[] = {{.length = PIECE_BYTES, .place = {AT_NEW, 2, 0, 1}},
                            {.length = PIECE_BYTES, .place = {AT_OLD, 7, 5, 0}},
                            {.length = PIECE_BYTES, .place = {AT_OLD, 3, 0, 0}},
                            {0}};
    const struct run b[] = {{.length = 10, .place = {AT_NEW, 2, 0, 0}}, {0}};
    must_add_file("a", 3 * PIECE_BYTES, a);
    must_add_file("b", 10, b);
    restore_plan_group(&plan);
    assert_int_equal(plan.span_count, 4);
    expect_span(0, &(struct restore_span){.pack = 2, .file_piece = 2, .length = PIECE_BYTES});
    expect_span(1,
                &(struct restore_span){
                    .pack = 3, .piece = 5 * FRAME_PIECES, .file_piece = 1, .length = PIECE_BYTES});
    expect_span(2, &(struct restore_span){.file = 1, .pack = 5, .length = 10});
    expect_span(3, &(struct restore_span){.pack = 5, .piece = 1, .length = PIECE_BYTES});
    assert_int_equal(plan.pack_count, 3);
    assert_int_equal(plan.packs[2].pack, 5);
    assert_int_equal(plan.packs[2].first, 2);
    assert_int_equal(plan.packs[2].count, 2);
    assert_int_equal(plan.files[0].spans_left, 3);
    assert_int_equal(plan.files[1].spans_left, 1);
}

static void a_position_names_its_backup_and_pack(void **state)
{
    (void)state;
    static const struct {
        const char *backup;
        uint32_t number;
    } expected[] = {{OLD, 1}, {OLD, 2}, {OLD, 3}, {OLD, 7}, {NEW, 1}, {NEW, 2}};
    for (uint32_t i = 0; i < ARRAY_SIZE(expected); i++) {
        uint32_t number;
        assert_string_equal(restore_plan_pack(&plan, i, &number), expected[i].backup);
        assert_int_equal(number, expected[i].number);
    }
}

static void files_without_stored_bytes_are_holes(void **state)
{
    (void)state;
    const struct run hole[] = {{.length = 3 * PIECE_BYTES, .zero = true}, {0}};
    const struct run data[] = {{.length = 1, .place = {AT_OLD, 1, 0, 0}}, {0}};
    must_add_file("a", 0, &(struct run){0});
    must_add_file("b", 3 * PIECE_BYTES, hole);
    must_add_file("c", 1, data);
    restore_plan_group(&plan);
    assert_true(plan.files[0].has_no_data);
    assert_true(plan.files[1].has_no_data);
    assert_false(plan.files[2].has_no_data);
    assert_int_equal(plan.bytes, 3 * PIECE_BYTES + 1);
}

static void the_crc_of_a_file_is_put_together_with_its_holes(void **state)
{
    (void)state;
    static uint8_t content[5 * PIECE_BYTES + 7];
    const struct run runs[] = {{.length = PIECE_BYTES, .zero = true},
                               {.length = PIECE_BYTES, .place = {AT_OLD, 2, 9, 9}},
                               {.length = PIECE_BYTES, .zero = true},
                               {.length = PIECE_BYTES, .place = {AT_OLD, 1, 0, 0}},
                               {.length = PIECE_BYTES + 7, .zero = true},
                               {0}};
    for (size_t i = 0; i < PIECE_BYTES; i++) {
        content[PIECE_BYTES + i] = (uint8_t)i;
        content[3 * PIECE_BYTES + i] = (uint8_t)(i / 3);
    }
    must_add_file("a", sizeof(content), runs);
    restore_plan_group(&plan);
    for (size_t i = 0; i < plan.span_count; i++)
        plan.spans[i].crc32c =
            crc32c_extend(0, content + plan.spans[i].file_piece * PIECE_BYTES, PIECE_BYTES);
    restore_plan_sum(&plan);
    assert_int_equal(plan.files[0].crc32c, crc32c_extend(0, content, sizeof(content)));
}

static void pg_control_is_kept_aside(void **state)
{
    (void)state;
    const struct run runs[] = {{.length = PG_CONTROL_BYTES, .place = {AT_NEW, 2, 3, 4}}, {0}};
    const struct run data[] = {{.length = 5, .place = {AT_NEW, 2, 3, 5}}, {0}};
    must_add_file("backup_label", 5, data);
    add_directory("global");
    must_add_file("global/pg_control", PG_CONTROL_BYTES, runs);
    add_directory("pg_wal");
    add_directory("pg_wal/archive_status");
    restore_plan_group(&plan);
    assert_int_equal(plan.control_file, 1);
    assert_int_equal(plan.control_span.pack, 5);
    assert_int_equal(plan.control_span.piece, 3 * FRAME_PIECES + 4);
    assert_int_equal(plan.span_count, 1);
    plan.control_span.crc32c = 0x12345678;
    restore_plan_sum(&plan);
    assert_int_equal(plan.files[1].crc32c, 0x12345678);
    struct error err;
    assert_int_equal(restore_plan_check(&plan, &err), 0);
}

static void pg_control_in_any_other_form_is_corrupt(void **state)
{
    (void)state;
    struct error err;
    const struct run halves[] = {{.length = PG_CONTROL_BYTES / 2, .place = {AT_NEW, 2, 3, 4}}, {0}};
    const struct run hole[] = {{.length = PG_CONTROL_BYTES, .zero = true}, {0}};
    add_directory("global");
    expect_corrupt(add_file("global/pg_control", PG_CONTROL_BYTES / 2, halves, &err), &err,
                   "entry 'global/pg_control': it has 4096 bytes");
    expect_corrupt(add_file("global/pg_control", PG_CONTROL_BYTES, hole, &err), &err, "not 8192");
}

static void what_a_data_directory_must_have_is_missed(void **state)
{
    (void)state;
    const struct run runs[] = {{.length = PG_CONTROL_BYTES, .place = {AT_NEW, 2, 3, 4}}, {0}};
    struct error err;
    expect_corrupt(restore_plan_check(&plan, &err), &err, "no 'global/pg_control'");
    add_directory("global");
    must_add_file("global/pg_control", PG_CONTROL_BYTES, runs);
    expect_corrupt(restore_plan_check(&plan, &err), &err, "no 'backup_label'");
}

static void a_backup_without_a_place_for_wal_is_corrupt(void **state)
{
    (void)state;
    const struct run runs[] = {{.length = PG_CONTROL_BYTES, .place = {AT_NEW, 2, 3, 4}}, {0}};
    struct error err;
    must_add_file("backup_label", 0, &(struct run){0});
    add_directory("global");
    must_add_file("global/pg_control", PG_CONTROL_BYTES, runs);
    expect_corrupt(restore_plan_check(&plan, &err), &err, "no 'pg_wal/archive_status'");
}

static void entries_out_of_order_are_corrupt(void **state)
{
    (void)state;
    struct error err;
    add_directory("base");
    expect_corrupt(add("base", ENTRY_DIRECTORY, &err), &err, "entry 'base': it comes after 'base'");
    expect_corrupt(add("aaa", ENTRY_FILE, &err), &err, "it comes after 'base'");
    assert_int_equal(add("base/\xff", ENTRY_FILE, &err), 0);
    expect_corrupt(add("base/1", ENTRY_FILE, &err), &err, "it comes after");
}

static void an_entry_without_its_directory_is_corrupt(void **state)
{
    (void)state;
    static const char *const paths[] = {"base/1/2", "base/10/1", "base1/2"};
    struct error err;
    add_directory("bas-");
    add_directory("base");
    must_add_file("base/1", 0, &(struct run){0});
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        expect_corrupt(add(paths[i], ENTRY_FILE, &err), &err, "its directory is not in the backup");
    must_add_file("base/2", 0, &(struct run){0});
}

static void paths_that_lead_elsewhere_are_corrupt(void **state)
{
    (void)state;
    static const char *const paths[] = {"", "/etc/passwd", "..", "../x", "a/../b", "a//b", "./a"};
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        expect_corrupt(add(paths[i], ENTRY_FILE, &err), &err, "not one below a data directory");
}

static void a_tablespace_link_is_a_directory_to_what_is_below(void **state)
{
    (void)state;
    struct error err;
    add_directory("pg_tblspc");
    assert_int_equal(add("pg_tblspc/16385", ENTRY_LINK, &err), 0);
    add_directory("pg_tblspc/16385/PG_15_202209061");
    must_add_file("pg_tblspc/16385/PG_15_202209061/1", 0, &(struct run){0});
    assert_int_equal(plan.directories[1].type, ENTRY_LINK);
    assert_string_equal(plan.directories[1].target, "/srv");
}

static void any_other_link_is_corrupt(void **state)
{
    (void)state;
    static const char *const paths[] = {"base", "pg_tblspc", "pg_tblspc/1x", "pg_wal"};
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        expect_corrupt(add(paths[i], ENTRY_LINK, &err), &err, "not that of a tablespace");
}

static void what_the_source_was_doing_is_left_out(void **state)
{
    (void)state;
    static const char *const paths[] = {"backup_manifest", "postmaster.opts", "postmaster.pid",
                                        "recovery.signal", "standby.signal",  "tablespace_map"};
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        assert_int_equal(add(paths[i], ENTRY_FILE, &err), 0);
    assert_int_equal(plan.file_count, 0);
    assert_int_equal(plan.directory_count, 0);
}

static void a_pack_that_the_manifest_does_not_list_is_corrupt(void **state)
{
    (void)state;
    static const struct place places[] = {
        {AT_OLD, 0, 0, 0}, {AT_OLD, 4, 0, 0}, {AT_OLD, 8, 0, 0}, {AT_NEW, 3, 0, 0}};
    struct error err;
    char path[] = "a";
    for (size_t i = 0; i < ARRAY_SIZE(places); i++, path[0]++) {
        const struct run runs[] = {{.length = 1, .place = places[i]}, {0}};
        expect_corrupt(add_file(path, 1, runs, &err), &err, "is not listed by the manifest");
    }
}

static void a_place_outside_every_pack_is_corrupt(void **state)
{
    (void)state;
    static const struct map_run runs[] = {
        {.length = 1, .place = {2, 1, 0, 0}},
        {.length = 1, .place = {AT_NEW, 1, 1024, 0}},
        {.length = 1, .place = {AT_NEW, 1, 0, 128}},
        {.length = 1, .place = {AT_NEW, 1, 0, UINT32_MAX}},
        {.length = 2 * PIECE_BYTES, .place = {AT_NEW, 1, 0, 127}},
        {.length = FRAME_PLAIN_MAX + 1, .place = {AT_NEW, 1, 0, 0}},
        {.length = 1, .place = {AT_NEW, 1, 0, 0}, .offset = 1},
        {.length = 1, .place = {AT_NEW, 1, 0, 0}, .offset = (uint64_t)PIECE_BYTES << 32},
    };
    char path[] = "a";
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++, path[0]++) {
        struct map_run copy = runs[i];
        struct entry entry = {.path = own_strdup(path),
                              .type = ENTRY_FILE,
                              .size = copy.length,
                              .map = {.runs = &copy, .count = 1, .size = copy.length}};
        struct error err;
        int result = restore_plan_add(&plan, &table, &entry, &err);
        own_freep(&entry.path);
        expect_corrupt(result, &err, "map of");
    }
}

static void a_map_that_does_not_cover_its_file_is_corrupt(void **state)
{
    (void)state;
    const struct run runs[] = {{.length = 5, .place = {AT_NEW, 1, 0, 0}}, {0}};
    struct error err;
    expect_corrupt(add_file("a", 6, runs, &err), &err, "its map covers 5 of 6 bytes");
    expect_corrupt(add_file("b", 4, runs, &err), &err, "its map covers 5 of 4 bytes");
}

static int add_parts(const char *path, uint64_t size, struct entry_map_ref *refs, size_t count,
                     struct error *err)
{
    struct entry entry = {.path = own_strdup(path),
                          .type = ENTRY_FILE,
                          .size = size,
                          .map_refs = refs,
                          .map_ref_count = count};
    int result = restore_plan_add(&plan, &table, &entry, err);
    own_freep(&entry.path);
    return result;
}

static void the_parts_of_a_long_map_are_read_pack_by_pack(void **state)
{
    (void)state;
    struct entry_map_ref refs[] = {{.place = {AT_NEW, 2, 7, 0}, .covers = 2 * PIECE_BYTES},
                                   {.place = {AT_OLD, 1, 9, 0}, .covers = PIECE_BYTES},
                                   {.place = {AT_NEW, 2, 6, 0}, .covers = 3}};
    const struct run part[] = {{.length = PIECE_BYTES, .place = {AT_OLD, 3, 2, 1}}, {0}};
    struct error err;
    assert_int_equal(add_parts("a", 3 * PIECE_BYTES + 3, refs, 3, &err), 0);
    restore_plan_sort_maps(&plan);
    assert_int_equal(plan.map_count, 3);
    assert_int_equal(plan.maps[0].pack, 0);
    assert_int_equal(plan.maps[1].frame, 6);
    assert_int_equal(plan.maps[2].frame, 7);
    CLEANUP(map_done) struct map map = map_of(part);
    assert_int_equal(restore_plan_add_map(&plan, 0, &table, &map, &err), 0);
    restore_plan_group(&plan);
    assert_int_equal(plan.span_count, 1);
    expect_span(
        0, &(struct restore_span){
               .file_piece = 2, .pack = 2, .piece = 2 * FRAME_PIECES + 1, .length = PIECE_BYTES});
}

static void parts_that_do_not_fit_together_are_corrupt(void **state)
{
    (void)state;
    struct entry_map_ref refs[] = {{.place = {AT_NEW, 2, 7, 0}, .covers = PIECE_BYTES},
                                   {.place = {AT_NEW, 2, 8, 0}, .covers = 5},
                                   {.place = {AT_NEW, 2, 9, 0}, .covers = 5}};
    struct entry_map_ref huge = {.place = {AT_NEW, 2, 7, 0}, .covers = UINT64_MAX};
    struct error err;
    expect_corrupt(add_parts("a", PIECE_BYTES + 6, refs, 2, &err), &err, "covers 8197 of 8198");
    expect_corrupt(add_parts("b", PIECE_BYTES + 4, refs, 2, &err), &err, "do not fit together");
    expect_corrupt(add_parts("c", PIECE_BYTES + 10, refs, 3, &err), &err, "do not fit together");
    expect_corrupt(add_parts("d", 10, &huge, 1, &err), &err, "do not fit together");
}

static void more_bytes_than_fit_anywhere_are_corrupt(void **state)
{
    (void)state;
    struct entry_map_ref ref = {.place = {AT_NEW, 2, 7, 0}, .covers = INT64_MAX};
    struct error err;
    assert_int_equal(add_parts("a", INT64_MAX, &ref, 1, &err), 0);
    ref.covers = 1;
    expect_corrupt(add_parts("b", 1, &ref, 1, &err), &err, "more bytes than any file system");
}

static void a_manifest_whose_packs_cannot_be_is_corrupt(void **state)
{
    (void)state;
    static const struct {
        struct manifest_packs packs[2];
        const char *text;
    } cases[] = {
        {{{OLD, 1, 5}, {OLD, 5, 6}}, "twice"},
        {{{OLD, 3, 3}, {OLD, 3, 3}}, "twice"},
        {{{OLD, 5, 4}, {NEW, 1, 1}}, "packs 5 to 4"},
        {{{OLD, 0, UINT32_MAX}, {NEW, 1, 1}}, "packs 0 to 4294967295"},
        {{{OLD, 1, UINT32_MAX}, {NEW, 1, 1}}, "packs 1 to 1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest_packs copy[2];
        memcpy(copy, cases[i].packs, sizeof(copy));
        const struct manifest lying = {.packs = copy, .pack_count = 2};
        struct restore_plan unused;
        struct error err;
        expect_corrupt(restore_plan_init(&unused, &lying, &err), &err, cases[i].text);
    }
}

static void damage_of_the_source_is_known(void **state)
{
    (void)state;
    enum { BLOCKS = ENTRY_BAD_BLOCKS_MAX, PAGES = BLOCKS * 4 };
    struct error err;
    struct entry few = {.path = own_strdup("few"), .size = 8192 * PAGES};
    struct entry many = {.path = own_strdup("many"), .size = 8192 * PAGES};
    few.type = many.type = ENTRY_FILE;
    map_add_zero(&few.map, few.size);
    map_add_zero(&many.map, many.size);
    few.bad_blocks = own_alloc(2 * sizeof(uint32_t));
    few.bad_blocks[0] = 3;
    few.bad_blocks[1] = 9;
    few.bad_block_count = 2;
    many.bad_blocks = own_alloc(BLOCKS * sizeof(uint32_t));
    for (uint32_t i = 0; i < BLOCKS; i++)
        many.bad_blocks[i] = i * 2;
    many.bad_block_count = BLOCKS + 1;
    must_add_file("a", 0, (struct run[]){{0}});
    assert_int_equal(restore_plan_add(&plan, &table, &few, &err), 0);
    assert_int_equal(restore_plan_add(&plan, &table, &many, &err), 0);
    entry_done(&few);
    entry_done(&many);
    assert_false(restore_plan_knows_damage(&plan, 0, 3));
    assert_true(restore_plan_knows_damage(&plan, 1, 3));
    assert_true(restore_plan_knows_damage(&plan, 1, 9));
    assert_false(restore_plan_knows_damage(&plan, 1, 4));
    assert_false(restore_plan_knows_damage(&plan, 1, 10));
    assert_true(restore_plan_knows_damage(&plan, 2, 2 * BLOCKS - 2));
    assert_false(restore_plan_knows_damage(&plan, 2, 1));
    assert_true(restore_plan_knows_damage(&plan, 2, 2 * BLOCKS)); /* behind those that are listed */
    assert_int_equal(plan.listed_page_errors, 2 + BLOCKS + 1);
    assert_int_equal(plan.listed_files, 3);
}

static void what_is_kept_is_taken_off_and_counts_in_the_sum(void **state)
{
    (void)state;
    uint8_t data[3 * PIECE_BYTES];
    struct restore_spans wanted = {0}, kept = {0};
    plan.files = own_alloc(sizeof(plan.files[0]));
    plan.file_count = 1;
    plan.files[0].path = own_strdup("f");
    plan.files[0].size = sizeof(data);
    memset(data, 7, sizeof(data));
    for (uint32_t i = 0; i < 3; i++) {
        const struct restore_span span = {
            .file_piece = i,
            .pack = 4,
            .piece = i,
            .length = PIECE_BYTES,
            .crc32c = i == 2 ? 0 : crc32c_extend(0, data, PIECE_BYTES),
        };
        restore_spans_add(i == 2 ? &wanted : &kept, &span);
    }
    assert_int_equal(kept.count, 1); /* joined */
    assert_int_equal(restore_spans_bytes(&kept), 2 * PIECE_BYTES);
    restore_plan_keep(&plan, &wanted, &kept);
    assert_int_equal(plan.pack_count, 1);
    assert_int_equal(plan.packs[0].count, 1);
    assert_false(plan.files[0].has_no_data);
    plan.spans[0].crc32c = crc32c_extend(0, data, PIECE_BYTES); /* written by a worker */
    restore_plan_sum(&plan);
    assert_int_equal(plan.files[0].crc32c, crc32c_extend(0, data, sizeof(data)));
}

static void a_file_that_is_kept_whole_has_no_data_to_write(void **state)
{
    (void)state;
    struct restore_spans wanted = {0}, kept = {0};
    plan.files = own_alloc(sizeof(plan.files[0]));
    plan.file_count = 1;
    plan.files[0].path = own_strdup("f");
    plan.files[0].size = PIECE_BYTES;
    restore_spans_add(&kept, &(struct restore_span){.length = PIECE_BYTES, .crc32c = 5});
    restore_plan_keep(&plan, &wanted, &kept);
    assert_true(plan.files[0].has_no_data);
    assert_int_equal(plan.pack_count, 0);
    restore_plan_sum(&plan);
    assert_int_equal(plan.files[0].crc32c, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(runs_that_go_on_in_file_and_pack_are_one_span),
        TEST(spans_are_grouped_by_pack_in_its_order),
        TEST(a_position_names_its_backup_and_pack),
        TEST(files_without_stored_bytes_are_holes),
        TEST(the_crc_of_a_file_is_put_together_with_its_holes),
        TEST(pg_control_is_kept_aside),
        TEST(pg_control_in_any_other_form_is_corrupt),
        TEST(what_a_data_directory_must_have_is_missed),
        TEST(a_backup_without_a_place_for_wal_is_corrupt),
        TEST(entries_out_of_order_are_corrupt),
        TEST(an_entry_without_its_directory_is_corrupt),
        TEST(paths_that_lead_elsewhere_are_corrupt),
        TEST(a_tablespace_link_is_a_directory_to_what_is_below),
        TEST(any_other_link_is_corrupt),
        TEST(what_the_source_was_doing_is_left_out),
        TEST(a_pack_that_the_manifest_does_not_list_is_corrupt),
        TEST(a_place_outside_every_pack_is_corrupt),
        TEST(a_map_that_does_not_cover_its_file_is_corrupt),
        TEST(the_parts_of_a_long_map_are_read_pack_by_pack),
        TEST(parts_that_do_not_fit_together_are_corrupt),
        TEST(more_bytes_than_fit_anywhere_are_corrupt),
        TEST(damage_of_the_source_is_known),
        cmocka_unit_test(a_manifest_whose_packs_cannot_be_is_corrupt),
        TEST(what_is_kept_is_taken_off_and_counts_in_the_sum),
        TEST(a_file_that_is_kept_whole_has_no_data_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
