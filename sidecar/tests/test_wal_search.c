// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_wal.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_search.h"

enum { MIB = 1 << 20, RECORDS_MAX = 1024, FIRST_XID = 700 };

static const uint64_t first_lsn = 0x1fff00000; /* the last segment of a log file, of 1 MiB */
static const int64_t first_us = INT64_C(1795301400000000);

/* A repository with WAL in it. */
struct fixture {
    struct helper_repo helper;
    struct helper_wal wal;
    struct wal_record ends[RECORDS_MAX]; /* of transactions: LSN, xid and time */
    size_t end_count;
    struct timeline_span spans[3];
    struct timeline history;
    struct wal_search search;
};

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    helper_repo_open(&f->helper, 2, 0);
    f->wal = helper_wal_from(first_lsn, MIB);
    f->spans[0] = (struct timeline_span){1, 0, UINT64_MAX};
    f->history = (struct timeline){f->spans, 1};
    f->search = (struct wal_search){
        .repo = f->helper.repo,
        .history = &f->history,
        .segment_bytes = MIB,
        .from = first_lsn,
        .cancel = &f->helper.cancel,
    };
    log_set_level(LOG_LEVEL_ERROR);
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    helper_wal_done(&f->wal);
    helper_repo_close(&f->helper);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

/* Making WAL: a transaction a second */

static void end_transaction(struct fixture *f, uint8_t info)
{
    assert_true(f->end_count < RECORDS_MAX);
    const uint32_t number = (uint32_t)f->end_count;
    struct wal_record *end = &f->ends[f->end_count++];
    end->xid = FIRST_XID + number;
    end->time_us = first_us + number * INT64_C(1000000);
    end->lsn = helper_wal_end_transaction(&f->wal, info, end->xid, end->time_us);
}

static void make(struct fixture *f, size_t transactions, size_t bytes)
{
    for (size_t i = 0; i < transactions; i++) {
        helper_wal_fill(&f->wal, bytes);
        end_transaction(f, i % 7 == 6 ? HELPER_WAL_ABORT : HELPER_WAL_COMMIT);
    }
}

/* Puts what is made of [from, to), which lies in one segment, as the timeline's. */
static void put_piece(struct fixture *f, const struct helper_wal *wal, uint64_t from, uint64_t to)
{
    uint64_t stored = 0;
    struct error err;
    const struct wal_piece piece = {
        .timeline = wal->timeline,
        .segment_lsn = from - from % MIB,
        .segment_bytes = MIB,
        .from = (uint32_t)(from % MIB),
        .to = (uint32_t)(to - (from - from % MIB)),
    };
    if (wal_archive_put(f->helper.repo, &piece, helper_wal_at(wal, from), &stored, &err) < 0)
        fail_msg("%s", err.text);
}

/* Complete segments, and the last as far as it goes. */
static void put(struct fixture *f, const struct helper_wal *wal)
{
    const uint64_t end = helper_wal_end(wal);
    for (uint64_t lsn = wal->first_lsn; lsn < end; lsn += MIB)
        put_piece(f, wal, lsn, end - lsn < MIB ? end : lsn + MIB);
    f->search.to = end;
}

static void remove_segment(const struct fixture *f, uint32_t timeline, uint64_t lsn)
{
    char segment[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(timeline, lsn, MIB, segment);
    CLEANUP(own_freep) char *prefix = own_format("wal/%.8s/%.8s/%s", segment, segment + 8, segment);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, prefix);
    for (size_t region = 0; region < 2; region++)
        helper_repo_remove_object(&f->helper, region, name);
}

/* Searching */

static struct wal_record find(const struct fixture *f, struct wal_search_wish wish)
{
    struct wal_record record = {0};
    struct error err;
    if (wal_search_first(&f->search, &wish, &record, &err) < 0)
        fail_msg("%s", err.text);
    return record;
}

static struct wal_record find_last(const struct fixture *f)
{
    struct wal_record record = {0};
    struct error err;
    if (wal_search_last(&f->search, &record, &err) < 0)
        fail_msg("%s", err.text);
    return record;
}

