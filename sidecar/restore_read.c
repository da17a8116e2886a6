// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_read.h"

#include <string.h>

#include "common/own.h"
#include "sidecar/index.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/restore_plan.h"
#include "sidecar/restore_sizes.h"

static int open_pack(const struct restore_read *read, uint32_t pack, struct error *err)
{
    uint32_t number;
    const char *backup = restore_plan_pack(read->plan, pack, &number);
    if (read->sizes)
        return pack_reader_open_tail(read->reader, backup, number,
                                     restore_sizes_find(read->sizes, pack), err);
    return pack_reader_open(read->reader, backup, number, err);
}

static int open_index_pack(const struct restore_read *read, size_t index, struct error *err)
{
    const struct manifest *manifest = read->manifest;
    const struct manifest_index *at = &manifest->index[index];
    uint32_t pack;
    if (restore_plan_find_pack(read->plan, manifest->id, at->pack, &pack, err) < 0 ||
        open_pack(read, pack, err) < 0)
        return -1;
    if (index > 0 && at[-1].pack == at->pack)
        return 0;
    for (size_t i = index; i < manifest->index_count && manifest->index[i].pack == at->pack; i++)
        pack_reader_want(read->reader, manifest->index[i].frame, manifest->index[i].frame);
    return 0;
}

int restore_read_index(const struct restore_read *read, size_t index, struct error *err)
{
    const struct manifest_index *at = &read->manifest->index[index];
    const uint8_t *plain;
    size_t size;
    if (open_index_pack(read, index, err) < 0 ||
        pack_reader_frame(read->reader, at->frame, FRAME_INDEX, &plain, &size, err) < 0)
        return -1;
    if (index_parse(plain, size, restore_plan_add, read->plan, err) < 0)
        return error_wrap(err, "index frame %u of pack %u of '%s'", at->frame, at->pack,
                          read->manifest->id);
    return 0;
}

static int open_map_pack(const struct restore_read *read, size_t index, struct error *err)
{
    const struct restore_plan *plan = read->plan;
    const uint32_t pack = plan->maps[index].pack;
    if (open_pack(read, pack, err) < 0)
        return -1;
    if (index > 0 && plan->maps[index - 1].pack == pack)
        return 0;
    for (size_t i = index; i < plan->map_count && plan->maps[i].pack == pack; i++)
        pack_reader_want(read->reader, plan->maps[i].frame, plan->maps[i].frame);
    return 0;
}

int restore_read_map(const struct restore_read *read, size_t index, struct error *err)
{
    const struct restore_map *part = &read->plan->maps[index];
    uint32_t number;
    const char *backup = restore_plan_pack(read->plan, part->pack, &number);
    const uint8_t *plain;
    size_t size;
    if (open_map_pack(read, index, err) < 0 ||
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
    const uint8_t *data;
    struct pg_control control;
    if (open_pack(read, span->pack, err) < 0 ||
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
