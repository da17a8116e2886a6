// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_hold.h"

#include <stdbool.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"
#include "sidecar/pg_replication.h"
#include "sidecar/policy.h"
#include "sidecar/regions.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_anchor.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_place.h"
#include "sidecar/wal_slot.h"
#include "sidecar/wal_survey.h"

enum {
    EVERY_MS = 30 * 1000,
    TROUBLED_FACTOR = 10, /* so much less often while a region does not answer */
    BACKOFF_BASE_MS = 1000,
    GIVEN_UP_MS = 24 * 60 * 60 * 1000, /* so old is the backup that makes up for missing WAL */
};

/* A look at the server and at the regions. */
struct look {
    const struct wal_hold_options *options;
    struct connection connection;
    struct wal_slot slot;
    struct pg_server server;
    struct pg_slot found;
    struct timeline history; /* of the server's timeline */
    struct wal_place place;  /* zeroed: the regions have no repository yet */
    uint64_t backup_lsn;     /* where that backup begins; 0: there is none, or no need of it */
    bool troubled;           /* a region did not answer */
};

static void look_done(struct look *look)
{
    timeline_done(&look->history);
    connection_done(&look->connection);
}

static int look_at_server(struct look *look, struct error *err)
{
    CLEANUP(pg_replication_closep) struct pg_replication *replication = NULL;
    struct pg_system system;
    if (wal_slot_look(&look->slot, &look->found, err) < 0 ||
        wal_slot_open(&look->slot, &look->found, &replication, &system, err) < 0)
        return -1;
    return pg_replication_timeline(replication, system.timeline, &look->history, err);
}

/* What is missing before WAL that is there may be on its way, or nowhere but here: others than who
 * streams put WAL as well, as backups do. Kept for ever it would fill the disk: nobody is going to
 * put what is still missing before a backup that was made so long ago. */
static int look_at_backups(struct look *look, struct repo *repo, struct error *err)
{
    if (look->place.last_lsn <= look->place.lsn)
        return 0;
    return wal_anchor_find(repo, &look->history, clock_now_ms() - GIVEN_UP_MS, &look->backup_lsn,
                           err);
}

static int look_at_regions(struct look *look, struct error *err)
{
    const struct wal_hold_options *options = look->options;
    const struct repo_wish wish = {.system_identifier = look->server.system_identifier,
                                   .own = true};
    CLEANUP(regions_closep) struct regions *regions = NULL;
    CLEANUP(repo_closep) struct repo *repo = NULL;
    if (regions_open(&regions, options->policy, options->secrets, NULL, options->stop, err) < 0)
        return -1;
    if (repo_open_read(&repo, options->policy, options->secrets, regions, &wish, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    const struct wal_survey_options survey = {
        .repo = repo,
        .history = &look->history,
        .segment_bytes = look->server.wal_segment_bytes,
        .kept_lsn = look->found.restart_lsn,
        .server_lsn = look->found.server_lsn,
    };
    if (wal_survey_run(&survey, &look->place, err) < 0 || look_at_backups(look, repo, err) < 0)
        return -1;
    for (size_t i = 0; i < regions_count(regions); i++)
        look->troubled |= !regions_usable(regions, i) || regions_doubted(regions, i, NULL);
    return 0;
}

/* PostgreSQL goes no further than to what it has itself. */
static int let_go(struct look *look, struct error *err)
{
    CLEANUP(pg_closep) struct pg *pg = NULL;
    const uint64_t release_lsn =
        look->place.lsn > look->backup_lsn ? look->place.lsn : look->backup_lsn;
    if (look->found.active || release_lsn <= look->found.restart_lsn)
        return 0;
    if (pg_open(&pg, look->slot.pg, err) < 0 ||
        pg_slot_advance(pg, look->slot.name, release_lsn, err) < 0)
        return -1;
    return pg_slot_look(pg, look->slot.name, &look->found, err);
}

static int hold_once(const struct wal_hold_options *options, bool *ret_troubled, struct error *err)
{
    CLEANUP(look_done) struct look look = {.options = options};
    if (connection_init(&look.connection, &options->policy->connection, &options->connection,
                        options->secrets, err) < 0)
        return -1;
    look.connection.pg.cancel = options->stop;
    look.slot = (struct wal_slot){options->board->state.slot, &look.connection.pg, &look.server};
    if (look_at_server(&look, err) < 0 || look_at_regions(&look, err) < 0 || let_go(&look, err) < 0)
        return -1;
    wal_board_look(options->board, &look.found);
    wal_board_hold(options->board, look.history.spans[look.history.count - 1].timeline,
                   look.place.joins ? look.place.lsn : 0);
    *ret_troubled = look.troubled;
    return 0;
}

static void tell_begin(struct wal_board *board)
{
    const struct wal_follow_state state = wal_board_state(board);
    char lsn[LSN_TEXT_BYTES];
    lsn_format(state.kept_lsn, lsn);
    log_info("Began to hold the replication slot", S("slot", state.slot),
             U("timeline", state.timeline), S("at", lsn));
}

int wal_hold_run(const struct wal_hold_options *options, struct error *err)
{
    const int every_ms = options->every_ms > 0 ? options->every_ms : EVERY_MS;
    struct backoff backoff = {.base_ms = BACKOFF_BASE_MS, .cap_ms = (uint32_t)every_ms};
    bool worked = false, troubled = false;
    struct error why;
    int wait_ms = 0;
    while (cancel_sleep(options->stop, wait_ms, &why) == 0) {
        if (hold_once(options, &troubled, &why) == 0) {
            if (!worked)
                tell_begin(options->board);
            worked = true;
            backoff_reset(&backoff);
            wait_ms = troubled ? TROUBLED_FACTOR * every_ms : every_ms;
            continue;
        }
        if (cancel_requested(options->stop))
            break;
        const bool news = wal_board_end(options->board, &why);
        if (why.kind == ERROR_PERMANENT && !worked) {
            *err = why;
            return -1;
        }
        if (news)
            log_error(&why, "Could not look after the replication slot, trying again");
        wait_ms = (int)backoff_next_ms(&backoff, backoff_random(), 0);
    }
    return 0;
}
