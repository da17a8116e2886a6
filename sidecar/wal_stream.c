// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_stream.h"

#include <assert.h>
#include <string.h>

static uint64_t block_end(const struct wal_stream *stream)
{
    return stream->block_lsn + stream->options.block_bytes;
}

static bool has_unsealed(const struct wal_stream *stream)
{
    return stream->received_lsn > stream->sealed_lsn;
}

static bool is_waiting(const struct wal_stream *stream)
{
    return stream->received_lsn > stream->durable_lsn;
}

static bool is_asked(const struct wal_stream *stream)
{
    return stream->asked_ms != WAL_STREAM_NEVER;
}

/* Sealing */

static bool can_seal(const struct wal_stream *stream)
{
    const size_t most = stream->options.flying;
    return stream->flying_count < most && stream->aloft < most && !stream->tail_flies;
}

static void send_off(struct wal_stream *stream, const struct wal_stream_piece *piece)
{
    stream->flying[stream->flying_count].piece = *piece;
    stream->flying[stream->flying_count++].stored = false;
    stream->aloft++;
    stream->sealed_lsn = piece->to_lsn;
    stream->tail_flies = !piece->complete;
}

static struct wal_stream_piece seal_block(struct wal_stream *stream)
{
    const struct wal_stream_piece piece = {stream->block_lsn, block_end(stream), true};
    send_off(stream, &piece);
    stream->block_lsn = piece.to_lsn;
    stream->tail_count = 0;
    return piece;
}

static struct wal_stream_piece seal_tail(struct wal_stream *stream)
{
    size_t count = stream->tail_count;
    struct wal_stream_piece piece = {.to_lsn = stream->received_lsn};
    piece.from_lsn = count > 0 ? stream->tails[count - 1].to_lsn : stream->block_lsn;
    for (; count > 0; count--) {
        const uint64_t before = stream->tails[count - 1].from_lsn;
        if (piece.from_lsn - before >= 2 * (piece.to_lsn - piece.from_lsn))
            break;
        piece.from_lsn = before;
    }
    assert(count < WAL_STREAM_TAILS_MAX);
    stream->tails[count].from_lsn = piece.from_lsn;
    stream->tails[count].to_lsn = piece.to_lsn;
    stream->tail_count = count + 1;
    send_off(stream, &piece);
    return piece;
}

static bool tail_is_due(const struct wal_stream *stream, int64_t now_ms)
{
    if (!has_unsealed(stream))
        return false;
    return stream->ending || (is_asked(stream) && stream->sealed_lsn < stream->asked_lsn) ||
           now_ms - stream->oldest_ms >= stream->options.flush_ms;
}

/* What happens */

uint32_t wal_stream_room(const struct wal_stream *stream)
{
    return (uint32_t)(block_end(stream) - stream->received_lsn);
}

void wal_stream_take(struct wal_stream *stream, uint32_t bytes, int64_t now_ms)
{
    assert(bytes <= wal_stream_room(stream));
    if (!has_unsealed(stream))
        stream->oldest_ms = now_ms;
    stream->received_lsn += bytes;
    if (stream->waiting_ms == WAL_STREAM_NEVER && is_waiting(stream))
        stream->waiting_ms = now_ms;
    if (wal_stream_room(stream) == 0)
        stream->held_back_ms = now_ms;
}

void wal_stream_ask(struct wal_stream *stream, int64_t now_ms)
{
    if (is_asked(stream))
        return;
    stream->asked_lsn = stream->received_lsn;
    stream->asked_ms = now_ms;
}

static bool is_same(const struct wal_stream_piece *a, const struct wal_stream_piece *b)
{
    return a->from_lsn == b->from_lsn && a->to_lsn == b->to_lsn;
}

static void advance(struct wal_stream *stream)
{
    size_t stored = 0;
    for (; stored < stream->flying_count && stream->flying[stored].stored; stored++)
        if (stream->flying[stored].piece.to_lsn > stream->durable_lsn)
            stream->durable_lsn = stream->flying[stored].piece.to_lsn;
    stream->flying_count -= stored;
    memmove(stream->flying, stream->flying + stored,
            stream->flying_count * sizeof(stream->flying[0]));
}

