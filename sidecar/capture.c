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
#include "sidecar/backup_table.h"
#include "sidecar/frame.h"
#include "sidecar/packer.h"
#include "sidecar/page_check.h"
#include "sidecar/pg_page.h"
#include "sidecar/source.h"

enum {
    PART_BYTES = 32 << 20,      /* what one worker takes of a file at once */
    READ_AHEAD_BYTES = 4 << 20, /* so that the disk works while we compress */
};

struct captured_rarity {
    struct entry_map_ref *map_refs;
    size_t map_ref_count;
    uint32_t *bad_blocks; /* ascending; the first ENTRY_BAD_BLOCKS_MAX */
    uint32_t bad_block_count;
};

/* A place in the file that is being read. */
struct position {
    const struct capture *capture;
    uint64_t offset;
};

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

/* Reads up to left bytes straight into the packer's frame; 0 at the end of the file. */
static ssize_t read_some(struct position *at, uint64_t left, struct packer *packer,
                         struct capture_part *part, struct error *err)
{
    size_t size;
    uint8_t *space = packer_space(packer, &size);
    if (size < left)
        posix_fadvise(at->capture->file.fd, (off_t)(at->offset + size), READ_AHEAD_BYTES,
                      POSIX_FADV_WILLNEED);
    else
        size = (size_t)left;
    ssize_t got = read_at(at, space, size, err);
    if (got <= 0)
        return got;
    if (check_pages(at, space, (size_t)got, part, err) < 0 ||
        packer_add(packer, (size_t)got, &part->map, err) < 0)
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

static struct captured_rarity *rarity_of(struct captured *captured)
{
    if (!captured->rarity)
        captured->rarity = own_alloc(sizeof(*captured->rarity));
    return captured->rarity;
}

static int put_map_frames(const struct map *map, const char *backup_id, struct packer *packer,
                          struct captured_rarity *rarity, struct error *err)
{
    CLEANUP(backup_table_done) struct backup_table table = {0};
    backup_table_add(&table, backup_id);
    for (size_t first = 0; first < map->count;) {
        CLEANUP(map_done) struct map part = {0};
        CLEANUP(buf_done) struct buf plain = BUF(FRAME_PLAIN_MAX);
        first = map_part(map, first, &part);
        map_frame_format(&table, &part, &plain);
        struct entry_map_ref ref = {.covers = part.size};
        if (packer_add_frame(packer, FRAME_MAP, &plain, &ref.place, err) < 0)
            return -1;
        rarity->map_refs =
            own_resize(rarity->map_refs, rarity->map_ref_count + 1, sizeof(rarity->map_refs[0]));
        rarity->map_refs[rarity->map_ref_count++] = ref;
    }
    return 0;
}

static int keep_map(const struct capture *capture, const struct map *map, struct packer *packer,
                    struct captured *captured, struct error *err)
{
    CLEANUP(buf_done) struct buf coded = BUF(FRAME_PLAIN_MAX);
    bool is_short = map->count <= ENTRY_MAP_INLINE_MAX; /* a run takes a byte at least */
    if (is_short)
        map_format(map, &coded);
    if (!is_short || coded.size > ENTRY_MAP_INLINE_MAX)
        return put_map_frames(map, capture->options->backup_id, packer, rarity_of(captured), err);
    uint8_t *to = captured->map.here;
    if (coded.size > CAPTURE_MAP_BYTES)
        to = captured->map.there = own_alloc(coded.size);
    if (coded.size > 0)
        memcpy(to, coded.data, coded.size);
    captured->map_bytes = (uint32_t)coded.size;
    return 0;
}

static void append_bad_blocks(struct captured_rarity *rarity, const struct capture_part *part)
{
    for (uint32_t i = 0; i < part->bad_block_count && i < ENTRY_BAD_BLOCKS_MAX; i++) {
        uint32_t at = rarity->bad_block_count + i;
        if (at >= ENTRY_BAD_BLOCKS_MAX)
            break;
        rarity->bad_blocks = own_resize(rarity->bad_blocks, at + 1, sizeof(rarity->bad_blocks[0]));
        rarity->bad_blocks[at] = part->bad_blocks[i];
    }
    rarity->bad_block_count += part->bad_block_count;
}

static void keep_bad_blocks(const struct capture *capture, struct captured *captured)
{
    for (size_t i = 0; i < capture->part_count; i++)
        if (capture->parts[i].bad_block_count > 0)
            append_bad_blocks(rarity_of(captured), &capture->parts[i]);
    const uint32_t *blocks;
    uint32_t count = captured_bad_blocks(captured, &blocks);
    if (count > 0)
        log_warn("Found pages with a wrong checksum", S("path", capture->source->path),
                 U("pages", count), U("first_block", blocks[0]));
}

uint32_t captured_bad_blocks(const struct captured *captured, const uint32_t **ret_blocks)
{
    *ret_blocks = captured->rarity ? captured->rarity->bad_blocks : NULL;
    return captured->rarity ? captured->rarity->bad_block_count : 0;
}

void captured_entry(const struct captured *captured, struct entry *ret_entry)
{
    const struct captured_rarity *rarity = captured->rarity;
    *ret_entry = (struct entry){
        .type = ENTRY_FILE,
        .mode = captured->mode,
        .uid = captured->uid,
        .gid = captured->gid,
        .mtime_s = captured->mtime_s,
        .size = captured->size,
        .inode = captured->inode,
        .birth_ns = captured->birth_ns,
        .bad_blocks = rarity ? rarity->bad_blocks : NULL,
        .bad_block_count = rarity ? rarity->bad_block_count : 0,
        .map_refs = rarity ? rarity->map_refs : NULL,
        .map_ref_count = rarity ? rarity->map_ref_count : 0,
    };
    if (captured->map_bytes == 0)
        return;
    bool is_here = captured->map_bytes <= CAPTURE_MAP_BYTES;
    struct reader reader =
        READER(is_here ? captured->map.here : captured->map.there, captured->map_bytes);
    map_parse(&reader, captured->size, 1, &ret_entry->map);
    assert(!reader.bad && reader_left(&reader) == 0);
}

void captured_done(struct captured *captured)
{
    if (captured->map_bytes > CAPTURE_MAP_BYTES)
        free(captured->map.there);
    if (captured->rarity) {
        free(captured->rarity->map_refs);
        free(captured->rarity->bad_blocks);
        free(captured->rarity);
    }
    *captured = (struct captured){0};
}

int capture_finish(struct capture *capture, struct packer *packer, struct captured *ret_captured,
                   struct error *err)
{
    const struct capture_file *file = &capture->file;
    if (file->fd < 0)
        return 0;
    CLEANUP(map_done) struct map whole = {0};
    join_parts(capture, &whole);
    *ret_captured = (struct captured){
        .size = whole.size,
        .inode = file->inode,
        .birth_ns = file->birth_ns,
        .mtime_s = file->mtime_s,
        .uid = file->uid,
        .gid = file->gid,
        .mode = (uint16_t)file->mode,
        .exists = true,
    };
    keep_bad_blocks(capture, ret_captured);
    return keep_map(capture, &whole, packer, ret_captured, err);
}

int capture_read(struct capture *capture, size_t part, struct packer *packer, struct error *err)
{
    if (capture->file.fd < 0)
        return 0;
    const struct capture_options *options = capture->options;
    struct position at = {.capture = capture, .offset = (uint64_t)part * PART_BYTES};
    /* what it grows after it was opened is the WAL's business */
    uint64_t end = capture->file.size;
    if (part + 1 < capture->part_count && end > at.offset + PART_BYTES)
        end = at.offset + PART_BYTES;
    while (at.offset < end) {
        if (cancel_check(options->cancel, err) < 0)
            return -1;
        ssize_t got = read_some(&at, end - at.offset, packer, &capture->parts[part], err);
        if (got < 0)
            return -1;
        options->progress(options->progress_arg, (uint64_t)got);
        at.offset += (uint64_t)got;
        if (got == 0 || at.offset % PIECE_BYTES != 0)
            return 0; /* it shrank */
    }
    return 0;
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
    own_closep(&capture->file.fd);
}

size_t capture_part_count(uint64_t size)
{
    return size <= PART_BYTES ? 1 : (size_t)((size + PART_BYTES - 1) / PART_BYTES);
}

void capture_init(struct capture *capture, const struct capture_options *options,
                  const struct source_file *source)
{
    size_t parts = capture_part_count(source->size);
    *capture = (struct capture){
        .options = options,
        .source = source,
        .file = {.fd = -1},
        .part_count = parts,
        .parts = own_alloc(parts * sizeof(capture->parts[0])),
    };
}