static void expect_end(const struct fixture *f, const struct wal_record *found, size_t number)
{
    if (number >= f->end_count) {
        assert_int_equal(found->kind, WAL_RECORD_NONE);
        return;
    }
    assert_true(wal_record_ends_transaction(found));
    assert_int_equal(found->lsn, f->ends[number].lsn);
    assert_int_equal(found->xid, f->ends[number].xid);
    assert_int_equal(found->time_us, f->ends[number].time_us);
}

static void expect_failure(const struct fixture *f, struct wal_search_wish wish,
                           enum error_kind kind, const char *text)
{
    struct wal_record record;
    struct error err;
    assert_int_equal(wal_search_first(&f->search, &wish, &record, &err), -1);
    if (err.kind != kind || !strstr(err.text, text))
        fail_msg("%s: '%s' is not '%s'", error_kind_name(err.kind), err.text, text);
}

static struct wal_search_wish at(int64_t time_us)
{
    return (struct wal_search_wish){.by = WAL_SEARCH_TIME, .time_us = time_us};
}

static struct wal_search_wish after(int64_t time_us)
{
    return (struct wal_search_wish){.by = WAL_SEARCH_TIME, .time_us = time_us, .later = true};
}

static struct wal_search_wish of(uint32_t xid)
{
    return (struct wal_search_wish){.by = WAL_SEARCH_XID, .xid = xid};
}

static struct wal_search_wish named(const char *name)
{
    return (struct wal_search_wish){.by = WAL_SEARCH_NAME, .name = name};
}

/* Times */

static void the_first_end_at_or_after_a_time_is_found(void **state)
{
    struct fixture *f = *state;
    make(f, 13, 380 * 1000);
    put(f, &f->wal);
    for (size_t i = 0; i < f->end_count; i++) {
        struct wal_record found = find(f, at(f->ends[i].time_us));
        expect_end(f, &found, i);
        found = find(f, at(f->ends[i].time_us - 1));
        expect_end(f, &found, i);
        found = find(f, after(f->ends[i].time_us));
        expect_end(f, &found, i + 1);
    }
}

static void segments_in_which_nothing_ended_hide_nothing(void **state)
{
    struct fixture *f = *state;
    make(f, 3, 1000);
    helper_wal_fill(&f->wal, 5 * MIB);
    make(f, 1, 1000);
    helper_wal_fill(&f->wal, 3 * MIB);
    put(f, &f->wal);
    for (size_t i = 0; i < f->end_count; i++) {
        struct wal_record found = find(f, at(f->ends[i].time_us));
        expect_end(f, &found, i);
    }
    struct wal_record found = find(f, after(f->ends[3].time_us));
    expect_end(f, &found, 4);
}

static void ends_of_the_same_time_are_told_in_their_order(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < 20; i++) {
        const uint32_t xid = FIRST_XID + (uint32_t)i;
        const int64_t time_us = first_us + (int64_t)(i / 10);
        f->ends[i].lsn = helper_wal_end_transaction(&f->wal, HELPER_WAL_COMMIT, xid, time_us);
        helper_wal_fill(&f->wal, MIB / 3);
    }
    put(f, &f->wal);
    assert_int_equal(find(f, at(first_us)).lsn, f->ends[0].lsn);
    assert_int_equal(find(f, after(first_us)).lsn, f->ends[10].lsn);
    assert_int_equal(find(f, at(first_us + 1)).lsn, f->ends[10].lsn);
    assert_int_equal(find(f, after(first_us + 1)).kind, WAL_RECORD_NONE);
}

static void bisection_leaves_most_segments_alone(void **state)
{
    struct fixture *f = *state;
    make(f, 54, 300 * 1000);
    put(f, &f->wal);
    /* all but the first, the last, and what bisecting for the last comes by */
    for (uint64_t lsn = first_lsn + MIB; lsn < first_lsn + 7 * MIB; lsn += MIB)
        remove_segment(f, 1, lsn);
    struct wal_record found = find(f, at(f->ends[53].time_us));
    expect_end(f, &found, 53);
    found = find(f, after(f->ends[53].time_us));
    expect_end(f, &found, 54);
}

/* The last end */

