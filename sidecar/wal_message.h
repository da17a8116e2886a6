// SPDX-License-Identifier: Apache-2.0
/* Messages inside the CopyData of streaming replication (PostgreSQL documentation, 55.4). Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct wal_message {
    enum { WAL_MESSAGE_DATA, WAL_MESSAGE_KEEPALIVE } type;
    uint64_t lsn;        /* DATA: of the first byte */
    uint64_t server_lsn; /* the server's current end of WAL */
    const uint8_t *data; /* lent from the message */
    size_t size;
    bool reply_requested; /* KEEPALIVE */
};

enum { WAL_MESSAGE_STATUS_BYTES = 34 };

/* CORRUPT */
MUST_CHECK int wal_message_parse(const uint8_t *message, size_t size,
                                 struct wal_message *ret_message, struct error *err);
/* A standby status update: written up to one LSN, flushed and applied up to another; 0: unknown. */
void wal_message_format_status(uint64_t written_lsn, uint64_t flushed_lsn, int64_t now_ms,
                               uint8_t ret_message[WAL_MESSAGE_STATUS_BYTES]);
