// SPDX-License-Identifier: Apache-2.0
/*
 * Two threads: one receives and answers the server, the other puts, so that a slow bucket never
 * makes the server wait for an answer. Between them goes a buffer: while it is filled, what was in
 * it before is put. When it is taken the receiver reads no more, but goes on reporting, which is
 * what keeps the server from giving up on it (wal_sender_timeout).
 *
 * Only what is in the repository is reported as flushed. A server that shuts down waits until all
 * WAL is flushed here, and all it says is that it wants an answer: then what was received is put at
 * once, as a part of its segment.
 */
#include "sidecar/wal_receiver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/keys.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_replication.h"
#include "sidecar/repo.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"
#include "sidecar/wal_history.h"
#include "sidecar/wal_message.h"
#include "sidecar/wal_rivals.h"

enum {
    BUFFERS = 1,
    PIECE_BYTES_MAX = 16 << 20,  /* what is put at once: segments up to this size are put whole */
    MESSAGE_BYTES_MAX = 2 << 20, /* servers send up to 16 WAL blocks at once */
    TICK_MS = 200,               /* how soon a stop or an answer that is due is noticed */
    STATUS_MS = 1000,            /* between reports that nobody asked for */
    QUIET_MS = 1000,             /* after which nobody sends the rest of the last segment */
    LINGER_MS = 10000,           /* for that rest, which a primary fills at the stop */
    SILENCE_MS = 60000,          /* of a server that ought to send what the backup needs */
    SLOT_RANDOM_BYTES = 8,
};

/* A buffer, and the piece of WAL in it while it is filled or queued. */
struct wal_buffer {
    struct wal_piece piece;
    uint8_t *data;
};

struct wal_receiver {
    struct wal_receiver_options options;
    struct wal_rivals rivals;
    uint32_t timeline;
    char slot[sizeof("lifeboat_") + 2 * (size_t)SLOT_RANDOM_BYTES];
    struct pg_replication *replication; /* the receiving thread's once that was started */

    uint8_t *memory; /* all buffers, one mapping */
    size_t buffer_bytes;
    struct wal_buffer buffers[BUFFERS];
    struct fifo *idle, *full;    /* of buffers */
    struct fifo *finished;       /* closed when everything is stored */
    _Atomic uint64_t stop_lsn;   /* 0: not known yet */
    _Atomic uint64_t stored_lsn; /* all WAL before it, from the start on, is in the repository */
    _Atomic uint64_t stored_bytes;

    /* the receiving thread's */
    struct wal_buffer *current; /* being filled: holds at least a byte */
    uint64_t received_lsn;
    uint64_t stop; /* stop_lsn since it was seen */
    bool ended;    /* the server ended the stream, but everything needed is here */
    int64_t status_due_ms;
    int64_t progress_ms; /* when something that is waited for came last */
    int64_t reached_ms;  /* when stop was found to be reached; 0: not yet */
};

static uint64_t segment_start(const struct wal_receiver *receiver, uint64_t lsn)
{
    return wal_segment_start(lsn, receiver->options.segment_bytes);
}

/* Putting */

/* The buffer is idle again as soon as its piece is sealed: plaintext and object lie in memory
 * together only while that is done, and meanwhile nothing is received. */
static int put_piece(struct wal_receiver *receiver, struct wal_buffer *buffer, struct error *err)
{
    CLEANUP(wal_sealed_done) struct wal_sealed sealed = {0};
    const struct wal_piece piece = buffer->piece;
    struct repo *repo = receiver->options.repo;
    if (wal_archive_seal(repo, &piece, buffer->data, &sealed, err) < 0)
        return -1;
    /* an idle buffer takes no memory */
    madvise(buffer->data, receiver->buffer_bytes, MADV_DONTNEED);
    if (fifo_push(receiver->idle, buffer, err) < 0 ||
        wal_archive_put_sealed(repo, &sealed, &receiver->rivals.guard, err) < 0)
        return -1;
    atomic_fetch_add(&receiver->stored_bytes, sealed.bytes.size);
    atomic_store(&receiver->stored_lsn, piece.segment_lsn + piece.to);
    return 0;
}

static int put_main(void *arg, struct error *err)
{
    struct wal_receiver *receiver = arg;
    void *buffer;
    while (fifo_pop(receiver->full, &buffer, err) == 0)
        if (put_piece(receiver, buffer, err) < 0)
            return -1;
    if (err->kind != ERROR_NOT_FOUND)
        return -1;
    fifo_close(receiver->finished);
    return 0;
}

