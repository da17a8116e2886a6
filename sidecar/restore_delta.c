// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_delta.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/frame.h"
#include "sidecar/pack_hashes.h"
#include "sidecar/pack_reader.h"
#include "sidecar/piece_hash.h"
#include "sidecar/progress.h"
#include "sidecar/repo.h"
#include "sidecar/restore_plan.h"
#include "sidecar/restore_sizes.h"
#include "sidecar/target.h"

enum { READ_BYTES = 1 << 20 };

/* What the workers share: each takes the next of a row until there is none. */
struct delta {
    const struct restore_delta_options *options;
    struct piece_hash hash;
    size_t *first; /* span of each file, while they are sorted by file */
    atomic_size_t next_file, next_pack;
    pthread_mutex_t lock; /* guards what follows */
    struct restore_spans kept, wanted;
    uint64_t fetched_bytes;
};

/* One thread's. */
struct comparison {
    struct delta *delta;
    struct pack_reader *reader;
    const struct restore_pack *pack; /* lent: nobody else has it */
    struct pack_hashes hashes;       /* of the pack; empty: not loaded, or not to be had */
    bool hashes_loaded;
    struct target_file open;
    uint8_t *data;
    struct restore_spans kept, wanted;
};

/* Files first: their sizes, and zeros where the backup has them. */