static void the_last_end_is_found_wherever_the_search_ends(void **state)
{
    struct fixture *f = *state;
    make(f, 14, 200 * 1000);
    helper_wal_fill(&f->wal, 2 * MIB + 1000);
    put(f, &f->wal);
    struct wal_record found = find_last(f);
    expect_end(f, &found, 13);
    for (size_t i = 0; i < 14; i++) {
        f->search.to = f->ends[i].lsn;
        found = find_last(f);
        expect_end(f, &found, i > 0 ? i - 1 : f->end_count);
        f->search.to = f->ends[i].lsn + 40; /* all of it */
        if (f->ends[i].lsn % 8192 < 8192 - 40) {
            found = find_last(f);
            expect_end(f, &found, i);
        }
    }
}

/* So that its last bytes are the first of the next segment. */
static void an_end_on_both_sides_of_a_border_is_found_once(void **state)
{
    struct fixture *f = *state;
    make(f, 1, 1000);
    while (MIB - helper_wal_end(&f->wal) % MIB > 60)
        helper_wal_fill(&f->wal, MIB - helper_wal_end(&f->wal) % MIB > 9000 ? 1000 : 16);
    if (MIB - helper_wal_end(&f->wal) % MIB > 32)
        helper_wal_fill(&f->wal, 0);
    end_transaction(f, HELPER_WAL_COMMIT);
    const uint64_t lsn = f->ends[1].lsn, border = first_lsn + MIB;
    assert_true(lsn < border && lsn + 34 > border);
    helper_wal_fill(&f->wal, 3 * MIB);
    put(f, &f->wal);
    struct wal_record found = find_last(f);
    expect_end(f, &found, 1);
    found = find(f, at(f->ends[1].time_us));
    expect_end(f, &found, 1);
    f->search.from = border;
    assert_int_equal(find_last(f).kind, WAL_RECORD_NONE);
    f->search.from = first_lsn;
    f->search.to = border;
    found = find_last(f);
    expect_end(f, &found, 0);
}

static void what_is_before_the_search_does_not_count(void **state)
{
    struct fixture *f = *state;
    make(f, 10, 300 * 1000);
    helper_wal_fill(&f->wal, MIB);
    put(f, &f->wal);
    f->search.from = f->ends[9].lsn;
    struct wal_record found = find_last(f);
    expect_end(f, &found, 9);
    found = find(f, at(0));
    expect_end(f, &found, 9);
    f->search.from++;
    assert_int_equal(find_last(f).kind, WAL_RECORD_NONE);
    assert_int_equal(find(f, at(0)).kind, WAL_RECORD_NONE);
    f->search.from = f->search.to;
    assert_int_equal(find_last(f).kind, WAL_RECORD_NONE);
    assert_int_equal(find(f, at(0)).kind, WAL_RECORD_NONE);
    assert_int_equal(find(f, of(FIRST_XID)).kind, WAL_RECORD_NONE);
}

/* Transactions, restore points, LSNs */

static void a_transaction_is_found_by_its_number(void **state)
{
    struct fixture *f = *state;
    make(f, 10, 270 * 1000);
    put(f, &f->wal);
    for (size_t i = 0; i < f->end_count; i++) {
        struct wal_record found = find(f, of(f->ends[i].xid));
        expect_end(f, &found, i);
        assert_int_equal(found.kind, i % 7 == 6 ? WAL_RECORD_ABORT : WAL_RECORD_COMMIT);
    }
    assert_int_equal(find(f, of(FIRST_XID - 1)).kind, WAL_RECORD_NONE);
}

/* More than ten segments; twice in each, a transaction ends and it is said which ones run. */
static void make_long(struct fixture *f)
{
    for (size_t i = 0; i < 20; i++) {
        const uint32_t next = FIRST_XID + (uint32_t)f->end_count;
        helper_wal_running(&f->wal, next, next);
        helper_wal_fill(&f->wal, MIB / 2);
        end_transaction(f, HELPER_WAL_COMMIT);
    }
    put(f, &f->wal);
    assert_true(f->search.to - f->search.from > 9 * MIB);
}

