// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_record.h"

#include <string.h>

#include "common/bytes.h"
#include "common/own.h"

/* struct XLogRecord */
enum { SIZE = 0, XID = 4, INFO = 16, RESOURCE_MANAGER = 17 };

/* Resource managers (access/rmgrlist.h), and in the upper half of info what they did. */
enum { XLOG = 0, XACT = 1, STANDBY = 8 };
enum { OPERATION = 0xf0 };
enum {
    XLOG_SWITCH = 0x40,
    XLOG_PARAMETER_CHANGE = 0x60,
    XLOG_RESTORE_POINT = 0x70,
    STANDBY_RUNNING = 0x10,
};
enum {
    XACT_OPERATION = 0x70,
    XACT_COMMIT = 0x00,
    XACT_ABORT = 0x20,
    XACT_COMMIT_PREPARED = 0x30,
    XACT_ABORT_PREPARED = 0x40,
    XACT_HAS_PARTS = 0x80,
};

/* struct xl_running_xacts, without the transactions themselves */
enum { RUNNING_NEXT = 12, RUNNING_OLDEST = 16, RUNNING_BYTES = 24 };

/* struct xl_parameter_change, as far as numbers go that a server can have too few of */
enum {
    DEMANDS_CONNECTIONS = 0,
    DEMANDS_WORKERS = 4,
    DEMANDS_SENDERS = 8,
    DEMANDS_PREPARED = 12,
    DEMANDS_LOCKS = 16,
    DEMANDS_BYTES = 20,
};

/* What the pieces behind the header are. All but the last, the main data, say nothing to us; there
 * are no blocks of relations in the records that we read. */
enum { ID_MAIN_SHORT = 255, ID_MAIN_LONG = 254, ID_ORIGIN = 253, ID_TOP_LEVEL_XID = 252 };
enum { ORIGIN_BYTES = 2, XID_BYTES = 4 };

enum { MAGIC_15 = 0xd110, MAGIC_16 = 0xd113, MAGIC_17 = 0xd116 };

/* From 1970, where Unix begins, to 2000, where PostgreSQL does. */
static const int64_t EPOCH_US = INT64_C(946684800) * 1000000;

enum step {
    STEP_ID,
    STEP_SHORT_LENGTH,
    STEP_LONG_LENGTH,
    STEP_TIME,
    STEP_NAME,
    STEP_RUNNING,
    STEP_DEMANDS,
    STEP_PARTS,
    STEP_COUNT,
    STEP_XID,
    STEP_DONE, /* the rest says nothing */
    STEP_BAD,
};

static const size_t step_bytes[] = {
    [STEP_ID] = 1,
    [STEP_SHORT_LENGTH] = 1,
    [STEP_LONG_LENGTH] = 4,
    [STEP_TIME] = 8,
    [STEP_NAME] = WAL_RECORD_NAME_MAX,
    [STEP_RUNNING] = RUNNING_BYTES,
    [STEP_DEMANDS] = DEMANDS_BYTES,
    [STEP_PARTS] = 4,
    [STEP_COUNT] = 4,
    [STEP_XID] = XID_BYTES,
    [STEP_DONE] = 0,
    [STEP_BAD] = 0,
};

/* What comes between the time of a transaction's end and the xid of a prepared one, in this order,
 * if its bit (XACT_XINFO_HAS_…) is set. */
static const struct part {
    uint32_t bit;
    bool counted;   /* a number of items comes first */
    uint32_t bytes; /* of an item; 0: depends on the version */
} parts[] = {
    {1 << 0, false, 8}, /* database and tablespace */
    {1 << 1, true, 4},  /* subtransactions */
    {1 << 2, true, 12}, /* files to remove */
    {1 << 8, true, 0},  /* statistics to drop */
    {1 << 3, true, 16}, /* invalidation messages */
};
enum { HAS_PREPARED_XID = 1 << 4 };

static bool is_prepared(const struct wal_record *record)
{
    int operation = record->info & XACT_OPERATION;
    return operation == XACT_COMMIT_PREPARED || operation == XACT_ABORT_PREPARED;
}

