// SPDX-License-Identifier: Apache-2.0
/*
 * A connection that speaks PostgreSQL's streaming replication protocol (its documentation, 55.4): a
 * temporary slot, the timeline history, and the WAL itself as CopyData messages, which wal_message
 * parses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct buf;
struct pg_options;
struct pg_replication;
struct timeline;

struct pg_system {
    uint64_t system_identifier;
    uint32_t timeline;
    uint64_t flushed_lsn;
};

/* Errors as in pg_open; a missing replication line in pg_hba.conf is named with the line to add. */
MUST_CHECK int pg_replication_open(struct pg_replication **ret_replication,
                                   const struct pg_options *options, struct pg_system *ret_system,
                                   struct error *err);
void pg_replication_closep(struct pg_replication **replication);

/* CREATE_REPLICATION_SLOT <name> [TEMPORARY] PHYSICAL RESERVE_WAL: WAL from now on stays until it
 * is reported as flushed, or, TEMPORARY, until the connection ends. */
enum pg_slot_life { PG_SLOT_TEMPORARY, PG_SLOT_PERMANENT };
MUST_CHECK int pg_replication_create_slot(struct pg_replication *replication, const char *name,
                                          enum pg_slot_life life, struct error *err);
/* DROP_REPLICATION_SLOT: of a slot that nobody uses. */
MUST_CHECK int pg_replication_drop_slot(struct pg_replication *replication, const char *name,
                                        struct error *err);
/* TIMELINE_HISTORY: appends the history file's content; for timelines above 1. */
MUST_CHECK int pg_replication_history(struct pg_replication *replication, uint32_t timeline,
                                      struct buf *content, struct error *err);
/* The same, read: the caller's (timeline_done); of timeline 1, which has none, that it comes from
 * nowhere. Also CORRUPT. */
MUST_CHECK int pg_replication_timeline(struct pg_replication *replication, uint32_t timeline,
                                       struct timeline *ret_timeline, struct error *err);
/* START_REPLICATION from lsn, with the slot made above (slot NULL: without). Never makes us a
 * synchronous standby: see pg_replication_report. */
MUST_CHECK int pg_replication_start(struct pg_replication *replication, const char *slot,
                                    uint32_t timeline, uint64_t lsn, struct error *err);
/* The next message into message (cleared first): 1; none within timeout_ms: 0; NOT_FOUND at the end
 * of the timeline, after which the connection takes commands again; TRANSIENT when the server shut
 * down or the connection is lost; PERMANENT when the WAL is gone or message's limit too small. */
MUST_CHECK int pg_replication_receive(struct pg_replication *replication, int timeout_ms,
                                      struct buf *message, struct error *err);
/* A standby status update: written and flushed up to lsn, which lets the slot go on. Where
 * synchronous_standby_names, at the start of the stream, would take us for a synchronous standby
 * and let commits wait for us, only as written: the server then keeps the WAL until the end. */
MUST_CHECK int pg_replication_report(struct pg_replication *replication, uint64_t lsn,
                                     struct error *err);
/* After an error of pg_replication_receive: the server does not have that WAL any more. */
bool pg_replication_wal_is_gone(const struct pg_replication *replication);
/* Whether with this synchronous_standby_names commits could wait for us; rather once too often than
 * parsing it. Pure. */
bool pg_replication_may_be_synchronous(const char *synchronous_standby_names);
