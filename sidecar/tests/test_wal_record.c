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
#include "sidecar/wal_record.h"

enum { XLOG = 0, XACT = 1, STANDBY = 8, HEAP = 10, XID = 4711, PREPARED_XID = 815 };
enum {
    COMMIT = 0x00,
    PREPARE = 0x10,
    ABORT = 0x20,
    COMMIT_PREPARED = 0x30,
    ABORT_PREPARED = 0x40,
    HAS_PARTS = 0x80,
    SWITCH = 0x40,
    PARAMETER_CHANGE = 0x60,
    RESTORE_POINT = 0x70,
    RUNNING = 0x10,
};
enum { MAGIC_17 = 0xd116, MAGIC_18 = 0xd118 };

/* 2026-11-21 22:50:00.123456 UTC */
static const int64_t TIME_US = INT64_C(1795301400123456);
static const int64_t TIME_SINCE_2000 = INT64_C(1795301400123456) - INT64_C(946684800000000);

/* What comes behind the header. */
struct fixture {
    struct buf body;
    struct buf main; /* of it, the main data */
};

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    f->body = f->main = BUF(1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    buf_done(&f->body);
    buf_done(&f->main);
    return 0;
}

static void put(struct buf *buf, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    bytes_store64(bytes, value);
    bytes_put(buf, bytes, size);
}

static void put_zeros(struct buf *buf, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes_put8(buf, 0);
}

/* Puts the main data behind what the body has. */
static void close_main(struct fixture *f)
{
    if (f->main.size < 256) {
        bytes_put8(&f->body, 255);
        bytes_put8(&f->body, (uint8_t)f->main.size);
    } else {
        bytes_put8(&f->body, 254);
        put(&f->body, f->main.size, 4);
    }
    bytes_put(&f->body, f->main.data, f->main.size);
}

struct kind {
    uint8_t resource_manager, info;
    uint16_t magic;
    size_t piece; /* so many bytes are fed at once */
};

static int read_record(const struct fixture *f, const struct kind *kind,
                       struct wal_record *ret_record, struct error *err)
{
    struct wal_record_reader reader;
    uint8_t header[WAL_RECORD_HEADER_BYTES] = {0};
    bytes_store32(header, (uint32_t)(sizeof(header) + f->body.size));
    bytes_store32(header + 4, XID);
    header[16] = kind->info;
    header[17] = kind->resource_manager;
    wal_record_begin(&reader, header, kind->magic);
    for (size_t at = 0; at < f->body.size;) {
        size_t left = f->body.size - at, size = left < kind->piece ? left : kind->piece;
        wal_record_feed(&reader, f->body.data + at, size);
        at += size;
    }
    return wal_record_end(&reader, ret_record, err);
}

/* However the bytes come. */
static struct wal_record expect(const struct fixture *f, struct kind kind)
{
    static const size_t pieces[] = {1, 3, 1 << 20};
    struct wal_record first = {0}, record;
    struct error err;
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        kind.piece = pieces[i];
        if (read_record(f, &kind, &record, &err) < 0)
            fail_msg("%s", err.text);
        if (i == 0)
            first = record;
        assert_int_equal(record.kind, first.kind);
        assert_int_equal(record.xid, first.xid);
        assert_int_equal(record.time_us, first.time_us);
        assert_int_equal(record.size, WAL_RECORD_HEADER_BYTES + f->body.size);
    }
    return first;
}

static void expect_corrupt(const struct fixture *f, uint8_t resource_manager, uint8_t info)
{
    const struct kind kind = {resource_manager, info, MAGIC_17, 5};
    struct wal_record record;
    struct error err;
    assert_int_equal(read_record(f, &kind, &record, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_non_null(strstr(err.text, "of an unknown form"));
}

/* What is read */

static void a_commit_says_its_time(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){XACT, COMMIT, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_COMMIT);
    assert_int_equal(record.xid, XID);
    assert_int_equal(record.time_us, TIME_US);
    assert_true(wal_record_ends_transaction(&record));
}

static void what_else_a_commit_has_does_not_matter(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    put(&f->main, 0xffffffff, 4);
    put_zeros(&f->main, 1000);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){XACT, COMMIT | HAS_PARTS, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_COMMIT);
    assert_int_equal(record.xid, XID);
    assert_int_equal(record.time_us, TIME_US);
}

