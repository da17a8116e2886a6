// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
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
#include "sidecar/repo.h"
#include "sidecar/tests/helper_packs.h"
#include "sidecar/tests/helper_repo.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
