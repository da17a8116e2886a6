// SPDX-License-Identifier: Apache-2.0
/*
 * One file of a running cluster on its way into packs. It is read in parts, which may go to
 * different workers; when all are read they are one map. A file may grow, shrink or vanish
 * meanwhile: replay of the WAL since the backup's start makes the copy whole. Page checksums are
 * verified on the way. What the parent of the backup holds already is not stored again.
 *
 * How a page is known to be the parent's: in a file that is the same as then, by a change set
 * (changes.h), without reading it, or by its LSN, which must be below the parent's start; by its
 * hash in all others, and in other forks. The time of a file's modification is never evidence.
 *
 * The kernel's page cache is left as it was: what reading brings into it goes again, part by part.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/captured.h"
#include "sidecar/map.h"
#include "sidecar/piece_hash.h"

struct backup_table;
struct cancel;
struct changes;
struct packer;
struct prior;
struct prior_part;
struct prior_reader;
struct source;
struct source_file;
struct throttle;

struct capture_options {
    const struct source *source;
    const struct backup_table *table; /* of places; the backup itself is its first */
    struct prior *prior;              /* the parent; NULL: none */
    const struct changes *changes;    /* since its start; NULL: they are not known */
    bool page_lsn; /* whether the LSN of a page can tell that it is the parent's */
    uint64_t prior_start_lsn;
    struct piece_hash hash;
    bool checksums; /* of pages */
    uint32_t segment_blocks;
    uint64_t start_lsn;
    struct throttle *limit; /* of what is read; NULL: none */
    const struct cancel *cancel;
    /* After each read, and after what need not be read. */
    void (*progress)(void *arg, uint64_t bytes, bool was_read);
    void *progress_arg;
};

/* What a thread works with. */
struct capture_worker {
    struct packer *packer;
    struct prior_reader *reader; /* NULL without a parent */
    struct prior_part *part;     /* scratch; NULL without a parent */
};

struct capture_part {
    struct map map;
    uint32_t *bad_blocks; /* ascending; the first ENTRY_BAD_BLOCKS_MAX */
    uint32_t bad_block_count;
    bool changed; /* a piece of it is not as in the parent */
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
    struct captured prior; /* the file in the parent */
    size_t part_count;
    struct capture_part *parts;
};

size_t capture_part_count(uint64_t size);

/* Lends options and source, whose size decides the number of parts. Takes prior's content, which
 * may be empty. */
void capture_init(struct capture *capture, const struct capture_options *options,
                  const struct source_file *source, struct captured *prior);
void capture_done(struct capture *capture);
/* Also gives a file that vanished. PERMANENT: not readable (names the remedy). */
MUST_CHECK int capture_open(const struct capture *capture, struct capture_file *ret_file,
                            struct error *err);
/* Reads a part with what the calling thread works with; each part once, in any order, when file is
 * set. PERMANENT: an I/O error, names the file. */
MUST_CHECK int capture_read(struct capture *capture, size_t part, struct capture_worker *worker,
                            struct error *err);
/* After all parts: joins them. Writes a long map into map frames of packer at once, so that memory
 * does not grow with the database, unless the parent has the same map. Adds the bytes that were
 * taken over to *reused_bytes. Pages with a wrong checksum are logged. */
MUST_CHECK int capture_finish(struct capture *capture, struct packer *packer,
                              struct captured *ret_captured, uint64_t *reused_bytes,
                              struct error *err);