static void an_abort_is_none_and_ends_its_transaction_too(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){XACT, ABORT, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_ABORT);
    assert_true(wal_record_ends_transaction(&record));
}

static void settings_are_demands(void **state)
{
    struct fixture *f = *state;
    for (uint32_t value = 250; value < 255; value++)
        put(&f->main, value, 4);
    put(&f->main, 1, 4); /* wal_level */
    put_zeros(&f->main, 4);
    close_main(f);
    const struct wal_record record = expect(f, (struct kind){XLOG, PARAMETER_CHANGE, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_DEMANDS);
    assert_int_equal(record.demands.max_connections, 250);
    assert_int_equal(record.demands.max_worker_processes, 251);
    assert_int_equal(record.demands.max_wal_senders, 252);
    assert_int_equal(record.demands.max_prepared_transactions, 253);
    assert_int_equal(record.demands.max_locks_per_transaction, 254);
    f->body.size = f->main.size = 0;
    put_zeros(&f->main, 19);
    close_main(f);
    expect_corrupt(f, XLOG, PARAMETER_CHANGE);
}

static void origin_and_top_level_transaction_are_passed_over(void **state)
{
    struct fixture *f = *state;
    bytes_put8(&f->body, 253);
    put(&f->body, 0xffff, 2);
    bytes_put8(&f->body, 252);
    put(&f->body, 0xffffffff, 4);
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){XACT, COMMIT, MAGIC_17, 0});
    assert_int_equal(record.time_us, TIME_US);
}

/* All parts there are, as the version writes them. */
static void put_prepared(struct fixture *f, size_t stats_bytes, uint32_t subtransactions)
{
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    put(&f->main, 0x1ff | 1u << 29, 4);
    put(&f->main, UINT64_C(0x0000067f00004000), 8); /* database, tablespace */
    put(&f->main, subtransactions, 4);
    for (uint32_t i = 0; i < subtransactions; i++)
        put(&f->main, PREPARED_XID + 1 + i, 4);
    put(&f->main, 2, 4);
    put_zeros(&f->main, 2 * 12); /* files */
    put(&f->main, 3, 4);
    put_zeros(&f->main, 3 * stats_bytes);
    put(&f->main, 1, 4);
    put_zeros(&f->main, 16); /* invalidation message */
    put(&f->main, PREPARED_XID, 4);
    bytes_put(&f->main, "name", 5);
    put_zeros(&f->main, 16); /* origin */
    close_main(f);
}

static void a_prepared_transaction_ends_under_its_own_number(void **state)
{
    static const struct {
        uint8_t info;
        uint16_t magic;
        size_t stats_bytes;
        uint32_t subtransactions;
        enum wal_record_kind kind;
    } rows[] = {
        {COMMIT_PREPARED, MAGIC_17, 12, 0, WAL_RECORD_COMMIT},
        {COMMIT_PREPARED, MAGIC_18, 16, 3, WAL_RECORD_COMMIT},
        {ABORT_PREPARED, MAGIC_17, 12, 5000, WAL_RECORD_ABORT},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture f = {BUF(1 << 20), BUF(1 << 20)};
        put_prepared(&f, rows[i].stats_bytes, rows[i].subtransactions);
        struct wal_record record =
            expect(&f, (struct kind){XACT, rows[i].info | HAS_PARTS, rows[i].magic, 0});
        assert_int_equal(record.kind, rows[i].kind);
        assert_int_equal(record.xid, PREPARED_XID);
        assert_int_equal(record.time_us, TIME_US);
        buf_done(&f.body);
        buf_done(&f.main);
    }
}

static void a_restore_point_says_its_name(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    bytes_put(&f->main, "before the deluge", 17);
    put_zeros(&f->main, WAL_RECORD_NAME_MAX - 17);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){XLOG, RESTORE_POINT, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_RESTORE_POINT);
    assert_string_equal(record.name, "before the deluge");
    assert_int_equal(record.time_us, TIME_US);
    assert_false(wal_record_ends_transaction(&record));
}

