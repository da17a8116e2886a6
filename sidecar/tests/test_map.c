// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/frame.h"
#include "sidecar/map.h"

static const struct place start = {.backup = 0, .pack = 1, .frame = 0, .piece = 0};

static struct place place_of(uint32_t backup, uint32_t pack, uint32_t frame, uint32_t piece)
{
    return (struct place){.backup = backup, .pack = pack, .frame = frame, .piece = piece};
}

static void assert_run(const struct map *map, size_t index, uint64_t offset, uint32_t length,
                       bool zero)
{
    assert_true(index < map->count);
    assert_int_equal(map->runs[index].offset, offset);
    assert_int_equal(map->runs[index].length, length);
    assert_int_equal(map->runs[index].zero, zero);
}

static void assert_same(const struct map *a, const struct map *b)
{
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_run(a, i, b->runs[i].offset, b->runs[i].length, b->runs[i].zero);
        assert_memory_equal(&a->runs[i].place, &b->runs[i].place, sizeof(struct place));
    }
}

static void assert_round_trip(const struct map *map)
{
    CLEANUP(buf_done) struct buf coded = BUF(1 << 20);
    CLEANUP(map_done) struct map back = {0};
    map_format(map, &coded);
    struct reader reader = READER(coded.data, coded.size);
    map_parse(&reader, map->size, 2, &back);
    assert_false(reader.bad);
    assert_int_equal(reader_left(&reader), 0);
    assert_same(map, &back);
}

static void runs_that_continue_each_other_are_joined(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    struct place next = place_of(0, 1, 0, 2), other = place_of(0, 1, 1, 3);
    map_add(&map, 2 * PIECE_BYTES, &start);
    map_add(&map, PIECE_BYTES, &next);
    assert_int_equal(map.count, 1);
    map_add(&map, PIECE_BYTES, &other); /* another frame */
    map_add(&map, PIECE_BYTES, &start); /* not behind it */
    map_add_zero(&map, PIECE_BYTES);
    map_add_zero(&map, PIECE_BYTES);
    assert_int_equal(map.count, 4);
    assert_run(&map, 0, 0, 3 * PIECE_BYTES, false);
    assert_run(&map, 3, 5 * PIECE_BYTES, 2 * PIECE_BYTES, true);
    assert_int_equal(map.size, 7 * PIECE_BYTES);
    assert_round_trip(&map);
}

static void long_stretches_of_zeros_are_split(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    map_add_zero(&map, PIECE_BYTES);
    map_add_zero(&map, UINT64_C(3) << 30);
    assert_int_equal(map.count, 4);
    assert_run(&map, 0, 0, MAP_ZERO_MAX, true);
    assert_run(&map, 3, UINT64_C(3) << 30, PIECE_BYTES, true);
    assert_round_trip(&map);
}

static void an_empty_file_has_an_empty_map(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    assert_round_trip(&map);
    map_resize(&map, 0);
    assert_int_equal(map.count, 0);
}

static void places_far_apart_come_back(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    struct place last = place_of(1, UINT32_MAX, 1023, FRAME_PIECES - 1), odd = place_of(0, 7, 1, 0);
    map_add(&map, PIECE_BYTES, &last);
    map_add(&map, FRAME_PLAIN_MAX, &start);
    map_add_zero(&map, PIECE_BYTES);
    map_add(&map, 5, &odd);
    assert_round_trip(&map);
}

static void cutting_a_map_drops_what_is_behind(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    map_add(&map, 4 * PIECE_BYTES, &start);
    map_add_zero(&map, 4 * PIECE_BYTES);
    map_resize(&map, 5 * PIECE_BYTES);
    assert_run(&map, 1, 4 * PIECE_BYTES, PIECE_BYTES, true);
    map_resize(&map, 4 * PIECE_BYTES);
    assert_int_equal(map.count, 1);
    map_resize(&map, PIECE_BYTES + 1);
    assert_run(&map, 0, 0, PIECE_BYTES + 1, false);
    assert_int_equal(map.size, PIECE_BYTES + 1);
    assert_round_trip(&map);
    map_resize(&map, 0);
    assert_int_equal(map.count, 0);
    assert_int_equal(map.size, 0);
}

