// SPDX-License-Identifier: Apache-2.0
#include "sidecar/index.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/frame.h"

enum { COUNT_BYTES_MAX = 3 }; /* varint of as many entries as a frame has bytes */

struct index_writer {
    const struct backup_table *table;
    char *previous; /* path of the last entry in the frame, "" in an empty one */
    uint32_t count;
    struct buf entries; /* coded */
    struct buf scratch; /* one coded entry */
};

static size_t shared_bytes(const char *a, const char *b)
{
    size_t shared = 0;
    while (a[shared] && a[shared] == b[shared])
        shared++;
    return shared;
}

static void begin(struct index_writer *writer)
{
    free(writer->previous);
    writer->previous = own_strdup("");
    writer->count = 0;
    buf_clear(&writer->entries);
}

/* One entry, by way of the callback; its path becomes the previous one. */
static int give_entry(struct reader *reader, const struct backup_table *table, char **previous,
                      entry_each each, void *arg, struct error *err)
{
    CLEANUP(entry_done) struct entry entry = {0};
    entry_parse(reader, *previous, table->count, &entry);
    if (reader->bad)
        return error_set(err, ERROR_CORRUPT, "index frame: malformed entry behind '%s'", *previous);
    free(*previous);
    *previous = own_strdup(entry.path);
    return each(arg, table, &entry, err);
}

void index_writer_freep(struct index_writer **writer)
{
    struct index_writer *w = TAKE(*writer);
    if (!w)
        return;
    free(w->previous);
    buf_done(&w->entries);
    buf_done(&w->scratch);
    free(w);
}

struct index_writer *index_writer_new(const struct backup_table *table)
{
    struct index_writer *writer = own_alloc(sizeof(*writer));
    writer->table = table;
    writer->entries = BUF(FRAME_PLAIN_MAX);
    writer->scratch = BUF(ENTRY_BYTES_MAX);
    begin(writer);
    return writer;
}

int index_writer_add(struct index_writer *writer, const struct entry *entry)
{
    assert(strcmp(writer->previous, entry->path) < 0);
    buf_clear(&writer->scratch);
    entry_format(entry, shared_bytes(writer->previous, entry->path), &writer->scratch);
    size_t table_bytes =
        BACKUP_TABLE_BYTES_MAX; /* as the table may grow until the frame is taken */
    if (table_bytes + COUNT_BYTES_MAX + writer->entries.size + writer->scratch.size >
        FRAME_PLAIN_MAX)
        return 1;
    bytes_put(&writer->entries, writer->scratch.data, writer->scratch.size);
    free(writer->previous);
    writer->previous = own_strdup(entry->path);
    writer->count++;
    return 0;
}

void index_writer_take(struct index_writer *writer, struct buf *ret_plain)
{
    buf_clear(ret_plain);
    if (writer->count == 0)
        return;
    backup_table_format(writer->table, ret_plain);
    bytes_put_varint(ret_plain, writer->count);
    bytes_put(ret_plain, writer->entries.data, writer->entries.size);
    begin(writer);
}

int index_parse(const void *plain, size_t size, entry_each each, void *arg, struct error *err)
{
    struct reader reader = READER(plain, size);
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_parse(&reader, &table);
    uint64_t count = reader_varint_max(&reader, FRAME_PLAIN_MAX);
    CLEANUP(own_freep) char *previous = own_strdup("");
    for (uint64_t i = 0; i < count && !reader.bad; i++)
        if (give_entry(&reader, &table, &previous, each, arg, err) < 0)
            return -1;
    return reader_end(&reader, "index frame", err);
}