static void which_transactions_run_is_said_by_two_numbers(void **state)
{
    struct fixture *f = *state;
    put(&f->main, 3, 4);
    put(&f->main, 0, 4);
    put(&f->main, 0, 4);
    put(&f->main, 1000, 4);
    put(&f->main, 900, 4);
    put(&f->main, 999, 4);
    for (uint32_t xid = 900; xid < 903; xid++)
        put(&f->main, xid, 4);
    close_main(f);
    struct wal_record record = expect(f, (struct kind){STANDBY, RUNNING, MAGIC_17, 0});
    assert_int_equal(record.kind, WAL_RECORD_RUNNING);
    assert_int_equal(record.next_xid, 1000);
    assert_int_equal(record.oldest_xid, 900);
    assert_false(wal_record_ends_transaction(&record));
    assert_int_equal(expect(f, (struct kind){STANDBY, 0, MAGIC_17, 0}).kind, WAL_RECORD_OTHER);
}

static void other_records_may_hold_anything(void **state)
{
    struct fixture *f = *state;
    put_zeros(&f->body, 100);
    assert_int_equal(expect(f, (struct kind){HEAP, COMMIT, MAGIC_17, 0}).kind, WAL_RECORD_OTHER);
    assert_int_equal(expect(f, (struct kind){XACT, PREPARE, MAGIC_17, 0}).kind, WAL_RECORD_OTHER);
    assert_int_equal(expect(f, (struct kind){XLOG, 0, MAGIC_17, 0}).kind, WAL_RECORD_OTHER);
    assert_int_equal(expect(f, (struct kind){XLOG, SWITCH, MAGIC_17, 0}).kind, WAL_RECORD_SWITCH);
}

/* What is refused */

static void a_record_without_what_its_kind_has_is_corrupt(void **state)
{
    struct fixture *f = *state;
    expect_corrupt(f, XACT, COMMIT); /* no body at all */
    put(&f->main, (uint64_t)TIME_SINCE_2000, 7);
    close_main(f);
    expect_corrupt(f, XACT, COMMIT);
    expect_corrupt(f, XLOG, RESTORE_POINT);
    expect_corrupt(f, STANDBY, RUNNING);
}

static void main_data_of_another_length_is_corrupt(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    close_main(f);
    f->body.data[1]++;
    expect_corrupt(f, XACT, COMMIT);
    f->body.data[1] -= 2;
    expect_corrupt(f, XACT, COMMIT);
}

static void a_block_of_a_relation_is_corrupt_where_none_belongs(void **state)
{
    struct fixture *f = *state;
    bytes_put8(&f->body, 0);
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    close_main(f);
    expect_corrupt(f, XACT, COMMIT);
}

static void a_prepared_transaction_without_its_number_is_corrupt(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    put(&f->main, 0, 4);
    close_main(f);
    expect_corrupt(f, XACT, COMMIT_PREPARED);
    expect_corrupt(f, XACT, COMMIT_PREPARED | HAS_PARTS);
}

static void more_subtransactions_than_there_are_bytes_are_corrupt(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    put(&f->main, 1 << 1 | 1 << 4, 4);
    put(&f->main, UINT32_MAX, 4);
    put(&f->main, PREPARED_XID, 4);
    close_main(f);
    expect_corrupt(f, XACT, ABORT_PREPARED | HAS_PARTS);
}

static void a_name_without_an_end_is_corrupt(void **state)
{
    struct fixture *f = *state;
    put(&f->main, (uint64_t)TIME_SINCE_2000, 8);
    for (size_t i = 0; i < WAL_RECORD_NAME_MAX; i++)
        bytes_put8(&f->main, 'x');
    close_main(f);
    expect_corrupt(f, XLOG, RESTORE_POINT);
}

static void a_time_beyond_all_times_is_corrupt(void **state)
{
    struct fixture *f = *state;
    put(&f->main, INT64_MAX, 8);
    close_main(f);
    expect_corrupt(f, XACT, COMMIT);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_commit_says_its_time),
        test(what_else_a_commit_has_does_not_matter),
        test(an_abort_is_none_and_ends_its_transaction_too),
        test(settings_are_demands),
        test(origin_and_top_level_transaction_are_passed_over),
        test(a_prepared_transaction_ends_under_its_own_number),
        test(a_restore_point_says_its_name),
        test(which_transactions_run_is_said_by_two_numbers),
        test(other_records_may_hold_anything),
        test(a_record_without_what_its_kind_has_is_corrupt),
        test(main_data_of_another_length_is_corrupt),
        test(a_block_of_a_relation_is_corrupt_where_none_belongs),
        test(a_prepared_transaction_without_its_number_is_corrupt),
        test(more_subtransactions_than_there_are_bytes_are_corrupt),
        test(a_name_without_an_end_is_corrupt),
        test(a_time_beyond_all_times_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