static void filling_up_takes_the_zeros_of_the_last_piece_first(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    map_add(&map, PIECE_BYTES + 10, &start);
    map_resize(&map, PIECE_BYTES + 20);
    assert_int_equal(map.count, 1);
    assert_run(&map, 0, 0, PIECE_BYTES + 20, false);
    map_resize(&map, 3 * PIECE_BYTES + 7);
    assert_int_equal(map.count, 2);
    assert_run(&map, 0, 0, 2 * PIECE_BYTES, false);
    assert_run(&map, 1, 2 * PIECE_BYTES, PIECE_BYTES + 7, true);
    map_resize(&map, 4 * PIECE_BYTES);
    assert_run(&map, 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES, true);
    assert_round_trip(&map);
}

static void assert_bad(uint64_t size, const uint8_t *bytes, size_t count)
{
    CLEANUP(own_freep) uint8_t *copy = own_alloc(count);
    if (count > 0)
        memcpy(copy, bytes, count);
    struct reader reader = READER(copy, count);
    CLEANUP(map_done) struct map map = {0};
    map_parse(&reader, size, 2, &map);
    assert_true(reader.bad || reader_left(&reader) > 0);
}

#define ASSERT_BAD(size, ...)                                                                      \
    assert_bad(size, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void a_map_that_breaks_a_rule_is_bad(void **state)
{
    (void)state;
    enum { ONE = 0x80 }; /* with a second byte n: n × 64 bytes of data; 0x81 the same of zeros */
    struct reader reader = READER(((uint8_t[]){ONE, 0x80, 1, 0, 2, 0, 0}), 7);
    CLEANUP(map_done) struct map map = {0};
    map_parse(&reader, PIECE_BYTES, 2, &map);
    assert_false(reader.bad);

    ASSERT_BAD(PIECE_BYTES, 0);                                      /* no length */
    ASSERT_BAD(PIECE_BYTES, 1);                                      /* no zeros */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 2, 2, 0, 0);               /* backup 2 of 2 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 0, 0, 0);               /* pack 0 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 1, 0, 0);               /* pack -1 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 2, 1, 0);               /* frame -1 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 2, 0x80, 16, 0);        /* frame 1024 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 2, 0, 0x80, 1);         /* piece 128 */
    ASSERT_BAD(PIECE_BYTES, ONE, 0x80, 1, 0, 2, 0);                  /* cut short */
    ASSERT_BAD(PIECE_BYTES + 1, ONE, 0x80, 1, 0, 2, 0, 0);           /* covers too little */
    ASSERT_BAD(PIECE_BYTES - 1, ONE, 0x80, 1, 0, 2, 0, 0);           /* covers too much */
    ASSERT_BAD(PIECE_BYTES + 64, ONE, 1, 0, 2, 0, 0, 0x81, 0x80, 1); /* 64 bytes, then more */
    ASSERT_BAD(2 * PIECE_BYTES, ONE, 0x80, 2, 0, 2, 0, 0x7F); /* leaves its frame at its end */
    ASSERT_BAD(UINT64_MAX, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1); /* zeros */
    ASSERT_BAD(UINT64_MAX, 0x80, 0x80, 0x80, 1, 0, 2, 0, 0); /* 1 MiB and more of data */
    ASSERT_BAD(0, ONE, 0x80, 1, 0, 2, 0, 0);                 /* of an empty file */
    /* the pack before, and a difference that overflows */
    ASSERT_BAD(2 * PIECE_BYTES, ONE, 0x80, 1, 0, 2, 0, 0, ONE, 0x80, 1, 0, 0xFE, 0xFF, 0xFF, 0xFF,
               0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0);
}

static void no_more_runs_than_memory_allows_are_parsed(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf coded = BUF(2 << 20);
    for (size_t i = 0; i <= MAP_RUNS_MAX; i++)
        bytes_put_varint(&coded, PIECE_BYTES << 1 | 1);
    for (uint64_t runs = MAP_RUNS_MAX; runs <= MAP_RUNS_MAX + 1; runs++) {
        struct reader reader = READER(coded.data, coded.size);
        CLEANUP(map_done) struct map map = {0};
        map_parse(&reader, runs * PIECE_BYTES, 0, &map);
        assert_int_equal(reader.bad, runs > MAP_RUNS_MAX);
    }
}