static void a_transaction_is_looked_for_where_it_may_have_run(void **state)
{
    struct fixture *f = *state;
    make_long(f);
    for (size_t i = 0; i < f->end_count; i += 3) {
        struct wal_record found = find(f, of(f->ends[i].xid));
        expect_end(f, &found, i);
    }
    assert_int_equal(find(f, of(FIRST_XID - 1)).kind, WAL_RECORD_NONE);
    assert_int_equal(find(f, of(FIRST_XID + 20)).kind, WAL_RECORD_NONE);
    for (uint64_t lsn = first_lsn + MIB; lsn < first_lsn + 4 * MIB; lsn += MIB)
        remove_segment(f, 1, lsn); /* which are not read for what ended late */
    for (size_t i = 14; i < f->end_count; i += 2) {
        struct wal_record found = find(f, of(f->ends[i].xid));
        expect_end(f, &found, i);
    }
    expect_failure(f, of(FIRST_XID), ERROR_NOT_FOUND, "no WAL from");
}

/* It began before all others and ended last. */
static void a_transaction_that_ran_long_is_found_too(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 1; i < 20; i++) {
        helper_wal_running(&f->wal, FIRST_XID, FIRST_XID + i);
        helper_wal_fill(&f->wal, MIB / 2);
        helper_wal_end_transaction(&f->wal, HELPER_WAL_COMMIT, FIRST_XID + i, first_us + i);
    }
    const uint64_t lsn =
        helper_wal_end_transaction(&f->wal, HELPER_WAL_ABORT, FIRST_XID, first_us + 20);
    put(f, &f->wal);
    struct wal_record found = find(f, of(FIRST_XID));
    assert_int_equal(found.kind, WAL_RECORD_ABORT);
    assert_int_equal(found.lsn, lsn);
    for (uint32_t i = 1; i < 20; i += 6)
        assert_int_equal(find(f, of(FIRST_XID + i)).time_us, first_us + i);
}

static void numbers_of_transactions_wrap_around(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t xid = UINT32_MAX - 9 + i; /* PostgreSQL leaves out the first three */
        helper_wal_running(&f->wal, xid, xid);
        helper_wal_fill(&f->wal, MIB / 2);
        helper_wal_end_transaction(&f->wal, HELPER_WAL_COMMIT, xid, first_us + i);
    }
    put(f, &f->wal);
    for (uint32_t i = 0; i < 20; i += 3)
        assert_int_equal(find(f, of(UINT32_MAX - 9 + i)).time_us, first_us + i);
}

static void of_restore_points_of_one_name_the_first_is_found(void **state)
{
    struct fixture *f = *state;
    make(f, 3, MIB / 2);
    const uint64_t first = helper_wal_restore_point(&f->wal, "here", first_us);
    make(f, 3, MIB / 2);
    const uint64_t second = helper_wal_restore_point(&f->wal, "here", first_us + 1);
    helper_wal_restore_point(&f->wal, "there", first_us + 2);
    put(f, &f->wal);
    struct wal_record found = find(f, named("here"));
    assert_int_equal(found.kind, WAL_RECORD_RESTORE_POINT);
    assert_int_equal(found.lsn, first);
    assert_int_equal(found.time_us, first_us);
    f->search.from = found.end_lsn;
    found = find(f, named("here"));
    assert_int_equal(found.lsn, second);
    assert_int_equal(found.time_us, first_us + 1);
    assert_string_equal(find(f, named("there")).name, "there");
    assert_int_equal(find(f, named("her")).kind, WAL_RECORD_NONE);
}

static void the_record_that_recovery_to_an_lsn_stops_at_is_found(void **state)
{
    struct fixture *f = *state;
    make(f, 10, MIB / 4);
    put(f, &f->wal);
    struct wal_search_wish wish = {.by = WAL_SEARCH_LSN, .lsn = f->ends[5].lsn};
    assert_int_equal(find(f, wish).lsn, f->ends[5].lsn);
    wish.lsn++;
    struct wal_record found = find(f, wish);
    assert_int_equal(found.kind, WAL_RECORD_OTHER);
    assert_in_range(found.lsn, f->ends[5].lsn + 40, f->ends[5].lsn + 80);
    wish.lsn = 0;
    assert_int_equal(find(f, wish).lsn, first_lsn + 40);
    wish.lsn = f->search.to;
    assert_int_equal(find(f, wish).kind, WAL_RECORD_NONE);
}

