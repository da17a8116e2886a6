// SPDX-License-Identifier: Apache-2.0
#include "sidecar/map.h"

#include <assert.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/container.h"
#include "sidecar/frame.h"

enum { FIRST_CAPACITY = 8 };

static uint32_t pieces_of(uint32_t length)
{
    return (length + PIECE_BYTES - 1) / PIECE_BYTES;
}

static struct map_run *last_run(struct map *map)
{
    return map->count > 0 ? &map->runs[map->count - 1] : NULL;
}

static void push(struct map *map, const struct map_run *run)
{
    if (map->count == map->capacity) {
        map->capacity = map->capacity > 0 ? map->capacity * 2 : FIRST_CAPACITY;
        map->runs = own_resize(map->runs, map->capacity, sizeof(*map->runs));
    }
    map->runs[map->count] = *run;
    map->runs[map->count++].offset = map->size;
    map->size += run->length;
}

/* Whether place is where the data of run, which ends at a piece, would go on. */
static bool continues(const struct map_run *run, uint32_t length, const struct place *place)
{
    return !run->zero && run->place.backup == place->backup && run->place.pack == place->pack &&
           run->place.frame == place->frame &&
           run->place.piece + run->length / PIECE_BYTES == place->piece &&
           length <= FRAME_PLAIN_MAX - run->length;
}

/* The last run's last piece has zeros behind what the map covers: takes as many of them as needed
 * to end at a piece, or at size. */
static void fill_piece(struct map *map, uint64_t size)
{
    struct map_run *last = last_run(map);
    if (!last || last->zero)
        return;
    uint64_t missing = pieces_of(last->length) * (uint64_t)PIECE_BYTES - last->length;
    if (missing > size - map->size)
        missing = size - map->size;
    last->length += (uint32_t)missing;
    map->size += missing;
}

static void parse_place(struct reader *reader, uint32_t backup_count, const struct place *before,
                        struct place *ret_place)
{
    uint64_t backup = reader_varint_max(reader, UINT32_MAX);
    int64_t pack = reader_zigzag(reader), frame = reader_zigzag(reader);
    uint64_t piece = reader_varint_max(reader, FRAME_PIECES - 1);
    if (reader->bad || backup >= backup_count ||
        __builtin_add_overflow(before->pack, pack, &pack) ||
        __builtin_add_overflow(before->frame, frame, &frame) || pack < 1 || pack > UINT32_MAX ||
        frame < 0 || frame >= CONTAINER_FRAMES_MAX) {
        reader->bad = true;
        return;
    }
    *ret_place = (struct place){(uint32_t)backup, (uint32_t)pack, (uint32_t)frame, (uint32_t)piece};
}

/* One run of at most left bytes; before is the place of the data run before. */
static void parse_run(struct reader *reader, uint64_t left, uint32_t backup_count,
                      struct place *before, struct map_run *ret_run)
{
    uint64_t head = reader_varint(reader), length = head >> 1;
    bool zero = head & 1;
    *ret_run = (struct map_run){.length = (uint32_t)length, .zero = zero};
    if (length == 0 || length > (zero ? MAP_ZERO_MAX : FRAME_PLAIN_MAX) || length > left ||
        (length % PIECE_BYTES != 0 && length != left))
        reader->bad = true;
    if (zero || reader->bad)
        return;
    parse_place(reader, backup_count, before, &ret_run->place);
    if (ret_run->place.piece + pieces_of(ret_run->length) > FRAME_PIECES)
        reader->bad = true;
    *before = ret_run->place;
}

void map_done(struct map *map)
{
    free(map->runs);
    *map = (struct map){0};
}

void map_add_zero(struct map *map, uint64_t length)
{
    struct map_run *last = last_run(map);
    assert(length > 0 && (map->size % PIECE_BYTES == 0 || last->zero));
    if (last && last->zero) {
        uint64_t more = length < MAP_ZERO_MAX - last->length ? length : MAP_ZERO_MAX - last->length;
        last->length += (uint32_t)more;
        map->size += more;
        length -= more;
    }
    while (length > 0) {
        uint32_t part = length < MAP_ZERO_MAX ? (uint32_t)length : MAP_ZERO_MAX;
        push(map, &(struct map_run){.length = part, .zero = true});
        length -= part;
    }
}

void map_add(struct map *map, uint32_t length, const struct place *place)
{
    assert(length > 0 && place->piece + pieces_of(length) <= FRAME_PIECES &&
           map->size % PIECE_BYTES == 0);
    struct map_run *last = last_run(map);
    if (last && continues(last, length, place)) {
        last->length += length;
        map->size += length;
    } else {
        push(map, &(struct map_run){.length = length, .place = *place});
    }
}

void map_append(struct map *map, const struct map *other)
{
    for (size_t i = 0; i < other->count; i++) {
        const struct map_run *run = &other->runs[i];
        if (run->zero)
            map_add_zero(map, run->length);
        else
            map_add(map, run->length, &run->place);
    }
}

void map_resize(struct map *map, uint64_t size)
{
    while (map->count > 0 && last_run(map)->offset >= size)
        map->size = map->runs[--map->count].offset;
    if (map->size > size) {
        last_run(map)->length = (uint32_t)(size - last_run(map)->offset);
        map->size = size;
    }
    if (map->size < size)
        fill_piece(map, size);
    if (map->size < size)
        map_add_zero(map, size - map->size);
}

void map_format(const struct map *map, struct buf *buf)
{
    struct place before = {0};
    for (size_t i = 0; i < map->count; i++) {
        const struct map_run *run = &map->runs[i];
        bytes_put_varint(buf, (uint64_t)run->length << 1 | run->zero);
        if (run->zero)
            continue;
        bytes_put_varint(buf, run->place.backup);
        bytes_put_zigzag(buf, (int64_t)run->place.pack - before.pack);
        bytes_put_zigzag(buf, (int64_t)run->place.frame - before.frame);
        bytes_put_varint(buf, run->place.piece);
        before = run->place;
    }
}

void map_parse(struct reader *reader, uint64_t size, uint32_t backup_count, struct map *ret_map)
{
    struct place before = {0};
    *ret_map = (struct map){0};
    while (ret_map->size < size && !reader->bad) {
        struct map_run run;
        parse_run(reader, size - ret_map->size, backup_count, &before, &run);
        if (ret_map->count == MAP_RUNS_MAX)
            reader->bad = true;
        if (!reader->bad)
            push(ret_map, &run);
    }
}

size_t map_part(const struct map *map, size_t first, struct map *ret_part)
{
    size_t end = map->count - first > MAP_PART_RUNS ? first + MAP_PART_RUNS : map->count;
    *ret_part = (struct map){0};
    for (size_t i = first; i < end; i++)
        push(ret_part, &map->runs[i]);
    return end;
}

void map_frame_format(const struct backup_table *table, const struct map *part, struct buf *buf)
{
    assert(part->count <= MAP_PART_RUNS);
    backup_table_format(table, buf);
    map_format(part, buf);
}

int map_frame_parse(const void *plain, size_t size, uint64_t covers, struct backup_table *ret_table,
                    struct map *ret_part, struct error *err)
{
    struct reader reader = READER(plain, size);
    CLEANUP(backup_table_done) struct backup_table table = {0};
    CLEANUP(map_done) struct map part = {0};
    backup_table_parse(&reader, &table);
    map_parse(&reader, covers, table.count, &part);
    if (reader_end(&reader, "map frame", err) < 0)
        return -1;
    *ret_table = table;
    *ret_part = part;
    table = (struct backup_table){0};
    part = (struct map){0};
    return 0;
}
