// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_demands.h"
#include "sidecar/tests/helper_wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/tests/helper_repo.h"

enum {
    PAGE = 8192,
    SHORT_HEADER = 24,
    LONG_HEADER = 40,
    RECORD_HEADER = 24,
    ALIGNMENT = 8,
    BYTES_MAX = 256 << 20,
    NAME_BYTES = 64,
    RUNNING_BYTES = 24,
    ID_MAIN_SHORT = 255,
    FLAG_CONTINUED = 1,
    FLAG_LONG = 2,
};

static const int64_t EPOCH_US = INT64_C(946684800) * 1000000;

static uint8_t *grow(struct helper_wal *wal, size_t size)
{
    struct error err;
    uint8_t *space;
    assert_int_equal(buf_reserve(&wal->bytes, size, &space, &err), 0);
    memset(space, 0, size);
    wal->bytes.size += size;
    return space;
}

static void put_page_header(struct helper_wal *wal, size_t left)
{
    const uint64_t lsn = helper_wal_end(wal);
    const bool is_long = lsn % wal->segment_bytes == 0;
    uint8_t *header = grow(wal, is_long ? LONG_HEADER : SHORT_HEADER);
    bytes_store16(header, wal->magic);
    bytes_store16(header + 2, (uint16_t)((left ? FLAG_CONTINUED : 0) | (is_long ? FLAG_LONG : 0)));
    bytes_store32(header + 4, wal->timeline);
    bytes_store64(header + 8, lsn);
    bytes_store32(header + 16, (uint32_t)left);
    if (!is_long)
        return;
    bytes_store64(header + 24, wal->system_identifier);
    bytes_store32(header + 32, wal->segment_bytes);
    bytes_store32(header + 36, PAGE);
}

static void put_record(struct helper_wal *wal, const uint8_t *record, size_t size)
{
    for (size_t done = 0; done < size;) {
        if (helper_wal_end(wal) % PAGE == 0)
            put_page_header(wal, size - done);
        const size_t space = PAGE - (size_t)(helper_wal_end(wal) % PAGE);
        const size_t part = size - done < space ? size - done : space;
        memcpy(grow(wal, part), record + done, part);
        done += part;
    }
}

struct helper_wal helper_wal_from(uint64_t lsn, uint32_t segment_bytes)
{
    return (struct helper_wal){
        .bytes = BUF(BYTES_MAX),
        .first_lsn = lsn,
        .segment_bytes = segment_bytes,
        .timeline = 1,
        .system_identifier = HELPER_REPO_SYSTEM,
        .magic = HELPER_WAL_MAGIC_17,
    };
}

struct helper_wal helper_wal_fork(const struct helper_wal *wal, uint32_t timeline)
{
    struct helper_wal fork = *wal;
    fork.bytes = BUF(BYTES_MAX);
    fork.timeline = timeline;
    memcpy(grow(&fork, wal->bytes.size), wal->bytes.data, wal->bytes.size);
    return fork;
}

void helper_wal_done(struct helper_wal *wal)
{
    buf_done(&wal->bytes);
}

uint64_t helper_wal_end(const struct helper_wal *wal)
{
    return wal->first_lsn + wal->bytes.size;
}

uint8_t *helper_wal_at(const struct helper_wal *wal, uint64_t lsn)
{
    assert_in_range(lsn, wal->first_lsn, helper_wal_end(wal) - 1);
    return wal->bytes.data + (lsn - wal->first_lsn);
}

uint64_t helper_wal_add(struct helper_wal *wal, const struct helper_wal_record *record)
{
    const size_t size = RECORD_HEADER + record->size;
    CLEANUP(own_freep) uint8_t *bytes = own_alloc(size);
    grow(wal, (size_t)(-helper_wal_end(wal) % ALIGNMENT));
    if (helper_wal_end(wal) % PAGE == 0)
        put_page_header(wal, 0);
    const uint64_t lsn = helper_wal_end(wal);
    bytes_store32(bytes, (uint32_t)size);
    bytes_store32(bytes + 4, record->xid);
    bytes_store64(bytes + 8, wal->previous_lsn);
    bytes[16] = record->info;
    bytes[17] = record->resource_manager;
    if (record->size > 0)
        memcpy(bytes + RECORD_HEADER, record->data, record->size);
    uint32_t crc = crc32c_extend(0, bytes + RECORD_HEADER, record->size);
    bytes_store32(bytes + 20, crc32c_extend(crc, bytes, 20));
    put_record(wal, bytes, size);
    wal->previous_lsn = lsn;
    return lsn;
}

