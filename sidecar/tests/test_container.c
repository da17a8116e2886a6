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
#include "sidecar/container.h"
#include "sidecar/frame.h"
#include "sidecar/tests/helper_keys.h"

enum { CAPACITY = 4 << 20, DEK = 32 };

/* An object of three small frames and a footer of its own, "footer". */
struct fixture {
    struct container_identity identity;
    struct keyring keyring;
    struct frame_codec *codec;
    uint8_t *object;
    size_t size;
    uint8_t sha256[DIGEST_BYTES];
    struct error err;
};

static const char *const plains[] = {"first frame", "second frame", "the third and last"};

static struct container_writer *writer_of(struct fixture *f, size_t capacity)
{
    struct container_writer *writer = NULL;
    assert_int_equal(container_writer_new(&writer, &f->identity, f->keyring.active, f->object,
                                          capacity, &f->err),
                     0);
    return writer;
}

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    f->identity = helper_identity(CONTAINER_PACK);
    f->keyring = helper_keyring(DEK);
    f->codec = frame_codec_new(1);
    f->object = own_alloc(CAPACITY);
    CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, CAPACITY);
    for (size_t i = 0; i < ARRAY_SIZE(plains); i++)
        assert_int_equal(container_append(writer, f->codec, i == 2 ? FRAME_HASH : FRAME_DATA,
                                          plains[i], strlen(plains[i]), i == 2, &f->err),
                         0);
    assert_int_equal(container_frames(writer), 3);
    assert_int_equal(container_finish(writer, "footer", 6, &f->size, f->sha256, &f->err), 0);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    keyring_done(&f->keyring);
    frame_codec_freep(&f->codec);
    free(f->object);
    free(f);
    return 0;
}

static int open_whole(struct fixture *f, struct container *ret_container)
{
    f->err = (struct error){0};
    return container_open(ret_container, &f->identity, &f->keyring, f->object, f->size, f->size,
                          &f->err);
}

static void assert_refused(struct fixture *f, enum error_kind kind)
{
    struct container container;
    assert_int_equal(open_whole(f, &container), -1);
    assert_int_equal(f->err.kind, kind);
    assert_non_null(strstr(f->err.text, f->identity.name));
}

/* The digest is no secret: whoever changes an object can make it right again. */
static void redo_digest(struct fixture *f)
{
    digest_sha256(f->object, f->size - DIGEST_BYTES, f->object + f->size - DIGEST_BYTES);
}

static void assert_every_frame_reads(struct fixture *f, struct container *container)
{
    assert_int_equal(container->frame_count, ARRAY_SIZE(plains));
    for (uint32_t i = 0; i < ARRAY_SIZE(plains); i++) {
        const struct container_frame *frame = &container->frames[i];
        char plain[64];
        assert_int_equal(frame->plain_bytes, strlen(plains[i]));
        assert_int_equal(frame->type, i == 2 ? FRAME_HASH : FRAME_DATA);
        assert_int_equal(
            container_read(container, f->codec, i, f->object + frame->offset, plain, &f->err), 0);
        assert_memory_equal(plain, plains[i], strlen(plains[i]));
    }
}

static void an_object_opens_and_its_frames_read(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    assert_int_equal(container.footer_size, 6);
    assert_memory_equal(container.footer, "footer", 6);
    assert_every_frame_reads(f, &container);
    assert_int_equal(container_check(f->object, f->size, &f->err), 0);
    uint8_t sha256[DIGEST_BYTES];
    digest_sha256(f->object, f->size, sha256);
    assert_memory_equal(sha256, f->sha256, DIGEST_BYTES);
}

static void every_flipped_bit_is_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            f->object[i] ^= (uint8_t)(1U << bit);
            assert_refused(f, ERROR_CORRUPT);
            assert_int_equal(container_check(f->object, f->size, &f->err), -1);
            assert_int_equal(f->err.kind, ERROR_CORRUPT);
            f->object[i] ^= (uint8_t)(1U << bit);
        }
}

/* The same by somebody who makes the digest right: then the seals must tell. Trailer bytes that are
 * looked at before anything can be authenticated have kinds of their own. */
