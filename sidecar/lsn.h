// SPDX-License-Identifier: Apache-2.0
/* Log sequence numbers and the names of WAL segments, as PostgreSQL writes them
 * (access/xlog_internal.h). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    LSN_TEXT_BYTES = 18,
    WAL_SEGMENT_NAME_BYTES = 25,
    WAL_LOG_SHIFT = 32, /* a log, of which the names of segments tell the number, has 4 GiB */
};

/* "0/1A2B3C4" */
void lsn_format(uint64_t lsn, char ret_text[LSN_TEXT_BYTES]);
bool lsn_parse(const char *text, uint64_t *ret_lsn);

/* The segment that holds lsn: timeline, high and low half, 8 hex digits each. segment_bytes is a
 * power of two, 1 MiB to 1 GiB. */
void wal_segment_name(uint32_t timeline, uint64_t lsn, uint32_t segment_bytes,
                      char ret_name[WAL_SEGMENT_NAME_BYTES]);
/* The other way; false if name is not the name of a segment of that size. */
bool wal_segment_parse(const char *name, uint32_t segment_bytes, uint32_t *ret_timeline,
                       uint64_t *ret_lsn);
bool wal_segment_bytes_valid(uint64_t segment_bytes);
/* Of the segment, or of any other block of so many bytes (a power of two), that holds lsn. */
uint64_t wal_segment_start(uint64_t lsn, uint32_t segment_bytes);
