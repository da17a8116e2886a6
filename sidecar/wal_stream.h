// SPDX-License-Identifier: Apache-2.0
/*
 * What to do with a stream of WAL, from the bytes that came, the time, and what the regions have by
 * now: when to seal which piece, what to report to the server, and when not to keep it waiting any
 * longer. Pure: no I/O, no threads, and times are given.
 *
 * WAL is cut into blocks: segments, or the parts of 16 MiB of larger ones. A complete block is
 * sealed at once, of the unfinished one what is there (a tail) when its oldest byte has waited for
 * the flush time. A tail takes the place of those before it that are not twice as long, so that few
 * of them are ever there and each byte is put a few times at most. While a tail is on its way
 * nothing else is sealed: whatever a stored piece covers is then stored and of no more use.
 *
 * A piece is stored when a quorum of regions has it, and has landed when no region needs it any
 * longer: until then its bytes are kept, and only so many can be on their way.
 *
 * The server is told the end of what a quorum of regions has without a gap. It may wait for that:
 * when it shuts down, which shows by its asking for an answer. So what is there is then sealed at
 * once; and if it is not stored in time the connection must be closed. The same if nothing more
 * could be taken for so long, as then nobody hears whether the server asks. Its slot keeps the WAL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WAL_STREAM_BLOCK_MAX = 16 << 20,
    WAL_STREAM_FLYING_MAX = 64, /* pieces on their way at once */
    WAL_STREAM_TAILS_MAX = 32,  /* each at least twice as long as the next */
    WAL_STREAM_PATIENCE_MS = 5000,
    WAL_STREAM_STALL_MS = 30 * 1000, /* … but for so many flushes at least: */
    WAL_STREAM_STALL_FLUSHES = 3,
    WAL_STREAM_STATUS_MS = 1000, /* between reports that nobody asked for */
    WAL_STREAM_NEVER = -1,
};

struct wal_stream_options {
    uint32_t block_bytes; /* a power of two */
    size_t flying;        /* pieces that have not landed, at most */
    int64_t flush_ms;
    int64_t stall_ms;    /* 0: WAL_STREAM_STALL_MS */
    uint64_t begin_lsn;  /* of a block */
    uint64_t stored_lsn; /* all from begin_lsn to it, at most a block, is stored already */
};

struct wal_stream_piece {
    uint64_t from_lsn, to_lsn;
    bool complete; /* a block; else a tail */
};

struct wal_stream {
    struct wal_stream_options options;
    uint64_t block_lsn;    /* of the block that is being filled */
    uint64_t received_lsn; /* the end of what came */
    uint64_t sealed_lsn;   /* all before is stored or on its way */
    uint64_t durable_lsn;  /* all before is stored */
    struct {
        struct wal_stream_piece piece;
        bool stored;
    } flying[WAL_STREAM_FLYING_MAX]; /* in the order of LSNs */
    size_t flying_count;             /* those that are not stored, and those between them */
    size_t aloft;                    /* those that have not landed */
    bool tail_flies;
    struct {
        uint64_t from_lsn, to_lsn;
    } tails[WAL_STREAM_TAILS_MAX]; /* of the block, one after the other */
    size_t tail_count;
    bool ending;        /* seal what is there: no more comes */
    uint64_t asked_lsn; /* an answer is due when this is durable … */
    int64_t asked_ms;   /* … and is asked for since then; WAL_STREAM_NEVER: none */
    int64_t oldest_ms;  /* when the oldest byte came that is not sealed */
    int64_t waiting_ms; /* since when something is not durable that came, and nothing became so; or
                           never */
    int64_t held_back_ms;  /* since when no byte can be taken and nothing was stored or landed; or
                              never */
    int64_t status_due_ms; /* the next report */
};

void wal_stream_init(struct wal_stream *stream, const struct wal_stream_options *options,
                     int64_t now_ms);
/* How many bytes can be taken now, those that go on at received_lsn; 0: ask again after
 * wal_stream_next. */
uint32_t wal_stream_room(const struct wal_stream *stream);
/* So many came, at most the room. */
void wal_stream_take(struct wal_stream *stream, uint32_t bytes, int64_t now_ms);
/* The server asks for an answer. */
void wal_stream_ask(struct wal_stream *stream, int64_t now_ms);
/* A piece that wal_stream_next gave out is stored in a quorum of regions. */
void wal_stream_store(struct wal_stream *stream, const struct wal_stream_piece *piece,
                      int64_t now_ms);
/* One that is stored is not needed any longer by any region. */
void wal_stream_land(struct wal_stream *stream, int64_t now_ms);
/* No more comes, or is wanted: what is there is sealed as soon as it can be. */
void wal_stream_end(struct wal_stream *stream);
/* After the end: all that came is stored, and has landed. */
bool wal_stream_is_drained(const struct wal_stream *stream);

enum wal_stream_deed {
    WAL_STREAM_WAIT,   /* for WAL, for pieces to be stored, for time to pass */
    WAL_STREAM_SEAL,   /* this piece, and put it: it is on its way from now on */
    WAL_STREAM_REPORT, /* wal_stream_report_lsn */
    WAL_STREAM_CLOSE,  /* the connection, at once */
};
/* The next thing to do; until it is to wait. */
enum wal_stream_deed wal_stream_next(struct wal_stream *stream, int64_t now_ms,
                                     struct wal_stream_piece *ret_piece);
/* The end of what came and is stored. */
uint64_t wal_stream_report_lsn(const struct wal_stream *stream);
/* Nothing of what came has been stored for so long that it counts as not being archived: a while
 * in which flushes should have succeeded, or the patience once no more comes. */
bool wal_stream_is_stalled(const struct wal_stream *stream, int64_t now_ms);
