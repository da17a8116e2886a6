// SPDX-License-Identifier: Apache-2.0
/* What the WAL behind a backup demands, read by several threads; what the records of a real server
 * say is test_wal_postgres.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_demands.h"
#include "sidecar/recovery_choice.h"
#include "sidecar/recovery_demands.h"
#include "sidecar/recovery_survey.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/tests/helper_wal.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

enum { MIB = 1 << 20, SEGMENTS = 35 };

static const uint64_t first_lsn = 0x1fff00000;

/* WAL of so many segments, and a way over all of it. */
struct fixture {
    struct helper_repo helper;
    struct helper_wal wal;
    struct timeline_span span;
    struct timeline history;
    struct wal_line line;
    struct recovery_survey survey;
    struct recovery_choice choice;
};

static int setup(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    log_set_level(LOG_LEVEL_ERROR);
    helper_repo_open(&f->helper, 1, 0);
    f->wal = helper_wal_from(first_lsn, MIB);
    f->span = (struct timeline_span){1, 0, UINT64_MAX};
    f->history = (struct timeline){&f->span, 1};
    f->line = (struct wal_line){1, &f->history};
    f->survey = (struct recovery_survey){
        .options = {.repo = f->helper.repo, .cancel = &f->helper.cancel},
        .lines = &f->line,
        .histories = &f->history,
        .line_count = 1,
    };
    f->choice =
        (struct recovery_choice){.timeline = 1, .from_lsn = first_lsn, .segment_bytes = MIB};
    return 0;
}

static int teardown(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    helper_wal_done(&f->wal);
    helper_repo_close(&f->helper);
    return 0;
}

static void fill_to(struct fixture *f, uint64_t lsn)
{
    while (helper_wal_end(&f->wal) < lsn)
        helper_wal_fill(&f->wal, 3000);
}

/* The last may be a part. */
static void put_all(struct fixture *f)
{
    const uint64_t end = helper_wal_end(&f->wal);
    f->choice.to_lsn = end;
    for (uint64_t lsn = first_lsn; lsn < end; lsn += MIB) {
        uint64_t stored = 0;
        struct error err;
        const struct wal_piece piece = {
            .timeline = 1,
            .segment_lsn = lsn,
            .segment_bytes = MIB,
            .to = end - lsn < MIB ? (uint32_t)(end - lsn) : MIB,
        };
        if (wal_archive_put(f->helper.repo, &piece, helper_wal_at(&f->wal, lsn), &stored, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static int find(struct fixture *f, size_t threads, struct pg_demands *demands, struct error *err)
{
    const struct recovery_way way = {
        .survey = &f->survey,
        .choice = &f->choice,
        .threads = threads,
        .cancel = &f->helper.cancel,
    };
    return recovery_demands_find(&way, demands, err);
}

static uint32_t connections(struct fixture *f, size_t threads)
{
    struct pg_demands demands = {.max_connections = 7, .max_wal_senders = 7};
    struct error err;
    if (find(f, threads, &demands, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(demands.max_wal_senders, 7);
    return demands.max_connections;
}

/* Around every border of segments, so also of what one thread reads at once. */
static void wherever_the_largest_demand_is_it_is_found(void **state)
{
    struct fixture *f = *state;
    uint64_t places[SEGMENTS];
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        fill_to(f, first_lsn + i * (uint64_t)MIB + MIB - 3000);
        while (helper_wal_end(&f->wal) % MIB < MIB - 40 && helper_wal_end(&f->wal) % MIB > MIB / 2)
            helper_wal_fill(&f->wal, 8);
        places[i] = helper_wal_demand(&f->wal, &(struct pg_demands){.max_connections = 100 + i});
    }
    put_all(f);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        f->choice.to_lsn = places[i]; /* ends before this one */
        assert_int_equal(connections(f, 1 + i % 4), i == 0 ? 7 : 99 + i);
    }
    f->choice.from_lsn = places[SEGMENTS - 2] + 1;
    assert_int_equal(connections(f, 2), 7);
    f->choice.to_lsn = helper_wal_end(&f->wal);
    assert_int_equal(connections(f, 2), 99 + SEGMENTS);
}

static void what_was_known_is_never_lowered(void **state)
{
    struct fixture *f = *state;
    struct pg_demands demands = {900, 900, 900, 900, 900};
    struct error err;
    helper_wal_demand(&f->wal, &(struct pg_demands){1, 2, 3, 4, 1000});
    fill_to(f, first_lsn + 2 * MIB);
    put_all(f);
    assert_int_equal(find(f, 2, &demands, &err), 0);
    assert_int_equal(demands.max_connections, 900);
    assert_int_equal(demands.max_worker_processes, 900);
    assert_int_equal(demands.max_wal_senders, 900);
    assert_int_equal(demands.max_prepared_transactions, 900);
    assert_int_equal(demands.max_locks_per_transaction, 1000);
}

static void a_way_without_wal_demands_nothing(void **state)
{
    struct fixture *f = *state;
    f->choice.to_lsn = f->choice.from_lsn;
    assert_int_equal(connections(f, 2), 7);
}

static void missing_wal_is_named_before_anything_is_copied(void **state)
{
    struct fixture *f = *state;
    struct pg_demands demands = {0};
    struct error err;
    char segment[WAL_SEGMENT_NAME_BYTES];
    fill_to(f, first_lsn + 12 * (uint64_t)MIB);
    put_all(f);
    wal_segment_name(1, first_lsn + 10 * (uint64_t)MIB, MIB, segment);
    CLEANUP(own_freep) char *prefix = own_format("wal/%.8s/%.8s/%s", segment, segment + 8, segment);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->helper, prefix);
    helper_repo_remove_object(&f->helper, 0, name);
    assert_int_equal(find(f, 2, &demands, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, segment));
}

static void it_can_be_canceled(void **state)
{
    struct fixture *f = *state;
    struct pg_demands demands = {0};
    struct error err;
    fill_to(f, first_lsn + 2 * MIB);
    put_all(f);
    cancel_trigger(&f->helper.cancel);
    assert_int_equal(find(f, 2, &demands, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(wherever_the_largest_demand_is_it_is_found),
        test(what_was_known_is_never_lowered),
        test(a_way_without_wal_demands_nothing),
        test(missing_wal_is_named_before_anything_is_copied),
        test(it_can_be_canceled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
