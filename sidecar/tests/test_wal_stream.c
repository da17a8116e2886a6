// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_stream.h"

enum {
    BLOCK = 1024,
    FLUSH_MS = 10000,
    FLYING = 2,
    BEGIN = 8 * BLOCK,
    STEPS = 20000,
    STEP_BYTES_MAX = 90
};

static struct wal_stream stream_at(uint64_t stored_lsn)
{
    struct wal_stream stream;
    const struct wal_stream_options options = {
        .block_bytes = BLOCK,
        .flying = FLYING,
        .flush_ms = FLUSH_MS,
        .begin_lsn = BEGIN,
        .stored_lsn = stored_lsn,
    };
    wal_stream_init(&stream, &options, 0);
    return stream;
}

/* The next deed, but for reports that nobody asked for. */
static enum wal_stream_deed next(struct wal_stream *stream, int64_t now_ms,
                                 struct wal_stream_piece *ret_piece)
{
    stream->status_due_ms = INT64_MAX;
    return wal_stream_next(stream, now_ms, ret_piece);
}

static struct wal_stream_piece expect_sealed(struct wal_stream *stream, int64_t now_ms,
                                             uint64_t from, uint64_t to)
{
    struct wal_stream_piece piece = {0};
    assert_int_equal(next(stream, now_ms, &piece), WAL_STREAM_SEAL);
    assert_int_equal(piece.from_lsn, BEGIN + from);
    assert_int_equal(piece.to_lsn, BEGIN + to);
    assert_int_equal(piece.complete, to - from == BLOCK && from % BLOCK == 0);
    return piece;
}

static void expect(struct wal_stream *stream, int64_t now_ms, enum wal_stream_deed deed)
{
    struct wal_stream_piece piece;
    assert_int_equal(next(stream, now_ms, &piece), deed);
}

/* Everywhere. */
static void arrive(struct wal_stream *stream, const struct wal_stream_piece *piece, int64_t now_ms)
{
    wal_stream_store(stream, piece, now_ms);
    wal_stream_land(stream, now_ms);
}

/* Seals what is there as a tail, and stores it. */
static void flush(struct wal_stream *stream, uint64_t from, uint64_t to)
{
    struct wal_stream_piece piece = expect_sealed(stream, stream->oldest_ms + FLUSH_MS, from, to);
    arrive(stream, &piece, 0);
}

static void a_complete_block_is_sealed_at_once(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    assert_int_equal(wal_stream_room(&stream), BLOCK);
    wal_stream_take(&stream, BLOCK - 1, 5);
    expect(&stream, 5, WAL_STREAM_WAIT);
    wal_stream_take(&stream, 1, 6);
    struct wal_stream_piece piece = expect_sealed(&stream, 6, 0, BLOCK);
    assert_int_equal(wal_stream_room(&stream), BLOCK);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN);
    arrive(&stream, &piece, 7);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + BLOCK);
}

static void an_unfinished_block_is_flushed_when_its_oldest_byte_is_due(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, 10, 1000);
    wal_stream_take(&stream, 10, 9000);
    expect(&stream, 10999, WAL_STREAM_WAIT);
    struct wal_stream_piece piece = expect_sealed(&stream, 11000, 0, 20);
    arrive(&stream, &piece, 11001);
    expect(&stream, 50000, WAL_STREAM_WAIT); /* it did not grow */
    wal_stream_take(&stream, 5, 60000);
    expect(&stream, 60000, WAL_STREAM_WAIT);
    expect_sealed(&stream, 70000, 20, 25);
}

static void tails_take_the_place_of_those_that_are_not_twice_as_long(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    static const struct {
        uint32_t bytes;
        uint64_t from;
    } tails[] = {{1, 0}, {1, 0}, {1, 2}, {1, 0}, {2, 4}, {1, 6}, {1, 0}, {500, 0}, {4, 508}};
    uint64_t at = 0;
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        wal_stream_take(&stream, tails[i].bytes, 0);
        at += tails[i].bytes;
        flush(&stream, tails[i].from, at);
    }
}

