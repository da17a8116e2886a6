// SPDX-License-Identifier: Apache-2.0
#include "sidecar/captured_rows.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/captured.h"
#include "sidecar/entry.h"

enum {
    CHUNK_ROWS = 1024,
    OPEN_MAX = 8, /* chunks that are not coded only */
};

struct chunk {
    struct captured *rows; /* NULL: coded, or nothing was put there */
    uint8_t *coded;        /* what the rows are, unless they were changed */
    size_t coded_bytes;
};

struct captured_rows {
    pthread_mutex_t lock;
    size_t open[OPEN_MAX]; /* chunks with rows, the one that was used last first */
    size_t open_count;
    size_t chunk_count;
    struct chunk chunks[];
};

static void close_rows(struct chunk *chunk)
{
    for (size_t i = 0; chunk->rows && i < CHUNK_ROWS; i++)
        captured_done(&chunk->rows[i]);
    own_freep(&chunk->rows);
}

static void code_chunk(struct chunk *chunk)
{
    static const struct captured none;
    CLEANUP(buf_done) struct buf coded = BUF(CHUNK_ROWS * (size_t)ENTRY_BYTES_MAX);
    const struct captured *before = &none;
    for (size_t i = 0; i < CHUNK_ROWS; i++) {
        captured_format(&chunk->rows[i], before, &coded);
        if (chunk->rows[i].exists)
            before = &chunk->rows[i];
    }
    chunk->coded = own_alloc(coded.size);
    chunk->coded_bytes = coded.size;
    memcpy(chunk->coded, coded.data, coded.size);
}

static void open_rows(struct chunk *chunk)
{
    static const struct captured none;
    const struct captured *before = &none;
    struct reader reader = READER(chunk->coded, chunk->coded_bytes);
    chunk->rows = own_alloc(CHUNK_ROWS * sizeof(chunk->rows[0]));
    for (size_t i = 0; chunk->coded && i < CHUNK_ROWS; i++) {
        captured_parse(&reader, before, &chunk->rows[i]);
        if (chunk->rows[i].exists)
            before = &chunk->rows[i];
    }
    assert(!reader.bad && reader_left(&reader) == 0); /* our own coding */
}

/* Makes room for one more; the one that was not used for longest goes. */
static void close_oldest(struct captured_rows *rows)
{
    struct chunk *chunk = &rows->chunks[rows->open[--rows->open_count]];
    if (!chunk->coded)
        code_chunk(chunk);
    close_rows(chunk);
}

static void move_to_front(struct captured_rows *rows, size_t at, size_t index)
{
    memmove(rows->open + 1, rows->open, at * sizeof(rows->open[0]));
    rows->open[0] = index;
}

static struct chunk *find_chunk(struct captured_rows *rows, size_t index)
{
    for (size_t i = 0; i < rows->open_count; i++)
        if (rows->open[i] == index) {
            move_to_front(rows, i, index);
            return &rows->chunks[index];
        }
    if (rows->open_count == OPEN_MAX)
        close_oldest(rows);
    open_rows(&rows->chunks[index]);
    move_to_front(rows, rows->open_count++, index);
    return &rows->chunks[index];
}

static struct captured *change(struct captured_rows *rows, size_t index)
{
    struct chunk *chunk = find_chunk(rows, index / CHUNK_ROWS);
    own_freep(&chunk->coded);
    chunk->coded_bytes = 0;
    return &chunk->rows[index % CHUNK_ROWS];
}

void captured_rows_put(struct captured_rows *rows, size_t index, struct captured *captured)
{
    pthread_mutex_lock(&rows->lock);
    struct captured *row = change(rows, index);
    captured_done(row);
    *row = *captured;
    pthread_mutex_unlock(&rows->lock);
    *captured = (struct captured){0};
}

void captured_rows_take(struct captured_rows *rows, size_t index, struct captured *ret_captured)
{
    pthread_mutex_lock(&rows->lock);
    struct captured *row = change(rows, index);
    *ret_captured = *row;
    *row = (struct captured){0};
    pthread_mutex_unlock(&rows->lock);
}

const struct captured *captured_rows_look(struct captured_rows *rows, size_t index)
{
    pthread_mutex_lock(&rows->lock);
    const struct captured *row = &find_chunk(rows, index / CHUNK_ROWS)->rows[index % CHUNK_ROWS];
    pthread_mutex_unlock(&rows->lock);
    return row;
}

void captured_rows_freep(struct captured_rows **rows)
{
    struct captured_rows *r = TAKE(*rows);
    if (!r)
        return;
    for (size_t i = 0; i < r->chunk_count; i++) {
        close_rows(&r->chunks[i]);
        free(r->chunks[i].coded);
    }
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct captured_rows *captured_rows_new(size_t count)
{
    const size_t chunks = count / CHUNK_ROWS + 1;
    struct captured_rows *rows = own_alloc(sizeof(*rows) + chunks * sizeof(rows->chunks[0]));
    pthread_mutex_init(&rows->lock, NULL);
    rows->chunk_count = chunks;
    return rows;
}
