// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_wal.h"

#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/manifest.h"
#include "sidecar/target.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_archive.h"

enum { FILE_MODE = 0600 };

/* A limit against a manifest that lies; more WAL than anybody replays to become consistent. */
static const uint64_t SEGMENTS_MAX = 1 << 24;

static uint64_t count_segments(const struct manifest_wal_range *range, uint32_t segment_bytes)
{
    return (range->stop_lsn - 1) / segment_bytes - range->start_lsn / segment_bytes + 1;
}

static int write_file(const struct restore_wal *wal, const char *name, const struct buf *content,
                      struct error *err)
{
    const struct target_attributes attributes = {
        .mode = FILE_MODE, .mtime_s = clock_now_ms() / 1000, .size = content->size};
    const struct target_attributes empty = {.mode = FILE_MODE, .mtime_s = attributes.mtime_s};
    CLEANUP(own_freep) char *path = own_format("pg_wal/%s", name);
    CLEANUP(own_freep) char *done = own_format("pg_wal/archive_status/%s.done", name);
    if (target_write_file(wal->target, path, &attributes, content->data, err) < 0)
        return -1;
    return target_write_file(wal->target, done, &empty, "", err);
}

int restore_wal_check(const struct manifest *manifest, struct error *err)
{
    if (!wal_segment_bytes_valid(manifest->wal_segment_bytes))
        return error_set(err, ERROR_CORRUPT, "WAL segments of %u bytes",
                         manifest->wal_segment_bytes);
    uint64_t total = 0;
    for (size_t i = 0; i < manifest->wal_count; i++) {
        const struct manifest_wal_range *range = &manifest->wal[i];
        if (range->stop_lsn <= range->start_lsn)
            return error_set(err, ERROR_CORRUPT, "WAL range %zu ends before it starts", i);
        uint64_t count = count_segments(range, manifest->wal_segment_bytes);
        if (count > SEGMENTS_MAX - total)
            return error_set(err, ERROR_CORRUPT, "more than %ju segments of WAL",
                             (uintmax_t)SEGMENTS_MAX);
        total += count;
    }
    if (total == 0)
        return error_set(err, ERROR_CORRUPT, "no WAL, without which no backup is consistent");
    return 0;
}

uint64_t restore_wal_count(const struct manifest *manifest)
{
    uint64_t total = 0;
    for (size_t i = 0; i < manifest->wal_count; i++)
        total += count_segments(&manifest->wal[i], manifest->wal_segment_bytes);
    return total;
}

int restore_wal_segment(const struct restore_wal *wal, uint64_t index, struct buf *segment,
                        struct error *err)
{
    const struct manifest_wal_range *range = wal->manifest->wal;
    uint32_t bytes = wal->manifest->wal_segment_bytes;
    for (uint64_t count; index >= (count = count_segments(range, bytes)); range++)
        index -= count;
    uint64_t first = range->start_lsn / bytes * bytes + index * bytes;
    uint64_t end = range->stop_lsn - first < bytes ? range->stop_lsn : first + bytes;
    char name[WAL_SEGMENT_NAME_BYTES];
    wal_segment_name(range->timeline, first, bytes, name);
    if (wal_archive_get(wal->repo, range->timeline, first, end, bytes, segment, err) < 0)
        return -1;
    return write_file(wal, name, segment, err);
}

int restore_wal_histories(const struct restore_wal *wal, struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(TIMELINE_HISTORY_MAX);
    for (size_t i = 0; i < wal->manifest->wal_count; i++) {
        uint32_t timeline = wal->manifest->wal[i].timeline;
        CLEANUP(own_freep) char *name = own_format("%08X.history", timeline);
        if (timeline <= 1)
            continue;
        buf_clear(&content);
        if (wal_archive_get_history(wal->repo, timeline, &content, err) < 0 ||
            write_file(wal, name, &content, err) < 0)
            return -1;
    }
    return 0;
}

/* The segment in which a timeline was left, of itself or of one that begins with a copy of it, up
 * to where they part. NOT_FOUND. */
static int get_fork(const struct restore_wal *wal, const struct timeline_span *left,
                    const struct timeline_span *last, struct buf *segment, struct error *err)
{
    const uint32_t bytes = wal->manifest->wal_segment_bytes;
    const uint64_t first = wal_segment_start(left->end_lsn, bytes);
    const size_t kept = left->end_lsn - first;
    struct error unasked = {0}; /* a region that may have it */
    for (const struct timeline_span *span = left;; span++) {
        const bool is_only = span == last || span[1].begin_lsn >= first + bytes;
        if (wal_archive_get(wal->repo, span->timeline, first, left->end_lsn, bytes, segment, err) ==
            0)
            break;
        if (err->kind == ERROR_TRANSIENT)
            unasked = *err;
        else if (err->kind == ERROR_NOT_FOUND && unasked.kind != ERROR_NONE)
            *err = unasked;
        if ((err->kind != ERROR_NOT_FOUND && err->kind != ERROR_TRANSIENT) || is_only)
            return -1;
    }
    memset(segment->data + kept, 0, bytes - kept);
    return 0;
}

static int write_fork(const struct restore_wal *wal, const struct timeline_span *left,
                      const struct timeline_span *last, struct buf *segment, struct error *err)
{
    const uint32_t bytes = wal->manifest->wal_segment_bytes;
    char name[WAL_SEGMENT_NAME_BYTES];
    if (get_fork(wal, left, last, segment, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    wal_segment_name(left->timeline, left->end_lsn, bytes, name);
    return write_file(wal, name, segment, err);
}

int restore_wal_forks(const struct restore_wal *wal, uint32_t timeline, struct error *err)
{
    const uint32_t bytes = wal->manifest->wal_segment_bytes;
    CLEANUP(buf_done) struct buf segment = BUF(bytes);
    CLEANUP(timeline_done) struct timeline history = {0};
    if (wal_archive_load_history(wal->repo, timeline, &history, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    const struct timeline_span *last = &history.spans[history.count - 1];
    for (const struct timeline_span *span = history.spans; span < last; span++)
        if (span->end_lsn > wal->manifest->stop_lsn && span->end_lsn % bytes != 0 &&
            write_fork(wal, span, last, &segment, err) < 0)
            return -1;
    return 0;
}
