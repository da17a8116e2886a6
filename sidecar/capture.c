// SPDX-License-Identifier: Apache-2.0
#include "sidecar/capture.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/page_cache.h"
#include "common/throttle.h"
#include "sidecar/backup_table.h"
#include "sidecar/changes.h"
#include "sidecar/entry.h"
#include "sidecar/frame.h"
#include "sidecar/packer.h"
#include "sidecar/page_check.h"
#include "sidecar/pg_page.h"
#include "sidecar/prior.h"
#include "sidecar/prior_reader.h"
#include "sidecar/source.h"

enum {
    PART_BYTES = 32 << 20,      /* what one worker takes of a file at once */
    READ_AHEAD_BYTES = 4 << 20, /* so that the disk works while we compress */
    WINDOW_BYTES = 1 << 20,     /* a kernel may heed little more of one request (max_sectors_kb) */
};

/* A place in the file that is being read. */
struct position {
    const struct capture *capture;
    uint64_t offset;
    size_t part;
    struct page_cache *cache; /* of the part, from where it is first read */
    uint64_t ahead;           /* the kernel was asked to read until here */
};

/* What was read for a piece. */
struct piece {
    const uint8_t *data;
    bool whole; /* here and in the parent */
};

/* How a page of a file can be told to be the parent's. */
enum evidence { EVIDENCE_NONE, EVIDENCE_HASH, EVIDENCE_LSN, EVIDENCE_CHANGES };

static bool has_pages(enum source_class class)
{
    return class == SOURCE_RELATION || class == SOURCE_RELATION_AUX ||
           class == SOURCE_RELATION_INIT;
}

static ssize_t read_at(const struct position *at, void *data, size_t size, struct error *err)
{
    ssize_t got = buf_pread(at->capture->file.fd, data, size, at->offset, err);
    return got < 0 ? error_wrap(err, "read '%s'", at->capture->source->path) : got;
}

/* As fast as the limit lets; fewer than size bytes only where the file ends. */
static ssize_t read_paced(const struct position *at, uint8_t *data, size_t size, struct error *err)
{
    const struct capture_options *options = at->capture->options;
    struct position next = *at;
    size_t done = 0;
    while (done < size) {
        size_t part = size - done;
        if (throttle_wait(options->limit, &part, options->cancel, err) < 0)
            return -1;
        ssize_t got = read_at(&next, data + done, part, err);
        if (got < 0)
            return -1;
        options->progress(options->progress_arg, (uint64_t)got, true);
        done += (size_t)got;
        next.offset += (uint64_t)got;
        if ((size_t)got < part)
            break;
    }
    return (ssize_t)done;
}

static int reread_page(void *arg, size_t index, uint8_t *page, struct error *err)
{
    struct position at = *(const struct position *)arg;
    at.offset += index * PG_PAGE_BYTES;
    ssize_t got = read_at(&at, page, PG_PAGE_BYTES, err);
    if (got >= 0 && got < PG_PAGE_BYTES)
        memset(page, 0, PG_PAGE_BYTES); /* truncated meanwhile */
    return got < 0 ? -1 : 0;
}

static void add_bad_block(struct capture_part *part, uint32_t block)
{
    if (part->bad_block_count < ENTRY_BAD_BLOCKS_MAX) {
        part->bad_blocks =
            own_resize(part->bad_blocks, part->bad_block_count + 1, sizeof(part->bad_blocks[0]));
        part->bad_blocks[part->bad_block_count] = block;
    }
    part->bad_block_count++;
}

/* A page at the end that is not whole yet has no checksum to look at. */
static int check_pages(struct position *at, uint8_t *pages, size_t size, struct capture_part *part,
                       struct error *err)
{
    const struct capture_options *options = at->capture->options;
    const struct source_file *source = at->capture->source;
    if (!options->checksums || !has_pages(source->class))
        return 0;
    uint32_t block = (uint32_t)(at->offset / PG_PAGE_BYTES);
    struct page_check check = {
        .block = source->segment * options->segment_blocks + block,
        .start_lsn = options->start_lsn,
        .cancel = options->cancel,
        .reread = reread_page,
        .arg = at,
    };
    struct page_check_result result;
    if (page_check_run(&check, pages, size / PG_PAGE_BYTES, &result, err) < 0)
        return -1;
    for (size_t i = 0; i < result.count; i++)
        add_bad_block(part, block + result.bad[i]);
    return 0;
}