static int level_file(struct delta *delta, size_t index, struct error *err)
{
    struct restore_plan *plan = delta->options->plan;
    struct restore_file *file = &plan->files[index];
    CLEANUP(target_close_file) struct target_file open = {.fd = -1};
    if (target_reopen_file(delta->options->target, file->path, &open, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (target_resize(&open, file->size, err) < 0)
        return -1;
    uint64_t done = 0;
    for (size_t i = delta->first[index]; i < delta->first[index + 1]; i++) {
        const struct restore_span *span = &plan->spans[i];
        uint64_t offset = (uint64_t)span->file_piece * PIECE_BYTES;
        if (target_clear(&open, done, offset, err) < 0)
            return -1;
        done = offset + span->length;
    }
    file->is_there = true;
    return target_clear(&open, done, file->size, err);
}

static int level_main(void *arg, struct error *err)
{
    struct delta *delta = arg;
    const struct restore_plan *plan = delta->options->plan;
    for (size_t i; (i = atomic_fetch_add(&delta->next_file, 1)) < plan->file_count;) {
        if (cancel_check(delta->options->cancel, err) < 0 ||
            (i != plan->control_file && level_file(delta, i, err) < 0))
            return -1;
    }
    return 0;
}

/* Then pieces, pack by pack. */

/* Where its hashes cannot be read, all of the pack is wanted, and whoever fetches it says why. */
static int load_hashes(struct comparison *own, struct error *err)
{
    const struct restore_delta_options *options = own->delta->options;
    const uint32_t bytes = restore_sizes_find(options->sizes, own->pack->pack);
    uint32_t number;
    const char *backup = restore_plan_pack(options->plan, own->pack->pack, &number);
    own->hashes_loaded = true;
    if (bytes == 0 || (pack_reader_open_tail(own->reader, backup, number, bytes, err) == 0 &&
                       pack_hashes_load(&own->hashes, own->reader, err) == 0))
        return 0;
    return err->kind == ERROR_CORRUPT || err->kind == ERROR_NOT_FOUND ? 0 : -1;
}

/* Whether the target has what the backup has in a piece of the pack. */
static bool is_same(const struct comparison *own, uint32_t piece, const uint8_t *data)
{
    uint64_t hash;
    return pack_hashes_find(&own->hashes, piece / FRAME_PIECES, piece % FRAME_PIECES, &hash) &&
           piece_hash(&own->delta->hash, data) == hash;
}

/* Splits a part of a span, which data holds with zeros up to the end of its last piece. */
static void split(struct comparison *own, const struct restore_span *part)
{
    for (uint32_t done = 0, size; done < part->length; done += size) {
        const bool same = is_same(own, part->piece + done / PIECE_BYTES, own->data + done);
        struct restore_span run = *part;
        run.file_piece += done / PIECE_BYTES;
        run.piece += done / PIECE_BYTES;
        for (size = PIECE_BYTES; size < part->length - done; size += PIECE_BYTES)
            if (is_same(own, run.piece + size / PIECE_BYTES, own->data + done + size) != same)
                break;
        run.length = size < part->length - done ? size : part->length - done;
        run.crc32c = same ? crc32c_extend(0, own->data + done, run.length) : 0;
        restore_spans_add(same ? &own->kept : &own->wanted, &run);
        if (same)
            progress_add(own->delta->options->progress, run.length);
    }
}

static int compare_span(struct comparison *own, const struct restore_span *span, struct error *err)
{
    const struct restore_delta_options *options = own->delta->options;
    const struct restore_file *file = &options->plan->files[span->file];
    if (!file->is_there) {
        restore_spans_add(&own->wanted, span);
        return 0;
    }
    if (!own->hashes_loaded && load_hashes(own, err) < 0)
        return -1;
    if (own->open.path != file->path) {
        target_close_file(&own->open);
        if (target_reopen_file(options->target, file->path, &own->open, err) < 0)
            return -1;
    }
    for (uint32_t done = 0; done < span->length; done += READ_BYTES) {
        struct restore_span part = *span;
        part.file_piece += done / PIECE_BYTES;
        part.piece += done / PIECE_BYTES;
        part.length = span->length - done < READ_BYTES ? span->length - done : READ_BYTES;
        size_t size = ((size_t)part.length + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
        if (cancel_check(options->cancel, err) < 0 ||
            target_pread(&own->open, own->data, size, (uint64_t)part.file_piece * PIECE_BYTES,
                         err) < 0)
            return -1;
        split(own, &part);
    }
    return 0;
}

static int compare_packs(struct comparison *own, struct error *err)
{
    struct delta *delta = own->delta;
    const struct restore_plan *plan = delta->options->plan;
    for (size_t i; (i = atomic_fetch_add(&delta->next_pack, 1)) < plan->pack_count;) {
        own->pack = &plan->packs[i];
        pack_hashes_done(&own->hashes);
        own->hashes_loaded = false;
        for (size_t j = 0; j < own->pack->count; j++)
            if (compare_span(own, &plan->spans[own->pack->first + j], err) < 0)
                return -1;
    }
    return 0;
}

static void append(struct restore_spans *all, const struct restore_spans *more)
{
    if (more->count == 0)
        return;
    all->spans = own_resize(all->spans, all->count + more->count, sizeof(all->spans[0]));
    memcpy(all->spans + all->count, more->spans, more->count * sizeof(all->spans[0]));
    all->count += more->count;
}

static void comparison_done(struct comparison *own)
{
    target_close_file(&own->open);
    pack_hashes_done(&own->hashes);
    pack_reader_freep(&own->reader);
    restore_spans_done(&own->kept);
    restore_spans_done(&own->wanted);
    free(own->data);
}

static int compare_main(void *arg, struct error *err)
{
    struct delta *delta = arg;
    CLEANUP(comparison_done)
    struct comparison own = {
        .delta = delta,
        .reader = pack_reader_new(delta->options->repo, PACK_READER_INTACT),
        .open = {.fd = -1},
        .data = own_alloc(READ_BYTES),
    };
    if (compare_packs(&own, err) < 0)
        return -1;
    pthread_mutex_lock(&delta->lock);
    append(&delta->kept, &own.kept);
    append(&delta->wanted, &own.wanted);
    delta->fetched_bytes += pack_reader_fetched_bytes(own.reader);
    pthread_mutex_unlock(&delta->lock);
    return 0;
}

static int run_crew(struct delta *delta, const char *name, crew_main main, struct error *err)
{
    CLEANUP(crew_freep) struct crew *crew = crew_new(delta->options->cancel);
    for (size_t i = 0; i < delta->options->workers; i++) {
        if (crew_start(crew, name, main, delta, err) < 0)
            return -1;
    }
    return crew_join(crew, err);
}

static void delta_done(struct delta *delta)
{
    restore_spans_done(&delta->kept);
    restore_spans_done(&delta->wanted);
    free(delta->first);
    pthread_mutex_destroy(&delta->lock);
}

int restore_delta_run(const struct restore_delta_options *options, uint64_t *ret_fetched_bytes,
                      struct error *err)
{
    CLEANUP(delta_done)
    struct delta delta = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    piece_hash_init(&delta.hash, &options->repo->keyring.id_key);
    delta.first = restore_plan_sort_files(options->plan);
    if (run_crew(&delta, "level", level_main, err) < 0)
        return -1;
    restore_plan_group(options->plan);
    if (run_crew(&delta, "compare", compare_main, err) < 0)
        return -1;
    log_info("Compared with what is there", U("equalBytes", restore_spans_bytes(&delta.kept)),
             U("differentBytes", restore_spans_bytes(&delta.wanted)));
    restore_plan_keep(options->plan, &delta.wanted, &delta.kept);
    *ret_fetched_bytes = delta.fetched_bytes;
    return 0;
}
