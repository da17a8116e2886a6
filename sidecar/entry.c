// SPDX-License-Identifier: Apache-2.0
#include "sidecar/entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/container.h"
#include "sidecar/frame.h"

enum { MODE_MAX = 07777 };

static bool part_valid(const char *part, size_t length)
{
    return length > 0 && !(length == 1 && part[0] == '.') &&
           !(length == 2 && part[0] == '.' && part[1] == '.');
}

static void put_text(struct buf *buf, const char *text)
{
    size_t length = strlen(text);
    bytes_put_varint(buf, length);
    bytes_put(buf, text, length);
}

static uint32_t listed_blocks(const struct entry *entry)
{
    return entry->bad_block_count < ENTRY_BAD_BLOCKS_MAX ? entry->bad_block_count
                                                         : ENTRY_BAD_BLOCKS_MAX;
}

static void format_file(const struct entry *entry, struct buf *buf)
{
    bytes_put_varint(buf, entry->size);
    bytes_put_varint(buf, entry->inode);
    bytes_put_varint(buf, entry->birth_ns);
    bytes_put_varint(buf, entry->bad_block_count);
    for (uint32_t i = 0; i < listed_blocks(entry); i++)
        bytes_put_varint(buf, entry->bad_blocks[i] - (i > 0 ? entry->bad_blocks[i - 1] : 0));
    assert(entry->map_ref_count <= ENTRY_MAP_REFS_MAX);
    bytes_put_varint(buf, entry->map_ref_count);
    for (size_t i = 0; i < entry->map_ref_count; i++) {
        const struct entry_map_ref *ref = &entry->map_refs[i];
        bytes_put_varint(buf, ref->place.backup);
        bytes_put_varint(buf, ref->place.pack);
        bytes_put_varint(buf, ref->place.frame);
        bytes_put_varint(buf, ref->covers);
    }
    if (entry->map_ref_count > 0)
        return;
    size_t before = buf->size;
    map_format(&entry->map, buf);
    assert(entry->map.size == entry->size && buf->size - before <= ENTRY_MAP_INLINE_MAX);
}

/* size bytes as a string of the caller's, behind the first shared bytes of previous; NULL and bad
 * if there are not so many, or they are too long or hold a NUL. */
static char *parse_text(struct reader *reader, const char *previous, size_t shared)
{
    size_t size = reader_varint_max(reader, ENTRY_PATH_MAX - shared);
    const uint8_t *bytes = reader_bytes(reader, size);
    if (!bytes || memchr(bytes, 0, size)) {
        reader->bad = true;
        return NULL;
    }
    char *text = own_alloc(shared + size + 1);
    memcpy(text, previous, shared);
    memcpy(text + shared, bytes, size);
    return text;
}

static char *parse_path(struct reader *reader, const char *previous)
{
    size_t shared = reader_varint_max(reader, strlen(previous));
    char *path = parse_text(reader, previous, shared);
    if (path && (!entry_path_valid(path) || strcmp(previous, path) >= 0))
        reader->bad = true;
    return path;
}

static void parse_bad_blocks(struct reader *reader, struct entry *entry)
{
    entry->bad_block_count = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    uint32_t count = listed_blocks(entry), before = 0;
    entry->bad_blocks = own_alloc(count * sizeof(*entry->bad_blocks));
    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        uint64_t step = reader_varint_max(reader, UINT32_MAX - before);
        if (i > 0 && step == 0)
            reader->bad = true;
        before += (uint32_t)step;
        entry->bad_blocks[i] = before;
    }
}

static void parse_map_ref(struct reader *reader, uint64_t left, uint32_t backup_count,
                          struct entry_map_ref *ret_ref)
{
    ret_ref->place.backup = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    ret_ref->place.pack = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    ret_ref->place.frame = (uint32_t)reader_varint_max(reader, CONTAINER_FRAMES_MAX - 1);
    ret_ref->covers = reader_varint_max(reader, left);
    if (ret_ref->place.backup >= backup_count || ret_ref->place.pack == 0 || ret_ref->covers == 0 ||
        (ret_ref->covers % PIECE_BYTES != 0 && ret_ref->covers != left))
        reader->bad = true;
}

