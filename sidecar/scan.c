// SPDX-License-Identifier: Apache-2.0
#include "sidecar/scan.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/backup_table.h"
#include "sidecar/capture.h"
#include "sidecar/captured_rows.h"
#include "sidecar/manifest.h"
#include "sidecar/prior.h"
#include "sidecar/prior_reader.h"
#include "sidecar/repo.h"

/* From here on a file is taken by its size, below in order of paths. */
enum { LARGE_BYTES = 1 << 20 };

/* A file of several parts while workers share it. All parts must be of one file, and a path may get
 * another at any time: who opens it first does so for all. */
struct shared {
    struct shared *next;
    struct capture capture;
    bool opened; /* capture.file is set; guarded by the lock of scan */
    atomic_size_t parts_left;
};

struct unit { /* of work: a part of a large file */
    uint32_t file, part;
};

struct scan {
    struct scan_options options;
    struct capture_options capture;
    struct unit *units; /* largest file first */
    size_t unit_count;
    atomic_size_t cursor; /* over the units, then over the files for the small ones */
    pthread_mutex_t lock;
    struct shared *shared;         /* guarded by lock */
    struct captured_rows *results; /* of the source's files; until it is read, that of the parent */
    struct backup_table table;     /* without a parent */
    _Atomic uint64_t bytes_read, bytes_reused;
    struct fifo *finished; /* gets an item of each worker that is done */
    size_t running;
    struct entry entry; /* what scan_entry gave last */
    struct scan_page_error page_errors[MANIFEST_PAGE_ERRORS_MAX];
    size_t page_errors_shown;
    uint64_t page_error_count;
};

static void count_read(void *arg, uint64_t bytes, bool was_read)
{
    struct scan *scan = arg;
    if (was_read)
        atomic_fetch_add(&scan->bytes_read, bytes);
    if (scan->options.progress)
        scan->options.progress(scan->options.progress_arg, bytes);
}

static int finish(struct scan *scan, struct capture *capture, size_t file, struct packer *packer,
                  struct error *err)
{
    uint64_t reused_bytes = 0;
    struct captured captured = {0};
    if (capture_finish(capture, packer, &captured, &reused_bytes, err) < 0)
        return -1;
    captured_rows_put(scan->results, file, &captured);
    atomic_fetch_add(&scan->bytes_reused, reused_bytes);
    if (scan->options.file_done)
        scan->options.file_done(scan->options.progress_arg);
    return 0;
}

static int read_whole(struct scan *scan, size_t file, struct capture_worker *worker,
                      struct error *err)
{
    CLEANUP(capture_done) struct capture capture;
    struct captured prior;
    captured_rows_take(scan->results, file, &prior);
    capture_init(&capture, &scan->capture, &scan->options.source->files[file], &prior);
    if (capture_open(&capture, &capture.file, err) < 0 ||
        capture_read(&capture, 0, worker, err) < 0)
        return -1;
    return finish(scan, &capture, file, worker->packer, err);
}

static void shared_free(struct shared *shared)
{
    capture_done(&shared->capture);
    free(shared);
}

/* The sharing of a file, made by the first who asks. */
static struct shared *find_shared(struct scan *scan, const struct source_file *file)
{
    pthread_mutex_lock(&scan->lock);
    struct shared *shared = scan->shared;
    while (shared && shared->capture.source != file)
        shared = shared->next;
    if (!shared) {
        struct captured prior;
        captured_rows_take(scan->results, (size_t)(file - scan->options.source->files), &prior);
        shared = own_alloc(sizeof(*shared));
        shared->next = scan->shared;
        capture_init(&shared->capture, &scan->capture, file, &prior);
        atomic_init(&shared->parts_left, shared->capture.part_count);
        scan->shared = shared;
    }
    pthread_mutex_unlock(&scan->lock);
    return shared;
}

static void drop_shared(struct scan *scan, const struct shared *shared)
{
    pthread_mutex_lock(&scan->lock);
    struct shared **link = &scan->shared;
    while (*link != shared)
        link = &(*link)->next;
    *link = shared->next;
    pthread_mutex_unlock(&scan->lock);
}

