// SPDX-License-Identifier: Apache-2.0
/*
 * A directory tree for tests that looks like a data directory of PostgreSQL 17. Paths are relative
 * to it; missing parents are made. What goes wrong aborts the test program.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { HELPER_TREE_LSN = 0x1000 }; /* of pages made here */
#define HELPER_TREE_VERSION "PG_17_202406281"

struct helper_tree {
    char directory[128]; /* holds "data" and what lies outside it */
    char data[144];
    int fd; /* of data */
};

/* With PG_VERSION and a pg_control whose CRC is right, nothing else; WAL in segments of 16 MiB. */
void helper_tree_make(struct helper_tree *tree);
/* The same elsewhere than below TMPDIR or /tmp. */
void helper_tree_make_below(struct helper_tree *tree, const char *base);
/* Another pg_control in its place. */
void helper_tree_control(const struct helper_tree *tree, uint32_t wal_segment_bytes);
void helper_tree_remove(struct helper_tree *tree);

void helper_tree_directory(const struct helper_tree *tree, const char *path);
void helper_tree_file(const struct helper_tree *tree, const char *path, const void *data,
                      size_t size);
void helper_tree_text(const struct helper_tree *tree, const char *path, const char *text);
/* A file, or NULL data: a hole, from offset to offset + size of one that may be there already. */
void helper_tree_write(const struct helper_tree *tree, const char *path, uint64_t offset,
                       const void *data, size_t size);
void helper_tree_link(const struct helper_tree *tree, const char *path, const char *target);
/* Pages from..to (exclusive) of a relation, each other than the next, with their checksums; block 0
 * of the file is first_block of the relation. */
void helper_tree_pages(const struct helper_tree *tree, const char *path, uint32_t first_block,
                       uint32_t from, uint32_t to);
void helper_tree_page(uint8_t page[8192], uint32_t block);
