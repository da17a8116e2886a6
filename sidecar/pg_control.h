// SPDX-License-Identifier: Apache-2.0
/* global/pg_control of PostgreSQL 15 to 18 (catalog/pg_control.h), as 64-bit little-endian machines
 * write it: parsed with its CRC-32C. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/pg_demands.h"

enum { PG_CONTROL_BYTES = 8192 };

enum pg_control_state {
    PG_CONTROL_STARTUP,
    PG_CONTROL_SHUTDOWNED,
    PG_CONTROL_SHUTDOWNED_IN_RECOVERY,
    PG_CONTROL_SHUTDOWNING,
    PG_CONTROL_IN_CRASH_RECOVERY,
    PG_CONTROL_IN_ARCHIVE_RECOVERY,
    PG_CONTROL_IN_PRODUCTION,
};

struct pg_control {
    uint64_t system_identifier;
    uint32_t version;         /* PG_CONTROL_VERSION */
    uint32_t catalog_version; /* CATALOG_VERSION_NO */
    enum pg_control_state state;
    uint64_t checkpoint_lsn, redo_lsn;
    uint32_t checkpoint_timeline;
    uint64_t min_recovery_lsn;
    uint32_t min_recovery_timeline;
    uint32_t block_bytes, segment_blocks, wal_segment_bytes;
    uint32_t checksum_version; /* 0: data checksums are off */
    struct pg_demands demands;
    bool track_commit_timestamp;
    uint32_t wal_level; /* 0 minimal, 1 replica, 2 logical */
};

/* CORRUPT: too short, wrong CRC (a torn read: read again); PERMANENT: a version that is not
 * known, or a big-endian machine's. */
MUST_CHECK int pg_control_parse(const uint8_t *data, size_t size, struct pg_control *ret_control,
                                struct error *err);
