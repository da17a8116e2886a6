// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/map.h"
#include "sidecar/packer.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/upload.h"

static struct helper_repo repo;
static struct helper_packs packs;
static struct packer *packer;

static int set_up(void **state)
{
    (void)state;
    helper_repo_open(&repo, 1, 0);
    helper_packs_open(&packs, &repo, 3);
    packer = packer_new(&packs.options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    packer_freep(&packer);
    helper_packs_close(&packs);
    helper_repo_close(&repo);
    return 0;
}

static void fill(uint8_t *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(seed >> 56);
    }
}

/* Adds data as a reader of files does. */
static void add(struct packer *to, const void *data, size_t size, struct map *map)
{
    struct error err;
    for (size_t done = 0, now; done < size; done += now) {
        uint8_t *space = packer_space(to, &now);
        assert_true(now > 0 && now % PIECE_BYTES == 0);
        if (now > size - done)
            now = size - done;
        memcpy(space, (const uint8_t *)data + done, now);
        if (packer_add(to, now, map, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static void flush(struct packer *of)
{
    struct error err;
    if (packer_flush(of, &err) < 0)
        fail_msg("%s", err.text);
}

static void add_frame(enum frame_type type, const char *text, struct place *ret_place)
{
    struct error err;
    CLEANUP(buf_done) struct buf plain = BUF(100);
    bytes_put(&plain, text, strlen(text));
    if (packer_add_frame(packer, type, &plain, ret_place, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_reads(const struct map *map, const void *data, size_t size)
{
    CLEANUP(buf_done) struct buf content = BUF(size);
    helper_packs_read_map(&packs, map, &content);
    assert_int_equal(content.size, size);
    assert_memory_equal(content.data, data, size);
}

static void files_of_any_size_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        1, 8191, 8192, 8193, 100000, FRAME_PLAIN_MAX, FRAME_PLAIN_MAX + 1, 3 * FRAME_PLAIN_MAX};
    struct map maps[ARRAY_SIZE(sizes)] = {0};
    CLEANUP(own_freep) uint8_t *data = own_alloc(3 * FRAME_PLAIN_MAX);
    fill(data, 3 * FRAME_PLAIN_MAX, 1);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        add(packer, data, sizes[i], &maps[i]);
    flush(packer);
    helper_packs_load(&packs);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_reads(&maps[i], data, sizes[i]);
        map_done(&maps[i]);
    }
}

static void small_files_share_a_frame(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map first = {0};
    CLEANUP(map_done) struct map second = {0};
    add(packer, "one", 3, &first);
    add(packer, "two", 3, &second);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(helper_packs_frames(&packs, FRAME_DATA), 1);
    assert_int_equal(second.runs[0].place.piece, first.runs[0].place.piece + 1);
    assert_reads(&first, "one", 3);
    assert_reads(&second, "two", 3);
}

static void zero_pieces_are_not_stored(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    CLEANUP(own_freep) uint8_t *data = own_alloc(10 * PIECE_BYTES);
    fill(data + PIECE_BYTES, 2 * PIECE_BYTES, 1);     /* 1 and 2 */
    fill(data + 5 * PIECE_BYTES, 3 * PIECE_BYTES, 2); /* 5, 6 and 7 */
    size_t size = 9 * PIECE_BYTES + 100;
    add(packer, data, size, &map);
    flush(packer);
    helper_packs_load(&packs);
    static const bool zero[] = {true, false, true, false, true};
    assert_int_equal(map.count, ARRAY_SIZE(zero));
    for (size_t i = 0; i < ARRAY_SIZE(zero); i++)
        assert_int_equal(map.runs[i].zero, zero[i]);
    assert_int_equal(map.runs[4].length, PIECE_BYTES + 100);
    assert_int_equal(packs.packs[0].container.frames[0].plain_bytes, 5 * PIECE_BYTES);
    assert_reads(&map, data, size);
}

static void what_is_behind_the_end_of_a_file_is_not_stored(void **state)
{
    (void)state;
    size_t room;
    struct error err;
    CLEANUP(map_done) struct map map = {0};
    memset(packer_space(packer, &room), 0xAA, PIECE_BYTES); /* of a read before, for example */
    assert_int_equal(packer_add(packer, 1000, &map, &err), 0);
    flush(packer);
    helper_packs_load(&packs);
    for (size_t i = 0; i < PIECE_BYTES; i++)
        assert_int_equal(packs.packs[0].plain[0][i], i < 1000 ? 0xAA : 0);
}

static void nothing_but_zeros_makes_no_pack(void **state)
{
    (void)state;
    CLEANUP(map_done) struct map map = {0};
    CLEANUP(own_freep) uint8_t *zeros = own_alloc(3 * FRAME_PLAIN_MAX);
    add(packer, zeros, 3 * FRAME_PLAIN_MAX, &map);
    flush(packer);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(packs.count, 0);
    assert_int_equal(map.count, 1);
    assert_int_equal(map.size, 3 * FRAME_PLAIN_MAX);
}

static void full_packs_roll_over(void **state)
{
    (void)state;
    enum { SIZE = 30 << 20 };
    CLEANUP(map_done) struct map map = {0};
    CLEANUP(own_freep) uint8_t *data = own_alloc(SIZE);
    fill(data, SIZE, 3);
    add(packer, data, SIZE, &map);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(packs.count, 3);
    for (size_t i = 0; i < packs.count; i++)
        assert_true(packs.packs[i].sealed_bytes <= UPLOAD_BUFFER_BYTES);
    assert_true(packs.packs[0].sealed_bytes > UPLOAD_BUFFER_BYTES - 2 * FRAME_PLAIN_MAX);
    assert_int_equal(map.count, 30);
    assert_reads(&map, data, SIZE);
}

static void packers_share_numbers_without_a_gap(void **state)
{
    (void)state;
    enum { SIZE = 14 << 20 };
    CLEANUP(packer_freep) struct packer *other = packer_new(&packs.options);
    CLEANUP(packer_freep) struct packer *idle = packer_new(&packs.options);
    CLEANUP(map_done) struct map first = {0};
    CLEANUP(map_done) struct map second = {0};
    CLEANUP(own_freep) uint8_t *data = own_alloc(SIZE);
    fill(data, SIZE, 4);
    add(packer, data, SIZE / 2, &first);
    add(other, data, SIZE, &second);
    add(packer, data + SIZE / 2, SIZE / 2, &first);
    flush(idle);
    flush(packer);
    flush(other);
    helper_packs_load(&packs);
    assert_int_equal(packs.count, 4);
    assert_reads(&first, data, SIZE);
    assert_reads(&second, data, SIZE);
}

static void map_and_index_frames_stand_between_data(void **state)
{
    (void)state;
    struct place index, second_index;
    CLEANUP(map_done) struct map first = {0};
    CLEANUP(map_done) struct map second = {0};
    add(packer, "one", 3, &first);
    add_frame(FRAME_INDEX, "index", &index);
    add(packer, "two", 3, &second);
    add_frame(FRAME_MAP, "map", &second_index);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(packs.count, 1);
    assert_int_equal(index.pack, 1);
    assert_int_equal(index.frame, 1);
    assert_int_equal(second_index.frame, 3);
    assert_int_equal(packs.packs[0].container.frames[1].type, FRAME_INDEX);
    assert_memory_equal(packs.packs[0].plain[1], "index", 5);
    assert_memory_equal(packs.packs[0].plain[3], "map", 3);
    assert_reads(&first, "one", 3);
    assert_reads(&second, "two", 3);
}

static void a_pack_without_data_has_an_empty_hash_frame(void **state)
{
    (void)state;
    struct place place;
    add_frame(FRAME_INDEX, "index", &place);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(packs.packs[0].container.frame_count, 2);
    assert_int_equal(packs.packs[0].container.frames[1].plain_bytes, 0);
}

static void a_pack_takes_no_more_frames_than_its_footer(void **state)
{
    (void)state;
    enum { FRAMES = 1500 };
    struct place place;
    for (int i = 0; i < FRAMES; i++)
        add_frame(FRAME_INDEX, "index", &place);
    flush(packer);
    helper_packs_load(&packs);
    assert_int_equal(packs.count, 2);
    assert_int_equal(place.pack, 2);
    assert_int_equal(packs.packs[0].container.frame_count, CONTAINER_FRAMES_MAX);
    assert_int_equal(helper_packs_frames(&packs, FRAME_INDEX), FRAMES);
}

static void what_was_not_flushed_is_dropped(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(map_done) struct map map = {0};
    add(packer, "one", 3, &map);
    packer_freep(&packer);
    assert_int_equal(helper_packs_finish(&packs, &err), 0);
    assert_int_equal(upload_stored_bytes(packs.upload), 0);
}

static void waiting_for_a_buffer_can_be_canceled(void **state)
{
    (void)state;
    struct error err;
    size_t room;
    CLEANUP(map_done) struct map map = {0};
    cancel_trigger(&repo.cancel);
    memset(packer_space(packer, &room), 1, PIECE_BYTES);
    assert_int_equal(packer_add(packer, PIECE_BYTES, &map, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    assert_int_equal(atomic_load(&packs.next_pack), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_of_any_size_come_back),
        TEST(small_files_share_a_frame),
        TEST(zero_pieces_are_not_stored),
        TEST(what_is_behind_the_end_of_a_file_is_not_stored),
        TEST(nothing_but_zeros_makes_no_pack),
        TEST(full_packs_roll_over),
        TEST(packers_share_numbers_without_a_gap),
        TEST(map_and_index_frames_stand_between_data),
        TEST(a_pack_without_data_has_an_empty_hash_frame),
        TEST(a_pack_takes_no_more_frames_than_its_footer),
        TEST(what_was_not_flushed_is_dropped),
        TEST(waiting_for_a_buffer_can_be_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
