// SPDX-License-Identifier: Apache-2.0
/* Makes WAL as PostgreSQL lays it out: pages, records that go on over them, checksums. What a
 * record says is up to the test. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct pg_demands;

struct helper_wal {
    struct buf bytes;
    uint64_t first_lsn; /* of bytes */
    uint32_t segment_bytes, timeline;
    uint64_t system_identifier, previous_lsn;
    uint16_t magic; /* the fields above may be changed between records */
};

/* The values of PostgreSQL that make up what tests want. */
enum {
    HELPER_WAL_XLOG = 0,
    HELPER_WAL_XACT = 1,
    HELPER_WAL_STANDBY = 8,
    HELPER_WAL_HEAP = 10,
    HELPER_WAL_COMMIT = 0x00,
    HELPER_WAL_RUNNING = 0x10,
    HELPER_WAL_ABORT = 0x20,
    HELPER_WAL_SWITCH = 0x40,
    HELPER_WAL_PARAMETER_CHANGE = 0x60,
    HELPER_WAL_RESTORE_POINT = 0x70,
    HELPER_WAL_MAGIC_17 = 0xd116,
};

/* Nothing yet, of timeline 1, PostgreSQL 17 and HELPER_REPO_SYSTEM. lsn is that of a page. */
struct helper_wal helper_wal_from(uint64_t lsn, uint32_t segment_bytes);
/* The same WAL up to now, which another timeline goes on with. */
struct helper_wal helper_wal_fork(const struct helper_wal *wal, uint32_t timeline);
void helper_wal_done(struct helper_wal *wal);
/* Where the next byte comes. */
uint64_t helper_wal_end(const struct helper_wal *wal);
uint8_t *helper_wal_at(const struct helper_wal *wal, uint64_t lsn);

struct helper_wal_record {
    uint8_t resource_manager, info;
    uint32_t xid;
    const void *data; /* all that comes behind the header */
    size_t size;
};
/* Each gives the record's LSN. */
uint64_t helper_wal_add(struct helper_wal *wal, const struct helper_wal_record *record);
uint64_t helper_wal_end_transaction(struct helper_wal *wal, uint8_t info, uint32_t xid,
                                    int64_t time_us);
uint64_t helper_wal_restore_point(struct helper_wal *wal, const char *name, int64_t time_us);
/* The transactions from oldest_xid to before next_xid run, or some of them. */
uint64_t helper_wal_running(struct helper_wal *wal, uint32_t oldest_xid, uint32_t next_xid);
/* The server goes on with these settings. */
uint64_t helper_wal_demand(struct helper_wal *wal, const struct pg_demands *demands);
/* One that says nothing, with so many bytes behind its header. */
uint64_t helper_wal_fill(struct helper_wal *wal, size_t size);
/* The rest of the segment holds zeros then. */
uint64_t helper_wal_switch(struct helper_wal *wal);
