// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/frame.h"
#include "sidecar/pack_hashes.h"
#include "sidecar/pack_reader.h"
#include "sidecar/piece_hash.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_store_fault.h"

#define PACK_1 "packs/" HELPER_PACKS_BACKUP "/000001"

static struct helper_repo repo;
static struct pack_reader *reader;

/* Two packs, each with three pieces of its number in frame 0 and a map frame behind. */
static int set_up(void **state)
{
    (void)state;
    struct helper_packs packs;
    struct error err;
    helper_repo_open(&repo, 1, 0);
    helper_packs_open(&packs, &repo, 2);
    for (int pack = 1; pack <= 2; pack++) {
        CLEANUP(packer_freep) struct packer *packer = packer_new(&packs.options);
        CLEANUP(buf_done) struct buf map = BUF(100);
        CLEANUP(map_done) struct map pieces_map = {0};
        struct place place;
        size_t pieces;
        uint8_t *space = packer_space(packer, &pieces);
        memset(space, pack, 3 * PIECE_BYTES);
        assert_int_equal(packer_add(packer, 3 * PIECE_BYTES, &pieces_map, &err), 0);
        assert_int_equal(buf_append(&map, "a map", 5, &err), 0);
        assert_int_equal(packer_add_frame(packer, FRAME_MAP, &map, &place, &err), 0);
        assert_int_equal(packer_flush(packer, &err), 0);
    }
    assert_int_equal(helper_packs_finish(&packs, &err), 0);
    helper_packs_close(&packs);
    reader = pack_reader_new(repo.repo, PACK_READER_INTACT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pack_reader_freep(&reader);
    helper_repo_close(&repo);
    return 0;
}

static void open_pack(uint32_t number)
{
    struct error err;
    if (pack_reader_open(reader, HELPER_PACKS_BACKUP, number, &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_data(uint32_t piece, size_t size, uint8_t value)
{
    struct error err;
    const uint8_t *data;
    if (pack_reader_data(reader, piece, size, &data, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], value);
}

static void expect_error(int result, const struct error *err, enum error_kind kind,
                         const char *text)
{
    assert_int_equal(result, -1);
    if (err->kind != kind || !strstr(err->text, text))
        fail_msg("'%s' (%s), not '%s'", err->text, error_kind_name(err->kind), text);
}

static void pieces_are_read_from_the_open_pack(void **state)
{
    (void)state;
    open_pack(1);
    expect_data(0, 3 * PIECE_BYTES, 1);
    expect_data(2, 100, 1);
    open_pack(2);
    expect_data(1, PIECE_BYTES, 2);
}

static void a_pack_that_is_open_already_is_not_fetched_again(void **state)
{
    (void)state;
    open_pack(1);
    uint64_t once = pack_reader_fetched_bytes(reader);
    assert_true(once > 0);
    open_pack(1);
    assert_int_equal(pack_reader_fetched_bytes(reader), once);
    open_pack(2);
    assert_true(pack_reader_fetched_bytes(reader) > once);
}

static void a_frame_is_what_it_is_asked_for(void **state)
{
    (void)state;
    struct error err;
    const uint8_t *plain;
    size_t size;
    open_pack(1);
    assert_int_equal(pack_reader_frame(reader, 1, FRAME_MAP, &plain, &size, &err), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(plain, "a map", 5);
    expect_error(pack_reader_frame(reader, 1, FRAME_DATA, &plain, &size, &err), &err, ERROR_CORRUPT,
                 "frame 1 of '" PACK_1 "' is of type 2, not 1");
    expect_error(pack_reader_frame(reader, 3, FRAME_DATA, &plain, &size, &err), &err, ERROR_CORRUPT,
                 "'" PACK_1 "' has no frame 3");
    expect_data(0, 10, 1); /* and the reader goes on */
}

static void pieces_behind_the_end_of_a_frame_are_corrupt(void **state)
{
    (void)state;
    struct error err;
    const uint8_t *data;
    open_pack(1);
    expect_error(pack_reader_data(reader, 3, 1, &data, &err), &err, ERROR_CORRUPT,
                 "frame 0 of '" PACK_1 "' has 24576 bytes, not 24577");
    expect_error(pack_reader_data(reader, 100, 1, &data, &err), &err, ERROR_CORRUPT, "bytes");
    expect_error(pack_reader_data(reader, 0, SIZE_MAX, &data, &err), &err, ERROR_CORRUPT, "bytes");
}

static void a_pack_that_cannot_be_fetched_is_named_and_not_remembered(void **state)
{
    (void)state;
    struct error err;
    open_pack(2);
    helper_repo_damage(&repo, 0, PACK_1);
    expect_error(pack_reader_open(reader, HELPER_PACKS_BACKUP, 1, &err), &err, ERROR_CORRUPT,
                 PACK_1);
    helper_repo_damage(&repo, 0, PACK_1);
    open_pack(1);
    expect_data(0, 10, 1);
    expect_error(pack_reader_open(reader, HELPER_PACKS_BACKUP, 3, &err), &err, ERROR_NOT_FOUND,
                 "packs/" HELPER_PACKS_BACKUP "/000003");
}

static uint64_t size_of_pack_1(void)
{
    CLEANUP(own_freep) char *path = helper_repo_path(&repo, 0, PACK_1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void open_tail(uint32_t number)
{
    struct error err;
    if (pack_reader_open_tail(reader, HELPER_PACKS_BACKUP, number, size_of_pack_1(), &err) < 0)
        fail_msg("%s", err.text);
}

static void a_pack_can_be_read_frame_by_frame(void **state)
{
    (void)state;
    open_tail(1);
    expect_data(0, PIECE_BYTES, 1);
    expect_data(1, 2 * PIECE_BYTES, 1);
    open_tail(2);
    expect_data(0, 3 * PIECE_BYTES, 2);
    open_pack(2); /* whole now … */
    expect_data(0, PIECE_BYTES, 2);
    const uint64_t fetched = pack_reader_fetched_bytes(reader);
    open_tail(2); /* … and still */
    expect_data(0, PIECE_BYTES, 2);
    assert_int_equal(pack_reader_fetched_bytes(reader), fetched);
}

static void the_hashes_of_a_pack_are_those_of_its_pieces(void **state)
{
    (void)state;
    CLEANUP(pack_hashes_done) struct pack_hashes hashes = {0};
    struct piece_hash hash;
    struct error err;
    uint8_t piece[PIECE_BYTES];
    uint64_t found = 0;
    memset(piece, 1, sizeof(piece));
    piece_hash_init(&hash, &repo.repo->keyring.id_key);
    open_tail(1);
    if (pack_hashes_load(&hashes, reader, &err) < 0)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(pack_hashes_find(&hashes, 0, i, &found));
        assert_true(found == piece_hash(&hash, piece));
    }
    assert_false(pack_hashes_find(&hashes, 0, 3, &found)); /* behind the frame */
    assert_false(pack_hashes_find(&hashes, 1, 0, &found)); /* of the map frame */
    assert_false(pack_hashes_find(&hashes, 2, 0, &found)); /* of the hash frame itself */
}

/* Parts of a pack: 20 frames of 100 kB, which do not compress, in two regions. */

enum { FRAMES = 20, FRAME_BYTES = 100000 };

static atomic_uint requests; /* to both regions */

static void frame_content(uint32_t frame, uint8_t content[FRAME_BYTES])
{
    uint64_t state = frame;
    for (size_t i = 0; i < FRAME_BYTES; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        content[i] = (uint8_t)(state >> 56);
    }
}

static void put_frames(struct packer *packer)
{
    CLEANUP(own_freep) uint8_t *content = own_alloc(FRAME_BYTES);
    CLEANUP(buf_done) struct buf frame = BUF(FRAME_BYTES);
    struct place place;
    struct error err;
    for (uint32_t i = 0; i < FRAMES; i++) {
        frame_content(i, content);
        buf_clear(&frame);
        assert_int_equal(buf_append(&frame, content, FRAME_BYTES, &err), 0);
        assert_int_equal(packer_add_frame(packer, FRAME_MAP, &frame, &place, &err), 0);
        assert_int_equal(place.frame, i);
    }
    assert_int_equal(packer_flush(packer, &err), 0);
}

static int set_up_frames(void **state)
{
    (void)state;
    struct helper_packs packs;
    struct error err;
    helper_repo_open(&repo, 2, 0);
    helper_packs_open(&packs, &repo, 1);
    struct packer *packer = packer_new(&packs.options);
    put_frames(packer);
    packer_freep(&packer);
    assert_int_equal(helper_packs_finish(&packs, &err), 0);
    helper_packs_close(&packs);
    for (size_t i = 0; i < 2; i++) {
        struct region *region = regions_at(repo.regions, i);
        region->store = store_fault_wrap(TAKE(region->store));
        store_fault_count(region->store, &requests);
    }
    reader = pack_reader_new(repo.repo, PACK_READER_INTACT);
    open_tail(1);
    requests = 0;
    return 0;
}

static void expect_frame(uint32_t frame)
{
    CLEANUP(own_freep) uint8_t *content = own_alloc(FRAME_BYTES);
    const uint8_t *plain;
    struct error err;
    size_t size;
    frame_content(frame, content);
    if (pack_reader_frame(reader, frame, FRAME_MAP, &plain, &size, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(size, FRAME_BYTES);
    assert_memory_equal(plain, content, FRAME_BYTES);
}

/* What reading frames costs when it was said before that they will be. */
static void expect_requests(const uint32_t *frames, size_t count, unsigned expected)
{
    for (size_t i = 0; i < count; i++)
        pack_reader_want(reader, frames[i], frames[i]);
    for (size_t i = 0; i < count; i++)
        expect_frame(frames[i]);
    assert_int_equal(requests, expected);
}

static void neighbouring_frames_are_fetched_in_one_request(void **state)
{
    (void)state;
    const uint64_t before = pack_reader_fetched_bytes(reader);
    expect_requests((const uint32_t[]){3, 4, 5}, 3, 1);
    const uint64_t fetched = pack_reader_fetched_bytes(reader) - before;
    assert_in_range(fetched, 3 * FRAME_BYTES, 3 * FRAME_BYTES + 1000); /* and nothing else */
}

static void so_are_those_with_small_gaps(void **state)
{
    (void)state;
    const uint64_t before = pack_reader_fetched_bytes(reader);
    expect_requests((const uint32_t[]){1, 3, 4, 7}, 4, 1);
    const uint64_t fetched = pack_reader_fetched_bytes(reader) - before;
    assert_in_range(fetched, 7 * FRAME_BYTES, 7 * FRAME_BYTES + 1000);
}

static void more_than_twice_of_what_is_wanted_is_never_fetched(void **state)
{
    (void)state;
    const uint64_t before = pack_reader_fetched_bytes(reader);
    expect_requests((const uint32_t[]){0, 4, 5, 14}, 4, 3);
    const uint64_t fetched = pack_reader_fetched_bytes(reader) - before;
    assert_in_range(fetched, 4 * FRAME_BYTES, 4 * FRAME_BYTES + 1000);
}

static void no_gap_is_larger_than_a_megabyte(void **state)
{
    (void)state;
    const uint64_t before = pack_reader_fetched_bytes(reader);
    pack_reader_want(reader, 0, 7);
    pack_reader_want(reader, 19, 19); /* 1.1 MB behind: less than was wanted before it */
    expect_frame(0);
    const uint64_t fetched = pack_reader_fetched_bytes(reader) - before;
    assert_in_range(fetched, 8 * FRAME_BYTES, 8 * FRAME_BYTES + 1000);
}

static void a_frame_that_nobody_spoke_of_is_fetched_alone(void **state)
{
    (void)state;
    pack_reader_want(reader, 1, 2);
    expect_frame(8);
    expect_frame(1);
    expect_frame(2);
    assert_int_equal(requests, 2);
    expect_requests((const uint32_t[]){9}, 1, 3);
}

static void what_the_tail_has_is_not_fetched_again(void **state)
{
    (void)state;
    CLEANUP(pack_hashes_done) struct pack_hashes hashes = {0};
    struct error err;
    assert_int_equal(pack_hashes_load(&hashes, reader, &err), 0);
    assert_int_equal(requests, 0);
}

static void a_damaged_frame_among_neighbours_comes_from_another_region(void **state)
{
    (void)state;
    struct error err;
    const uint8_t *plain;
    size_t size;
    helper_repo_damage(&repo, 0, PACK_1);               /* frame 0 */
    expect_requests((const uint32_t[]){0, 1, 2}, 3, 3); /* all three, and the first from both */
    helper_repo_damage(&repo, 1, PACK_1);
    pack_reader_freep(&reader);
    reader = pack_reader_new(repo.repo, PACK_READER_INTACT);
    open_tail(1);
    expect_error(pack_reader_frame(reader, 0, FRAME_MAP, &plain, &size, &err), &err, ERROR_CORRUPT,
                 PACK_1);
    expect_frame(1);
}

static void a_request_that_fails_is_not_taken_for_an_answer(void **state)
{
    (void)state;
    struct error err;
    const uint8_t *plain;
    size_t size;
    expect_frame(0);
    for (size_t i = 0; i < 2; i++)
        store_fault_set(regions_at(repo.regions, i)->store, 1, UINT_MAX, STORE_FAULT_PERMANENT);
    expect_error(pack_reader_frame(reader, 5, FRAME_MAP, &plain, &size, &err), &err,
                 ERROR_PERMANENT, "fault of the test");
    for (size_t i = 0; i < 2; i++)
        store_fault_set(regions_at(repo.regions, i)->store, 0, 0, STORE_FAULT_PERMANENT);
    expect_frame(5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(pieces_are_read_from_the_open_pack),
        TEST(a_pack_that_is_open_already_is_not_fetched_again),
        TEST(a_frame_is_what_it_is_asked_for),
        TEST(pieces_behind_the_end_of_a_frame_are_corrupt),
        TEST(a_pack_that_cannot_be_fetched_is_named_and_not_remembered),
        TEST(a_pack_can_be_read_frame_by_frame),
        TEST(the_hashes_of_a_pack_are_those_of_its_pieces),
#define PARTS(name) cmocka_unit_test_setup_teardown(name, set_up_frames, tear_down)
        PARTS(neighbouring_frames_are_fetched_in_one_request),
        PARTS(so_are_those_with_small_gaps),
        PARTS(more_than_twice_of_what_is_wanted_is_never_fetched),
        PARTS(no_gap_is_larger_than_a_megabyte),
        PARTS(a_frame_that_nobody_spoke_of_is_fetched_alone),
        PARTS(what_the_tail_has_is_not_fetched_again),
        PARTS(a_damaged_frame_among_neighbours_comes_from_another_region),
        PARTS(a_request_that_fails_is_not_taken_for_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