/* Neither LSNs nor WAL summaries say what became of a file that was made since, or elsewhere: a
 * copy that was restored goes on with the timeline and the LSNs of a history that it left, and the
 * parent may be of that one. */
static bool is_same_file(const struct capture *capture)
{
    return capture->file.birth_ns != 0 && capture->file.birth_ns == capture->prior.birth_ns &&
           capture->file.inode == capture->prior.inode;
}

static enum evidence evidence_of(const struct capture *capture)
{
    if (!capture->prior.exists)
        return EVIDENCE_NONE;
    if (capture->source->class != SOURCE_RELATION)
        return EVIDENCE_HASH;
    if (!is_same_file(capture))
        return EVIDENCE_HASH;
    if (capture->options->changes)
        return EVIDENCE_CHANGES;
    return capture->options->page_lsn ? EVIDENCE_LSN : EVIDENCE_HASH;
}

/* What changed must be read, as must what the parent does not have whole. */
static void leave_out_changes(const struct capture *capture, uint64_t first_piece,
                              struct prior_part *part)
{
    const struct capture_options *options = capture->options;
    struct changes_key key;
    const struct changes_relation *relation = NULL;
    bool is_relation = changes_key_of(capture->source->path, &key);
    uint64_t base = (uint64_t)capture->source->segment * options->segment_blocks;
    if (is_relation)
        relation = changes_find(options->changes, &key);
    for (size_t i = 0; i < part->count; i++)
        if (!is_relation || (first_piece + i + 1) * PIECE_BYTES > capture->prior.size ||
            changes_has(relation, (uint32_t)(base + first_piece + i)))
            part->states[i] = PRIOR_NONE;
}

/* What the parent has of a part of the file. */
static int load_prior(struct capture *capture, size_t part, struct capture_worker *worker,
                      struct error *err)
{
    uint64_t first_piece = (uint64_t)part * (PART_BYTES / PIECE_BYTES);
    enum evidence evidence = evidence_of(capture);
    if (evidence == EVIDENCE_NONE)
        return 0;
    if (prior_reader_part(worker->reader, &capture->prior, first_piece, worker->part, err) < 0)
        return -1;
    if (evidence == EVIDENCE_CHANGES)
        leave_out_changes(capture, first_piece, worker->part);
    return evidence == EVIDENCE_HASH ? prior_reader_hashes(worker->reader, worker->part, err) : 0;
}

/* Whether a piece, with index in the part, is that of the parent. */
static bool is_known(const struct capture *capture, const struct prior_part *part, size_t index,
                     const struct piece *piece)
{
    if (index >= part->count || part->states[index] != PRIOR_STORED)
        return false;
    if (evidence_of(capture) == EVIDENCE_HASH)
        return piece_hash(&capture->options->hash, piece->data) == part->hashes[index];
    return piece->whole && !pg_page_is_new(piece->data) &&
           pg_page_lsn(piece->data) < capture->options->prior_start_lsn;
}

static bool is_bad(const struct capture_part *part, uint64_t block)
{
    uint32_t count = part->bad_block_count < ENTRY_BAD_BLOCKS_MAX ? part->bad_block_count : 0;
    for (uint32_t i = 0; i < count; i++)
        if (part->bad_blocks[i] == block)
            return true;
    return part->bad_block_count > count;
}

/* Finds the pieces of what was read that the parent has already. */
static void find_known(const struct position *at, uint8_t *space, size_t size,
                       const struct prior_part *prior, struct place known[FRAME_PIECES])
{
    struct capture_part *part = &at->capture->parts[at->part];
    uint64_t block = at->offset / PIECE_BYTES;
    size_t first = (size_t)(block - (uint64_t)at->part * (PART_BYTES / PIECE_BYTES));
    size_t pieces = (size + PIECE_BYTES - 1) / PIECE_BYTES;
    memset(space + size, 0, pieces * PIECE_BYTES - size);
    for (size_t i = 0; i < pieces; i++) {
        struct piece piece = {
            .data = space + i * PIECE_BYTES,
            .whole = (i + 1) * PIECE_BYTES <= size &&
                     (block + i + 1) * PIECE_BYTES <= at->capture->prior.size,
        };
        known[i] = (struct place){0};
        if (is_bad(part, block + i))
            part->changed = true;
        else if (is_known(at->capture, prior, first + i, &piece))
            known[i] = prior->places[first + i];
        else if (first + i >= prior->count || prior->states[first + i] != PRIOR_ZERO ||
                 !pg_page_is_zero(piece.data))
            part->changed = true;
    }
}