/* The parts together cover the file. */
static void parse_map_refs(struct reader *reader, uint32_t backup_count, struct entry *entry)
{
    entry->map_refs = own_alloc(entry->map_ref_count * sizeof(*entry->map_refs));
    uint64_t left = entry->size;
    for (size_t i = 0; i < entry->map_ref_count && !reader->bad; i++) {
        parse_map_ref(reader, left, backup_count, &entry->map_refs[i]);
        left -= entry->map_refs[i].covers;
    }
    if (left > 0)
        reader->bad = true;
}

static void parse_file(struct reader *reader, uint32_t backup_count, struct entry *entry)
{
    entry->size = reader_varint_max(reader, INT64_MAX);
    entry->inode = reader_varint(reader);
    entry->birth_ns = reader_varint(reader);
    parse_bad_blocks(reader, entry);
    entry->map_ref_count = reader_varint_max(reader, ENTRY_MAP_REFS_MAX);
    if (entry->map_ref_count > 0) {
        parse_map_refs(reader, backup_count, entry);
        return;
    }
    size_t before = reader_left(reader);
    map_parse(reader, entry->size, backup_count, &entry->map);
    if (before - reader_left(reader) > ENTRY_MAP_INLINE_MAX)
        reader->bad = true;
}

static void parse_link(struct reader *reader, struct entry *entry)
{
    entry->target = parse_text(reader, "", 0);
    if (entry->target && !*entry->target)
        reader->bad = true;
}

void entry_done(struct entry *entry)
{
    free(entry->path);
    free(entry->target);
    free(entry->bad_blocks);
    map_done(&entry->map);
    free(entry->map_refs);
    *entry = (struct entry){0};
}

bool entry_path_valid(const char *path)
{
    if (strlen(path) > ENTRY_PATH_MAX)
        return false;
    for (;;) {
        size_t length = strcspn(path, "/");
        if (!part_valid(path, length))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

bool entry_is_tablespace(const char *path)
{
    static const char prefix[] = "pg_tblspc/";
    if (!text_starts_with(path, prefix))
        return false;
    const char *oid = path + strlen(prefix);
    return *oid != '\0' && strspn(oid, "0123456789") == strlen(oid);
}

void entry_format(const struct entry *entry, size_t shared, struct buf *buf)
{
    assert(entry_path_valid(entry->path));
    bytes_put_varint(buf, shared);
    put_text(buf, entry->path + shared);
    bytes_put8(buf, (uint8_t)entry->type);
    bytes_put_varint(buf, entry->mode & MODE_MAX);
    bytes_put_varint(buf, entry->uid);
    bytes_put_varint(buf, entry->gid);
    bytes_put_zigzag(buf, entry->mtime_s);
    if (entry->type == ENTRY_LINK)
        put_text(buf, entry->target);
    else if (entry->type == ENTRY_FILE)
        format_file(entry, buf);
}

void entry_parse(struct reader *reader, const char *previous, uint32_t backup_count,
                 struct entry *ret_entry)
{
    *ret_entry = (struct entry){.path = parse_path(reader, previous)};
    const uint8_t *type = reader_bytes(reader, 1);
    ret_entry->type = type ? *type : ENTRY_DIRECTORY;
    ret_entry->mode = (uint32_t)reader_varint_max(reader, MODE_MAX);
    ret_entry->uid = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    ret_entry->gid = (uint32_t)reader_varint_max(reader, UINT32_MAX);
    ret_entry->mtime_s = reader_zigzag(reader);
    switch (ret_entry->type) {
    case ENTRY_FILE:
        parse_file(reader, backup_count, ret_entry);
        break;
    case ENTRY_DIRECTORY:
        break;
    case ENTRY_LINK:
        parse_link(reader, ret_entry);
        break;
    default:
        reader->bad = true;
    }
}