void wal_stream_store(struct wal_stream *stream, const struct wal_stream_piece *piece,
                      int64_t now_ms)
{
    for (size_t i = 0; i < stream->flying_count; i++)
        if (is_same(&stream->flying[i].piece, piece))
            stream->flying[i].stored = true;
    if (!piece->complete)
        stream->tail_flies = false;
    if (stream->held_back_ms != WAL_STREAM_NEVER)
        stream->held_back_ms = now_ms;
    const uint64_t durable_lsn = stream->durable_lsn;
    advance(stream);
    if (stream->durable_lsn > durable_lsn)
        stream->waiting_ms = is_waiting(stream) ? now_ms : WAL_STREAM_NEVER;
}

void wal_stream_land(struct wal_stream *stream, int64_t now_ms)
{
    assert(stream->aloft > 0);
    stream->aloft--;
    if (stream->held_back_ms != WAL_STREAM_NEVER)
        stream->held_back_ms = now_ms;
}

void wal_stream_end(struct wal_stream *stream)
{
    stream->ending = true;
}

bool wal_stream_is_drained(const struct wal_stream *stream)
{
    return stream->ending && stream->aloft == 0 && !has_unsealed(stream);
}

/* What to do */

uint64_t wal_stream_report_lsn(const struct wal_stream *stream)
{
    return stream->durable_lsn < stream->received_lsn ? stream->durable_lsn : stream->received_lsn;
}

static bool is_overdue(int64_t since_ms, int64_t now_ms)
{
    return since_ms != WAL_STREAM_NEVER && now_ms - since_ms >= WAL_STREAM_PATIENCE_MS;
}

bool wal_stream_is_stalled(const struct wal_stream *stream, int64_t now_ms)
{
    const int64_t least_ms =
        stream->options.stall_ms > 0 ? stream->options.stall_ms : WAL_STREAM_STALL_MS;
    const int64_t flushes_ms = WAL_STREAM_STALL_FLUSHES * stream->options.flush_ms;
    const int64_t open_ms = flushes_ms > least_ms ? flushes_ms : least_ms;
    return stream->waiting_ms != WAL_STREAM_NEVER &&
           now_ms - stream->waiting_ms >= (stream->ending ? WAL_STREAM_PATIENCE_MS : open_ms);
}

static enum wal_stream_deed answer(struct wal_stream *stream, int64_t now_ms)
{
    const bool answers = is_asked(stream) && stream->durable_lsn >= stream->asked_lsn;
    if (answers)
        stream->asked_ms = WAL_STREAM_NEVER;
    if (is_overdue(stream->asked_ms, now_ms) || is_overdue(stream->held_back_ms, now_ms))
        return WAL_STREAM_CLOSE;
    if (!answers && now_ms < stream->status_due_ms)
        return WAL_STREAM_WAIT;
    stream->status_due_ms = now_ms + WAL_STREAM_STATUS_MS;
    return WAL_STREAM_REPORT;
}

enum wal_stream_deed wal_stream_next(struct wal_stream *stream, int64_t now_ms,
                                     struct wal_stream_piece *ret_piece)
{
    const bool is_full = wal_stream_room(stream) == 0;
    if (can_seal(stream) && is_full) {
        *ret_piece = seal_block(stream);
        stream->held_back_ms = WAL_STREAM_NEVER;
        return WAL_STREAM_SEAL;
    }
    if (can_seal(stream) && tail_is_due(stream, now_ms)) {
        *ret_piece = seal_tail(stream);
        return WAL_STREAM_SEAL;
    }
    return stream->ending ? WAL_STREAM_WAIT : answer(stream, now_ms);
}

void wal_stream_init(struct wal_stream *stream, const struct wal_stream_options *options,
                     int64_t now_ms)
{
    assert(options->block_bytes <= WAL_STREAM_BLOCK_MAX &&
           options->begin_lsn % options->block_bytes == 0);
    assert(options->flying > 0 && options->flying <= WAL_STREAM_FLYING_MAX);
    assert(options->stored_lsn >= options->begin_lsn &&
           options->stored_lsn - options->begin_lsn <= options->block_bytes);
    *stream = (struct wal_stream){
        .options = *options,
        .block_lsn = options->begin_lsn,
        .received_lsn = options->begin_lsn,
        .sealed_lsn = options->stored_lsn,
        .durable_lsn = options->stored_lsn,
        .asked_ms = WAL_STREAM_NEVER,
        .waiting_ms = WAL_STREAM_NEVER,
        .held_back_ms = WAL_STREAM_NEVER,
        .status_due_ms = now_ms + WAL_STREAM_STATUS_MS,
    };
}
