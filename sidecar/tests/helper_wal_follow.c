// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_wal_follow.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/policy.h"
#include "sidecar/repo.h"
#include "sidecar/tests/helper_postgres.h"
#include "sidecar/tests/helper_store_plan.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_follow.h"
#include "sidecar/wal_slot_name.h"

enum { SEGMENT = HELPER_WAL_FOLLOW_SEGMENT, POLL_US = 20000, POLLS = 6000 };

static const char settings[] = "wal_keep_size = 2GB\nautovacuum = off\nwal_sender_timeout = 0\n"
                               "max_replication_slots = 10\n";

/* The stream, on a thread of its own */

static void *follow_main(void *arg)
{
    struct helper_wal_follow *f = arg;
    const struct wal_follow_options options = {
        .policy = f->repo.policy,
        .secrets = f->repo.secrets,
        .connection = {f->login.host, f->login.port, f->login.user},
        .stop = &f->stop,
        .board = &f->board,
        .watch_ms = 500,
        .stall_ms = 3000,
    };
    f->result = wal_follow_run(&options, &f->error);
    f->finished = true;
    return NULL;
}

void helper_wal_follow_begin_with(struct helper_wal_follow *f, struct helper_postgres *server)
{
    struct error err;
    char slot[WAL_SLOT_NAME_BYTES];
    wal_slot_name(f->repo.policy->namespace, f->repo.policy->name, slot);
    wal_board_init(&f->board, slot);
    assert_int_equal(cancel_init(&f->stop, &err), 0);
    f->finished = false;
    f->login = helper_postgres_login(server, "lifeboat", NULL);
    assert_int_equal(pthread_create(&f->thread, NULL, follow_main, f), 0);
    f->runs = true;
}

void helper_wal_follow_begin(struct helper_wal_follow *f)
{
    helper_wal_follow_begin_with(f, f->server);
}

int helper_wal_follow_join(struct helper_wal_follow *f)
{
    pthread_join(f->thread, NULL);
    f->runs = false;
    cancel_done(&f->stop);
    wal_board_done(&f->board);
    return f->result;
}

void helper_wal_follow_end(struct helper_wal_follow *f)
{
    cancel_trigger(&f->stop);
    if (helper_wal_follow_join(f) < 0)
        fail_msg("%s", f->error.text);
}

/* Servers */

