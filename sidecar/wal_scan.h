// SPDX-License-Identifier: Apache-2.0
/*
 * Finds the records in WAL of PostgreSQL 15 to 18 (access/xlog_internal.h, as
 * access/transam/xlogreader.c reads it): over pages and segments, each checked by the CRC that it
 * carries. Bytes come in order, in pieces of any size, and are not kept. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/wal_record.h"

struct reader;

enum { WAL_SCAN_PAGE_BYTES = 8192 };

struct wal_scan {
    uint64_t at; /* LSN of the next byte */
    uint32_t segment_bytes;
    uint64_t system_identifier; /* 0: any */
    int stage;
    /* of the page */
    uint8_t page[40];
    uint32_t page_header_bytes;
    uint16_t magic;    /* 0: none was seen */
    uint32_t timeline; /* the newest that was seen */
    /* of the record */
    uint64_t previous_lsn; /* of the one before; 0: not known */
    uint8_t header[WAL_RECORD_HEADER_BYTES];
    uint32_t header_size; /* that is there */
    uint32_t left;        /* bytes of the record that are to come */
    uint32_t crc;         /* of what came behind the header */
    uint64_t record_lsn;
    uint32_t record_timeline;
    struct wal_record_reader reader;
};

/* lsn: of the first byte, which a page begins with. A record that began before is passed over. */
struct wal_scan wal_scan_from(uint64_t lsn, uint32_t segment_bytes, uint64_t system_identifier);
/* Goes on in wal to the end of the next record: 1; or uses all of it up: 0. -1, CORRUPT: what comes
 * is not the WAL of these LSNs; says where, and the scan is over. */
MUST_CHECK int wal_scan_next(struct wal_scan *scan, struct reader *wal,
                             struct wal_record *ret_record, struct error *err);
/* Zeros came in the place of a record or a page: nothing was written yet from there on. */
bool wal_scan_ended(const struct wal_scan *scan);
/* A record has begun that is, or may be, none of WAL_RECORD_OTHER. */
bool wal_scan_awaits(const struct wal_scan *scan);
