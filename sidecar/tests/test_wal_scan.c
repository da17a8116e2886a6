// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_wal.h"
#include "sidecar/wal_scan.h"

enum { MIB = 1 << 20, PAGE = WAL_SCAN_PAGE_BYTES, ALL = 1 << 30, RECORDS_MAX = 4096 };

/* The first segment of the second log file, of 1 MiB. */
static const uint64_t first_lsn = 0x100000000;
static const int64_t time_us = INT64_C(1795301400000000);

struct fixture {
    struct helper_wal wal;
    struct wal_record made[RECORDS_MAX]; /* size, kind, LSN and xid of what is in it */
    size_t made_count;
    struct wal_record found[RECORDS_MAX];
    size_t found_count;
    struct wal_scan scan; /* the last one */
    struct error err;
};

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    f->wal = helper_wal_from(first_lsn, MIB);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    helper_wal_done(&f->wal);
    return 0;
}

static void note(struct fixture *f, enum wal_record_kind kind, uint64_t lsn)
{
    assert_true(f->made_count < RECORDS_MAX);
    f->made[f->made_count++] = (struct wal_record){.kind = kind, .lsn = lsn};
}

static void fill(struct fixture *f, size_t size)
{
    note(f, WAL_RECORD_OTHER, helper_wal_fill(&f->wal, size));
}

static void commit(struct fixture *f, uint32_t xid)
{
    note(f, WAL_RECORD_COMMIT,
         helper_wal_end_transaction(&f->wal, HELPER_WAL_COMMIT, xid, time_us + xid));
    f->made[f->made_count - 1].xid = xid;
}

/* Transactions of all sizes, records that end at each place of a page, over segments. */
static void make(struct fixture *f, size_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fill(f, i * 7919 % 20011);
        if (i % 5 == 0)
            fill(f, i % 64);
        commit(f, 700 + i);
    }
}

/* From the page that lsn is on to the end, in pieces of so many bytes: 0 if all were records. */
static int scan_from(struct fixture *f, uint64_t lsn, size_t piece)
{
    const uint64_t begin = lsn - lsn % PAGE;
    const uint8_t *at = helper_wal_at(&f->wal, begin), *end = f->wal.bytes.data + f->wal.bytes.size;
    f->scan = wal_scan_from(begin, MIB, HELPER_REPO_SYSTEM);
    f->found_count = 0;
    int found = 0;
    for (; at < end; at += piece < (size_t)(end - at) ? piece : (size_t)(end - at)) {
        struct reader wal = READER(at, piece < (size_t)(end - at) ? piece : (size_t)(end - at));
        while ((found = wal_scan_next(&f->scan, &wal, &f->found[f->found_count], &f->err)) > 0)
            f->found_count++;
        if (found < 0)
            return -1;
        assert_int_equal(reader_left(&wal), 0);
    }
    return 0;
}

/* Finds what was made from number first on. */
static void expect_from(struct fixture *f, size_t first)
{
    assert_int_equal(f->found_count, f->made_count - first);
    for (size_t i = 0; i < f->found_count; i++) {
        const struct wal_record *made = &f->made[first + i], *found = &f->found[i];
        assert_int_equal(found->kind, made->kind);
        assert_int_equal(found->lsn, made->lsn);
        assert_int_equal(found->xid, made->xid);
        assert_int_equal(found->timeline, f->wal.timeline);
        assert_true(found->end_lsn >= found->lsn + found->size);
        if (i > 0)
            assert_true(f->found[i - 1].end_lsn <= found->lsn);
        if (made->kind == WAL_RECORD_COMMIT)
            assert_int_equal(found->time_us, time_us + made->xid);
    }
}

static void expect_all(struct fixture *f)
{
    if (scan_from(f, first_lsn, ALL) < 0)
        fail_msg("%s", f->err.text);
    expect_from(f, 0);
}

static void expect_corrupt(struct fixture *f, const char *text)
{
    assert_int_equal(scan_from(f, first_lsn, ALL), -1);
    assert_int_equal(f->err.kind, ERROR_CORRUPT);
    if (!strstr(f->err.text, text))
        fail_msg("'%s' is not '%s'", f->err.text, text);
    assert_true(wal_scan_ended(&f->scan));
}

/* What is found */

static void records_are_found_over_pages_and_segments(void **state)
{
    struct fixture *f = *state;
    make(f, 400);
    assert_true(f->wal.bytes.size > 3 * MIB);
    expect_all(f);
    assert_false(wal_scan_ended(&f->scan));
}