static void every_flipped_byte_under_a_right_digest_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t trailer = f->size - DIGEST_BYTES - CONTAINER_TRAILER_BYTES;
    for (size_t i = 0; i < f->size - DIGEST_BYTES; i++) {
        f->object[i] ^= 0x40;
        redo_digest(f);
        f->err = (struct error){0};
        CLEANUP(container_done) struct container container = {0};
        char plain[64];
        int result = open_whole(f, &container);
        for (uint32_t frame = 0; result == 0 && frame < container.frame_count; frame++)
            result = container_read(&container, f->codec, frame,
                                    f->object + container.frames[frame].offset, plain, &f->err);
        assert_int_equal(result, -1);
        enum error_kind expected = i == trailer || i == trailer + 1 ? ERROR_PERMANENT /* version */
                                   : i == trailer + 3               ? ERROR_PERMANENT /* suite */
                                   : i >= trailer + 8 && i < trailer + 16 ? ERROR_PERMANENT
                                                                          : ERROR_CORRUPT;
        assert_int_equal(f->err.kind, expected);
        f->object[i] ^= 0x40;
    }
}

static void an_object_cut_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t size = f->size;
    for (f->size = 0; f->size < size; f->size++)
        assert_refused(f, ERROR_CORRUPT);
}

static void an_object_with_more_behind_is_refused(void **state)
{
    struct fixture *f = *state;
    f->size++;
    assert_refused(f, ERROR_CORRUPT);
}

static void an_object_under_another_name_is_refused(void **state)
{
    struct fixture *f = *state;
    f->identity.name = "packs/x/000002";
    assert_refused(f, ERROR_CORRUPT);
}

static void an_object_of_another_repository_is_refused(void **state)
{
    struct fixture *f = *state;
    f->identity.repository_id[31] ^= 1;
    assert_refused(f, ERROR_CORRUPT);
}

static void an_object_of_another_kind_is_refused(void **state)
{
    struct fixture *f = *state;
    f->identity.kind = CONTAINER_MANIFEST;
    assert_refused(f, ERROR_CORRUPT);
    f->object[f->size - DIGEST_BYTES - CONTAINER_TRAILER_BYTES + 2] = CONTAINER_MANIFEST;
    redo_digest(f);
    assert_refused(f, ERROR_CORRUPT); /* relabelled, it commits to another key */
}

static void without_its_data_key_an_object_is_not_damaged(void **state)
{
    struct fixture *f = *state;
    keyring_done(&f->keyring);
    f->keyring = helper_keyring(DEK + 1);
    assert_refused(f, ERROR_PERMANENT);
    assert_non_null(strstr(f->err.text, "data key"));
}

/* A key under the id of another: 64 bits of id can collide, 256 of commitment cannot. */
static void another_key_of_the_same_id_is_told_by_the_commitment(void **state)
{
    struct fixture *f = *state;
    f->keyring.keys[0].bytes[0] ^= 1;
    assert_refused(f, ERROR_CORRUPT);
    assert_non_null(strstr(f->err.text, "another key"));
}

