// SPDX-License-Identifier: Apache-2.0
#include "sidecar/backup_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"

void backup_table_done(struct backup_table *table)
{
    free(table->ids);
    *table = (struct backup_table){0};
}

uint32_t backup_table_add(struct backup_table *table, const char *id)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (strcmp(table->ids[i], id) == 0)
            return i;
    assert(table->count < BACKUP_TABLE_MAX && strlen(id) < BACKUP_ID_BYTES);
    table->ids = own_resize(table->ids, table->count + 1, sizeof(*table->ids));
    memcpy(table->ids[table->count], id, strlen(id) + 1);
    return table->count++;
}

void backup_table_format(const struct backup_table *table, struct buf *buf)
{
    bytes_put_varint(buf, table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        size_t length = strlen(table->ids[i]);
        bytes_put8(buf, (uint8_t)length);
        bytes_put(buf, table->ids[i], length);
    }
}

void backup_table_parse(struct reader *reader, struct backup_table *ret_table)
{
    uint32_t count = (uint32_t)reader_varint_max(reader, BACKUP_TABLE_MAX);
    *ret_table = (struct backup_table){.ids = own_alloc(count * sizeof(*ret_table->ids))};
    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        const uint8_t *length = reader_bytes(reader, 1);
        const uint8_t *bytes = length ? reader_bytes(reader, *length) : NULL;
        enum backup_type type;
        int64_t start_ms;
        if (!bytes || *length >= BACKUP_ID_BYTES) {
            reader->bad = true;
            return;
        }
        memcpy(ret_table->ids[i], bytes, *length);
        /* the memory is zeroed, so it is a string; one with a NUL inside is too short for an id */
        if (!backup_id_parse(ret_table->ids[i], &type, &start_ms) ||
            strlen(ret_table->ids[i]) != *length)
            reader->bad = true;
        ret_table->count++;
    }
}