static void behind_a_switch_comes_nothing_in_its_segment(void **state)
{
    struct fixture *f = *state;
    make(f, 3, 1000);
    const uint64_t switched = helper_wal_switch(&f->wal);
    put(f, &f->wal);
    struct wal_search_wish wish = {.by = WAL_SEARCH_LSN, .lsn = switched};
    assert_int_equal(find(f, wish).lsn, switched);
    wish.lsn = switched + 1;
    assert_int_equal(find(f, wish).kind, WAL_RECORD_NONE);
    wish.lsn = f->search.to - 8;
    assert_int_equal(find(f, wish).kind, WAL_RECORD_NONE);
    make(f, 1, 1000);
    put(f, &f->wal);
    assert_in_range(find(f, wish).lsn, wish.lsn, f->search.to);
}

/* Timelines */

/* Timeline 2 goes on from the middle of the third segment, 1 goes on by itself. */
static struct helper_wal fork_away(struct fixture *f)
{
    make(f, 10, 250 * 1000);
    const uint64_t fork_lsn = (helper_wal_end(&f->wal) + 7) & ~UINT64_C(7);
    struct helper_wal fork = helper_wal_fork(&f->wal, 2);
    helper_wal_fill(&f->wal, 1000);
    helper_wal_end_transaction(&f->wal, HELPER_WAL_COMMIT, 1, first_us + 1);
    f->spans[0].end_lsn = fork_lsn;
    f->spans[1] = (struct timeline_span){2, fork_lsn, UINT64_MAX};
    f->history.count = 2;
    assert_true(fork_lsn % MIB > 1000);
    return fork;
}

static void go_on(struct fixture *f, struct helper_wal *wal)
{
    const struct helper_wal before = f->wal;
    f->wal = *wal;
    make(f, 10, 250 * 1000);
    *wal = f->wal;
    f->wal = before;
}

static void expect_all_ends(const struct fixture *f)
{
    for (size_t i = 0; i < f->end_count; i++) {
        struct wal_record found = find(f, at(f->ends[i].time_us));
        expect_end(f, &found, i);
        found = find(f, of(f->ends[i].xid));
        expect_end(f, &found, i);
    }
    assert_int_equal(find(f, of(1)).kind, WAL_RECORD_NONE);
    struct wal_record found = find_last(f);
    expect_end(f, &found, f->end_count - 1);
}

static void a_search_follows_the_history_over_a_fork(void **state)
{
    struct fixture *f = *state;
    CLEANUP(helper_wal_done) struct helper_wal fork = fork_away(f);
    go_on(f, &fork);
    put(f, &f->wal);
    const uint64_t begin = f->spans[1].begin_lsn / MIB * MIB, end = helper_wal_end(&fork);
    for (uint64_t lsn = begin; lsn < end; lsn += MIB)
        put_piece(f, &fork, lsn, end - lsn < MIB ? end : lsn + MIB);
    f->search.to = end;
    expect_all_ends(f);
    assert_int_equal(find(f, of(f->ends[0].xid)).timeline, 1);
    assert_int_equal(find_last(f).timeline, 2);
    f->search.to = f->spans[1].begin_lsn;
    struct wal_record found = find_last(f);
    expect_end(f, &found, 9);
}

static void up_to_the_fork_the_older_timeline_serves(void **state)
{
    struct fixture *f = *state;
    struct helper_wal fork = fork_away(f);
    helper_wal_done(&fork); /* it is in no bucket yet */
    put(f, &f->wal);
    f->search.to = f->spans[1].begin_lsn;
    expect_all_ends(f);
    f->search.to += 8;
    expect_failure(f, at(f->ends[9].time_us + 1), ERROR_NOT_FOUND, "no WAL from 2/");
    expect_failure(f, at(f->ends[9].time_us + 1), ERROR_NOT_FOUND, "'00000002");
}

static void nobody_waits_for_a_region_that_may_have_the_newer_one(void **state)
{
    struct fixture *f = *state;
    struct helper_wal fork = fork_away(f);
    struct error err;
    helper_wal_done(&fork);
    put(f, &f->wal);
    CLEANUP(own_freep) char *there = own_format("%s/r1", f->helper.directory);
    CLEANUP(own_freep) char *away = own_format("%s/away", f->helper.directory);
    assert_return_code(rename(there, away), errno);
    if (helper_repo_reopen(&f->helper, false, 0, &err) < 0)
        fail_msg("%s", err.text);
    f->search.repo = f->helper.repo;
    f->search.to = f->spans[1].begin_lsn;
    expect_all_ends(f);
    f->search.to += 8;
    expect_failure(f, at(f->ends[9].time_us + 1), ERROR_TRANSIENT, "but not all regions");
}

