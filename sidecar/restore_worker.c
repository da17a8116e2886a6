// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_worker.h"

#include <stdatomic.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/frame.h"
#include "sidecar/manifest.h"
#include "sidecar/pack_reader.h"
#include "sidecar/progress.h"
#include "sidecar/restore_plan.h"
#include "sidecar/restore_wal.h"
#include "sidecar/target.h"

/* A segment in work takes up to three times its size. */
enum { SEGMENT_WORKERS_MAX = 2 };

/* What the threads share: each takes the next of a row until there is none. */
struct work {
    const struct restore_worker_options *options;
    size_t threads;
    struct fifo *turns; /* one for each worker: who writes has one */
    atomic_size_t next_file, next_pack, next_segment;
    _Atomic uint64_t fetched_bytes;
};

static int finish_file(const struct work *work, const struct target_file *open,
                       const struct restore_file *file, struct error *err)
{
    const struct target_attributes attributes = {
        .mode = file->mode, .mtime_s = file->mtime_s, .size = file->size};
    progress_add_file(work->options->progress);
    return target_finish(open, &attributes, err);
}

/* Files that no span is written to: empty ones, those that are one hole, and those that the target
 * has already. */
static int finish_others(struct work *work, struct error *err)
{
    struct restore_plan *plan = work->options->plan;
    for (size_t i; (i = atomic_fetch_add(&work->next_file, 1)) < plan->file_count;) {
        const struct restore_file *file = &plan->files[i];
        if (i == plan->control_file || !file->has_no_data)
            continue;
        CLEANUP(target_close_file) struct target_file open = {.fd = -1};
        if (cancel_check(work->options->cancel, err) < 0 ||
            target_open_file(work->options->target, file->path, &open, err) < 0 ||
            finish_file(work, &open, file, err) < 0)
            return -1;
    }
    return 0;
}

/* Straight from the opened frames into the file. */
static int write_span(const struct work *work, struct pack_reader *reader,
                      struct restore_span *span, const struct target_file *open, struct error *err)
{
    uint64_t offset = (uint64_t)span->file_piece * PIECE_BYTES;
    for (uint32_t done = 0; done < span->length;) {
        uint32_t piece = span->piece + done / PIECE_BYTES;
        uint32_t in_frame = FRAME_PLAIN_MAX - piece % FRAME_PIECES * PIECE_BYTES;
        uint32_t left = span->length - done, size = left < in_frame ? left : in_frame;
        const uint8_t *data;
        if (cancel_check(work->options->cancel, err) < 0)
            return -1;
        if (pack_reader_data(reader, piece, size, &data, err) < 0)
            return error_wrap(err, "restore '%s'", open->path);
        if (target_write(open, data, size, offset + done, err) < 0)
            return -1;
        span->crc32c = crc32c_extend(span->crc32c, data, size);
        done += size;
        progress_add(work->options->progress, size);
    }
    return 0;
}

/* Whoever writes the last span of a file finishes it. */
static int restore_span(const struct work *work, struct pack_reader *reader,
                        struct restore_span *span, struct target_file *open, struct error *err)
{
    struct restore_file *file = &work->options->plan->files[span->file];
    if (open->path != file->path) {
        target_close_file(open);
        if (target_open_file(work->options->target, file->path, open, err) < 0)
            return -1;
    }
    if (write_span(work, reader, span, open, err) < 0)
        return -1;
    if (atomic_fetch_sub(&file->spans_left, 1) > 1)
        return 0;
    return finish_file(work, open, file, err);
}

/* Whole, unless a part of it may do. */
static int open_pack(const struct work *work, struct pack_reader *reader,
                     const struct restore_pack *pack, struct error *err)
{
    const struct restore_plan *plan = work->options->plan;
    uint32_t number;
    const char *backup = restore_plan_pack(plan, pack->pack, &number);
    if (pack->object_bytes == 0)
        return pack_reader_open(reader, backup, number, err);
    if (pack_reader_open_tail(reader, backup, number, pack->object_bytes, err) < 0)
        return -1;
    for (size_t i = 0; i < pack->count; i++) {
        const struct restore_span *span = &plan->spans[pack->first + i];
        const uint64_t last = span->piece + ((uint64_t)span->length - 1) / PIECE_BYTES;
        pack_reader_want(reader, span->piece / FRAME_PIECES, (uint32_t)(last / FRAME_PIECES));
    }
    return 0;
}