uint64_t helper_wal_end_transaction(struct helper_wal *wal, uint8_t info, uint32_t xid,
                                    int64_t time_us)
{
    uint8_t data[2 + 8] = {ID_MAIN_SHORT, 8};
    bytes_store64(data + 2, (uint64_t)(time_us - EPOCH_US));
    return helper_wal_add(wal, &(struct helper_wal_record){
                                   .resource_manager = HELPER_WAL_XACT,
                                   .info = info,
                                   .xid = xid,
                                   .data = data,
                                   .size = sizeof(data),
                               });
}

uint64_t helper_wal_restore_point(struct helper_wal *wal, const char *name, int64_t time_us)
{
    uint8_t data[2 + 8 + NAME_BYTES] = {ID_MAIN_SHORT, 8 + NAME_BYTES};
    assert_true(strlen(name) < NAME_BYTES);
    bytes_store64(data + 2, (uint64_t)(time_us - EPOCH_US));
    memcpy(data + 10, name, strlen(name));
    return helper_wal_add(wal, &(struct helper_wal_record){
                                   .resource_manager = HELPER_WAL_XLOG,
                                   .info = HELPER_WAL_RESTORE_POINT,
                                   .data = data,
                                   .size = sizeof(data),
                               });
}

uint64_t helper_wal_running(struct helper_wal *wal, uint32_t oldest_xid, uint32_t next_xid)
{
    uint8_t data[2 + RUNNING_BYTES] = {ID_MAIN_SHORT, RUNNING_BYTES};
    bytes_store32(data + 2 + 12, next_xid);
    bytes_store32(data + 2 + 16, oldest_xid);
    bytes_store32(data + 2 + 20, next_xid - 1);
    return helper_wal_add(wal, &(struct helper_wal_record){
                                   .resource_manager = HELPER_WAL_STANDBY,
                                   .info = HELPER_WAL_RUNNING,
                                   .data = data,
                                   .size = sizeof(data),
                               });
}

uint64_t helper_wal_demand(struct helper_wal *wal, const struct pg_demands *demands)
{
    enum { PARAMETER_BYTES = 28 };
    uint8_t data[2 + PARAMETER_BYTES] = {ID_MAIN_SHORT, PARAMETER_BYTES};
    bytes_store32(data + 2, demands->max_connections);
    bytes_store32(data + 6, demands->max_worker_processes);
    bytes_store32(data + 10, demands->max_wal_senders);
    bytes_store32(data + 14, demands->max_prepared_transactions);
    bytes_store32(data + 18, demands->max_locks_per_transaction);
    return helper_wal_add(wal, &(struct helper_wal_record){
                                   .resource_manager = HELPER_WAL_XLOG,
                                   .info = HELPER_WAL_PARAMETER_CHANGE,
                                   .data = data,
                                   .size = sizeof(data),
                               });
}

uint64_t helper_wal_fill(struct helper_wal *wal, size_t size)
{
    CLEANUP(own_freep) uint8_t *data = own_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 + i / 255);
    return helper_wal_add(wal, &(struct helper_wal_record){
                                   .resource_manager = HELPER_WAL_HEAP,
                                   .data = data,
                                   .size = size,
                               });
}

uint64_t helper_wal_switch(struct helper_wal *wal)
{
    const uint64_t lsn = helper_wal_add(wal, &(struct helper_wal_record){
                                                 .resource_manager = HELPER_WAL_XLOG,
                                                 .info = HELPER_WAL_SWITCH,
                                             });
    grow(wal, (size_t)(-helper_wal_end(wal) % wal->segment_bytes));
    return lsn;
}