static void a_block_begins_without_tails(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, 100, 0);
    flush(&stream, 0, 100);
    wal_stream_take(&stream, BLOCK - 100, 0);
    struct wal_stream_piece piece = expect_sealed(&stream, 0, 0, BLOCK);
    arrive(&stream, &piece, 0);
    wal_stream_take(&stream, 10, 0);
    flush(&stream, BLOCK, BLOCK + 10);
}

static void what_is_stored_already_is_not_sealed_again(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN + 100);
    wal_stream_take(&stream, 60, 0);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + 60);
    expect(&stream, 2 * FLUSH_MS, WAL_STREAM_WAIT);
    wal_stream_take(&stream, 40, 0);
    expect(&stream, 2 * FLUSH_MS, WAL_STREAM_WAIT);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + 100);
    wal_stream_take(&stream, 1, 5000);
    flush(&stream, 0, 101); /* and then it takes the place of whatever was there */
}

static void a_block_that_is_there_is_put_once_more(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN + BLOCK);
    wal_stream_take(&stream, BLOCK, 0);
    struct wal_stream_piece piece = expect_sealed(&stream, 0, 0, BLOCK);
    arrive(&stream, &piece, 0);
    wal_stream_take(&stream, 10, 0);
    flush(&stream, BLOCK, BLOCK + 10);
}

static void only_what_is_stored_without_a_gap_is_reported(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, BLOCK, 0);
    struct wal_stream_piece first = expect_sealed(&stream, 0, 0, BLOCK);
    wal_stream_take(&stream, BLOCK, 0);
    struct wal_stream_piece second = expect_sealed(&stream, 0, BLOCK, 2 * BLOCK);
    arrive(&stream, &second, 0);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN);
    arrive(&stream, &first, 0);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + 2 * BLOCK);
}

static void a_question_is_answered_when_what_came_before_is_stored(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_ask(&stream, 0);
    expect(&stream, 0, WAL_STREAM_REPORT);
    expect(&stream, 0, WAL_STREAM_WAIT);
    wal_stream_take(&stream, 10, 100);
    wal_stream_ask(&stream, 100);
    struct wal_stream_piece piece = expect_sealed(&stream, 100, 0, 10);
    wal_stream_take(&stream, 5, 200); /* what comes behind it is another matter */
    expect(&stream, 200, WAL_STREAM_WAIT);
    arrive(&stream, &piece, 300);
    expect(&stream, 300, WAL_STREAM_REPORT);
    expect(&stream, 300, WAL_STREAM_WAIT);
}

static void a_question_that_cannot_be_answered_in_time_closes_the_connection(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, 10, 0);
    wal_stream_ask(&stream, 1000);
    expect_sealed(&stream, 1000, 0, 10);
    wal_stream_ask(&stream, 4000); /* again: the first one counts */
    expect(&stream, 1000 + WAL_STREAM_PATIENCE_MS - 1, WAL_STREAM_WAIT);
    expect(&stream, 1000 + WAL_STREAM_PATIENCE_MS, WAL_STREAM_CLOSE);
}

static void who_can_take_no_more_for_long_closes_the_connection(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    struct wal_stream_piece first;
    for (uint64_t i = 0; i <= FLYING; i++) {
        wal_stream_take(&stream, BLOCK, 100);
        if (i == 0)
            first = expect_sealed(&stream, 100, 0, BLOCK);
        else if (i < FLYING)
            expect_sealed(&stream, 100, i * BLOCK, (i + 1) * BLOCK);
    }
    assert_int_equal(wal_stream_room(&stream), 0);
    expect(&stream, 4000, WAL_STREAM_WAIT);
    arrive(&stream, &first, 4000);
    expect_sealed(&stream, 4000, FLYING * BLOCK, (FLYING + 1) * BLOCK);
    wal_stream_take(&stream, BLOCK, 5000);
    expect(&stream, 9999, WAL_STREAM_WAIT);
    expect(&stream, 10000, WAL_STREAM_CLOSE);
}

