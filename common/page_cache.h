// SPDX-License-Identifier: Apache-2.0
/*
 * What of a file the kernel held in its page cache at a moment, so that whoever reads the file can
 * drop afterwards what came into the cache only by that, and leave there what others use.
 *
 * cachestat(2) (Linux 6.5) tells at once when all or nothing is there, which is all that most files
 * cost; else mincore(2) tells page by page. It says that all is there if we may not write to the
 * file and do not own it (Linux 5.2 and later): then, as whenever the kernel will not tell, nothing
 * is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: nothing is to be dropped. */
struct page_cache {
    uint64_t first, count; /* pages that were looked at */
    uint8_t *absent;       /* a bit for each that was not there; NULL: none is known to be */
    bool complete;         /* all of them were there */
};

/* Looks at [offset, offset + size) of a file that is open for reading; at whole pages. */
void page_cache_look(struct page_cache *ret_cache, int fd, uint64_t offset, uint64_t size);
/* Drops what was not there then. Pages that were changed since stay. */
void page_cache_drop(const struct page_cache *cache, int fd);
void page_cache_done(struct page_cache *cache);