static int add_pieces(struct position *at, uint8_t *space, size_t size,
                      struct capture_worker *worker, struct error *err)
{
    struct capture_part *part = &at->capture->parts[at->part];
    struct place known[FRAME_PIECES];
    if (!at->capture->prior.exists)
        return packer_add(worker->packer, size, &part->map, err);
    find_known(at, space, size, worker->part, known);
    return packer_add_known(worker->packer, size, known, &part->map, err);
}

static size_t piece_in_part(const struct position *at)
{
    return (size_t)((at->offset - (uint64_t)at->part * PART_BYTES) / PIECE_BYTES);
}

/* Takes over what is known not to have changed, without reading it, up to end; gives its bytes. */
static uint64_t skip_unchanged(struct position *at, uint64_t end, const struct prior_part *prior)
{
    struct map *map = &at->capture->parts[at->part].map;
    uint64_t start = at->offset;
    for (size_t i = piece_in_part(at);
         i < prior->count && prior->states[i] != PRIOR_NONE && at->offset + PIECE_BYTES <= end;
         i++, at->offset += PIECE_BYTES)
        if (prior->states[i] == PRIOR_ZERO)
            map_add_zero(map, PIECE_BYTES);
        else
            map_add(map, PIECE_BYTES, &prior->places[i]);
    return at->offset - start;
}

/* Where that what has to be read ends, at end at the latest. */
static uint64_t end_of_changes(const struct position *at, uint64_t end,
                               const struct prior_part *prior)
{
    size_t first = piece_in_part(at), i = first;
    while (i < prior->count && prior->states[i] == PRIOR_NONE)
        i++;
    uint64_t changed = at->offset + (uint64_t)(i - first) * PIECE_BYTES;
    return i < prior->count && changed > at->offset && changed < end ? changed : end;
}

/* Nothing beyond what this worker reads itself, or the next one would take it for what was there
 * before; nothing early where reading is limited. And nothing in vain: the kernel looks at each
 * page that it is asked for, which takes longer than to find that a page did not change. */
static void read_ahead(struct position *at, uint64_t end)
{
    const struct throttle *limit = at->capture->options->limit;
    uint64_t left = end - at->offset;
    uint64_t until = at->offset + (left < READ_AHEAD_BYTES ? left : READ_AHEAD_BYTES);
    if (at->cache->complete || (limit && limit->bytes_per_second > 0))
        return;
    if (at->ahead < at->offset)
        at->ahead = at->offset;
    for (uint64_t size; at->ahead < until; at->ahead += size) {
        size = until - at->ahead < WINDOW_BYTES ? until - at->ahead : WINDOW_BYTES;
        if (size < WINDOW_BYTES && until < end)
            return;
        posix_fadvise(at->capture->file.fd, (off_t)at->ahead, (off_t)size, POSIX_FADV_WILLNEED);
    }
}

/* Reads up to left bytes straight into the packer's frame; 0 at the end of the file. */
static ssize_t read_some(struct position *at, uint64_t left, struct capture_worker *worker,
                         struct error *err)
{
    size_t size;
    uint8_t *space = packer_space(worker->packer, &size);
    if (size < left)
        read_ahead(at, at->offset + left);
    else
        size = (size_t)left;
    ssize_t got = read_paced(at, space, size, err);
    if (got <= 0)
        return got;
    if (check_pages(at, space, (size_t)got, &at->capture->parts[at->part], err) < 0 ||
        add_pieces(at, space, (size_t)got, worker, err) < 0)
        return -1;
    return got;
}

/* The parts as one map. Where the file was truncated under one part while a later one had been read
 * before or was written anew, the hole is zero: WAL replay does to the copy what was done to the
 * file. */
static void join_parts(const struct capture *capture, struct map *whole)
{
    for (size_t i = 0; i < capture->part_count; i++) {
        const struct map *map = &capture->parts[i].map;
        if (map->size == 0)
            continue;
        map_resize(whole, (uint64_t)i * PART_BYTES);
        map_append(whole, map);
    }
}