static void what_is_stored_keeps_its_place_until_it_has_landed(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, 10, 0);
    struct wal_stream_piece piece = expect_sealed(&stream, FLUSH_MS, 0, 10);
    wal_stream_store(&stream, &piece, FLUSH_MS);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + 10);
    wal_stream_take(&stream, 10, FLUSH_MS);
    piece = expect_sealed(&stream, 2 * FLUSH_MS, 0, 20); /* a tail behind one that has not landed */
    wal_stream_store(&stream, &piece, 2 * FLUSH_MS);
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + 20);
    wal_stream_take(&stream, BLOCK - 20, 2 * FLUSH_MS);
    expect(&stream, 2 * FLUSH_MS, WAL_STREAM_WAIT);
    wal_stream_land(&stream, 2 * FLUSH_MS + WAL_STREAM_PATIENCE_MS - 1);
    expect_sealed(&stream, 2 * FLUSH_MS + WAL_STREAM_PATIENCE_MS, 0, BLOCK);
}

static void nothing_is_sealed_beside_a_tail(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, 10, 0);
    struct wal_stream_piece tail = expect_sealed(&stream, FLUSH_MS, 0, 10);
    wal_stream_take(&stream, BLOCK - 10, FLUSH_MS);
    expect(&stream, FLUSH_MS, WAL_STREAM_WAIT);
    arrive(&stream, &tail, FLUSH_MS);
    expect_sealed(&stream, FLUSH_MS, 0, BLOCK);
}

static void at_the_end_all_that_came_is_sealed(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    wal_stream_take(&stream, BLOCK, 0);
    struct wal_stream_piece block = expect_sealed(&stream, 0, 0, BLOCK);
    wal_stream_take(&stream, 7, 0);
    wal_stream_end(&stream);
    assert_false(wal_stream_is_drained(&stream));
    struct wal_stream_piece tail = expect_sealed(&stream, 0, BLOCK, BLOCK + 7);
    expect(&stream, 100000, WAL_STREAM_WAIT);
    arrive(&stream, &tail, 0);
    assert_false(wal_stream_is_drained(&stream));
    wal_stream_store(&stream, &block, 0);
    assert_false(wal_stream_is_drained(&stream));
    wal_stream_land(&stream, 0);
    assert_true(wal_stream_is_drained(&stream));
    assert_int_equal(wal_stream_report_lsn(&stream), BEGIN + BLOCK + 7);
}

static void what_came_and_is_not_stored_for_long_is_stalled(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN + 5);
    wal_stream_take(&stream, 5, 0);
    assert_false(wal_stream_is_stalled(&stream, 1000 * FLUSH_MS)); /* idle */
    const int64_t begun_ms = 1000 * FLUSH_MS;
    wal_stream_take(&stream, 10, begun_ms);
    struct wal_stream_piece piece = expect_sealed(&stream, begun_ms + FLUSH_MS, 0, 15);
    wal_stream_take(&stream, 10, begun_ms + 20000);
    assert_false(wal_stream_is_stalled(&stream, begun_ms + WAL_STREAM_STALL_MS - 1));
    assert_true(wal_stream_is_stalled(&stream, begun_ms + WAL_STREAM_STALL_MS));
    const int64_t stored_ms = begun_ms + WAL_STREAM_STALL_MS;
    arrive(&stream, &piece, stored_ms);
    assert_false(wal_stream_is_stalled(&stream, stored_ms + WAL_STREAM_STALL_MS - 1));
    wal_stream_end(&stream);
    assert_false(wal_stream_is_stalled(&stream, stored_ms + WAL_STREAM_PATIENCE_MS - 1));
    assert_true(wal_stream_is_stalled(&stream, stored_ms + WAL_STREAM_PATIENCE_MS));
    piece = expect_sealed(&stream, stored_ms, 0, 25);
    arrive(&stream, &piece, stored_ms + WAL_STREAM_PATIENCE_MS);
    assert_false(wal_stream_is_stalled(&stream, INT64_MAX));
}

static void rare_flushes_are_no_stall(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    stream.options.flush_ms = 2 * WAL_STREAM_STALL_MS;
    wal_stream_take(&stream, 5, 0);
    const int64_t flushes_ms = WAL_STREAM_STALL_FLUSHES * stream.options.flush_ms;
    assert_false(wal_stream_is_stalled(&stream, flushes_ms - 1));
    assert_true(wal_stream_is_stalled(&stream, flushes_ms));
}