static void it_is_all_the_same_how_the_bytes_come(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {1, 3, 4096, PAGE, 10007};
    make(f, 130);
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        assert_int_equal(scan_from(f, first_lsn, pieces[i]), 0);
        expect_from(f, 0);
    }
}

static void a_scan_can_begin_at_any_page(void **state)
{
    struct fixture *f = *state;
    size_t first = 0;
    make(f, 130);
    for (uint64_t lsn = first_lsn; lsn < helper_wal_end(&f->wal); lsn += PAGE) {
        while (first < f->made_count && f->made[first].lsn < lsn)
            first++;
        if (scan_from(f, lsn, ALL) < 0)
            fail_msg("%s", f->err.text);
        expect_from(f, first);
    }
}

static void records_may_be_as_large_as_they_like(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    fill(f, 40 * MIB + 12345);
    commit(f, 2);
    expect_all(f);
}

static void all_versions_are_known(void **state)
{
    (void)state;
    static const uint16_t magics[] = {0xd110, 0xd113, 0xd116, 0xd118};
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        void *one;
        setup(&one);
        struct fixture *f = one;
        f->wal.magic = magics[i];
        make(f, 3);
        expect_all(f);
        teardown(&one);
    }
}

static void after_a_switch_comes_the_next_segment(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    note(f, WAL_RECORD_SWITCH, helper_wal_switch(&f->wal));
    memset(helper_wal_at(&f->wal, first_lsn + MIB / 2), 0xee, MIB / 2); /* of a file's former use */
    commit(f, 2);
    expect_all(f);
    assert_int_equal(f->found[1].end_lsn, first_lsn + MIB);
    assert_int_equal(f->found[2].lsn, first_lsn + MIB + 40);
}

static void another_timeline_may_go_on(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    f->wal.timeline = 3;
    for (size_t i = 0; i < 3; i++)
        fill(f, PAGE);
    if (scan_from(f, first_lsn, ALL) < 0)
        fail_msg("%s", f->err.text);
    assert_int_equal(f->found_count, 4);
    assert_int_equal(f->found[1].timeline, 1); /* on the page of the fork */
    assert_int_equal(f->found[3].timeline, 3);
}

static void a_record_that_a_crash_cut_off_is_passed_over(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    const uint64_t previous = f->wal.previous_lsn;
    helper_wal_fill(&f->wal, 3 * PAGE);
    f->wal.bytes.size = 2 * PAGE; /* what the server had of it when it came up again */
    f->wal.previous_lsn = previous;
    commit(f, 2);
    bytes_store16(helper_wal_at(&f->wal, first_lsn + 2 * PAGE) + 2, 8);
    expect_all(f);
}

/* Where WAL ends */

static void zeros_are_the_end(void **state)
{
    struct fixture *f = *state;
    static const size_t ends[] = {100, PAGE - 48, 3 * PAGE};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct error err;
        uint8_t *space;
        make(f, 3);
        assert_int_equal(buf_reserve(&f->wal.bytes, ends[i], &space, &err), 0);
        memset(space, 0, ends[i]);
        f->wal.bytes.size += ends[i];
        expect_all(f);
        assert_true(wal_scan_ended(&f->scan));
        f->wal.bytes.size -= ends[i];
    }
}

static void a_page_of_zeros_is_the_end(void **state)
{
    struct fixture *f = *state;
    struct error err;
    uint8_t *space;
    commit(f, 1);
    helper_wal_fill(&f->wal, 3 * PAGE);
    f->wal.bytes.size = PAGE; /* in the middle of that record */
    assert_int_equal(buf_reserve(&f->wal.bytes, PAGE, &space, &err), 0);
    memset(space, 0, PAGE);
    f->wal.bytes.size += PAGE;
    expect_all(f);
    assert_true(wal_scan_ended(&f->scan));
}

static void what_is_not_complete_is_awaited_if_it_matters(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    expect_all(f);
    assert_false(wal_scan_awaits(&f->scan));
    commit(f, 2);
    const size_t size = f->wal.bytes.size;
    f->made_count--;
    for (size_t i = 1; i < 34; i++) {
        f->wal.bytes.size = size - i;
        expect_all(f);
        assert_true(wal_scan_awaits(&f->scan));
    }
    f->wal.bytes.size = size;
    f->made_count++;
    helper_wal_fill(&f->wal, 3 * PAGE);
    f->wal.bytes.size = 2 * PAGE;
    expect_all(f);
    assert_false(wal_scan_awaits(&f->scan));
}

/* What is refused */