/* Answering */

static int report(struct wal_receiver *receiver, struct error *err)
{
    receiver->status_due_ms = clock_monotonic_ms() + STATUS_MS;
    return pg_replication_report(receiver->replication, atomic_load(&receiver->stored_lsn), err);
}

static int report_if_due(struct wal_receiver *receiver, struct error *err)
{
    return clock_monotonic_ms() < receiver->status_due_ms ? 0 : report(receiver, err);
}

static int hand_over(struct wal_receiver *receiver, struct error *err)
{
    return fifo_push(receiver->full, TAKE(receiver->current), err);
}

/* A server that shuts down asks again after each answer until all is flushed: while something is
 * being put the answer waits for a tick, or both sides would spin. */
static int answer(struct wal_receiver *receiver, struct error *err)
{
    if (receiver->current && hand_over(receiver, err) < 0)
        return -1;
    if (atomic_load(&receiver->stored_lsn) == receiver->received_lsn)
        return report(receiver, err);
    int64_t soon_ms = clock_monotonic_ms() + TICK_MS;
    if (receiver->status_due_ms > soon_ms)
        receiver->status_due_ms = soon_ms;
    return 0;
}

/* Taking WAL */

/* An empty buffer for what comes at received_lsn. While there is none nothing is read, and so no
 * question of the server either: it is told each tick that we are alive. */
static int begin_piece(struct wal_receiver *receiver, struct error *err)
{
    void *idle;
    int got;
    while ((got = repo_await(receiver->options.repo, receiver->idle, TICK_MS, &idle, err)) == 0)
        if (report(receiver, err) < 0)
            return -1;
    if (got < 0)
        return -1;
    uint64_t segment_lsn = segment_start(receiver, receiver->received_lsn);
    uint32_t from = (uint32_t)(receiver->received_lsn - segment_lsn);
    receiver->current = idle;
    receiver->current->piece = (struct wal_piece){
        .timeline = receiver->timeline,
        .segment_lsn = segment_lsn,
        .segment_bytes = receiver->options.segment_bytes,
        .from = from,
        .to = from,
    };
    return 0;
}

/* Copies what fits into the current piece; pieces end at multiples of the buffers' size. */
static size_t fill_piece(struct wal_receiver *receiver, const uint8_t *data, size_t size)
{
    struct wal_buffer *current = receiver->current;
    struct wal_piece *piece = &current->piece;
    size_t room = receiver->buffer_bytes - piece->to % receiver->buffer_bytes;
    size_t taken = size < room ? size : room;
    memcpy(current->data + (piece->to - piece->from), data, taken);
    piece->to += (uint32_t)taken;
    receiver->received_lsn += taken;
    return taken;
}

static int take_data(struct wal_receiver *receiver, const struct wal_message *message,
                     struct error *err)
{
    if (message->lsn != receiver->received_lsn) {
        char came[LSN_TEXT_BYTES], wanted[LSN_TEXT_BYTES];
        lsn_format(message->lsn, came);
        lsn_format(receiver->received_lsn, wanted);
        return error_set(err, ERROR_CORRUPT, "the server sent WAL at %s where %s comes next", came,
                         wanted);
    }
    for (size_t done = 0; done < message->size;) {
        if (!receiver->current && begin_piece(receiver, err) < 0)
            return -1;
        done += fill_piece(receiver, message->data + done, message->size - done);
        if (receiver->received_lsn % receiver->buffer_bytes == 0 && hand_over(receiver, err) < 0)
            return -1;
    }
    receiver->progress_ms = clock_monotonic_ms();
    return 0;
}

/* The stream */

static bool stop_reached(const struct wal_receiver *receiver)
{
    return receiver->stop != 0 && receiver->received_lsn >= receiver->stop;
}

/* The end of a stream, wanted or not, is only a failure while something is missing. */
static int stream_broke(struct wal_receiver *receiver, struct error *err)
{
    char lsn[LSN_TEXT_BYTES];
    lsn_format(receiver->received_lsn, lsn);
    receiver->ended = err->kind != ERROR_CANCELED && stop_reached(receiver);
    if (receiver->ended)
        return 0;
    if (err->kind == ERROR_NOT_FOUND)
        return error_set(err, ERROR_TRANSIENT,
                         "timeline %" PRIu32 " ended at %s during the backup, by a promotion or a "
                         "switch to another timeline: run the backup again",
                         receiver->timeline, lsn);
    return error_wrap(err, "receive WAL at %s of timeline %" PRIu32, lsn, receiver->timeline);
}

