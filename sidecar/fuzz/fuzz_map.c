// SPDX-License-Identifier: Apache-2.0
/* Map frames that somebody with the key made: a varint of the bytes that the entry says they cover,
 * then the frame. What is accepted covers them, stays in its frames, and is the same when written.
 */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/frame.h"
#include "sidecar/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void check_runs(const struct map *map, uint64_t covers, uint32_t backups)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        expect(run->offset == offset && run->length > 0);
        offset += run->length;
        if (run->zero)
            continue;
        expect(run->place.backup < backups && run->place.pack > 0);
        expect((uint64_t)run->place.piece * PIECE_BYTES + run->length <= FRAME_PLAIN_MAX);
    }
    expect(offset == covers && map->size == covers && map->count <= MAP_RUNS_MAX);
}

static void check_rewrite(const struct map *map, uint32_t backups)
{
    CLEANUP(buf_done) struct buf coded = BUF(2 * FRAME_PLAIN_MAX);
    CLEANUP(map_done) struct map again = {0};
    map_format(map, &coded);
    struct reader reader = READER(coded.data, coded.size);
    map_parse(&reader, map->size, backups, &again);
    expect(!reader.bad && reader_left(&reader) == 0 && again.count == map->count);
    for (size_t i = 0; i < map->count; i++)
        expect(again.runs[i].length == map->runs[i].length &&
               memcmp(&again.runs[i].place, &map->runs[i].place, sizeof(struct place)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader = READER(data, size);
    uint64_t covers = reader_varint(&reader);
    if (reader.bad)
        return 0;
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(map_done) struct map map = {0};
    struct error err;
    if (map_frame_parse(reader.at, reader_left(&reader), covers, &table, &map, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return 0;
    }
    check_runs(&map, covers, table.count);
    check_rewrite(&map, table.count);
    return 0;
}
