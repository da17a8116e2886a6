// SPDX-License-Identifier: Apache-2.0
/*
 * An endless stream of WAL from a real server into a repository's regions, and what must be in
 * these: for tests that are linked with -Wl,--wrap=store_open. What goes wrong fails the test.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cancel.h"
#include "common/error.h"
#include "sidecar/pg.h"
#include "sidecar/tests/helper_repo.h"
#include "sidecar/wal_board.h"

struct helper_postgres;

enum { HELPER_WAL_FOLLOW_SEGMENT = 16 << 20 }; /* bytes */

/* Behind the columns to select: the slots that we made. */
#define HELPER_WAL_FOLLOW_SLOTS                                                                    \
    " FROM pg_catalog.pg_replication_slots WHERE slot_name ~ '^lifeboat_'"

struct helper_wal_follow {
    struct helper_postgres *server; /* the source, and that with which is compared */
    struct helper_repo repo;
    struct wal_board board; /* while it runs, as stop */
    struct cancel stop;
    struct error error; /* with which it ended */
    _Atomic bool finished;
    struct pg_options login;
    pthread_t thread;
    bool runs;
    int result;
};

/* Before and after each test, as cmocka calls them: a server with role "lifeboat", one region, and
 * nothing that streams yet; what still does is told to stop. */
int helper_wal_follow_set_up(void **state);
int helper_wal_follow_tear_down(void **state);
/* New regions in the place of those that are there; before it begins. */
void helper_wal_follow_set_regions(struct helper_wal_follow *f, size_t regions, unsigned quorum);

/* The stream runs on a thread of its own. */
void helper_wal_follow_begin(struct helper_wal_follow *f);
/* From another server than f->server. */
void helper_wal_follow_begin_with(struct helper_wal_follow *f, struct helper_postgres *server);
/* Tells it to stop, which must be in good order. */
void helper_wal_follow_end(struct helper_wal_follow *f);
/* From its begin to its end, in between it streams and stores all that there is. */
void helper_wal_follow_once(struct helper_wal_follow *f);
/* Waits for its end, and gives its result: that of wal_follow_run, with f->error. */
int helper_wal_follow_join(struct helper_wal_follow *f);

/* Each waits for minutes at most. */
void helper_wal_follow_await(struct helper_wal_follow *f,
                             bool (*holds)(const struct wal_follow_state *state, uint64_t lsn),
                             uint64_t lsn);
void helper_wal_follow_await_streaming(struct helper_wal_follow *f);
/* Until WAL is durable up to there. */
void helper_wal_follow_await_lsn(struct helper_wal_follow *f, uint64_t lsn);
/* The same, up to where f->server has flushed it now. */
void helper_wal_follow_await_durable(struct helper_wal_follow *f);

/* Up to where a server, which is a primary, has flushed its WAL. */
uint64_t helper_wal_follow_lsn(const struct helper_postgres *server);
/* Has it write a little more WAL than so many MiB, or a record. */
void helper_wal_follow_emit(const struct helper_postgres *server, int mib);
void helper_wal_follow_emit_little(const struct helper_postgres *server);
/* What comes behind ALTER SYSTEM. */
void helper_wal_follow_set(const struct helper_postgres *server, const char *setting);

/* Opens the server's repository in f->repo, as another process would. */
void helper_wal_follow_open_repo(struct helper_wal_follow *f, bool write);
/* All from the segment that holds one LSN to another LSN is there, as f->server keeps it. */
void helper_wal_follow_expect(struct helper_wal_follow *f, uint32_t timeline, uint64_t from,
                              uint64_t to);
/* Objects of WAL: those of complete segments, or the parts of the segment that holds lsn. */
size_t helper_wal_follow_count_pieces(struct helper_wal_follow *f, bool complete, uint64_t lsn);
