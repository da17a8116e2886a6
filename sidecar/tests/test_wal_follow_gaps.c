// SPDX-License-Identifier: Apache-2.0
/*
 * A stream of WAL from real servers that no longer have all that is missing: gaps, lost slots, and
 * what one region lacks and another has.
 *
 * The linker puts __wrap_store_open into the place of store_open here (CMakeLists.txt).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/tests/helper_wal_follow.h"
#include "sidecar/wal_archive.h"

enum { MIB = 1 << 20, SEGMENT = HELPER_WAL_FOLLOW_SEGMENT, SEVERAL = 3 };

/* Forgets the slot, so that the server removes what it kept for it. */
static void lose_wal(struct helper_wal_follow *f)
{
    CLEANUP(own_freep)
    char *slot = helper_postgres_sql(f->server, "SELECT slot_name" HELPER_WAL_FOLLOW_SLOTS);
    CLEANUP(own_freep) char *drop = own_format("SELECT pg_drop_replication_slot('%s')", slot);
    helper_postgres_do(f->server, drop);
    for (int i = 0; i < SEVERAL; i++) {
        helper_wal_follow_emit(f->server, 20);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
}

static void a_gap_is_named_and_the_stream_goes_on_behind_it(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_emit(f->server, 20);
    helper_wal_follow_await_durable(f);
    const uint64_t before = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    lose_wal(f);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_durable(f);
    const struct wal_follow_state now = wal_board_state(&f->board);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    assert_int_equal(now.gap.timeline, 1);
    assert_true(now.gap.from >= before - SEGMENT && now.gap.from <= before + MIB);
    assert_true(now.gap.to > now.gap.from && now.gap.to <= to);
    helper_wal_follow_expect(f, 1, now.gap.to, to);
}

static bool has_gap(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->gap.to > lsn;
}

static void put_backup(struct helper_wal_follow *f, const char *id)
{
    const uint64_t lsn = helper_wal_follow_lsn(f->server);
    const struct manifest_wal_range wal = {1, lsn, lsn + 1};
    helper_wal_follow_open_repo(f, true);
    helper_repo_put_manifest(&f->repo, id, &wal);
}

/* Whoever found it may have ended before anybody heard of it. */
static void a_gap_is_found_again_until_a_backup_starts_behind_it(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_wal_follow_once(f);
    put_backup(f, "20261120T082118Z-full-3fa2");
    lose_wal(f);
    helper_wal_follow_begin(f);
    helper_wal_follow_await(f, has_gap, 0);
    helper_wal_follow_await_durable(f);
    const struct wal_follow_state found = wal_board_state(&f->board);
    helper_wal_follow_end(f);
    helper_wal_follow_begin(f);
    helper_wal_follow_await(f, has_gap, 0);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    const struct wal_follow_state again = wal_board_state(&f->board);
    helper_wal_follow_end(f);
    assert_memory_equal(&again.gap, &found.gap, sizeof(found.gap));
    assert_true(again.gap_system_identifier == f->repo.repo->document.system_identifier);
    put_backup(f, "20261121T082118Z-full-3fa2");
    helper_wal_follow_begin(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    helper_wal_follow_end(f);
}

/* What was removed from the regions, the server may have. */
static void what_is_missing_is_asked_for_again(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_once(f);
    put_backup(f, "20261120T082118Z-full-3fa2");
    const uint64_t from = helper_wal_follow_lsn(f->server);
    helper_wal_follow_begin(f);
    helper_wal_follow_emit(f->server, 60);
    helper_wal_follow_await_durable(f);
    const uint64_t to = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    const struct wal_piece lost = {1, from + 2 * SEGMENT - from % SEGMENT, SEGMENT, 0, SEGMENT};
    char prefix[WAL_ARCHIVE_NAME_MAX];
    wal_archive_segment_prefix(&lost, prefix);
    CLEANUP(own_freep) char *name = helper_repo_name(&f->repo, prefix);
    helper_repo_remove_object(&f->repo, 0, name);
    helper_wal_follow_begin(f);
    helper_wal_follow_emit_little(f->server);
    helper_wal_follow_await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    helper_wal_follow_end(f);
    helper_wal_follow_expect(f, 1, from, to);
}

static void a_slot_that_the_server_gave_up_is_made_anew(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_wal_follow_once(f);
    helper_wal_follow_set(f->server, "SET max_slot_wal_keep_size = '16MB'");
    for (int i = 0; i < SEVERAL; i++) {
        helper_wal_follow_emit(f->server, 32);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
    helper_postgres_await(f->server, "SELECT wal_status" HELPER_WAL_FOLLOW_SLOTS, "lost");
    helper_wal_follow_begin(f);
    helper_wal_follow_await_durable(f);
    assert_true(wal_board_state(&f->board).gap.to > 0);
    helper_postgres_await(
        f->server, "SELECT wal_status IN ('reserved', 'extended')" HELPER_WAL_FOLLOW_SLOTS, "t");
    helper_wal_follow_end(f);
}

static bool lost_nothing(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->lost == 0 && state->durable_lsn >= lsn;
}

/* One that is out may have what the others lack: whether WAL is missing is seen once it is back. */
static void a_gap_is_told_only_of_all_regions(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_wal_follow_set_regions(f, 2, 1);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_await_durable(f);
    const uint64_t before = helper_wal_follow_lsn(f->server);
    helper_wal_follow_end(f);
    lose_wal(f);
    store_plan_fault("r1", 1, 1 << 20, STORE_FAULT_PERMANENT);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_durable(f);
    assert_int_equal(wal_board_state(&f->board).gap.to, 0);
    store_plan_nothing();
    helper_wal_follow_await(f, has_gap, before);
    helper_wal_follow_await(f, lost_nothing, helper_wal_follow_lsn(f->server));
    helper_wal_follow_end(f);
}

static void what_a_region_has_that_is_out_is_no_gap(void **state)
{
    struct helper_wal_follow *f = *state;
    helper_wal_follow_set(f->server, "SET wal_keep_size = 0");
    helper_wal_follow_set_regions(f, 2, 1);
    helper_wal_follow_once(f);
    store_plan_fault("r0", 1, 1 << 20, STORE_FAULT_PERMANENT);
    helper_wal_follow_begin(f);
    for (int i = 0; i < SEVERAL; i++) {
        helper_wal_follow_emit(f->server, 20);
        helper_wal_follow_await_durable(f);
        helper_postgres_do(f->server, "CHECKPOINT");
    }
    helper_wal_follow_end(f);
    store_plan_fault("r1", 1, 1 << 20, STORE_FAULT_PERMANENT);
    helper_wal_follow_begin(f);
    helper_wal_follow_await_durable(f);
    store_plan_nothing();
    helper_wal_follow_await(f, lost_nothing, helper_wal_follow_lsn(f->server));
    const struct wal_follow_state now = wal_board_state(&f->board);
    helper_wal_follow_end(f);
    assert_int_equal(now.gap.to, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_gap_is_named_and_the_stream_goes_on_behind_it,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_found_again_until_a_backup_starts_behind_it,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_is_asked_for_again,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(a_slot_that_the_server_gave_up_is_made_anew,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_told_only_of_all_regions, helper_wal_follow_set_up,
                                        helper_wal_follow_tear_down),
        cmocka_unit_test_setup_teardown(what_a_region_has_that_is_out_is_no_gap,
                                        helper_wal_follow_set_up, helper_wal_follow_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
