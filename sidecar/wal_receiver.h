// SPDX-License-Identifier: Apache-2.0
/*
 * Receives WAL by streaming replication on threads of its own and puts it into the repository, from
 * the segment that holds a start LSN until a stop LSN is in. A temporary slot, made before the
 * backup starts, keeps the WAL on the server. Takes at most a buffer of 16 MiB and one sealed
 * object, and hardly anything while the server is quiet.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct cancel;
struct crew;
struct pg_options;
struct repo;
struct timeline;
struct wal_receiver;

struct wal_receiver_options {
    const struct pg_options *pg;
    uint32_t segment_bytes;
    uint64_t system_identifier; /* the server must be this one */
    struct repo *repo;
    struct crew *crew;           /* whose cancel is the one below */
    const struct cancel *cancel; /* all lent for the receiver's life */
};

/* Connects and makes the slot. Errors as pg_replication_open; PERMANENT: another system. */
MUST_CHECK int wal_receiver_open(struct wal_receiver **ret_receiver,
                                 const struct wal_receiver_options *options, struct error *err);
void wal_receiver_closep(struct wal_receiver **receiver); /* after its crew was joined */
uint32_t wal_receiver_timeline(const struct wal_receiver *receiver);
/* The history of that timeline; before the start. The caller's (timeline_done). */
MUST_CHECK int wal_receiver_history(struct wal_receiver *receiver, struct timeline *ret_timeline,
                                    struct error *err);
/* Puts the timeline's history (timelines above 1) and starts streaming on the crew. CONFLICT: the
 * repository has another history of it. */
MUST_CHECK int wal_receiver_start(struct wal_receiver *receiver, uint64_t start_lsn,
                                  struct error *err);
/*
 * Tells it where to end; waits until WAL up to stop_lsn is in the repository. What fails in its
 * threads is an error of the crew, and CANCELED here. TRANSIENT there: nothing came for 60 s though
 * stop_lsn was not reached; the connection was lost, the server shut down or its timeline ended
 * before; CORRUPT: the server broke the protocol; CONFLICT: the repository has WAL of these LSNs
 * that says something else; or what the stores said.
 */
MUST_CHECK int wal_receiver_finish(struct wal_receiver *receiver, uint64_t stop_lsn,
                                   struct error *err);
/* Of objects, so far. */
uint64_t wal_receiver_stored_bytes(const struct wal_receiver *receiver);