/* As long as numbers can be: the parts must fit into frames nevertheless. */
static void a_long_map_is_cut_into_frames_and_put_together(void **state)
{
    (void)state;
    enum { RUNS = 2 * MAP_PART_RUNS + 10 };
    CLEANUP(backup_table_done) struct backup_table table = {0};
    table.ids = own_alloc(BACKUP_TABLE_MAX * sizeof(*table.ids));
    for (; table.count < BACKUP_TABLE_MAX; table.count++)
        memcpy(table.ids[table.count], "20261121T082118Z-full-3fa2", 27);
    CLEANUP(map_done) struct map map = {0}, whole = {0};
    for (uint32_t i = 0; i < RUNS; i++) {
        struct place place =
            i % 2 ? place_of(4095, UINT32_MAX, 1023, 127) : place_of(4095, 1, 0, 0);
        if (i % 5 == 0)
            map_add_zero(&map, PIECE_BYTES);
        else
            map_add(&map, i + 1 == RUNS ? 1 : PIECE_BYTES, &place);
    }
    assert_int_equal(map.count, RUNS);
    size_t parts = 0;
    for (size_t next = 0; next < map.count; parts++) {
        CLEANUP(map_done) struct map part = {0}, back = {0};
        CLEANUP(backup_table_done) struct backup_table back_table = {0};
        CLEANUP(buf_done) struct buf frame = BUF(FRAME_PLAIN_MAX);
        struct error err;
        next = map_part(&map, next, &part);
        map_frame_format(&table, &part, &frame);
        assert_int_equal(
            map_frame_parse(frame.data, frame.size, part.size, &back_table, &back, &err), 0);
        assert_int_equal(back_table.count, table.count);
        map_append(&whole, &back);
    }
    assert_int_equal(parts, 3);
    assert_same(&map, &whole);
}

static void a_map_frame_that_breaks_a_rule_is_corrupt(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(map_done) struct map map = {0};
    CLEANUP(buf_done) struct buf frame = BUF(1000);
    backup_table_add(&table, "20261121T082118Z-full-3fa2");
    map_add(&map, PIECE_BYTES, &start);
    map_frame_format(&table, &map, &frame);
    bytes_put8(&frame, 0);
    struct backup_table none;
    struct map nothing;
    struct error err;
    for (size_t size = 0; size <= frame.size; size++) {
        if (size == frame.size - 1)
            continue;
        assert_int_equal(map_frame_parse(frame.data, size, PIECE_BYTES, &none, &nothing, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
    assert_int_equal(
        map_frame_parse(frame.data, frame.size - 1, 2 * PIECE_BYTES, &none, &nothing, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void a_backup_stands_once_in_a_table(void **state)
{
    (void)state;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    assert_int_equal(backup_table_add(&table, "20261121T082118Z-full-3fa2"), 0);
    assert_int_equal(backup_table_add(&table, "20261121T082118Z-incr-0000"), 1);
    assert_int_equal(backup_table_add(&table, "20261121T082118Z-full-3fa2"), 0);
    assert_int_equal(table.count, 2);
}

static void a_table_with_what_is_no_backup_id_is_bad(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "x", "../../packs/somewhere/else",
                                      "20261121T082118Z-full-3fa2\0more",
                                      "20261121T082118Z-full-3"};
    static const size_t sizes[] = {0, 1, 26, 31, 23};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        CLEANUP(buf_done) struct buf coded = BUF(100);
        CLEANUP(backup_table_done) struct backup_table table = {0};
        bytes_put_varint(&coded, 1);
        bytes_put_varint(&coded, sizes[i]);
        bytes_put(&coded, ids[i], sizes[i]);
        struct reader reader = READER(coded.data, coded.size);
        backup_table_parse(&reader, &table);
        assert_true(reader.bad);
    }
    struct reader reader = READER("\x81\x20", 2); /* 4097 backups */
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_parse(&reader, &table);
    assert_true(reader.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_continue_each_other_are_joined),
        cmocka_unit_test(long_stretches_of_zeros_are_split),
        cmocka_unit_test(an_empty_file_has_an_empty_map),
        cmocka_unit_test(places_far_apart_come_back),
        cmocka_unit_test(cutting_a_map_drops_what_is_behind),
        cmocka_unit_test(filling_up_takes_the_zeros_of_the_last_piece_first),
        cmocka_unit_test(a_map_that_breaks_a_rule_is_bad),
        cmocka_unit_test(no_more_runs_than_memory_allows_are_parsed),
        cmocka_unit_test(a_long_map_is_cut_into_frames_and_put_together),
        cmocka_unit_test(a_map_frame_that_breaks_a_rule_is_corrupt),
        cmocka_unit_test(a_backup_stands_once_in_a_table),
        cmocka_unit_test(a_table_with_what_is_no_backup_id_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