static int receive_one(struct wal_receiver *receiver, struct buf *message, struct error *err)
{
    struct wal_message parsed;
    int came = pg_replication_receive(receiver->replication, TICK_MS, message, err);
    if (came < 0)
        return stream_broke(receiver, err);
    if (came == 0)
        return 0;
    if (wal_message_parse(message->data, message->size, &parsed, err) < 0)
        return -1;
    if (parsed.type == WAL_MESSAGE_DATA)
        return take_data(receiver, &parsed, err);
    return parsed.reply_requested ? answer(receiver, err) : 0;
}

static int silent(const struct wal_receiver *receiver, struct error *err)
{
    char received[LSN_TEXT_BYTES], stop[LSN_TEXT_BYTES];
    lsn_format(receiver->received_lsn, received);
    lsn_format(receiver->stop, stop);
    return error_set(err, ERROR_TRANSIENT,
                     "the server sent no WAL for %d s: the backup needs it up to %s, and it came "
                     "to %s; see the server's log and run the backup again",
                     SILENCE_MS / 1000, stop, received);
}

/* What is due whether something came or not. */
static int keep_watch(struct wal_receiver *receiver, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    if (receiver->stop == 0) {
        receiver->stop = atomic_load(&receiver->stop_lsn);
        receiver->progress_ms = now_ms;
    }
    if (receiver->reached_ms == 0 && stop_reached(receiver))
        receiver->reached_ms = now_ms;
    if (now_ms - receiver->progress_ms >= SILENCE_MS && !stop_reached(receiver))
        return silent(receiver, err);
    return report_if_due(receiver, err);
}

/* Everything up to the stop is here, and the rest of its segment too unless nobody sends it. */
static bool is_complete(const struct wal_receiver *receiver)
{
    if (!stop_reached(receiver))
        return false;
    uint32_t segment_bytes = receiver->options.segment_bytes;
    uint64_t end = segment_bytes > PIECE_BYTES_MAX
                       ? receiver->stop /* such segments are put in parts anyway */
                       : segment_start(receiver, receiver->stop - 1) + segment_bytes;
    if (receiver->ended || receiver->received_lsn >= end)
        return true;
    int64_t now_ms = clock_monotonic_ms();
    return receiver->reached_ms != 0 && (now_ms - receiver->progress_ms >= QUIET_MS ||
                                         now_ms - receiver->reached_ms >= LINGER_MS);
}

/* Hands over the last piece; closing the connection ends stream and slot. */
static int end_stream(struct wal_receiver *receiver, struct error *err)
{
    const struct wal_buffer *last = receiver->current;
    pg_replication_closep(&receiver->replication);
    if (last && last->piece.segment_lsn + last->piece.from < receiver->stop &&
        hand_over(receiver, err) < 0)
        return -1;
    fifo_close(receiver->full);
    return 0;
}

static int receive_main(void *arg, struct error *err)
{
    struct wal_receiver *receiver = arg;
    CLEANUP(buf_done) struct buf message = BUF(MESSAGE_BYTES_MAX);
    while (!is_complete(receiver))
        if (keep_watch(receiver, err) < 0 || receive_one(receiver, &message, err) < 0)
            return -1;
    return end_stream(receiver, err);
}

/* Starting */

static int put_histories(struct wal_receiver *receiver, struct error *err)
{
    CLEANUP(timeline_done) struct timeline history = {0};
    const struct wal_history_source source = {receiver->options.repo, receiver->replication,
                                              receiver->timeline};
    uint64_t bytes = 0;
    if (wal_history_take(&source, &history, &bytes, err) < 0)
        return -1;
    atomic_fetch_add(&receiver->stored_bytes, bytes);
    return 0;
}