static enum wal_record_kind kind_of_xact(uint8_t info)
{
    switch (info & XACT_OPERATION) {
    case XACT_COMMIT:
    case XACT_COMMIT_PREPARED:
        return WAL_RECORD_COMMIT;
    case XACT_ABORT:
    case XACT_ABORT_PREPARED:
        return WAL_RECORD_ABORT;
    default:
        return WAL_RECORD_OTHER;
    }
}

static enum wal_record_kind kind_of(uint8_t resource_manager, uint8_t info)
{
    if (resource_manager == XACT)
        return kind_of_xact(info);
    if (resource_manager == STANDBY && (info & OPERATION) == STANDBY_RUNNING)
        return WAL_RECORD_RUNNING;
    if (resource_manager == XLOG && (info & OPERATION) == XLOG_SWITCH)
        return WAL_RECORD_SWITCH;
    if (resource_manager == XLOG && (info & OPERATION) == XLOG_PARAMETER_CHANGE)
        return WAL_RECORD_DEMANDS;
    if (resource_manager == XLOG && (info & OPERATION) == XLOG_RESTORE_POINT)
        return WAL_RECORD_RESTORE_POINT;
    return WAL_RECORD_OTHER;
}

/* Steps */

static void take_id(struct wal_record_reader *reader)
{
    switch (reader->held[0]) {
    case ID_MAIN_SHORT:
        reader->step = STEP_SHORT_LENGTH;
        break;
    case ID_MAIN_LONG:
        reader->step = STEP_LONG_LENGTH;
        break;
    case ID_ORIGIN:
        reader->skip = ORIGIN_BYTES;
        break;
    case ID_TOP_LEVEL_XID:
        reader->skip = XID_BYTES;
        break;
    default:
        reader->step = STEP_BAD;
    }
}

/* The main data is all that comes. */
static void take_length(struct wal_record_reader *reader, uint32_t length)
{
    const enum wal_record_kind kind = reader->record.kind;
    if (length != reader->left)
        reader->step = STEP_BAD;
    else
        reader->step = kind == WAL_RECORD_RUNNING   ? STEP_RUNNING
                       : kind == WAL_RECORD_DEMANDS ? STEP_DEMANDS
                                                    : STEP_TIME;
}

static void take_time(struct wal_record_reader *reader)
{
    struct wal_record *record = &reader->record;
    int64_t since_2000 = (int64_t)bytes_load64(reader->held);
    if (__builtin_add_overflow(since_2000, EPOCH_US, &record->time_us))
        reader->step = STEP_BAD;
    else if (record->kind == WAL_RECORD_RESTORE_POINT)
        reader->step = STEP_NAME;
    else if (!is_prepared(record))
        reader->step = STEP_DONE;
    else
        reader->step = record->info & XACT_HAS_PARTS ? STEP_PARTS : STEP_BAD;
}

static void take_name(struct wal_record_reader *reader)
{
    const bool ends = memchr(reader->held, 0, WAL_RECORD_NAME_MAX) != NULL;
    if (ends)
        memcpy(reader->record.name, reader->held, WAL_RECORD_NAME_MAX);
    reader->step = ends ? STEP_DONE : STEP_BAD;
}

static void take_running(struct wal_record_reader *reader)
{
    reader->record.next_xid = bytes_load32(reader->held + RUNNING_NEXT);
    reader->record.oldest_xid = bytes_load32(reader->held + RUNNING_OLDEST);
    reader->step = STEP_DONE;
}

static void take_demands(struct wal_record_reader *reader)
{
    reader->record.demands = (struct pg_demands){
        .max_connections = bytes_load32(reader->held + DEMANDS_CONNECTIONS),
        .max_worker_processes = bytes_load32(reader->held + DEMANDS_WORKERS),
        .max_wal_senders = bytes_load32(reader->held + DEMANDS_SENDERS),
        .max_prepared_transactions = bytes_load32(reader->held + DEMANDS_PREPARED),
        .max_locks_per_transaction = bytes_load32(reader->held + DEMANDS_LOCKS),
    };
    reader->step = STEP_DONE;
}