static void no_byte_of_a_record_can_change_unseen(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    fill(f, 20);
    commit(f, 2);
    for (size_t i = 0; i < f->made_count; i++) {
        assert_int_equal(scan_from(f, first_lsn, ALL), 0);
        const uint64_t begin = f->made[i].lsn, size = f->found[i].size;
        for (uint64_t lsn = begin; lsn < begin + size; lsn++) {
            if (lsn - begin == 18 || lsn - begin == 19)
                continue; /* padding that PostgreSQL does not look at either */
            uint8_t *byte = helper_wal_at(&f->wal, lsn);
            *byte ^= 0x10;
            int result = scan_from(f, first_lsn, ALL);
            if (result == 0)
                assert_true(lsn - begin < 4 && f->found_count == i); /* of the size: not complete */
            else
                assert_int_equal(f->err.kind, ERROR_CORRUPT);
            *byte ^= 0x10;
        }
    }
}

struct page_damage {
    uint64_t page;
    size_t offset;
    uint8_t byte;
    const char *text;
};

static void a_page_that_does_not_belong_is_corrupt(void **state)
{
    struct fixture *f = *state;
    static const struct page_damage rows[] = {
        {0, 0, 0x77, "WAL at 1/0: no page of WAL of PostgreSQL 15 to 18"},
        {PAGE, 0, 0x18, "another version of PostgreSQL"},
        {PAGE, 2, 0x10, "impossible flags"},
        {PAGE, 2, 0x03, "impossible flags"}, /* a long header */
        {0, 2, 0x00, "impossible flags"},    /* none */
        {PAGE, 2, 0x09, "impossible flags"},
        {PAGE, 4, 0x00, "an older timeline"},
        {PAGE, 9, 0x40, "WAL at 1/2000: a page of other WAL"},
        {PAGE, 16, 0x01, "does not go on with the record before"},
        {PAGE, 19, 0x70, "impossible size"},
        {PAGE, 2, 0x00, "impossible size"},
        {3 * PAGE, 16, 0x00, "impossible size"},
        {0, 24, 0x77, "another database system"},
        {0, 34, 0x20, "segments of another size"},
        {0, 37, 0x40, "not of 8 KiB"},
    };
    commit(f, 1);
    fill(f, 2 * PAGE - 500);
    while (helper_wal_end(&f->wal) < first_lsn + 3 * PAGE)
        commit(f, 2);
    expect_all(f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t *byte = helper_wal_at(&f->wal, first_lsn + rows[i].page) + rows[i].offset;
        const uint8_t before = *byte;
        *byte = rows[i].byte;
        expect_corrupt(f, rows[i].text);
        *byte = before;
    }
}

static void a_record_of_impossible_size_is_corrupt(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    bytes_store32(helper_wal_at(&f->wal, f->made[0].lsn), 23);
    expect_corrupt(f, "WAL at 1/28: a record of impossible size");
    bytes_store32(helper_wal_at(&f->wal, f->made[0].lsn), (1u << 30) + 1);
    expect_corrupt(f, "WAL at 1/28: a record of impossible size");
}

static void a_record_of_another_chain_is_corrupt(void **state)
{
    struct fixture *f = *state;
    commit(f, 1);
    f->wal.previous_lsn -= 8;
    commit(f, 2);
    expect_corrupt(f, "does not follow the one before");
}

static void a_record_with_a_right_checksum_must_make_sense(void **state)
{
    struct fixture *f = *state;
    helper_wal_add(&f->wal, &(struct helper_wal_record){
                                .resource_manager = HELPER_WAL_XACT,
                                .data = "nonsense",
                                .size = 8,
                            });
    expect_corrupt(f, "WAL at 1/28: a record of resource manager 1 of an unknown form");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(records_are_found_over_pages_and_segments),
        test(it_is_all_the_same_how_the_bytes_come),
        test(a_scan_can_begin_at_any_page),
        test(records_may_be_as_large_as_they_like),
        cmocka_unit_test(all_versions_are_known),
        test(after_a_switch_comes_the_next_segment),
        test(another_timeline_may_go_on),
        test(a_record_that_a_crash_cut_off_is_passed_over),
        test(zeros_are_the_end),
        test(a_page_of_zeros_is_the_end),
        test(what_is_not_complete_is_awaited_if_it_matters),
        test(no_byte_of_a_record_can_change_unseen),
        test(a_page_that_does_not_belong_is_corrupt),
        test(a_record_of_impossible_size_is_corrupt),
        test(a_record_of_another_chain_is_corrupt),
        test(a_record_with_a_right_checksum_must_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