static void swapped_frames_are_refused(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    char plain[64];
    for (uint32_t i = 0; i < 2; i++) {
        const struct container_frame *other = &container.frames[1 - i];
        container.frames[i].sealed_bytes = other->sealed_bytes;
        assert_int_equal(
            container_read(&container, f->codec, i, f->object + other->offset, plain, &f->err), -1);
        assert_int_equal(f->err.kind, ERROR_CORRUPT);
        assert_non_null(strstr(f->err.text, f->identity.name));
    }
    assert_int_equal(container_read(&container, f->codec, 3, f->object, plain, &f->err), -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
}

/* Even if the footer could be forged: the last frame knows that it is the last. */
static void frames_cut_off_the_end_are_missed(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    container.frame_count = 2;
    char plain[64];
    assert_int_equal(container_read(&container, f->codec, 1, f->object + container.frames[1].offset,
                                    plain, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
}

static void the_tail_alone_opens_a_large_object(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, CAPACITY);
    CLEANUP(own_freep) uint8_t *noise = own_alloc(FRAME_PLAIN_MAX);
    CLEANUP(own_freep) uint8_t *plain = own_alloc(FRAME_PLAIN_MAX);
    assert_int_equal(key_random(noise, FRAME_PLAIN_MAX, &f->err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            container_append(writer, f->codec, FRAME_DATA, noise, FRAME_PLAIN_MAX, i == 2, &f->err),
            0);
    assert_int_equal(container_finish(writer, NULL, 0, &f->size, f->sha256, &f->err), 0);

    CLEANUP(container_done) struct container container = {0};
    const uint8_t *tail = f->object + f->size - CONTAINER_TAIL_MAX;
    f->object[100] ^= 1; /* is not looked at yet */
    assert_int_equal(container_open(&container, &f->identity, &f->keyring, tail, CONTAINER_TAIL_MAX,
                                    f->size, &f->err),
                     0);
    f->object[100] ^= 1;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(container_read(&container, f->codec, i,
                                        f->object + container.frames[i].offset, plain, &f->err),
                         0);
        assert_memory_equal(plain, noise, FRAME_PLAIN_MAX);
    }
    /* a store that answers with less than was asked for */
    assert_int_equal(container_open(&container, &f->identity, &f->keyring, tail + 1,
                                    CONTAINER_TAIL_MAX - 1, f->size, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
}

static void what_container_fits_says_is_true(void **state)
{
    struct fixture *f = *state;
    enum { FOOTER = 1000, RESERVE = 4096, FRAME = 30000, ROOM = 200000 };
    CLEANUP(own_freep) uint8_t *noise = own_alloc(FRAME);
    uint8_t footer[FOOTER] = {0};
    assert_int_equal(key_random(noise, FRAME, &f->err), 0);
    CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, ROOM);
    while (container_fits(writer, FRAME, RESERVE, FOOTER))
        assert_int_equal(
            container_append(writer, f->codec, FRAME_DATA, noise, FRAME, false, &f->err), 0);
    assert_true(container_frames(writer) >= ROOM / FRAME - 1);
    assert_int_equal(container_append(writer, f->codec, FRAME_HASH, noise, RESERVE, true, &f->err),
                     0);
    assert_int_equal(container_finish(writer, footer, FOOTER, &f->size, f->sha256, &f->err), 0);
    assert_true(f->size <= ROOM);
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    assert_int_equal(container.footer_size, FOOTER);
}

static void a_frame_too_many_is_an_error_and_harms_nothing(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) uint8_t *noise = own_alloc(5000);
    assert_int_equal(key_random(noise, 5000, &f->err), 0);
    CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, 6000);
    assert_int_equal(container_append(writer, f->codec, FRAME_DATA, noise, 5000, false, &f->err),
                     0);
    assert_int_equal(container_append(writer, f->codec, FRAME_DATA, noise, 5000, true, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_PERMANENT);
    assert_int_equal(container_append(writer, f->codec, FRAME_DATA, noise, 10, true, &f->err), 0);
    assert_int_equal(container_finish(writer, noise, 5000, &f->size, f->sha256, &f->err), -1);
    assert_int_equal(f->err.kind, ERROR_PERMANENT);
    assert_int_equal(container_finish(writer, NULL, 0, &f->size, f->sha256, &f->err), 0);
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
}

static void no_object_has_more_than_1024_frames(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, CAPACITY);
    for (int i = 1; i < CONTAINER_FRAMES_MAX; i++)
        assert_int_equal(container_append(writer, f->codec, FRAME_DATA, "x", 1, false, &f->err), 0);
    assert_true(container_fits(writer, 1, 0, 0));
    assert_false(container_fits(writer, 1, 1, 0));
    assert_false(container_fits(writer, 1, 0, CONTAINER_TAIL_MAX));
    assert_int_equal(container_append(writer, f->codec, FRAME_DATA, "x", 1, true, &f->err), 0);
    assert_false(container_fits(writer, 1, 0, 0));
    assert_int_equal(container_finish(writer, NULL, 0, &f->size, f->sha256, &f->err), 0);
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    assert_int_equal(container.frame_count, CONTAINER_FRAMES_MAX);
}

static void a_large_footer_keeps_the_tail_in_its_bound(void **state)
{
    struct fixture *f = *state;
    CLEANUP(own_freep) uint8_t *footer = own_alloc(CONTAINER_TAIL_MAX);
    size_t size = CONTAINER_TAIL_MAX;
    for (int result = -1; result < 0; size--) {
        CLEANUP(container_writer_freep) struct container_writer *writer = writer_of(f, CAPACITY);
        assert_int_equal(container_append(writer, f->codec, FRAME_DATA, "x", 1, true, &f->err), 0);
        result = container_finish(writer, footer, size, &f->size, f->sha256, &f->err);
    }
    assert_true(size > CONTAINER_TAIL_MAX - 200);
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(open_whole(f, &container), 0);
    assert_true(f->size - container.frames[0].offset - container.frames[0].sealed_bytes <=
                CONTAINER_TAIL_MAX);
}

/* What only somebody can make who makes the digest right, too. */
static void an_object_of_an_unknown_kind_is_refused_without_a_key(void **state)
{
    struct fixture *f = *state;
    f->object[f->size - DIGEST_BYTES - CONTAINER_TRAILER_BYTES + 2] = CONTAINER_EVIDENCE + 1;
    redo_digest(f);
    assert_int_equal(container_check(f->object, f->size, &f->err), -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
}

static void a_footer_that_is_less_than_its_tag_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t *footer_bytes = f->object + f->size - DIGEST_BYTES - sizeof(uint32_t);
    for (uint32_t size = 0; size < SEAL_TAG_BYTES; size++) {
        bytes_store32(footer_bytes, size);
        redo_digest(f);
        assert_refused(f, ERROR_CORRUPT);
    }
    bytes_store32(footer_bytes, UINT32_MAX);
    redo_digest(f);
    assert_refused(f, ERROR_CORRUPT);
}

static void an_object_that_is_larger_than_any_is_refused(void **state)
{
    struct fixture *f = *state;
    struct container container;
    uint64_t size = (uint64_t)CONTAINER_BYTES_MAX + 1;
    assert_int_equal(container_open(&container, &f->identity, &f->keyring, f->object,
                                    CONTAINER_TAIL_MAX, size, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
}

static void no_two_objects_are_sealed_alike(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf one = BUF(CONTAINER_BYTES_MAX), two = BUF(CONTAINER_BYTES_MAX);
    assert_int_equal(container_pack(&f->identity, f->keyring.active, 1, "same", 4, NULL, 0, &one,
                                    f->sha256, &f->err),
                     0);
    assert_int_equal(container_pack(&f->identity, f->keyring.active, 1, "same", 4, NULL, 0, &two,
                                    f->sha256, &f->err),
                     0);
    assert_int_equal(one.size, two.size);
    assert_memory_not_equal(one.data, two.data, one.size);
    buf_done(&two);
}

static void packed_content_of_any_size_comes_back(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, FRAME_PLAIN_MAX, FRAME_PLAIN_MAX + 1, 5 << 20};
    CLEANUP(own_freep) uint8_t *noise = own_alloc(5 << 20);
    assert_int_equal(key_random(noise, 5 << 20, &f->err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
        CLEANUP(buf_done) struct buf plain = BUF(sizes[i]);
        CLEANUP(buf_done) struct buf footer = BUF(100);
        assert_int_equal(container_pack(&f->identity, f->keyring.active, 1, noise, sizes[i], "ab",
                                        2, &object, f->sha256, &f->err),
                         0);
        assert_int_equal(container_unpack(&f->identity, &f->keyring, object.data, object.size,
                                          &plain, &footer, &f->err),
                         0);
        assert_int_equal(plain.size, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(plain.data, noise, sizes[i]);
        assert_int_equal(footer.size, 2);
    }
}

static void content_that_is_larger_than_the_caller_allows_is_corrupt(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf plain = BUF(20);
    assert_int_equal(
        container_unpack(&f->identity, &f->keyring, f->object, f->size, &plain, NULL, &f->err), -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
    assert_int_equal(plain.size, 0);
}

static void content_that_no_object_can_hold_is_an_error(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_done) struct buf object = BUF(CONTAINER_BYTES_MAX);
    assert_int_equal(container_pack(&f->identity, f->keyring.active, 1, "", SIZE_MAX, NULL, 0,
                                    &object, f->sha256, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_PERMANENT);
    assert_int_equal(container_pack(&f->identity, f->keyring.active, 1, "", CONTAINER_BYTES_MAX,
                                    NULL, 0, &object, f->sha256, &f->err),
                     -1);
    assert_int_equal(f->err.kind, ERROR_PERMANENT);
}

static void assert_footer_refused(const void *footer, size_t size, uint64_t frames_bytes)
{
    struct error err = {0};
    struct container container = {0};
    /* a copy that ends where it ends, for the sanitizer */
    CLEANUP(own_freep) uint8_t *copy = own_alloc(size);
    if (size > 0)
        memcpy(copy, footer, size);
    assert_int_equal(container_parse_footer(&container, copy, size, frames_bytes, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_null(container.frames);
}

static void a_footer_that_lies_is_corrupt(void **state)
{
    (void)state;
    static const uint8_t good[] = {2, 1, 20, 8, 4, 30, 9, 'x'};
    struct error err;
    CLEANUP(container_done) struct container container = {0};
    assert_int_equal(container_parse_footer(&container, good, sizeof(good), 50, &err), 0);
    assert_int_equal(container.frames[1].offset, 28);
    assert_int_equal(container.footer_size, 1);

    assert_footer_refused(good, sizeof(good), 49);
    assert_footer_refused(good, sizeof(good), 51);
    assert_footer_refused(good, sizeof(good), 0);
    for (size_t size = 0; size < sizeof(good) - 1; size++)
        assert_footer_refused(good, size, 50);
    static const struct {
        uint8_t bytes[24];
        size_t size;
    } lies[] = {
        {{0}, 1},                                                        /* no frame */
        {{0x81, 8, 1, 50, 8}, 5},                                        /* 1025 frames */
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1}, 10}, /* 2^64 - 1 frames */
        {{1, 0, 50, 8}, 4},                                              /* types */
        {{1, 5, 50, 8}, 4},
        {{1, 1, 16, 8}, 4},                /* nothing but a tag */
        {{1, 1, 50, 0x81, 0x80, 0x40}, 6}, /* 1 MiB and one byte of plaintext */
        /* sizes whose sum is 50 only modulo 2^64 */
        {{2, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 8, 1, 51, 8}, 16},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
        assert_footer_refused(lies[i].bytes, lies[i].size, 50);
    static const uint8_t large[] = {1, 1, 0x80, 0x80, 0x80, 1, 8}; /* a frame of 2 MiB sealed */
    assert_footer_refused(large, sizeof(large), 1 << 21);
}

static void what_is_intact_of_a_damaged_object_can_be_salvaged(void **state)
{
    struct fixture *f = *state;
    CLEANUP(container_done) struct container container = {0};
    struct buf object = {.data = f->object, .size = f->size, .capacity = CAPACITY};
    struct error damage;
    uint8_t plain[64];
    assert_int_equal(
        container_salvage(&container, &f->identity, &f->keyring, &object, &damage, &f->err), 0);
    assert_int_equal(damage.kind, ERROR_NONE);
    const uint64_t second = container.frames[1].offset;
    container_done(&container);

    f->object[second] ^= 1;
    assert_int_equal(
        container_salvage(&container, &f->identity, &f->keyring, &object, &damage, &f->err), 0);
    assert_int_equal(damage.kind, ERROR_CORRUPT);
    assert_non_null(strstr(damage.text, "SHA-256"));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(container_read(&container, f->codec, i,
                                        f->object + container.frames[i].offset, plain, &f->err),
                         i == 1 ? -1 : 0);
    container_done(&container);

    /* without its footer there is nothing to be had; what is said is what came first */
    f->object[f->size - DIGEST_BYTES - CONTAINER_TRAILER_BYTES - 1] ^= 1;
    assert_int_equal(
        container_salvage(&container, &f->identity, &f->keyring, &object, &damage, &f->err), -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(f->err.text, "SHA-256"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_object_opens_and_its_frames_read),
        TEST(every_flipped_bit_is_refused),
        TEST(every_flipped_byte_under_a_right_digest_is_refused),
        TEST(an_object_cut_anywhere_is_refused),
        TEST(an_object_with_more_behind_is_refused),
        TEST(an_object_under_another_name_is_refused),
        TEST(an_object_of_another_repository_is_refused),
        TEST(an_object_of_another_kind_is_refused),
        TEST(without_its_data_key_an_object_is_not_damaged),
        TEST(another_key_of_the_same_id_is_told_by_the_commitment),
        TEST(swapped_frames_are_refused),
        TEST(frames_cut_off_the_end_are_missed),
        TEST(the_tail_alone_opens_a_large_object),
        TEST(what_container_fits_says_is_true),
        TEST(a_frame_too_many_is_an_error_and_harms_nothing),
        TEST(no_object_has_more_than_1024_frames),
        TEST(a_large_footer_keeps_the_tail_in_its_bound),
        TEST(an_object_of_an_unknown_kind_is_refused_without_a_key),
        TEST(a_footer_that_is_less_than_its_tag_is_refused),
        TEST(an_object_that_is_larger_than_any_is_refused),
        TEST(no_two_objects_are_sealed_alike),
        TEST(packed_content_of_any_size_comes_back),
        TEST(content_that_is_larger_than_the_caller_allows_is_corrupt),
        TEST(content_that_no_object_can_hold_is_an_error),
        TEST(what_is_intact_of_a_damaged_object_can_be_salvaged),
        cmocka_unit_test(a_footer_that_lies_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
