// SPDX-License-Identifier: Apache-2.0
/*
 * A record of PostgreSQL's WAL (15 to 18, access/xlogrecord.h), as far as recovery decides by it
 * where to stop: the ends of transactions (access/xact.h) and restore points; what helps to find
 * them; and what it demands of the server. Read piece by piece, so that a record of a gigabyte
 * costs no memory. Pure; wal_scan finds the records.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/pg_demands.h"

enum { WAL_RECORD_HEADER_BYTES = 24, WAL_RECORD_NAME_MAX = 64 };

enum wal_record_kind {
    WAL_RECORD_NONE, /* no record at all: what a search gives that found nothing */
    WAL_RECORD_COMMIT,
    WAL_RECORD_ABORT, /* both also of prepared transactions */
    WAL_RECORD_RESTORE_POINT,
    WAL_RECORD_RUNNING, /* which transactions run; written every 15 s, and with checkpoints */
    WAL_RECORD_SWITCH,  /* the rest of its segment holds nothing */
    WAL_RECORD_DEMANDS, /* the server was started with other settings than before */
    WAL_RECORD_OTHER,
};

struct wal_record {
    enum wal_record_kind kind;
    uint8_t resource_manager, info; /* as they are in the record */
    uint32_t size;                  /* bytes; page headers not counted */
    uint32_t timeline;              /* of the page that it begins on */
    uint64_t lsn, end_lsn;          /* of its first byte, and where the next one may begin */
    uint32_t xid; /* COMMIT, ABORT: what ended; a subtransaction's if only that was rolled back */
    int64_t time_us;                /* COMMIT, ABORT, RESTORE_POINT: since 1970 */
    uint32_t next_xid;              /* RUNNING: it and all behind it have not begun; */
    uint32_t oldest_xid;            /* all before it have ended */
    char name[WAL_RECORD_NAME_MAX]; /* RESTORE_POINT */
    struct pg_demands demands;      /* DEMANDS */
};

/* COMMIT or ABORT: recovery to a time or a transaction stops at these only. */
bool wal_record_ends_transaction(const struct wal_record *record);

/* Reads what comes behind the header of a record. */
struct wal_record_reader {
    struct wal_record record;
    int step;             /* what the bytes that are held will be */
    unsigned part;        /* of the parts of a transaction's end the next … */
    uint32_t parts;       /* … of those that are there */
    uint32_t stats_bytes; /* of one of its dropped statistics objects */
    uint64_t left, skip;  /* bytes of the record; and of those, what says nothing */
    uint8_t held[WAL_RECORD_NAME_MAX];
    size_t held_size;
};

/* header: WAL_RECORD_HEADER_BYTES of it. magic: of its page. lsn, timeline and end_lsn are the
 * caller's to set. */
void wal_record_begin(struct wal_record_reader *reader, const uint8_t *header, uint16_t magic);
/* The next bytes behind the header; together no more than the record has. */
void wal_record_feed(struct wal_record_reader *reader, const uint8_t *data, size_t size);
/* Once all is fed. CORRUPT: it does not hold what its kind must. */
MUST_CHECK int wal_record_end(const struct wal_record_reader *reader, struct wal_record *ret_record,
                              struct error *err);