static void somebody_is_told_each_second_that_we_are_there(void **state)
{
    (void)state;
    struct wal_stream stream = stream_at(BEGIN);
    struct wal_stream_piece piece;
    assert_int_equal(wal_stream_next(&stream, 999, &piece), WAL_STREAM_WAIT);
    assert_int_equal(wal_stream_next(&stream, 1000, &piece), WAL_STREAM_REPORT);
    assert_int_equal(wal_stream_next(&stream, 1999, &piece), WAL_STREAM_WAIT);
    assert_int_equal(wal_stream_next(&stream, 2000, &piece), WAL_STREAM_REPORT);
}

/* All that was stored, byte by byte. */
struct ledger {
    uint8_t *stored;
    uint64_t checked; /* all before is */
};

static void note(struct ledger *ledger, const struct wal_stream_piece *piece)
{
    for (uint64_t lsn = piece->from_lsn; lsn < piece->to_lsn; lsn++)
        ledger->stored[lsn - BEGIN] = 1;
}

static void check_report(struct ledger *ledger, const struct wal_stream *stream)
{
    const uint64_t reported = wal_stream_report_lsn(stream);
    assert_true(reported >= BEGIN + ledger->checked && reported <= stream->received_lsn);
    for (; BEGIN + ledger->checked < reported; ledger->checked++)
        assert_int_equal(ledger->stored[ledger->checked], 1);
}

/* Whatever is stored in whatever order: what is reported is stored, and nothing is left out. */
static void a_long_stream_leaves_nothing_out(void **state)
{
    (void)state;
    CLEANUP(own_freep) uint8_t *stored = own_alloc(STEPS * STEP_BYTES_MAX);
    struct ledger ledger = {stored, 0};
    struct wal_stream stream = stream_at(BEGIN);
    struct wal_stream_piece flying[FLYING];
    size_t count = 0, landing = 0;
    unsigned short seed[3] = {1, 2, 3};
    for (int64_t now_ms = 0; now_ms < STEPS * INT64_C(500); now_ms += 500) {
        const uint32_t room = wal_stream_room(&stream);
        const uint32_t wished = (uint32_t)(nrand48(seed) % STEP_BYTES_MAX);
        wal_stream_take(&stream, wished < room ? wished : room, now_ms);
        for (struct wal_stream_piece piece; next(&stream, now_ms, &piece) == WAL_STREAM_SEAL;) {
            assert_true(count + landing < FLYING);
            flying[count++] = piece;
        }
        if (count > 0 && nrand48(seed) % 3 == 0) {
            const size_t chosen = (size_t)nrand48(seed) % count;
            note(&ledger, &flying[chosen]);
            wal_stream_store(&stream, &flying[chosen], now_ms);
            flying[chosen] = flying[--count];
            landing++;
        }
        if (landing > 0 && nrand48(seed) % 2 == 0) {
            wal_stream_land(&stream, now_ms);
            landing--;
        }
        check_report(&ledger, &stream);
    }
    assert_true(ledger.checked > 100 * BLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_complete_block_is_sealed_at_once),
        cmocka_unit_test(an_unfinished_block_is_flushed_when_its_oldest_byte_is_due),
        cmocka_unit_test(tails_take_the_place_of_those_that_are_not_twice_as_long),
        cmocka_unit_test(a_block_begins_without_tails),
        cmocka_unit_test(what_is_stored_already_is_not_sealed_again),
        cmocka_unit_test(a_block_that_is_there_is_put_once_more),
        cmocka_unit_test(only_what_is_stored_without_a_gap_is_reported),
        cmocka_unit_test(a_question_is_answered_when_what_came_before_is_stored),
        cmocka_unit_test(a_question_that_cannot_be_answered_in_time_closes_the_connection),
        cmocka_unit_test(who_can_take_no_more_for_long_closes_the_connection),
        cmocka_unit_test(what_is_stored_keeps_its_place_until_it_has_landed),
        cmocka_unit_test(nothing_is_sealed_beside_a_tail),
        cmocka_unit_test(at_the_end_all_that_came_is_sealed),
        cmocka_unit_test(what_came_and_is_not_stored_for_long_is_stalled),
        cmocka_unit_test(rare_flushes_are_no_stall),
        cmocka_unit_test(somebody_is_told_each_second_that_we_are_there),
        cmocka_unit_test(a_long_stream_leaves_nothing_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
