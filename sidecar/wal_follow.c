// SPDX-License-Identifier: Apache-2.0
/*
 * The calling thread runs one spell after the other. Beside it a guard waits for the end and sees
 * to it that it comes, and a watch looks at the server and at the regions that were lost, by
 * sessions that end at once: one that stays would hold a smart shutdown up.
 */
#include "sidecar/wal_follow.h"

#include <poll.h>
#include <string.h>

#include "common/backoff.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/pg.h"
#include "sidecar/policy.h"
#include "sidecar/store.h"
#include "sidecar/wal_spell.h"

enum {
    STOP_MS = 10 * 1000, /* for what is under way when it is told to stop */
    WATCH_MS = 5 * 1000,
    PROBE_EVERY = 3, /* looks at the server between those at lost regions */
    BACKOFF_BASE_MS = 500,
    BACKOFF_CAP_MS = 10 * 1000,
    WATCH_CONNECT_S = 3,
};

struct follow {
    const struct wal_follow_options *options;
    struct cancel ended; /* no spell comes any more */
    struct backoff backoff;
    struct wal_spell_past past;
    bool opened; /* the repository was there once, in all regions */
    bool worked; /* WAL was streamed */
};

/* The guard */

static int guard_main(void *arg, struct error *err)
{
    struct follow *follow = arg;
    struct wal_board *board = follow->options->board;
    if (cancel_poll(&follow->ended, follow->options->stop->fd, POLLIN, -1, err) < 0)
        return err->kind == ERROR_CANCELED ? 0 : -1;
    wal_board_stop(board);
    wal_board_cancel(board, true);
    if (cancel_sleep(&follow->ended, STOP_MS, err) < 0)
        return err->kind == ERROR_CANCELED ? 0 : -1;
    wal_board_cancel(board, false);
    return 0;
}

/* The watch */

static int look_at_server(struct follow *follow, struct error *err)
{
    const struct wal_follow_options *options = follow->options;
    const struct wal_follow_state state = wal_board_state(options->board);
    CLEANUP(connection_done) struct connection connection = {0};
    CLEANUP(pg_closep) struct pg *pg = NULL;
    struct pg_slot slot;
    if (connection_init(&connection, &options->policy->connection, &options->connection,
                        options->secrets, err) < 0)
        return -1;
    connection.pg.cancel = &follow->ended;
    connection.pg.connect_timeout_seconds = WATCH_CONNECT_S;
    if (pg_open(&pg, &connection.pg, err) < 0 || pg_slot_look(pg, state.slot, &slot, err) < 0)
        return -1;
    const uint64_t advance = wal_board_look(options->board, &slot);
    return advance != 0 ? pg_slot_advance(pg, state.slot, advance, err) : 0;
}

static bool answers(struct follow *follow, const struct policy_region *region)
{
    const struct policy *policy = follow->options->policy;
    CLEANUP(store_closep) struct store *store = NULL;
    CLEANUP(own_freep) char *name = own_format("%s.%s/any", policy->namespace, policy->name);
    struct error ignored; /* it is lost, and stays so */
    bool there;
    if (store_open(&store, region, follow->options->secrets, &follow->ended, &ignored) < 0)
        return false;
    store->retries = 0;
    return store_has(store, name, &there, &ignored) == 0;
}

/* A spell that goes on without a region is ended when the region answers again. */
static void look_at_lost(struct follow *follow)
{
    const struct policy *policy = follow->options->policy;
    const uint32_t lost = wal_board_state(follow->options->board).lost;
    for (size_t i = 0; i < policy->region_count; i++) {
        const uint32_t bit = UINT32_C(1) << i;
        if (!(lost & bit) || !answers(follow, &policy->regions[i]))
            continue;
        wal_board_find(follow->options->board, bit);
        log_info("Found a lost region again", S("region", policy->regions[i].name));
    }
}

