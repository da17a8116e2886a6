// SPDX-License-Identifier: Apache-2.0
/* The slots of servers from which nothing is streamed, beside a primary whose WAL is. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup_id.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_follow.h"
#include "sidecar/wal_hold.h"
#include "sidecar/wal_slot.h"

enum { EVERY_MS = 100, POLL_US = 20000, POLLS = 6000, SEGMENT = 16 << 20 };

#define SLOTS " FROM pg_catalog.pg_replication_slots WHERE slot_name ~ '^lifeboat_'"

static const char settings[] = "autovacuum = off\nmax_replication_slots = 10\n";

/* What works on a server, on a thread of its own. */
struct runner {
    struct helper_repo *helper;
    struct pg_options login;
    struct wal_board board;
    struct cancel stop;
    pthread_t thread;
    bool runs;
    int result;
    struct error error;
};

struct fixture {
    struct helper_postgres *primary, *standby;
    struct helper_repo helper;
    uint64_t system; /* once open_repo was called */
    struct runner stream, hold;
};

static void *stream_main(void *arg)
{
    struct runner *r = arg;
    const struct wal_follow_options options = {
        .policy = r->helper->policy,
        .secrets = r->helper->secrets,
        .connection = {r->login.host, r->login.port, r->login.user},
        .stop = &r->stop,
        .board = &r->board,
    };
    r->result = wal_follow_run(&options, &r->error);
    return NULL;
}

static void *hold_main(void *arg)
{
    struct runner *r = arg;
    const struct wal_hold_options options = {
        .policy = r->helper->policy,
        .secrets = r->helper->secrets,
        .connection = {r->login.host, r->login.port, r->login.user},
        .stop = &r->stop,
        .board = &r->board,
        .every_ms = EVERY_MS,
    };
    r->result = wal_hold_run(&options, &r->error);
    return NULL;
}

static void begin(struct fixture *f, struct runner *r, struct helper_postgres *server)
{
    struct error err;
    char slot[WAL_SLOT_NAME_BYTES];
    wal_slot_name(f->helper.policy->namespace, f->helper.policy->name, slot);
    r->helper = &f->helper;
    r->login = helper_postgres_login(server, "lifeboat", NULL);
    wal_board_init(&r->board, slot);
    assert_int_equal(cancel_init(&r->stop, &err), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, r == &f->hold ? hold_main : stream_main, r),
                     0);
    r->runs = true;
}

static int join(struct runner *r)
{
    pthread_join(r->thread, NULL);
    r->runs = false;
    cancel_done(&r->stop);
    wal_board_done(&r->board);
    return r->result;
}

static void end(struct runner *r)
{
    cancel_trigger(&r->stop);
    if (join(r) < 0)
        fail_msg("%s", r->error.text);
}

/* Waits until what the board says holds. */
static struct wal_follow_state
await(struct runner *r, bool (*holds)(const struct wal_follow_state *, uint64_t), uint64_t lsn)
{
    struct wal_follow_state state = {0};
    for (int i = 0; i < POLLS; i++) {
        state = wal_board_state(&r->board);
        if (holds(&state, lsn))
            return state;
        usleep(POLL_US);
    }
    fail_msg("in vain: durable %jx of %jx: %s", (uintmax_t)state.durable_lsn, (uintmax_t)lsn,
             state.error.text);
    return state;
}

static bool is_durable(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->durable_lsn >= lsn;
}

static bool has_looked(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->server_lsn >= lsn && state->error.kind == ERROR_NONE && state->timeline > 0;
}

static bool fails(const struct wal_follow_state *state, uint64_t lsn)
{
    (void)lsn;
    return state->error.kind != ERROR_NONE;
}

