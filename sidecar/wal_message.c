// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_message.h"

#include <endian.h>
#include <string.h>

enum { DATA_HEAD_BYTES = 25, KEEPALIVE_BYTES = 18 };

/* Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch. */
#define EPOCH_US INT64_C(946684800000000)

/* The protocol's integers are big-endian. */
static uint64_t load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof(value));
    return be64toh(value);
}

static void store64(uint8_t *p, uint64_t value)
{
    value = htobe64(value);
    memcpy(p, &value, sizeof(value));
}

static int parse_data(const uint8_t *message, size_t size, struct wal_message *ret_message,
                      struct error *err)
{
    if (size <= DATA_HEAD_BYTES)
        return error_set(err, ERROR_CORRUPT, "replication message: WAL data of only %zu bytes",
                         size);
    struct wal_message data = {
        .type = WAL_MESSAGE_DATA,
        .lsn = load64(message + 1),
        .server_lsn = load64(message + 9),
        .data = message + DATA_HEAD_BYTES,
        .size = size - DATA_HEAD_BYTES,
    };
    if (data.size > UINT64_MAX - data.lsn)
        return error_set(err, ERROR_CORRUPT, "replication message: WAL behind the last LSN");
    *ret_message = data;
    return 0;
}

static int parse_keepalive(const uint8_t *message, size_t size, struct wal_message *ret_message,
                           struct error *err)
{
    if (size != KEEPALIVE_BYTES || message[17] > 1)
        return error_set(err, ERROR_CORRUPT,
                         "replication message: a keepalive of %zu bytes that "
                         "breaks the protocol",
                         size);
    *ret_message = (struct wal_message){
        .type = WAL_MESSAGE_KEEPALIVE,
        .server_lsn = load64(message + 1),
        .reply_requested = message[17] == 1,
    };
    return 0;
}

void wal_message_format_status(uint64_t written_lsn, uint64_t flushed_lsn, int64_t now_ms,
                               uint8_t ret_message[WAL_MESSAGE_STATUS_BYTES])
{
    ret_message[0] = 'r';
    store64(ret_message + 1, written_lsn);
    store64(ret_message + 9, flushed_lsn);
    store64(ret_message + 17, flushed_lsn); /* applied */
    store64(ret_message + 25, (uint64_t)(now_ms * 1000 - EPOCH_US));
    ret_message[33] = 0; /* asks for no answer */
}

int wal_message_parse(const uint8_t *message, size_t size, struct wal_message *ret_message,
                      struct error *err)
{
    if (size == 0)
        return error_set(err, ERROR_CORRUPT, "replication message: empty");
    switch (message[0]) {
    case 'w':
        return parse_data(message, size, ret_message, err);
    case 'k':
        return parse_keepalive(message, size, ret_message, err);
    default:
        return error_set(err, ERROR_CORRUPT, "replication message: unknown type 0x%02x",
                         message[0]);
    }
}
