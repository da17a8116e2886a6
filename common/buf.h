// SPDX-License-Identifier: Apache-2.0
/*
 * A growing run of bytes that never grows beyond its limit: whoever fills it with foreign bytes
 * gets an error instead of an allocation. A secret buf is wiped before its memory is given back,
 * also when it grows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct buf {
    uint8_t *data; /* NULL while empty; never NUL-terminated by itself */
    size_t size, capacity;
    size_t limit; /* bytes */
    bool secret;
};

#define BUF(limit_bytes) ((struct buf){.limit = (limit_bytes)})
#define BUF_SECRET(limit_bytes) ((struct buf){.limit = (limit_bytes), .secret = true})

void buf_done(struct buf *buf);  /* for CLEANUP; buf may be used again */
void buf_clear(struct buf *buf); /* size becomes 0, memory stays */

/* PERMANENT "larger than <limit> bytes" when the limit would be passed; nothing is appended then.
 */
MUST_CHECK int buf_append(struct buf *buf, const void *data, size_t size, struct error *err);
MUST_CHECK int buf_format(struct buf *buf, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Makes room for size more bytes and gives their address; the caller adds to buf->size what it
 * wrote. */
MUST_CHECK int buf_reserve(struct buf *buf, size_t size, uint8_t **ret_space, struct error *err);
/* The content as a string of the caller's (own_freep); stops at nothing, adds a NUL. */
char *buf_string(const struct buf *buf);

/* Replaces the content by a whole file; NOT_FOUND, PERMANENT (also when larger than the limit). dir
 * may be AT_FDCWD.
 */
MUST_CHECK int buf_read_file(struct buf *buf, int dir, const char *path, struct error *err);
/* What to give to one pwrite(2) at most. Linux makes the page cache of a file in folios as large as
 * what is written; one of 2 MiB it takes from memory that a virtual machine may have given back to
 * its host, which takes ten times as long to get again as to write (docs/performance.md). */
enum { BUF_WRITE_BYTES_MAX = 1 << 20 };
/* pread(2) and pwrite(2) until all is done; read gives fewer bytes only at the end of the file. */
MUST_CHECK ssize_t buf_pread(int fd, void *data, size_t size, uint64_t offset, struct error *err);
MUST_CHECK int buf_pwrite(int fd, const void *data, size_t size, uint64_t offset,
                          struct error *err);

/* Overwrites memory in a way that the compiler keeps. */
void buf_wipe(void *data, size_t size);
