// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_control.h"

#include <string.h>

#include "common/bytes.h"
#include "sidecar/crc32c.h"
#include "sidecar/lsn.h"

/*
 * Offsets in struct ControlFileData as compilers lay it out on 64-bit little-endian machines, the
 * only ones supported. PostgreSQL 15 and 16 write version 1300, 17 version 1700 (which only used
 * some padding), 18 version 1800 (which put a bool before the nonce and so moved the CRC).
 */
enum {
    SYSTEM_IDENTIFIER = 0,
    VERSION = 8,
    CATALOG_VERSION = 12,
    STATE = 16,
    CHECKPOINT = 32,
    CHECKPOINT_REDO = 40, /* checkPointCopy begins here */
    CHECKPOINT_TIMELINE = 48,
    MIN_RECOVERY = 136,
    MIN_RECOVERY_TIMELINE = 144,
    WAL_LEVEL = 172,
    MAX_CONNECTIONS = 180,
    MAX_WORKER_PROCESSES = 184,
    MAX_WAL_SENDERS = 188,
    MAX_PREPARED_TRANSACTIONS = 192,
    MAX_LOCKS_PER_TRANSACTION = 196,
    TRACK_COMMIT_TIMESTAMP = 200,
    MAX_ALIGN = 204,
    FLOAT_FORMAT = 208,
    BLOCK_BYTES = 216,
    SEGMENT_BLOCKS = 220,
    WAL_SEGMENT_BYTES = 228,
    CHECKSUM_VERSION = 252,
    CRC = 288,
    CRC_1800 = 292,
};

/* The double 1234567.0 in IEEE 754. */
#define FLOAT_FORMAT_BITS UINT64_C(0x4132d68700000000)

static bool version_plausible(uint32_t version)
{
    return version >= 700 && version < 10000;
}

static int unknown_version(uint32_t version, struct error *err)
{
    if (version_plausible(version))
        return error_set(err, ERROR_PERMANENT,
                         "pg_control: version %u is not supported (PostgreSQL 15 to 18 are)",
                         version);
    if (version_plausible(__builtin_bswap32(version)))
        return error_set(err, ERROR_PERMANENT,
                         "pg_control: written on a big-endian machine, which is not supported");
    return error_set(err, ERROR_CORRUPT, "pg_control: not a control file (version %u)", version);
}

static int check_crc(const uint8_t *data, size_t size, struct error *err)
{
    if (size < CRC_1800 + 4)
        return error_set(err, ERROR_CORRUPT, "pg_control: only %zu bytes", size);
    uint32_t version = bytes_load32(data + VERSION);
    if (version != 1300 && version != 1700 && version != 1800)
        return unknown_version(version, err);
    size_t end = version == 1800 ? CRC_1800 : CRC;
    uint32_t computed = crc32c_extend(0, data, end), stored = bytes_load32(data + end);
    if (computed != stored)
        return error_set(err, ERROR_CORRUPT, "pg_control: CRC is %08x, should be %08x", stored,
                         computed);
    return 0;
}

static bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static int check_layout(const uint8_t *data, struct error *err)
{
    if (bytes_load32(data + MAX_ALIGN) != 8 ||
        bytes_load64(data + FLOAT_FORMAT) != FLOAT_FORMAT_BITS)
        return error_set(err, ERROR_CORRUPT, "pg_control: layout of another kind of machine");
    return 0;
}

static int check_values(const struct pg_control *control, struct error *err)
{
    const char *wrong = NULL;
    if (control->state > PG_CONTROL_IN_PRODUCTION)
        wrong = "state";
    else if (!is_power_of_two(control->block_bytes))
        wrong = "block size";
    else if (control->segment_blocks == 0)
        wrong = "segment size";
    else if (!wal_segment_bytes_valid(control->wal_segment_bytes))
        wrong = "WAL segment size";
    else if (control->wal_level > 2)
        wrong = "wal_level";
    if (wrong)
        return error_set(err, ERROR_CORRUPT, "pg_control: impossible %s", wrong);
    return 0;
}

int pg_control_parse(const uint8_t *data, size_t size, struct pg_control *ret_control,
                     struct error *err)
{
    if (check_crc(data, size, err) < 0 || check_layout(data, err) < 0)
        return -1;
    struct pg_control control = {
        .system_identifier = bytes_load64(data + SYSTEM_IDENTIFIER),
        .version = bytes_load32(data + VERSION),
        .catalog_version = bytes_load32(data + CATALOG_VERSION),
        .state = bytes_load32(data + STATE),
        .checkpoint_lsn = bytes_load64(data + CHECKPOINT),
        .redo_lsn = bytes_load64(data + CHECKPOINT_REDO),
        .checkpoint_timeline = bytes_load32(data + CHECKPOINT_TIMELINE),
        .min_recovery_lsn = bytes_load64(data + MIN_RECOVERY),
        .min_recovery_timeline = bytes_load32(data + MIN_RECOVERY_TIMELINE),
        .block_bytes = bytes_load32(data + BLOCK_BYTES),
        .segment_blocks = bytes_load32(data + SEGMENT_BLOCKS),
        .wal_segment_bytes = bytes_load32(data + WAL_SEGMENT_BYTES),
        .checksum_version = bytes_load32(data + CHECKSUM_VERSION),
        .demands.max_connections = bytes_load32(data + MAX_CONNECTIONS),
        .demands.max_worker_processes = bytes_load32(data + MAX_WORKER_PROCESSES),
        .demands.max_wal_senders = bytes_load32(data + MAX_WAL_SENDERS),
        .demands.max_prepared_transactions = bytes_load32(data + MAX_PREPARED_TRANSACTIONS),
        .demands.max_locks_per_transaction = bytes_load32(data + MAX_LOCKS_PER_TRANSACTION),
        .track_commit_timestamp = data[TRACK_COMMIT_TIMESTAMP] != 0,
        .wal_level = bytes_load32(data + WAL_LEVEL),
    };
    if (check_values(&control, err) < 0)
        return -1;
    *ret_control = control;
    return 0;
}
