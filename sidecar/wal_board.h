// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of the endless stream of WAL at this moment: for people, and between the threads
 * that receive, watch the server, and wait for the end.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_gap.h"
#include "sidecar/wal_slot_name.h"

struct cancel;
struct pg_slot;

struct wal_follow_state {
    char slot[WAL_SLOT_NAME_BYTES];
    bool streaming;        /* and what comes gets into a quorum of regions */
    int64_t since_ms;      /* when it began, or ended, to stream */
    struct error error;    /* why it does not; kind NONE: no reason yet */
    uint32_t timeline;     /* that is or was streamed; 0: none yet */
    uint64_t server_lsn;   /* the end of the server's WAL */
    uint64_t received_lsn; /* … of what came */
    uint64_t durable_lsn; /* … and of what a quorum of regions has, without a gap; 0: not known */
    uint64_t kept_lsn;    /* the server keeps WAL from there on for us; 0: not known */
    uint64_t left_bytes;  /* that it may write until it gives that up; INT64_MAX: no limit */
    struct wal_span gap;  /* the last that was found; to 0: none */
    uint64_t gap_system_identifier; /* … in the WAL of that database system */
    uint32_t lost; /* regions of the policy that failed, and have not answered since: bits of their
                      indices */
};

struct wal_board {
    pthread_mutex_t lock; /* guards what follows */
    struct wal_follow_state state;
    struct cancel *spell; /* what runs now; NULL: nothing */
    bool begun;           /* it has a stream, whether that gets anywhere or not */
    bool stopping;        /* end, in good order */
    bool renew;           /* end the spell in good order: another one does better */
    bool by_slot;         /* the stream uses the slot */
    bool synchronous;     /* … and takes care not to be a synchronous standby */
};

void wal_board_init(struct wal_board *board, const char *slot);
void wal_board_done(struct wal_board *board);
struct wal_follow_state wal_board_state(struct wal_board *board);

/* A spell begins; cancel is lent until it ends (NULL). */
void wal_board_set_spell(struct wal_board *board, struct cancel *cancel);
/* It is to end in good order, and no other one is to begin. */
void wal_board_stop(struct wal_board *board);
bool wal_board_is_stopping(struct wal_board *board);
bool wal_board_wants_end(struct wal_board *board);
/* Cancels what runs; only_idle: unless it streams. */
void wal_board_cancel(struct wal_board *board, bool only_idle);

struct wal_board_stream {
    uint32_t timeline;
    uint64_t lsn;
    bool by_slot, synchronous;
};
void wal_board_begin(struct wal_board *board, const struct wal_board_stream *stream);
struct wal_board_progress {
    uint64_t server_lsn, received_lsn, durable_lsn;
};
void wal_board_move(struct wal_board *board, const struct wal_board_progress *progress);
/* The slot is only kept, and this is well; durable_lsn 0: not known. */
void wal_board_hold(struct wal_board *board, uint32_t timeline, uint64_t durable_lsn);
/* It gets nowhere, until something becomes durable. Whether that is news. */
bool wal_board_stall(struct wal_board *board, const struct error *err);
/* It streams no more; err NULL: for no bad reason. Whether that is news. */
bool wal_board_end(struct wal_board *board, const struct error *err);
/* Regions failed; one answers again, so that a spell that goes on without it is renewed. */
void wal_board_lose(struct wal_board *board, uint32_t regions);
void wal_board_find(struct wal_board *board, uint32_t region);
void wal_board_add_gap(struct wal_board *board, const struct wal_span *gap,
                       uint64_t system_identifier);
/* What the server says. Up to which LSN the slot must be advanced, as the stream does not use it;
 * 0: it need not be. */
uint64_t wal_board_look(struct wal_board *board, const struct pg_slot *slot);