static int write_pack(const struct work *work, struct pack_reader *reader,
                      const struct restore_pack *pack, struct error *err)
{
    struct restore_plan *plan = work->options->plan;
    CLEANUP(target_close_file) struct target_file open = {.fd = -1};
    for (size_t i = 0; i < pack->count; i++) {
        if (restore_span(work, reader, &plan->spans[pack->first + i], &open, err) < 0)
            return -1;
    }
    return 0;
}

/* Fetches while others write. */
static int restore_pack(const struct work *work, struct pack_reader *reader,
                        const struct restore_pack *pack, struct error *err)
{
    void *turn;
    if (open_pack(work, reader, pack, err) < 0 || fifo_pop(work->turns, &turn, err) < 0 ||
        write_pack(work, reader, pack, err) < 0)
        return -1;
    return fifo_push(work->turns, turn, err);
}

/* Packs in a row mostly belong to one file, which one thread at a time can write to: so each begins
 * elsewhere. NULL: there are no more. */
static const struct restore_pack *next_pack(struct work *work)
{
    const struct restore_plan *plan = work->options->plan;
    const size_t row = (plan->pack_count + work->threads - 1) / work->threads;
    for (size_t i; (i = atomic_fetch_add(&work->next_pack, 1)) < row * work->threads;) {
        const size_t at = i % work->threads * row + i / work->threads;
        if (at < plan->pack_count)
            return &plan->packs[at];
    }
    return NULL;
}

static int restore_packs(struct work *work, struct error *err)
{
    CLEANUP(pack_reader_freep)
    struct pack_reader *reader = pack_reader_new(work->options->repo, PACK_READER_INTACT);
    for (const struct restore_pack *pack; (pack = next_pack(work));) {
        if (restore_pack(work, reader, pack, err) < 0)
            return -1;
    }
    atomic_fetch_add(&work->fetched_bytes, pack_reader_fetched_bytes(reader));
    return 0;
}

static int segments_main(void *arg, struct error *err)
{
    struct work *work = arg;
    const struct restore_worker_options *options = work->options;
    const struct restore_wal wal = {
        .repo = options->repo, .manifest = options->manifest, .target = options->target};
    CLEANUP(buf_done) struct buf segment = BUF(options->manifest->wal_segment_bytes);
    uint64_t count = restore_wal_count(options->manifest);
    for (size_t i; (i = atomic_fetch_add(&work->next_segment, 1)) < count;) {
        if (cancel_check(options->cancel, err) < 0 ||
            restore_wal_segment(&wal, i, &segment, err) < 0)
            return -1;
        progress_add(work->options->progress, segment.size);
    }
    return 0;
}

static int packs_main(void *arg, struct error *err)
{
    struct work *work = arg;
    return finish_others(work, err) < 0 ? -1 : restore_packs(work, err);
}

static int give_turns(struct work *work, struct error *err)
{
    for (size_t i = 0; i < work->options->workers; i++) {
        if (fifo_push(work->turns, work, err) < 0)
            return -1;
    }
    return 0;
}

static int run_crew(struct work *work, crew_main main, size_t threads, struct error *err)
{
    CLEANUP(crew_freep) struct crew *crew = crew_new(work->options->cancel);
    for (size_t i = 0; i < threads; i++) {
        if (crew_start(crew, "restore", main, work, err) < 0)
            return -1;
    }
    return crew_join(crew, err);
}

/* WAL last, so that nobody holds packs and segments at once. */
int restore_worker_run(const struct restore_worker_options *options, uint64_t *ret_fetched_bytes,
                       struct error *err)
{
    CLEANUP(fifo_freep) struct fifo *turns = fifo_new(options->workers, options->cancel);
    struct work work = {
        .options = options, .threads = options->workers + options->fetchers, .turns = turns};
    const size_t segment_workers =
        options->workers < SEGMENT_WORKERS_MAX ? options->workers : SEGMENT_WORKERS_MAX;
    if (give_turns(&work, err) < 0 || run_crew(&work, packs_main, work.threads, err) < 0 ||
        run_crew(&work, segments_main, segment_workers, err) < 0)
        return -1;
    *ret_fetched_bytes = atomic_load(&work.fetched_bytes);
    return 0;
}