static uint64_t lsn_of(const struct helper_postgres *server, const char *sql)
{
    uint64_t lsn;
    CLEANUP(own_freep) char *text = helper_postgres_sql(server, sql);
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

static uint64_t end_of(const struct helper_postgres *server)
{
    return lsn_of(server, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
}

/* Some segments of it; the server's files of what no slot keeps go. */
static uint64_t write_wal(const struct helper_postgres *server)
{
    helper_postgres_do(server, "SELECT pg_catalog.pg_logical_emit_message(true, 'test',"
                               " pg_catalog.repeat(pg_catalog.md5(n::text), 32768))"
                               " FROM pg_catalog.generate_series(1, 40) AS n");
    helper_postgres_do(server, "CHECKPOINT");
    return end_of(server);
}

/* Waits until the slot of the server has reached lsn, or is not beyond it. */
static void expect_slot(const struct helper_postgres *server, const char *comparison, uint64_t lsn)
{
    char text[LSN_TEXT_BYTES];
    lsn_format(lsn, text);
    CLEANUP(own_freep)
    char *sql = own_format("SELECT restart_lsn %s '%s', active" SLOTS, comparison, text);
    helper_postgres_await(server, sql, "t|f");
}

static void await_replay(const struct helper_postgres *standby, uint64_t lsn)
{
    char text[LSN_TEXT_BYTES];
    lsn_format(lsn, text);
    CLEANUP(own_freep)
    char *sql = own_format("SELECT pg_catalog.pg_last_wal_replay_lsn() >= '%s'", text);
    helper_postgres_await(standby, sql, "t");
}

/* Until the standby has it, and the holder has looked since. */
static void await_looks(struct fixture *f, uint64_t lsn)
{
    await_replay(f->standby, lsn);
    await(&f->hold, has_looked, lsn);
}

static int set_up(void **state)
{
    struct fixture *f = own_alloc(sizeof(*f));
    *state = f;
    log_set_level(LOG_LEVEL_ERROR + 1);
    f->primary = helper_postgres_start(&(struct helper_postgres_options){.settings = settings});
    helper_postgres_add_role(f->primary, "");
    helper_repo_prepare(&f->helper, 1, 1);
    f->helper.policy->wal.flush_seconds = 1;
    return 0;
}

static int tear_down(void **state)
{
    CLEANUP(own_freep) struct fixture *f = *state;
    struct runner *const runners[] = {&f->stream, &f->hold};
    for (size_t i = 0; i < ARRAY_SIZE(runners); i++)
        if (runners[i]->runs) {
            cancel_trigger(&runners[i]->stop);
            join(runners[i]);
        }
    helper_repo_close(&f->helper);
    if (f->standby)
        helper_postgres_stop(&f->standby);
    helper_postgres_stop(&f->primary);
    return 0;
}

/* Tests */

static void a_slot_is_made_before_anything_is_stored(void **state)
{
    struct fixture *f = *state;
    begin(f, &f->hold, f->primary);
    const struct wal_follow_state told = await(&f->hold, has_looked, 1);
    assert_int_equal(told.durable_lsn, 0);
    assert_int_equal(told.kept_lsn, lsn_of(f->primary, "SELECT restart_lsn" SLOTS));
    end(&f->hold);
    helper_postgres_await(f->primary, "SELECT active, temporary" SLOTS, "f|f");
}

static void a_standby_lets_go_of_what_the_regions_have_and_of_no_more(void **state)
{
    struct fixture *f = *state;
    f->standby = helper_postgres_standby(f->primary);
    begin(f, &f->stream, f->primary);
    begin(f, &f->hold, f->standby);
    const uint64_t stored = write_wal(f->primary);
    await(&f->stream, is_durable, stored);
    await_replay(f->standby, stored);
    expect_slot(f->standby, ">=", stored);
    end(&f->stream);
    const uint64_t all_stored = await(&f->hold, has_looked, stored).durable_lsn;
    const uint64_t unstored = write_wal(f->primary);
    await_replay(f->standby, unstored);
    await(&f->hold, has_looked, unstored);
    end(&f->hold);
    assert_true(all_stored < unstored);
    expect_slot(f->standby, "<", unstored - (16 << 20));
}

/* As a backup puts them, which does not wait for who streams: its WAL, and last its manifest. */

static void open_repo(struct fixture *f)
{
    struct error err;
    CLEANUP(own_freep)
    char *system =
        helper_postgres_sql(f->primary, "SELECT system_identifier FROM pg_control_system()");
    f->system = strtoull(system, NULL, 10);
    if (helper_repo_reopen(&f->helper, true, f->system, &err) < 0)
        fail_msg("%s", err.text);
}

static void put_segment(struct fixture *f, uint64_t lsn)
{
    struct error err;
    uint64_t stored = 0;
    CLEANUP(own_freep) uint8_t *zeros = own_alloc(SEGMENT);
    const struct wal_piece piece = {1, lsn - lsn % SEGMENT, SEGMENT, 0, SEGMENT};
    if (wal_archive_put(f->helper.repo, &piece, zeros, &stored, &err) < 0)
        fail_msg("%s", err.text);
}

static void put_backup(struct fixture *f, const char *id, uint64_t start_lsn)
{
    const struct manifest_wal_range wal = {1, start_lsn, start_lsn + 1};
    helper_repo_put_manifest(&f->helper, id, &wal);
}

static void a_standby_lets_go_of_what_is_missing_before_an_old_backup_only(void **state)
{
    struct fixture *f = *state;
    char recent[BACKUP_ID_BYTES];
    struct error err;
    f->standby = helper_postgres_standby(f->primary);
    begin(f, &f->stream, f->primary);
    begin(f, &f->hold, f->standby);
    const uint64_t stored = write_wal(f->primary);
    await(&f->stream, is_durable, stored);
    await_looks(f, stored); /* a slot that is made later keeps less */
    end(&f->stream);
    const uint64_t missing = write_wal(f->primary), start = missing + 1;
    open_repo(f);
    put_segment(f, UINT64_C(3) << 30); /* so much was written meanwhile */
    assert_int_equal(backup_id_new(BACKUP_FULL, clock_now_ms(), recent, &err), 0);
    put_backup(f, recent, start);
    await_looks(f, write_wal(f->primary));
    expect_slot(f->standby, "<", missing - SEGMENT);
    put_backup(f, "20260101T000000Z-full-0000", start);
    expect_slot(f->standby, ">=", start);
    await_looks(f, write_wal(f->primary));
    end(&f->hold);
    expect_slot(f->standby, "<=", start); /* what came behind that is in no region either */
}

static void who_is_promoted_goes_on_without_a_gap(void **state)
{
    struct fixture *f = *state;
    f->standby = helper_postgres_standby(f->primary);
    begin(f, &f->stream, f->primary);
    begin(f, &f->hold, f->standby);
    await(&f->stream, is_durable, write_wal(f->primary));
    end(&f->stream);
    await_replay(f->standby, write_wal(f->primary)); /* what no region has */
    helper_postgres_shut_down(f->primary, "immediate");
    end(&f->hold);
    helper_postgres_promote(f->standby);
    write_wal(f->standby);
    begin(f, &f->stream, f->standby);
    const struct wal_follow_state told = await(&f->stream, is_durable, end_of(f->standby));
    assert_int_equal(told.timeline, 2);
    assert_int_equal(told.gap.to, 0);
    end(&f->stream);
}

static void a_slot_that_the_server_gave_up_is_made_anew(void **state)
{
    struct fixture *f = *state;
    helper_postgres_do(f->primary, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    helper_postgres_do(f->primary, "SELECT pg_catalog.pg_reload_conf()");
    begin(f, &f->hold, f->primary);
    await(&f->hold, has_looked, 1);
    const uint64_t lost = end_of(f->primary);
    write_wal(f->primary);
    write_wal(f->primary);
    expect_slot(f->primary, ">", lost);
    end(&f->hold);
}

static void a_server_that_is_away_is_waited_for(void **state)
{
    struct fixture *f = *state;
    begin(f, &f->hold, f->primary);
    await(&f->hold, has_looked, 1);
    helper_postgres_shut_down(f->primary, "smart"); /* which a session would hold up */
    await(&f->hold, fails, 0);
    helper_postgres_resume(f->primary);
    await(&f->hold, has_looked, 1);
    end(&f->hold);
}

static void what_only_a_person_can_mend_ends_it_at_first(void **state)
{
    struct fixture *f = *state;
    begin(f, &f->hold, f->primary);
    await(&f->hold, has_looked, 1);
    end(&f->hold);
    helper_postgres_do(f->primary, "ALTER ROLE lifeboat NOREPLICATION");
    begin(f, &f->hold, f->primary);
    assert_int_equal(join(&f->hold), -1);
    assert_int_equal(f->hold.error.kind, ERROR_PERMANENT);
}

static void a_slot_is_dropped_unless_it_is_used(void **state)
{
    struct fixture *f = *state;
    struct error err;
    bool dropped;
    begin(f, &f->stream, f->primary);
    await(&f->stream, is_durable, end_of(f->primary));
    char name[WAL_SLOT_NAME_BYTES];
    wal_slot_name(f->helper.policy->namespace, f->helper.policy->name, name);
    const struct pg_options login =
        helper_postgres_login(f->primary, "lifeboat", &f->helper.cancel);
    const struct wal_slot slot = {.name = name, .pg = &login};
    assert_int_equal(wal_slot_drop(&slot, &dropped, &err), -1);
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    end(&f->stream);
    helper_postgres_await(f->primary, "SELECT active" SLOTS, "f");
    for (int there = 1; there >= 0; there--) {
        if (wal_slot_drop(&slot, &dropped, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(dropped, there);
    }
    helper_postgres_await(f->primary, "SELECT count(*)" SLOTS, "0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slot_is_made_before_anything_is_stored),
        TEST(a_standby_lets_go_of_what_the_regions_have_and_of_no_more),
        TEST(a_standby_lets_go_of_what_is_missing_before_an_old_backup_only),
        TEST(who_is_promoted_goes_on_without_a_gap),
        TEST(a_slot_that_the_server_gave_up_is_made_anew),
        TEST(a_server_that_is_away_is_waited_for),
        TEST(what_only_a_person_can_mend_ends_it_at_first),
        TEST(a_slot_is_dropped_unless_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