static void go_on_with_parts(struct wal_record_reader *reader)
{
    for (; reader->part < ARRAY_SIZE(parts); reader->part++) {
        const struct part *part = &parts[reader->part];
        if (!(reader->parts & part->bit))
            continue;
        if (part->counted) {
            reader->step = STEP_COUNT;
            return;
        }
        reader->skip += part->bytes;
    }
    reader->step = reader->parts & HAS_PREPARED_XID ? STEP_XID : STEP_BAD;
}

static void take_count(struct wal_record_reader *reader)
{
    uint32_t bytes = parts[reader->part++].bytes;
    reader->skip = (uint64_t)bytes_load32(reader->held) * (bytes ? bytes : reader->stats_bytes);
    go_on_with_parts(reader);
}

/* All bytes of a step are held. */
static void take(struct wal_record_reader *reader)
{
    switch ((enum step)reader->step) {
    case STEP_ID:
        return take_id(reader);
    case STEP_SHORT_LENGTH:
        return take_length(reader, reader->held[0]);
    case STEP_LONG_LENGTH:
        return take_length(reader, bytes_load32(reader->held));
    case STEP_TIME:
        return take_time(reader);
    case STEP_NAME:
        return take_name(reader);
    case STEP_RUNNING:
        return take_running(reader);
    case STEP_DEMANDS:
        return take_demands(reader);
    case STEP_PARTS:
        reader->parts = bytes_load32(reader->held);
        return go_on_with_parts(reader);
    case STEP_COUNT:
        return take_count(reader);
    case STEP_XID:
        reader->record.xid = bytes_load32(reader->held);
        reader->step = STEP_DONE;
        return;
    case STEP_DONE:
    case STEP_BAD:
        return;
    }
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Public */

bool wal_record_ends_transaction(const struct wal_record *record)
{
    return record->kind == WAL_RECORD_COMMIT || record->kind == WAL_RECORD_ABORT;
}

void wal_record_begin(struct wal_record_reader *reader, const uint8_t *header, uint16_t magic)
{
    struct wal_record record = {
        .kind = kind_of(header[RESOURCE_MANAGER], header[INFO]),
        .resource_manager = header[RESOURCE_MANAGER],
        .info = header[INFO],
        .size = bytes_load32(header + SIZE),
        .xid = bytes_load32(header + XID),
    };
    const bool says_nothing = record.kind == WAL_RECORD_OTHER || record.kind == WAL_RECORD_SWITCH;
    *reader = (struct wal_record_reader){
        .record = record,
        .step = says_nothing ? STEP_DONE : STEP_ID,
        .stats_bytes = magic == MAGIC_15 || magic == MAGIC_16 || magic == MAGIC_17 ? 12 : 16,
        .left = record.size - WAL_RECORD_HEADER_BYTES,
    };
}

void wal_record_feed(struct wal_record_reader *reader, const uint8_t *data, size_t size)
{
    while (size > 0 && reader->step < STEP_DONE) {
        size_t skipped = least(reader->skip, size);
        size_t held = least(step_bytes[reader->step] - reader->held_size, size - skipped);
        memcpy(reader->held + reader->held_size, data + skipped, held);
        data += skipped + held;
        size -= skipped + held;
        reader->skip -= skipped;
        reader->left -= skipped + held;
        reader->held_size += held;
        if (reader->held_size < step_bytes[reader->step])
            continue;
        reader->held_size = 0;
        take(reader);
    }
}

int wal_record_end(const struct wal_record_reader *reader, struct wal_record *ret_record,
                   struct error *err)
{
    if (reader->step != STEP_DONE)
        return error_set(err, ERROR_CORRUPT, "a record of resource manager %u of an unknown form",
                         reader->record.resource_manager);
    *ret_record = reader->record;
    return 0;
}