/* What fails */

static void missing_wal_is_named(void **state)
{
    struct fixture *f = *state;
    make(f, 60, 100 * 1000);
    put(f, &f->wal);
    remove_segment(f, 1, first_lsn + 2 * MIB);
    expect_failure(f, named("nowhere"), ERROR_NOT_FOUND, "no WAL from 2/100000 on");
    struct wal_record found = find(f, of(FIRST_XID + 1));
    expect_end(f, &found, 1);
    found = find_last(f);
    expect_end(f, &found, 59);
}

static void wal_that_is_none_is_corrupt(void **state)
{
    struct fixture *f = *state;
    make(f, 30, 100 * 1000);
    helper_wal_at(&f->wal, f->ends[15].lsn)[30] ^= 1;
    put(f, &f->wal);
    expect_failure(f, named("nowhere"), ERROR_CORRUPT, "checksum is wrong");
    struct wal_record found = find(f, of(f->ends[14].xid));
    expect_end(f, &found, 14);
}

static void wal_of_another_system_is_corrupt(void **state)
{
    struct fixture *f = *state;
    f->wal.system_identifier++;
    make(f, 3, 1000);
    put(f, &f->wal);
    expect_failure(f, at(0), ERROR_CORRUPT, "another database system");
}

static void unwritten_wal_is_the_end(void **state)
{
    struct fixture *f = *state;
    make(f, 3, 1000);
    const uint64_t end = helper_wal_end(&f->wal);
    put(f, &f->wal);
    const struct wal_piece piece = {1, first_lsn, MIB, (uint32_t)(end % MIB), MIB};
    CLEANUP(own_freep) uint8_t *zeros = own_alloc(MIB);
    uint64_t stored = 0;
    struct error err;
    assert_int_equal(wal_archive_put(f->helper.repo, &piece, zeros, &stored, &err), 0);
    f->search.to = first_lsn + MIB;
    struct wal_record found = find_last(f);
    expect_end(f, &found, 2);
    assert_int_equal(find(f, named("nowhere")).kind, WAL_RECORD_NONE);
}

static void a_search_can_be_canceled(void **state)
{
    struct fixture *f = *state;
    struct wal_record record;
    struct error err;
    make(f, 3, 1000);
    put(f, &f->wal);
    cancel_trigger(&f->helper.cancel);
    expect_failure(f, at(0), ERROR_CANCELED, "");
    expect_failure(f, of(FIRST_XID), ERROR_CANCELED, "");
    assert_int_equal(wal_search_last(&f->search, &record, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_first_end_at_or_after_a_time_is_found),
        test(segments_in_which_nothing_ended_hide_nothing),
        test(ends_of_the_same_time_are_told_in_their_order),
        test(bisection_leaves_most_segments_alone),
        test(the_last_end_is_found_wherever_the_search_ends),
        test(an_end_on_both_sides_of_a_border_is_found_once),
        test(what_is_before_the_search_does_not_count),
        test(a_transaction_is_found_by_its_number),
        test(a_transaction_is_looked_for_where_it_may_have_run),
        test(a_transaction_that_ran_long_is_found_too),
        test(numbers_of_transactions_wrap_around),
        test(of_restore_points_of_one_name_the_first_is_found),
        test(the_record_that_recovery_to_an_lsn_stops_at_is_found),
        test(a_search_follows_the_history_over_a_fork),
        test(behind_a_switch_comes_nothing_in_its_segment),
        test(up_to_the_fork_the_older_timeline_serves),
        test(nobody_waits_for_a_region_that_may_have_the_newer_one),
        test(missing_wal_is_named),
        test(wal_that_is_none_is_corrupt),
        test(wal_of_another_system_is_corrupt),
        test(unwritten_wal_is_the_end),
        test(a_search_can_be_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