static int put_map_frames(const struct capture *capture, const struct map *map,
                          struct packer *packer, struct entry *entry, struct error *err)
{
    for (size_t first = 0; first < map->count;) {
        CLEANUP(map_done) struct map part = {0};
        CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
        first = map_part(map, first, &part);
        map_frame_format(capture->options->table, &part, &plain);
        struct entry_map_ref ref = {.covers = part.size};
        if (packer_add_frame(packer, FRAME_MAP, &plain, &ref.place, err) < 0)
            return -1;
        entry->map_refs =
            own_resize(entry->map_refs, entry->map_ref_count + 1, sizeof(entry->map_refs[0]));
        entry->map_refs[entry->map_ref_count++] = ref;
    }
    return 0;
}

/* Whether the map is that of the parent from the first byte to the last. */
static bool is_unchanged(const struct capture *capture, const struct map *map)
{
    for (size_t i = 0; i < capture->part_count; i++)
        if (capture->parts[i].changed)
            return false;
    return capture->prior.exists && map->size == capture->prior.size;
}

/* The parent's map frames serve a file that did not change. */
static bool take_map_refs(const struct capture *capture, const struct map *map, struct entry *entry)
{
    struct entry prior;
    if (!is_unchanged(capture, map))
        return false;
    captured_entry(&capture->prior, &prior);
    map_done(&prior.map);
    if (prior.map_ref_count == 0)
        return false;
    size_t bytes = prior.map_ref_count * sizeof(prior.map_refs[0]);
    entry->map_refs = own_alloc(bytes);
    memcpy(entry->map_refs, prior.map_refs, bytes);
    entry->map_ref_count = prior.map_ref_count;
    for (size_t i = 0; i < prior.map_ref_count; i++)
        prior_use(capture->options->prior, &prior.map_refs[i].place);
    return true;
}

/* A long map goes into map frames; a short one becomes that of the entry. */
static int settle_map(const struct capture *capture, struct map *map, struct packer *packer,
                      struct entry *entry, struct error *err)
{
    CLEANUP(buf_done) struct buf coded = BUF(FRAME_PLAIN_MAX);
    if (take_map_refs(capture, map, entry))
        return 0;
    bool is_short = map->count <= ENTRY_MAP_INLINE_MAX; /* a run takes a byte at least */
    if (is_short)
        map_format(map, &coded);
    if (!is_short || coded.size > ENTRY_MAP_INLINE_MAX)
        return put_map_frames(capture, map, packer, entry, err);
    entry->map = *map;
    *map = (struct map){0};
    return 0;
}

static void join_bad_blocks(const struct capture *capture, struct entry *entry)
{
    for (size_t i = 0; i < capture->part_count; i++) {
        const struct capture_part *part = &capture->parts[i];
        for (uint32_t j = 0; j < part->bad_block_count && j < ENTRY_BAD_BLOCKS_MAX; j++) {
            uint32_t at = entry->bad_block_count + j;
            if (at >= ENTRY_BAD_BLOCKS_MAX)
                break;
            entry->bad_blocks = own_resize(entry->bad_blocks, at + 1, sizeof(entry->bad_blocks[0]));
            entry->bad_blocks[at] = part->bad_blocks[j];
        }
        entry->bad_block_count += part->bad_block_count;
    }
    if (entry->bad_block_count > 0)
        log_warn("Found pages with a wrong checksum", S("path", capture->source->path),
                 U("pages", entry->bad_block_count), U("first_block", entry->bad_blocks[0]));
}

int capture_finish(struct capture *capture, struct packer *packer, struct captured *ret_captured,
                   uint64_t *reused_bytes, struct error *err)
{
    const struct capture_file *file = &capture->file;
    if (file->fd < 0)
        return 0;
    CLEANUP(map_done) struct map whole = {0};
    join_parts(capture, &whole);
    CLEANUP(entry_done)
    struct entry entry = {
        .type = ENTRY_FILE,
        .size = whole.size,
        .inode = file->inode,
        .birth_ns = file->birth_ns,
        .mtime_s = file->mtime_s,
        .uid = file->uid,
        .gid = file->gid,
        .mode = file->mode,
    };
    if (capture->options->prior)
        *reused_bytes += prior_use_map(capture->options->prior, &whole);
    join_bad_blocks(capture, &entry);
    if (settle_map(capture, &whole, packer, &entry, err) < 0)
        return -1;
    captured_keep(&entry, ret_captured);
    return 0;
}