/* Opens outside the lock; who comes second gives its own up. */
static int open_shared(struct scan *scan, struct shared *shared, struct error *err)
{
    pthread_mutex_lock(&scan->lock);
    bool opened = shared->opened;
    pthread_mutex_unlock(&scan->lock);
    struct capture_file file;
    if (opened)
        return 0;
    if (capture_open(&shared->capture, &file, err) < 0)
        return -1;
    pthread_mutex_lock(&scan->lock);
    opened = shared->opened;
    if (!opened)
        shared->capture.file = file;
    shared->opened = true;
    pthread_mutex_unlock(&scan->lock);
    if (opened)
        own_closep(&file.fd);
    return 0;
}

static int read_shared(struct scan *scan, const struct unit *unit, struct capture_worker *worker,
                       struct error *err)
{
    struct shared *shared = find_shared(scan, &scan->options.source->files[unit->file]);
    if (open_shared(scan, shared, err) < 0 ||
        capture_read(&shared->capture, unit->part, worker, err) < 0)
        return -1;
    if (atomic_fetch_sub(&shared->parts_left, 1) > 1)
        return 0;
    drop_shared(scan, shared);
    int result = finish(scan, &shared->capture, unit->file, worker->packer, err);
    shared_free(shared);
    return result;
}

static int read_unit(struct scan *scan, const struct unit *unit, struct capture_worker *worker,
                     struct error *err)
{
    uint64_t size = scan->options.source->files[unit->file].size;
    return capture_part_count(size) > 1 ? read_shared(scan, unit, worker, err)
                                        : read_whole(scan, unit->file, worker, err);
}

/* false: nothing is left. */
static bool next_unit(struct scan *scan, struct unit *ret_unit)
{
    const struct source *source = scan->options.source;
    for (;;) {
        size_t at = atomic_fetch_add(&scan->cursor, 1);
        if (at < scan->unit_count) {
            *ret_unit = scan->units[at];
            return true;
        }
        at -= scan->unit_count;
        if (at >= source->file_count)
            return false;
        if (source->files[at].size < LARGE_BYTES) {
            *ret_unit = (struct unit){.file = (uint32_t)at};
            return true;
        }
    }
}

static void worker_done(struct capture_worker *worker)
{
    packer_freep(&worker->packer);
    prior_reader_freep(&worker->reader);
    own_freep(&worker->part);
}

static int run_worker(void *arg, struct error *err)
{
    struct scan *scan = arg;
    CLEANUP(worker_done)
    struct capture_worker worker = {.packer = packer_new(&scan->options.packer)};
    struct unit unit;
    if (scan->options.prior) {
        worker.reader = prior_reader_new(scan->options.prior);
        worker.part = own_alloc(sizeof(*worker.part));
    }
    while (next_unit(scan, &unit))
        if (cancel_check(scan->options.cancel, err) < 0 || read_unit(scan, &unit, &worker, err) < 0)
            return -1;
    if (packer_flush(worker.packer, err) < 0)
        return -1;
    return fifo_push(scan->finished, scan, err);
}

static int compare_units(const void *a, const void *b, void *files)
{
    const struct unit *x = a, *y = b;
    uint64_t x_size = ((const struct source_file *)files)[x->file].size;
    uint64_t y_size = ((const struct source_file *)files)[y->file].size;
    if (x_size != y_size)
        return x_size < y_size ? 1 : -1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->part > y->part) - (x->part < y->part);
}

static void plan_units(struct scan *scan)
{
    const struct source *source = scan->options.source;
    size_t count = 0;
    for (size_t i = 0; i < source->file_count; i++)
        if (source->files[i].size >= LARGE_BYTES)
            count += capture_part_count(source->files[i].size);
    if (count == 0)
        return;
    scan->units = own_alloc(count * sizeof(scan->units[0]));
    for (size_t i = 0; i < source->file_count; i++) {
        if (source->files[i].size < LARGE_BYTES)
            continue;
        for (size_t part = 0; part < capture_part_count(source->files[i].size); part++)
            scan->units[scan->unit_count++] =
                (struct unit){.file = (uint32_t)i, .part = (uint32_t)part};
    }
    qsort_r(scan->units, count, sizeof(scan->units[0]), compare_units, source->files);
}

static void count_page_errors(struct scan *scan)
{
    const struct source *source = scan->options.source;
    for (size_t i = 0; i < source->file_count; i++) {
        const uint32_t *blocks;
        uint32_t count = captured_bad_blocks(captured_rows_look(scan->results, i), &blocks);
        scan->page_error_count += count;
        for (uint32_t j = 0; j < count && scan->page_errors_shown < MANIFEST_PAGE_ERRORS_MAX; j++)
            scan->page_errors[scan->page_errors_shown++] =
                (struct scan_page_error){.path = source->files[i].path, .block = blocks[j]};
    }
}