static void make_buffers(struct wal_receiver *receiver)
{
    uint32_t segment_bytes = receiver->options.segment_bytes;
    receiver->buffer_bytes = segment_bytes < PIECE_BYTES_MAX ? segment_bytes : PIECE_BYTES_MAX;
    receiver->memory = mmap(NULL, BUFFERS * receiver->buffer_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (receiver->memory == MAP_FAILED)
        abort(); /* out of memory, as everywhere */
    receiver->idle = fifo_new(BUFFERS, receiver->options.cancel);
    receiver->full = fifo_new(BUFFERS, receiver->options.cancel);
    receiver->finished = fifo_new(1, receiver->options.cancel);
    for (size_t i = 0; i < BUFFERS; i++) {
        struct error ignored; /* there is room; a cancelled job finds out when it wants a buffer */
        receiver->buffers[i].data = receiver->memory + i * receiver->buffer_bytes;
        if (fifo_push(receiver->idle, &receiver->buffers[i], &ignored) < 0)
            return;
    }
}

static int create_slot(struct wal_receiver *receiver, struct error *err)
{
    uint8_t random[SLOT_RANDOM_BYTES];
    if (key_random(random, sizeof(random), err) < 0)
        return -1;
    memcpy(receiver->slot, "lifeboat_", strlen("lifeboat_"));
    text_hex(random, sizeof(random), receiver->slot + strlen("lifeboat_"));
    return pg_replication_create_slot(receiver->replication, receiver->slot, PG_SLOT_TEMPORARY,
                                      err);
}

uint64_t wal_receiver_stored_bytes(const struct wal_receiver *receiver)
{
    return atomic_load(&receiver->stored_bytes);
}

uint32_t wal_receiver_timeline(const struct wal_receiver *receiver)
{
    return receiver->timeline;
}

int wal_receiver_history(struct wal_receiver *receiver, struct timeline *ret_timeline,
                         struct error *err)
{
    assert(!receiver->memory);
    return pg_replication_timeline(receiver->replication, receiver->timeline, ret_timeline, err);
}

int wal_receiver_finish(struct wal_receiver *receiver, uint64_t stop_lsn, struct error *err)
{
    assert(receiver->memory && stop_lsn > 0);
    atomic_store(&receiver->stop_lsn, stop_lsn);
    void *none;
    if (repo_await(receiver->options.repo, receiver->finished, -1, &none, err) < 0 &&
        err->kind != ERROR_NOT_FOUND)
        return error_wrap(err, "wait for the WAL of the backup");
    return 0;
}

int wal_receiver_start(struct wal_receiver *receiver, uint64_t start_lsn, struct error *err)
{
    assert(!receiver->memory);
    uint64_t from = segment_start(receiver, start_lsn);
    receiver->received_lsn = from;
    atomic_store(&receiver->stored_lsn, from);
    if (put_histories(receiver, err) < 0 ||
        pg_replication_start(receiver->replication, receiver->slot, receiver->timeline, from, err) <
            0)
        return -1;
    make_buffers(receiver);
    if (crew_start(receiver->options.crew, "wal-put", put_main, receiver, err) < 0)
        return -1;
    return crew_start(receiver->options.crew, "wal-receive", receive_main, receiver, err);
}

void wal_receiver_closep(struct wal_receiver **receiver)
{
    struct wal_receiver *r = TAKE(*receiver);
    if (!r)
        return;
    pg_replication_closep(&r->replication);
    fifo_freep(&r->idle);
    fifo_freep(&r->full);
    fifo_freep(&r->finished);
    if (r->memory)
        munmap(r->memory, BUFFERS * r->buffer_bytes);
    free(r);
}

int wal_receiver_open(struct wal_receiver **ret_receiver,
                      const struct wal_receiver_options *options, struct error *err)
{
    assert(wal_segment_bytes_valid(options->segment_bytes));
    CLEANUP(wal_receiver_closep) struct wal_receiver *receiver = own_alloc(sizeof(*receiver));
    receiver->options = *options;
    receiver->rivals = wal_rivals_new(options->repo, options->segment_bytes);
    struct pg_system system;
    if (pg_replication_open(&receiver->replication, options->pg, &system, err) < 0)
        return -1;
    if (system.system_identifier != options->system_identifier)
        return error_set(err, ERROR_PERMANENT,
                         "the server that answers replication connections is database system "
                         "%" PRIu64 ", not %" PRIu64
                         ": check connection.host and the proxy between",
                         system.system_identifier, options->system_identifier);
    receiver->timeline = system.timeline;
    if (create_slot(receiver, err) < 0)
        return -1;
    *ret_receiver = TAKE(receiver);
    return 0;
}
