// SPDX-License-Identifier: Apache-2.0
/* Any bytes are a message of streaming replication that lies within them, or CORRUPT. */
#include <assert.h>
#include <stdint.h>

#include "sidecar/wal_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_message message;
    struct error err;
    if (wal_message_parse(data, size, &message, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT);
        return 0;
    }
    if (message.type == WAL_MESSAGE_DATA) {
        assert(message.data > data && message.data + message.size == data + size);
        assert(message.size > 0 && message.lsn + message.size >= message.lsn);
    }
    return 0;
}
