// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/frame.h"

struct fixture {
    struct frame_codec *codec;
    uint8_t *plain, *coded, *back;
    size_t capacity, coded_size;
};

static void setup(struct fixture *f, int level, size_t size)
{
    f->codec = frame_codec_new(level);
    f->capacity = frame_bound(FRAME_PLAIN_MAX);
    f->plain = own_alloc(FRAME_PLAIN_MAX);
    f->coded = own_alloc(f->capacity);
    f->back = own_alloc(FRAME_PLAIN_MAX);
    for (size_t i = 0; i < size; i++)
        f->plain[i] = (uint8_t)(i / 37 ^ i >> 11);
    struct error err;
    assert_int_equal(
        frame_compress(f->codec, f->plain, size, f->coded, f->capacity, &f->coded_size, &err), 0);
}

static void teardown(struct fixture *f)
{
    frame_codec_freep(&f->codec);
    free(f->plain);
    free(f->coded);
    free(f->back);
}

static void assert_corrupt(struct fixture *f, size_t size, size_t plain_size)
{
    struct error err = {0};
    assert_int_equal(frame_decompress(f->codec, f->coded, size, f->back, plain_size, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
}

static void frames_of_all_sizes_come_back_at_all_levels(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, PIECE_BYTES, FRAME_PLAIN_MAX};
    for (int level = FRAME_LEVEL_MIN; level <= FRAME_LEVEL_MAX; level += 6)
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            struct fixture f;
            struct error err;
            setup(&f, level, sizes[i]);
            assert_int_equal(
                frame_decompress(f.codec, f.coded, f.coded_size, f.back, sizes[i], &err), 0);
            assert_memory_equal(f.plain, f.back, sizes[i]);
            teardown(&f);
        }
}

static void a_frame_of_another_size_than_stated_is_corrupt(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1, 100000);
    assert_corrupt(&f, f.coded_size, 99999);
    assert_corrupt(&f, f.coded_size, 100001);
    assert_corrupt(&f, f.coded_size, 0);
    teardown(&f);
}

/* A bomb: 1 MiB of zeros in some 60 bytes, but the index says 10. Under ASan a write behind the ten
 * bytes would be seen. */
static void a_bomb_stops_at_the_size_that_is_stated(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1, 0);
    memset(f.plain, 0, FRAME_PLAIN_MAX);
    struct error err;
    assert_int_equal(
        frame_compress(f.codec, f.plain, FRAME_PLAIN_MAX, f.coded, f.capacity, &f.coded_size, &err),
        0);
    assert_true(f.coded_size < 200);
    CLEANUP(own_freep) uint8_t *ten = own_alloc(10);
    assert_int_equal(frame_decompress(f.codec, f.coded, f.coded_size, ten, 10, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    teardown(&f);
}

static void a_frame_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1, 5000);
    for (size_t size = 0; size < f.coded_size; size++)
        assert_corrupt(&f, size, 5000);
    teardown(&f);
}

static void a_flipped_byte_of_content_is_seen_by_the_checksum(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1, 20);
    for (size_t i = 0; i < 20; i++)
        f.plain[i] = (uint8_t)(i * 41); /* incompressible: stored as it is */
    struct error err;
    assert_int_equal(frame_compress(f.codec, f.plain, 20, f.coded, f.capacity, &f.coded_size, &err),
                     0);
    f.coded[f.coded_size - 10] ^= 1;
    assert_corrupt(&f, f.coded_size, 20);
    teardown(&f);
}

static void two_frames_in_one_are_corrupt(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1, 10);
    memcpy(f.coded + f.coded_size, f.coded, f.coded_size);
    assert_corrupt(&f, 2 * f.coded_size, 20);
    static const uint8_t skippable[] = {0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0};
    memcpy(f.coded + f.coded_size, skippable, sizeof(skippable));
    assert_corrupt(&f, f.coded_size + sizeof(skippable), 10);
    memcpy(f.coded, skippable, sizeof(skippable));
    assert_corrupt(&f, sizeof(skippable), 0);
    teardown(&f);
}

static void a_frame_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = {0};
    setup(&f, 1, 5000);
    size_t size;
    assert_int_equal(frame_compress(f.codec, f.plain, 5000, f.coded, 20, &size, &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_all_sizes_come_back_at_all_levels),
        cmocka_unit_test(a_frame_of_another_size_than_stated_is_corrupt),
        cmocka_unit_test(a_bomb_stops_at_the_size_that_is_stated),
        cmocka_unit_test(a_frame_cut_anywhere_is_corrupt),
        cmocka_unit_test(a_flipped_byte_of_content_is_seen_by_the_checksum),
        cmocka_unit_test(two_frames_in_one_are_corrupt),
        cmocka_unit_test(a_frame_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
