// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_board.h"

#include <stdio.h>
#include <string.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "sidecar/pg.h"

static void raise_lsn(uint64_t *lsn, uint64_t to)
{
    if (to > *lsn)
        *lsn = to;
}

static void set_streaming(struct wal_follow_state *state, bool streaming)
{
    if (state->streaming != streaming)
        state->since_ms = clock_now_ms();
    state->streaming = streaming;
}

struct wal_follow_state wal_board_state(struct wal_board *board)
{
    pthread_mutex_lock(&board->lock);
    const struct wal_follow_state state = board->state;
    pthread_mutex_unlock(&board->lock);
    return state;
}

void wal_board_set_spell(struct wal_board *board, struct cancel *cancel)
{
    pthread_mutex_lock(&board->lock);
    board->spell = cancel;
    board->renew = false;
    pthread_mutex_unlock(&board->lock);
}

void wal_board_lose(struct wal_board *board, uint32_t regions)
{
    pthread_mutex_lock(&board->lock);
    board->state.lost |= regions;
    pthread_mutex_unlock(&board->lock);
}

void wal_board_find(struct wal_board *board, uint32_t region)
{
    pthread_mutex_lock(&board->lock);
    board->state.lost &= ~region;
    board->renew = true;
    pthread_mutex_unlock(&board->lock);
}

void wal_board_stop(struct wal_board *board)
{
    pthread_mutex_lock(&board->lock);
    board->stopping = true;
    pthread_mutex_unlock(&board->lock);
}

bool wal_board_is_stopping(struct wal_board *board)
{
    pthread_mutex_lock(&board->lock);
    const bool stopping = board->stopping;
    pthread_mutex_unlock(&board->lock);
    return stopping;
}

bool wal_board_wants_end(struct wal_board *board)
{
    pthread_mutex_lock(&board->lock);
    const bool wants = board->stopping || board->renew;
    pthread_mutex_unlock(&board->lock);
    return wants;
}

void wal_board_cancel(struct wal_board *board, bool only_idle)
{
    pthread_mutex_lock(&board->lock);
    if (board->spell && !(only_idle && board->begun))
        cancel_trigger(board->spell);
    pthread_mutex_unlock(&board->lock);
}

void wal_board_begin(struct wal_board *board, const struct wal_board_stream *stream)
{
    pthread_mutex_lock(&board->lock);
    struct wal_follow_state *state = &board->state;
    board->begun = true;
    set_streaming(state, true);
    state->error = (struct error){0};
    state->timeline = stream->timeline;
    state->received_lsn = stream->lsn;
    state->durable_lsn = stream->lsn;
    raise_lsn(&state->server_lsn, stream->lsn);
    board->by_slot = stream->by_slot;
    board->synchronous = stream->synchronous;
    pthread_mutex_unlock(&board->lock);
}

void wal_board_move(struct wal_board *board, const struct wal_board_progress *progress)
{
    pthread_mutex_lock(&board->lock);
    struct wal_follow_state *state = &board->state;
    if (!state->streaming && progress->durable_lsn > state->durable_lsn) {
        set_streaming(state, true);
        state->error = (struct error){0};
    }
    state->received_lsn = progress->received_lsn;
    state->durable_lsn = progress->durable_lsn;
    raise_lsn(&state->server_lsn, progress->server_lsn);
    pthread_mutex_unlock(&board->lock);
}

void wal_board_hold(struct wal_board *board, uint32_t timeline, uint64_t durable_lsn)
{
    pthread_mutex_lock(&board->lock);
    board->state.error = (struct error){0};
    board->state.timeline = timeline;
    board->state.durable_lsn = durable_lsn;
    pthread_mutex_unlock(&board->lock);
}

/* Under the lock. */
static bool stop_streaming(struct wal_follow_state *state, const struct error *err)
{
    const bool news = err && strcmp(state->error.text, err->text) != 0;
    set_streaming(state, false);
    if (err)
        state->error = *err;
    return news;
}

bool wal_board_stall(struct wal_board *board, const struct error *err)
{
    pthread_mutex_lock(&board->lock);
    const bool news = stop_streaming(&board->state, err);
    pthread_mutex_unlock(&board->lock);
    return news;
}

bool wal_board_end(struct wal_board *board, const struct error *err)
{
    pthread_mutex_lock(&board->lock);
    const bool news = stop_streaming(&board->state, err);
    board->begun = false;
    pthread_mutex_unlock(&board->lock);
    return news;
}

void wal_board_add_gap(struct wal_board *board, const struct wal_span *gap,
                       uint64_t system_identifier)
{
    pthread_mutex_lock(&board->lock);
    board->state.gap = *gap;
    board->state.gap_system_identifier = system_identifier;
    pthread_mutex_unlock(&board->lock);
}

uint64_t wal_board_look(struct wal_board *board, const struct pg_slot *slot)
{
    pthread_mutex_lock(&board->lock);
    struct wal_follow_state *state = &board->state;
    state->kept_lsn = slot->restart_lsn;
    state->left_bytes = slot->left_bytes;
    raise_lsn(&state->server_lsn, slot->server_lsn);
    if (board->begun && board->synchronous != slot->may_make_synchronous)
        board->renew = true;
    const bool lags = board->begun && !board->by_slot && slot->found && !slot->active &&
                      slot->restart_lsn != 0 && slot->restart_lsn < state->durable_lsn;
    const uint64_t advance = lags ? state->durable_lsn : 0;
    pthread_mutex_unlock(&board->lock);
    return advance;
}

void wal_board_done(struct wal_board *board)
{
    pthread_mutex_destroy(&board->lock);
}

void wal_board_init(struct wal_board *board, const char *slot)
{
    *board = (struct wal_board){.state = {.since_ms = clock_now_ms(), .left_bytes = INT64_MAX}};
    snprintf(board->state.slot, sizeof(board->state.slot), "%s", slot);
    pthread_mutex_init(&board->lock, NULL);
}