uint64_t helper_wal_follow_lsn(const struct helper_postgres *server)
{
    uint64_t lsn;
    CLEANUP(own_freep)
    char *text = helper_postgres_sql(server, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

void helper_wal_follow_emit(const struct helper_postgres *server, int mib)
{
    CLEANUP(own_freep)
    char *sql = own_format("SELECT pg_catalog.pg_logical_emit_message(true, 'test',"
                           " pg_catalog.repeat(pg_catalog.md5(n::text), 32768))"
                           " FROM pg_catalog.generate_series(1, %d) AS n",
                           mib);
    helper_postgres_do(server, sql);
}

void helper_wal_follow_emit_little(const struct helper_postgres *server)
{
    helper_postgres_do(server, "SELECT pg_catalog.pg_logical_emit_message(true, 'test', 'x')");
}

void helper_wal_follow_set(const struct helper_postgres *server, const char *setting)
{
    CLEANUP(own_freep) char *sql = own_format("ALTER SYSTEM %s", setting);
    helper_postgres_do(server, sql);
    helper_postgres_do(server, "SELECT pg_catalog.pg_reload_conf()");
}

/* What is awaited */

void helper_wal_follow_await(struct helper_wal_follow *f,
                             bool (*holds)(const struct wal_follow_state *state, uint64_t lsn),
                             uint64_t lsn)
{
    struct wal_follow_state state = {0};
    for (int i = 0; i < POLLS; i++) {
        state = wal_board_state(&f->board);
        if (holds(&state, lsn))
            return;
        usleep(POLL_US);
    }
    fail_msg("in vain; timeline %u, durable %jx of %jx, %s: %s", state.timeline,
             (uintmax_t)state.durable_lsn, (uintmax_t)lsn,
             state.streaming ? "streaming" : "not streaming", state.error.text);
}

static bool is_streaming(const struct wal_follow_state *state, uint64_t lsn)
{
    (void)lsn;
    return state->streaming;
}

void helper_wal_follow_await_streaming(struct helper_wal_follow *f)
{
    helper_wal_follow_await(f, is_streaming, 0);
}

static bool is_durable(const struct wal_follow_state *state, uint64_t lsn)
{
    return state->durable_lsn >= lsn;
}

void helper_wal_follow_await_lsn(struct helper_wal_follow *f, uint64_t lsn)
{
    helper_wal_follow_await(f, is_durable, lsn);
}

void helper_wal_follow_await_durable(struct helper_wal_follow *f)
{
    helper_wal_follow_await_lsn(f, helper_wal_follow_lsn(f->server));
}

void helper_wal_follow_once(struct helper_wal_follow *f)
{
    helper_wal_follow_begin(f);
    helper_wal_follow_await_streaming(f);
    helper_wal_follow_await_durable(f);
    helper_wal_follow_end(f);
}

/* What is in the regions */

void helper_wal_follow_open_repo(struct helper_wal_follow *f, bool write)
{
    struct error err;
    CLEANUP(own_freep)
    char *system =
        helper_postgres_sql(f->server, "SELECT system_identifier FROM pg_control_system()");
    if (helper_repo_reopen(&f->repo, write, strtoull(system, NULL, 10), &err) < 0)
        fail_msg("%s", err.text);
}

static void expect_segment(struct helper_wal_follow *f, uint32_t timeline, uint64_t lsn,
                           uint64_t stop)
{
    struct error err;
    char name[WAL_SEGMENT_NAME_BYTES];
    CLEANUP(buf_done) struct buf ours = BUF(SEGMENT), theirs = BUF(SEGMENT);
    wal_segment_name(timeline, lsn, SEGMENT, name);
    CLEANUP(own_freep) char *path = own_format("%s/pg_wal/%s", f->server->data, name);
    if (buf_read_file(&theirs, AT_FDCWD, path, &err) < 0 ||
        wal_archive_get(f->repo.repo, timeline, lsn, stop, SEGMENT, &ours, &err) < 0)
        fail_msg("%s", err.text);
    const uint64_t left = stop - lsn;
    if (memcmp(ours.data, theirs.data, left < SEGMENT ? left : SEGMENT) != 0)
        fail_msg("segment %s differs", name);
}

void helper_wal_follow_expect(struct helper_wal_follow *f, uint32_t timeline, uint64_t from,
                              uint64_t to)
{
    helper_wal_follow_open_repo(f, false);
    for (uint64_t lsn = from - from % SEGMENT; lsn < to; lsn += SEGMENT)
        expect_segment(f, timeline, lsn, to);
}

size_t helper_wal_follow_count_pieces(struct helper_wal_follow *f, bool complete, uint64_t lsn)
{
    struct error err;
    size_t count = 0;
    CLEANUP(repo_names_done) struct repo_names names = {0};
    helper_wal_follow_open_repo(f, false);
    assert_int_equal(repo_list(f->repo.repo, "wal/", &names, &err), 0);
    for (size_t i = 0; i < names.count; i++) {
        struct wal_piece piece;
        if (wal_archive_parse_name(names.names[i].name, SEGMENT, &piece) < 0)
            continue;
        const bool whole = piece.to - piece.from == SEGMENT;
        count += complete ? whole : !whole && piece.segment_lsn == lsn - lsn % SEGMENT;
    }
    return count;
}

/* What is before and after a test */

void helper_wal_follow_set_regions(struct helper_wal_follow *f, size_t regions, unsigned quorum)
{
    if (f->repo.directory[0])
        helper_repo_close(&f->repo);
    helper_repo_prepare(&f->repo, regions, quorum);
    f->repo.policy->wal.flush_seconds = 1;
}

int helper_wal_follow_set_up(void **state)
{
    struct helper_wal_follow *f = own_alloc(sizeof(*f));
    *state = f;
    log_set_level(LOG_LEVEL_ERROR);
    f->server = helper_postgres_start(&(struct helper_postgres_options){.settings = settings});
    helper_postgres_add_role(f->server, "");
    helper_wal_follow_set_regions(f, 1, 1);
    return 0;
}

int helper_wal_follow_tear_down(void **state)
{
    CLEANUP(own_freep) struct helper_wal_follow *f = *state;
    if (f->runs) {
        cancel_trigger(&f->stop);
        helper_wal_follow_join(f);
    }
    store_plan_nothing();
    helper_repo_close(&f->repo);
    helper_postgres_stop(&f->server);
    return 0;
}