uint64_t scan_page_errors(const struct scan *scan, const struct scan_page_error **ret_first,
                          size_t *ret_shown)
{
    *ret_first = scan->page_errors;
    *ret_shown = scan->page_errors_shown;
    return scan->page_error_count;
}

uint64_t scan_bytes_read(const struct scan *scan)
{
    return atomic_load(&scan->bytes_read);
}

uint64_t scan_bytes_reused(const struct scan *scan)
{
    return atomic_load(&scan->bytes_reused);
}

const struct backup_table *scan_table(const struct scan *scan)
{
    return scan->options.prior ? &scan->options.prior->table : &scan->table;
}

bool scan_entry(struct scan *scan, size_t index, struct entry *ret_entry)
{
    assert(index < scan->options.source->file_count);
    const struct captured *captured = captured_rows_look(scan->results, index);
    if (!captured->exists)
        return false;
    map_done(&scan->entry.map);
    captured_entry(captured, &scan->entry);
    scan->entry.path = scan->options.source->files[index].path;
    *ret_entry = scan->entry;
    return true;
}

int scan_add_content(struct packer *packer, const struct entry *metadata, const void *content,
                     size_t size, struct entry *ret_entry, struct error *err)
{
    CLEANUP(map_done) struct map map = {0};
    for (size_t done = 0, now; done < size; done += now) {
        uint8_t *space = packer_space(packer, &now);
        if (now > size - done)
            now = size - done;
        memcpy(space, (const uint8_t *)content + done, now);
        if (packer_add(packer, now, &map, err) < 0)
            return -1;
    }
    *ret_entry = *metadata;
    ret_entry->path = own_strdup(metadata->path);
    ret_entry->type = ENTRY_FILE;
    ret_entry->size = size;
    ret_entry->map = map;
    map = (struct map){0};
    return 0;
}

int scan_wait(struct scan *scan, struct error *err)
{
    for (void *unused; scan->running > 0; scan->running--)
        if (fifo_pop(scan->finished, &unused, err) < 0)
            return -1;
    count_page_errors(scan);
    return 0;
}

void scan_freep(struct scan **scan)
{
    struct scan *s = TAKE(*scan);
    if (!s)
        return;
    for (struct shared *shared; (shared = s->shared);) {
        s->shared = shared->next;
        shared_free(shared);
    }
    captured_rows_freep(&s->results);
    map_done(&s->entry.map);
    backup_table_done(&s->table);
    fifo_freep(&s->finished);
    pthread_mutex_destroy(&s->lock);
    free(s->units);
    free(s);
}

static struct scan *new_scan(const struct scan_options *options)
{
    struct scan *scan = own_alloc(sizeof(*scan));
    scan->options = *options;
    backup_table_add(&scan->table, options->packer.backup_id);
    scan->capture = (struct capture_options){
        .source = options->source,
        .table = scan_table(scan),
        .prior = options->prior,
        .changes = options->changes,
        .page_lsn = options->page_lsn,
        .prior_start_lsn = options->prior ? options->prior->manifest.start_lsn : 0,
        .checksums = options->checksums,
        .segment_blocks = options->segment_blocks,
        .start_lsn = options->start_lsn,
        .limit = options->limit,
        .cancel = options->cancel,
        .progress = count_read,
        .progress_arg = scan,
    };
    piece_hash_init(&scan->capture.hash, &options->packer.repo->keyring.id_key);
    pthread_mutex_init(&scan->lock, NULL);
    scan->results =
        options->known ? options->known : captured_rows_new(options->source->file_count);
    scan->finished = fifo_new(options->workers, options->cancel);
    return scan;
}

int scan_start(struct scan **ret_scan, const struct scan_options *options, struct error *err)
{
    assert(options->workers > 0 && options->source->file_count < UINT32_MAX);
    CLEANUP(scan_freep) struct scan *scan = new_scan(options);
    plan_units(scan);
    for (; scan->running < options->workers; scan->running++)
        if (crew_start(options->crew, "scan", run_worker, scan, err) < 0)
            break;
    if (scan->running == 0)
        return -1;
    if (scan->running < options->workers) /* slower, but whole */
        log_warn("Started fewer workers than configured", U("workers", scan->running),
                 S("error", err->text));
    *ret_scan = TAKE(scan);
    return 0;
}
