// SPDX-License-Identifier: Apache-2.0
/* What the kernel has of a file in its page cache, for tests, told by mincore(2). What goes wrong
 * fails the test. */
#pragma once

#include <stddef.h>

/* A directory for tests in a file system that lets go of pages, unlike those in memory: below
 * TMPDIR, /var/tmp or the working directory; for helper_directory_remove. NULL: there is none. */
char *helper_page_cache_directory(void);
/* Makes a file of random bytes, on disk, none of it in the cache. */
void helper_page_cache_make(const char *path, size_t pages);
/* Brings a page into the cache, and no other; or drops the file. */
void helper_page_cache_touch(const char *path, size_t page);
void helper_page_cache_drop(const char *path);
/* Writes to disk what is not there yet: until then nothing drops it. */
void helper_page_cache_sync(const char *path);
/* A character a page, 'x': in the cache, '.': not; own_freep. */
char *helper_page_cache_read(const char *path);
/* How many are. */
size_t helper_page_cache_count(const char *path);
