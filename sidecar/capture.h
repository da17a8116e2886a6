// SPDX-License-Identifier: Apache-2.0
/*
 * One file of a running cluster on its way into packs. It is read in parts, which may go to
 * different workers; when all are read they are one map. A file may grow, shrink or vanish
 * meanwhile: replay of the WAL since the backup's start makes the copy whole. Page checksums are
 * verified on the way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/entry.h"
#include "sidecar/map.h"

struct cancel;
struct packer;
struct source;
struct source_file;

struct capture_options {
    const struct source *source;
    const char *backup_id;
    bool checksums; /* of pages */
    uint32_t segment_blocks;
    uint64_t start_lsn;
    const struct cancel *cancel;
    void (*progress)(void *arg, uint64_t bytes); /* after each read */
    void *progress_arg;
};

struct capture_part {
    struct map map;
    uint32_t *bad_blocks; /* ascending; the first ENTRY_BAD_BLOCKS_MAX */
    uint32_t bad_block_count;
};

/* The opened file: its size and its metadata are those of that moment. */
struct capture_file {
    int fd; /* -1: vanished */
    uint64_t size, inode, birth_ns;
    int64_t mtime_s;
    uint32_t mode, uid, gid;
};

struct capture {
    const struct capture_options *options;
    const struct source_file *source;
    struct capture_file file;
    size_t part_count;
    struct capture_part *parts;
};

/* What is kept of a captured file. There may be hundreds of thousands, hence its form. */
enum { CAPTURE_MAP_BYTES = 16 }; /* holds the coded map of nearly all small files */
struct captured {
    uint64_t size, inode, birth_ns;
    int64_t mtime_s;
    uint32_t uid, gid;
    uint16_t mode;
    bool exists;        /* false: it vanished */
    uint32_t map_bytes; /* coded; 0 with map_refs, and of an empty file */
    union {
        uint8_t here[CAPTURE_MAP_BYTES];
        uint8_t *there; /* when longer */
    } map;
    struct captured_rarity *rarity; /* long maps, bad blocks; NULL for nearly all */
};

size_t capture_part_count(uint64_t size);

/* Lends options and source, whose size decides the number of parts. */
void capture_init(struct capture *capture, const struct capture_options *options,
                  const struct source_file *source);
void capture_done(struct capture *capture);
/* Also gives a file that vanished. PERMANENT: not readable (names the remedy). */
MUST_CHECK int capture_open(const struct capture *capture, struct capture_file *ret_file,
                            struct error *err);
/* Reads a part with the packer of the calling thread; each part once, in any order, when file is
 * set. PERMANENT: an I/O error, names the file. */
MUST_CHECK int capture_read(struct capture *capture, size_t part, struct packer *packer,
                            struct error *err);
/* After all parts: joins them. Writes a long map into map frames of packer at once, so that memory
 * does not grow with the database. Pages with a wrong checksum are logged. */
MUST_CHECK int capture_finish(struct capture *capture, struct packer *packer,
                              struct captured *ret_captured, struct error *err);

void captured_done(struct captured *captured);
/* Its entry (without a path), lent as long as captured is; the map becomes the caller's. */
void captured_entry(const struct captured *captured, struct entry *ret_entry);
uint32_t captured_bad_blocks(const struct captured *captured, const uint32_t **ret_blocks);
