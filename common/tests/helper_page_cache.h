// SPDX-License-Identifier: Apache-2.0
/* What the kernel has of a file in its page cache, for tests, told by mincore(2). What goes wrong
 * fails the test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether a path lies in a file system that lets go of pages, unlike those in memory. */
bool helper_page_cache_is_on_disk(const char *path);
/* A directory for tests in such a file system, below TMPDIR, /var/tmp or the working directory; for
 * helper_directory_remove. NULL: there is none. */
char *helper_page_cache_directory(void);
/* Makes a file of random bytes, on disk, none of it in the cache. */
void helper_page_cache_make(const char *path, size_t pages);
/* Brings a page into the cache, and no other; or drops it. */
void helper_page_cache_touch(const char *path, size_t page);
void helper_page_cache_drop(const char *path);
/* A character a page, 'x': in the cache, '.': not; own_freep. */
char *helper_page_cache_read(const char *path);
/* How many are. */
size_t helper_page_cache_count(const char *path);
