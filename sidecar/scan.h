// SPDX-License-Identifier: Apache-2.0
/*
 * The workers of a backup: read the files of a source in parallel, verify their page checksums,
 * feed them to packers and collect entries. Large files are cut into parts that several workers
 * take; largest work first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/entry.h"
#include "sidecar/packer.h"
#include "sidecar/source.h"

struct backup_table;
struct cancel;
struct captured_rows;
struct changes;
struct crew;
struct prior;
struct scan;
struct throttle;

struct scan_options {
    const struct source *source;
    bool checksums;
    uint32_t segment_blocks;
    uint64_t start_lsn;
    size_t workers;
    struct packer_options packer;
    struct prior *prior;           /* the parent; NULL: everything is read and stored */
    struct captured_rows *known;   /* of prior_join; taken by scan_start, also if it fails */
    const struct changes *changes; /* since the parent's start; NULL: not known */
    bool page_lsn;                 /* a page's LSN can tell that it is the parent's (capture.h) */
    struct throttle *limit;        /* of what is read, all workers together; NULL: none */
    const struct cancel *cancel;
    struct crew *crew;
    void (*progress)(void *arg, uint64_t bytes); /* called by workers after a read; may be NULL */
    void (*file_done)(void *arg);                /* after each file; may be NULL */
    void *progress_arg;
};

struct scan_page_error {
    const char *path; /* lent from the source */
    uint32_t block;
};

/* Starts the workers on the crew. */
MUST_CHECK int scan_start(struct scan **ret_scan, const struct scan_options *options,
                          struct error *err);
void scan_freep(struct scan **scan); /* after its crew was joined */
/* After the crew was joined or while it waits: blocks until every file is read and every packer
 * flushed. */
MUST_CHECK int scan_wait(struct scan *scan, struct error *err);

/* Reads one small file that does not come from the walk (pg_control, backup_label): content becomes
 * pieces and an entry, with a packer of the caller's. metadata gives path, mode, owner, times. */
MUST_CHECK int scan_add_content(struct packer *packer, const struct entry *metadata,
                                const void *content, size_t size, struct entry *ret_entry,
                                struct error *err);

/* Results, after scan_wait. Kept coded, as there may be hundreds of thousands: ret_entry is that of
 * source->files[index] and lent until the next call (no entry_done); false: the file vanished. Long
 * maps are in map frames already. */
bool scan_entry(struct scan *scan, size_t index, struct entry *ret_entry);
uint64_t scan_bytes_read(const struct scan *scan);
uint64_t scan_bytes_reused(const struct scan *scan); /* taken over from earlier backups */
/* The backups that places of entries refer to, the backup itself first. */
const struct backup_table *scan_table(const struct scan *scan);
uint64_t scan_page_errors(const struct scan *scan, const struct scan_page_error **ret_first,
                          size_t *ret_shown);
