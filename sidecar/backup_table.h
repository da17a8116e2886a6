// SPDX-License-Identifier: Apache-2.0
/*
 * The table of backups at the start of an index or map frame: the places in that frame name a
 * backup by its position in the table. Pure. Coding: docs/repository-format.md.
 */
#pragma once

#include <stdint.h>

#include "sidecar/backup_id.h"

struct buf;
struct reader;

enum {
    BACKUP_TABLE_MAX = 4096,                                        /* backups */
    BACKUP_TABLE_BYTES_MAX = 2 + BACKUP_TABLE_MAX * BACKUP_ID_BYTES /* coded */
};

struct backup_table {
    char (*ids)[BACKUP_ID_BYTES];
    uint32_t count;
};

void backup_table_done(struct backup_table *table);
/* The position of id, which is added if it is not there yet. A table that is full takes no more
 * (assert): look at count before an id that may be new. */
uint32_t backup_table_add(struct backup_table *table, const char *id);

void backup_table_format(const struct backup_table *table, struct buf *buf);
/* Makes the reader bad when there are too many, or one is no backup id. */
void backup_table_parse(struct reader *reader, struct backup_table *ret_table);
