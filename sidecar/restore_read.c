// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_read.h"

#include <string.h>

#include "common/own.h"
#include "sidecar/index.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/restore_plan.h"

static int open_pack(const struct restore_read *read, const char *backup, uint32_t number,
                     struct error *err)
{
    if (read->by_frames)
        return pack_reader_open_tail(read->reader, backup, number, 0, err);
    return pack_reader_open(read->reader, backup, number, err);
}

int restore_read_index(const struct restore_read *read, size_t index, struct error *err)
{
    const struct manifest_index *at = &read->manifest->index[index];
    const char *backup = read->manifest->id;
    const uint8_t *plain;
    size_t size;
    if (open_pack(read, backup, at->pack, err) < 0 ||
        pack_reader_frame(read->reader, at->frame, FRAME_INDEX, &plain, &size, err) < 0)
        return -1;
    if (index_parse(plain, size, restore_plan_add, read->plan, err) < 0)
        return error_wrap(err, "index frame %u of pack %u of '%s'", at->frame, at->pack, backup);
    return 0;
}

int restore_read_map(const struct restore_read *read, size_t index, struct error *err)
{
    const struct restore_map *part = &read->plan->maps[index];
    uint32_t number;
    const char *backup = restore_plan_pack(read->plan, part->pack, &number);
    const uint8_t *plain;
    size_t size;
    if (open_pack(read, backup, number, err) < 0 ||
        pack_reader_frame(read->reader, part->frame, FRAME_MAP, &plain, &size, err) < 0)
        return -1;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(map_done) struct map map = {0};
    if (map_frame_parse(plain, size, part->covers, &table, &map, err) < 0 ||
        restore_plan_add_map(read->plan, index, &table, &map, err) < 0)
        return error_wrap(err, "map frame %u of pack %u of '%s'", part->frame, number, backup);
    return 0;
}

int restore_read_control(const struct restore_read *read, uint8_t ret_bytes[PG_CONTROL_BYTES],
                         struct pg_control *ret_control, struct error *err)
{
    const struct manifest *manifest = read->manifest;
    const struct restore_span *span = &read->plan->control_span;
    uint32_t number;
    const char *backup = restore_plan_pack(read->plan, span->pack, &number);
    const uint8_t *data;
    struct pg_control control;
    if (open_pack(read, backup, number, err) < 0 ||
        pack_reader_data(read->reader, span->piece, PG_CONTROL_BYTES, &data, err) < 0 ||
        pg_control_parse(data, PG_CONTROL_BYTES, &control, err) < 0)
        return error_wrap(err, "read pg_control of '%s'", manifest->id);
    if (control.system_identifier != manifest->system_identifier ||
        control.wal_segment_bytes != manifest->wal_segment_bytes)
        return error_set(err, ERROR_CORRUPT, "pg_control of '%s' is that of another database",
                         manifest->id);
    memcpy(ret_bytes, data, PG_CONTROL_BYTES);
    *ret_control = control;
    return 0;
}