static int watch_main(void *arg, struct error *err)
{
    struct follow *follow = arg;
    const int watch_ms = follow->options->watch_ms > 0 ? follow->options->watch_ms : WATCH_MS;
    for (unsigned turn = 1; cancel_sleep(&follow->ended, watch_ms, err) == 0; turn++) {
        struct error why;
        if (look_at_server(follow, &why) < 0) /* the stream finds out by itself, and says so */
            log_debug("Could not look at the server", S("error", why.text));
        if (turn % PROBE_EVERY == 0)
            look_at_lost(follow);
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

/* Spells */

/* Those that are known not to answer, where a quorum is left without them. */
static size_t regions_to_leave(const struct follow *follow, const char *names[POLICY_REGIONS_MAX])
{
    const struct policy *policy = follow->options->policy;
    const uint32_t lost = wal_board_state(follow->options->board).lost;
    size_t left = 0, count = 0;
    for (size_t i = 0; i < policy->region_count; i++) {
        const struct policy_region *region = &policy->regions[i];
        if (follow->opened && lost & UINT32_C(1) << i)
            names[count++] = region->name;
        else if (!region->read_only)
            left++;
    }
    return left >= policy->quorum ? count : 0;
}

static int run_spell(struct follow *follow, struct wal_spell_end *ret_end, struct error *err)
{
    const struct wal_follow_options *options = follow->options;
    const char *without[POLICY_REGIONS_MAX];
    CLEANUP(connection_done) struct connection connection = {0};
    struct cancel cancel;
    *ret_end = (struct wal_spell_end){.past = follow->past};
    if (connection_init(&connection, &options->policy->connection, &options->connection,
                        options->secrets, err) < 0 ||
        cancel_init(&cancel, err) < 0)
        return -1;
    const struct wal_spell_options spell = {
        .policy = options->policy,
        .secrets = options->secrets,
        .pg = &connection.pg,
        .slot = options->board->state.slot,
        .without = without,
        .without_count = regions_to_leave(follow, without),
        .past = follow->past,
        .cancel = &cancel,
        .board = options->board,
        .progress = options->progress,
        .stall_ms = options->stall_ms,
    };
    wal_board_set_spell(options->board, &cancel);
    int result = 0;
    if (!wal_board_is_stopping(options->board)) /* else nobody would cancel it */
        result = wal_spell_run(&spell, ret_end, err);
    wal_board_set_spell(options->board, NULL);
    cancel_done(&cancel);
    return result;
}

static void learn(struct follow *follow, const struct wal_spell_end *end)
{
    follow->past = end->past;
    follow->opened |= end->opened;
    follow->worked |= end->streamed;
    if (end->streamed)
        backoff_reset(&follow->backoff);
}

static bool is_final(const struct follow *follow, const struct error *err)
{
    return err->kind == ERROR_CONFLICT || (err->kind == ERROR_PERMANENT && !follow->worked);
}

static int follow_for_ever(struct follow *follow, struct error *err)
{
    struct wal_board *board = follow->options->board;
    struct wal_spell_end end;
    struct error why;
    while (!wal_board_is_stopping(board)) {
        const int result = run_spell(follow, &end, &why);
        learn(follow, &end);
        const bool news = wal_board_end(board, result < 0 ? &why : NULL);
        if (wal_board_is_stopping(board))
            break;
        if (result < 0 && is_final(follow, &why)) {
            *err = why;
            return -1;
        }
        if (news)
            log_error(&why, "Lost the stream of WAL, trying again");
        if (result == 0 && end.streamed)
            continue;
        const uint32_t delay_ms = backoff_next_ms(&follow->backoff, backoff_random(), 0);
        if (cancel_sleep(follow->options->stop, (int)delay_ms, &why) < 0)
            break;
    }
    return 0;
}

int wal_follow_run(const struct wal_follow_options *options, struct error *err)
{
    struct follow follow = {
        .options = options,
        .backoff = {.base_ms = BACKOFF_BASE_MS, .cap_ms = BACKOFF_CAP_MS},
    };
    if (cancel_init(&follow.ended, err) < 0)
        return -1;
    struct crew *crew = crew_new(&follow.ended);
    int result = crew_start(crew, "wal-guard", guard_main, &follow, err) < 0 ||
                         crew_start(crew, "wal-watch", watch_main, &follow, err) < 0
                     ? -1
                     : follow_for_ever(&follow, err);
    crew_freep(&crew);
    cancel_done(&follow.ended);
    return result;
}