/* What was not there before is dropped after the part is read. What is read ahead is our choice:
 * the kernel's would go on into the next part. */
static void look_at_cache(const struct position *at, uint64_t end)
{
    int fd = at->capture->file.fd;
    page_cache_look(at->cache, fd, at->offset, end - at->offset);
    if (!at->cache->complete)
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

/* Reads what has to be read from at to end. */
static int read_to(struct position *at, uint64_t end, struct capture_worker *worker,
                   struct error *err)
{
    const struct capture_options *options = at->capture->options;
    bool may_skip = evidence_of(at->capture) == EVIDENCE_CHANGES, looked = false;
    while (at->offset < end) {
        if (cancel_check(options->cancel, err) < 0)
            return -1;
        uint64_t skipped = may_skip ? skip_unchanged(at, end, worker->part) : 0;
        if (skipped > 0)
            options->progress(options->progress_arg, skipped, false);
        if (at->offset == end)
            break;
        if (!looked)
            look_at_cache(at, end);
        looked = true;
        uint64_t until = may_skip ? end_of_changes(at, end, worker->part) : end;
        ssize_t got = read_some(at, until - at->offset, worker, err);
        if (got < 0)
            return -1;
        at->offset += (uint64_t)got;
        if (got == 0 || at->offset % PIECE_BYTES != 0)
            return 0; /* it shrank */
    }
    return 0;
}

int capture_read(struct capture *capture, size_t part, struct capture_worker *worker,
                 struct error *err)
{
    if (capture->file.fd < 0)
        return 0;
    CLEANUP(page_cache_done) struct page_cache cache = {0};
    struct position at = {
        .capture = capture, .offset = (uint64_t)part * PART_BYTES, .part = part, .cache = &cache};
    /* what it grows after it was opened is the WAL's business */
    uint64_t end = capture->file.size;
    if (part + 1 < capture->part_count && end > at.offset + PART_BYTES)
        end = at.offset + PART_BYTES;
    if (load_prior(capture, part, worker, err) < 0)
        return -1;
    int result = read_to(&at, end, worker, err);
    page_cache_drop(&cache, capture->file.fd);
    return result;
}

int capture_open(const struct capture *capture, struct capture_file *ret_file, struct error *err)
{
    const char *path = capture->source->path;
    struct statx st;
    CLEANUP(own_closep) int fd = -1;
    *ret_file = (struct capture_file){.fd = -1};
    if (source_open_file(capture->options->source, path, &fd, err) < 0)
        return err->kind == ERROR_NOT_FOUND ? 0 : -1;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
        return error_errno(err, errno, "look at '%s'", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret_file = (struct capture_file){
        .fd = TAKE_FD(fd),
        .size = st.stx_size,
        .inode = st.stx_ino,
        .mtime_s = st.stx_mtime.tv_sec,
        .mode = st.stx_mode & 07777,
        .uid = st.stx_uid,
        .gid = st.stx_gid,
    };
    if (st.stx_mask & STATX_BTIME)
        ret_file->birth_ns = (uint64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
    return 0;
}

void capture_done(struct capture *capture)
{
    for (size_t i = 0; i < capture->part_count; i++) {
        map_done(&capture->parts[i].map);
        free(capture->parts[i].bad_blocks);
    }
    free(capture->parts);
    captured_done(&capture->prior);
    own_closep(&capture->file.fd);
}

size_t capture_part_count(uint64_t size)
{
    return size <= PART_BYTES ? 1 : (size_t)((size + PART_BYTES - 1) / PART_BYTES);
}

void capture_init(struct capture *capture, const struct capture_options *options,
                  const struct source_file *source, struct captured *prior)
{
    size_t parts = capture_part_count(source->size);
    *capture = (struct capture){
        .options = options,
        .source = source,
        .file = {.fd = -1},
        .prior = *prior,
        .part_count = parts,
        .parts = own_alloc(parts * sizeof(capture->parts[0])),
    };
    *prior = (struct captured){0};
}
