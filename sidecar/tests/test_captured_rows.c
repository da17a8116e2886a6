// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "sidecar/captured.h"
#include "sidecar/captured_rows.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"

enum { ROWS = 9000, WORKERS = 4, STEP = 7919 /* prime: takes rows of all chunks in turns */ };

static struct captured_rows *rows;

/* Files as there may be any: short and long maps, parts of maps, bad pages, none at all. */
static void make_entry(size_t number, struct entry *ret_entry)
{
    size_t runs = number % 50 == 0 ? 100 : number % 5 == 0 ? 3 : 1;
    *ret_entry = (struct entry){
        .type = ENTRY_FILE,
        .mode = number % 3 == 0 ? 0600 : 0640,
        .uid = number % 1000 == 0 ? UINT32_MAX : 999,
        .gid = 999,
        .mtime_s = number % 17 == 0 ? -5 : 1700000000 + (int64_t)number,
        .inode = number % 11 == 0 ? UINT64_MAX : 100000 + number,
        .birth_ns = number % 13 == 0 ? 0 : UINT64_C(1700000000000000000) + number * 1000,
    };
    if (number % 97 == 0) {
        ret_entry->map_ref_count = 2;
        ret_entry->map_refs = own_alloc(2 * sizeof(ret_entry->map_refs[0]));
        ret_entry->map_refs[1].covers = number;
        ret_entry->size = number * PIECE_BYTES;
    } else {
        for (size_t i = 0; i < runs; i++) {
            const struct place place = {.pack = (uint32_t)(number + i + 1), .frame = 1};
            if (i % 2 == 1)
                map_add_zero(&ret_entry->map, PIECE_BYTES);
            else
                map_add(&ret_entry->map, PIECE_BYTES, &place);
        }
        ret_entry->size = runs * PIECE_BYTES;
    }
    if (number % 101 == 0) {
        ret_entry->bad_block_count = 2;
        ret_entry->bad_blocks = own_alloc(2 * sizeof(ret_entry->bad_blocks[0]));
        ret_entry->bad_blocks[1] = (uint32_t)number + 1;
    }
}

static bool is_vanished(size_t number)
{
    return number % 10 == 9;
}

static void put(size_t number)
{
    struct captured captured = {0};
    struct entry entry;
    make_entry(number, &entry);
    if (!is_vanished(number))
        captured_keep(&entry, &captured);
    captured_rows_put(rows, number, &captured);
    assert_false(captured.exists); /* it was taken */
    entry_done(&entry);
}

static void assert_same_map(const struct map *map, const struct map *wanted)
{
    CLEANUP(buf_done) struct buf coded = BUF(ENTRY_MAP_INLINE_MAX);
    CLEANUP(buf_done) struct buf wanted_coded = BUF(ENTRY_MAP_INLINE_MAX);
    map_format(map, &coded);
    map_format(wanted, &wanted_coded);
    assert_int_equal(coded.size, wanted_coded.size);
    if (coded.size > 0)
        assert_memory_equal(coded.data, wanted_coded.data, coded.size);
}

static void assert_row(const struct captured *captured, size_t number)
{
    struct entry wanted, entry;
    const uint32_t *blocks;
    assert_int_equal(captured->exists, !is_vanished(number));
    if (!captured->exists)
        return;
    make_entry(number, &wanted);
    captured_entry(captured, &entry);
    assert_int_equal(entry.mode, wanted.mode);
    assert_int_equal(entry.uid, wanted.uid);
    assert_int_equal(entry.gid, wanted.gid);
    assert_int_equal(entry.mtime_s, wanted.mtime_s);
    assert_int_equal(entry.size, wanted.size);
    assert_int_equal(entry.inode, wanted.inode);
    assert_int_equal(entry.birth_ns, wanted.birth_ns);
    assert_int_equal(entry.map_ref_count, wanted.map_ref_count);
    if (wanted.map_ref_count > 0)
        assert_int_equal(entry.map_refs[1].covers, number);
    assert_int_equal(captured_bad_blocks(captured, &blocks), wanted.bad_block_count);
    if (wanted.bad_block_count > 0)
        assert_int_equal(blocks[1], number + 1);
    assert_same_map(&entry.map, &wanted.map);
    map_done(&entry.map);
    entry_done(&wanted);
}

static void rows_come_back_as_they_were(void **state)
{
    (void)state;
    rows = captured_rows_new(ROWS);
    for (size_t i = 0; i < ROWS; i++)
        put(i * STEP % ROWS);
    for (size_t i = 0; i < ROWS; i++)
        assert_row(captured_rows_look(rows, i), i);
    for (size_t i = 0; i < ROWS; i++) /* what was looked at is still there */
        assert_row(captured_rows_look(rows, i * STEP % ROWS), i * STEP % ROWS);
    captured_rows_freep(&rows);
}

static void what_was_taken_is_gone(void **state)
{
    (void)state;
    rows = captured_rows_new(ROWS);
    for (size_t i = 0; i < ROWS; i++)
        put(i);
    for (size_t i = 0; i < ROWS; i += 3) {
        struct captured captured;
        captured_rows_take(rows, i, &captured);
        assert_row(&captured, i);
        captured_done(&captured);
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (i % 3 == 0)
            assert_false(captured_rows_look(rows, i)->exists);
        else
            assert_row(captured_rows_look(rows, i), i);
    }
    captured_rows_freep(&rows);
}

static void a_row_is_replaced(void **state)
{
    (void)state;
    rows = captured_rows_new(1);
    assert_false(captured_rows_look(rows, 0)->exists);
    put(0);
    put(0);
    assert_row(captured_rows_look(rows, 0), 0);
    captured_rows_freep(&rows);
}

/* Each has every WORKERS-th row, so that all of them want the same chunks. */
static int change_rows(void *arg, struct error *err)
{
    (void)err;
    for (size_t i = *(size_t *)arg; i < ROWS; i += WORKERS) {
        struct captured captured;
        captured_rows_take(rows, i, &captured);
        captured_rows_put(rows, i, &captured);
    }
    return 0;
}

static void threads_change_rows_of_the_same_chunks(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(cancel_done) struct cancel cancel;
    assert_int_equal(cancel_init(&cancel, &err), 0);
    CLEANUP(crew_freep) struct crew *crew = crew_new(&cancel);
    size_t numbers[WORKERS];
    rows = captured_rows_new(ROWS);
    for (size_t i = 0; i < ROWS; i++)
        put(i);
    for (size_t i = 0; i < WORKERS; i++) {
        numbers[i] = i;
        assert_int_equal(crew_start(crew, "rows", change_rows, &numbers[i], &err), 0);
    }
    assert_int_equal(crew_join(crew, &err), 0);
    for (size_t i = 0; i < ROWS; i++)
        assert_row(captured_rows_look(rows, i), i);
    captured_rows_freep(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_were),
        cmocka_unit_test(what_was_taken_is_gone),
        cmocka_unit_test(a_row_is_replaced),
        cmocka_unit_test(threads_change_rows_of_the_same_chunks),
    };
    return cmocka_run_group_tests_name("captured_rows", tests, NULL, NULL);
}
