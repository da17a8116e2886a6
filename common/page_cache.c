// SPDX-License-Identifier: Apache-2.0
#include "common/page_cache.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/own.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* the same on all architectures */
#endif

enum { WINDOW_PAGES = 8192 }; /* asked for at once by mincore(2) */

/* linux/mman.h, which has them only since 6.5 */
struct range {
    uint64_t offset, length;
};

struct statistics {
    uint64_t cached, dirty, in_writeback, evicted, recently_evicted;
};

static uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* How many of the pages are there; -1: the kernel does not tell, or not of the file that it reads:
 * overlayfs reads another one, of which mincore(2) and posix_fadvise(2) know, but cachestat(2) does
 * not. */
static int64_t count_there(int fd, const struct page_cache *cache)
{
    struct range range = {cache->first * page_bytes(), cache->count * page_bytes()};
    struct statistics statistics;
    struct statfs fs;
    if (syscall(SYS_cachestat, fd, &range, &statistics, 0) < 0)
        return -1;
    if (statistics.cached == 0 && (fstatfs(fd, &fs) < 0 || fs.f_type == OVERLAYFS_SUPER_MAGIC))
        return -1;
    return (int64_t)statistics.cached;
}

/* Sets the bits of the absent ones of pages [from, from + count), counted from the first; gives
 * their number, -1: the kernel does not tell. */
static int64_t look_at_window(const struct page_cache *cache, int fd, uint64_t from, size_t count)
{
    unsigned char present[WINDOW_PAGES];
    size_t bytes = count * page_bytes();
    int64_t absent = 0;
    void *window = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd,
                        (off_t)((cache->first + from) * page_bytes()));
    if (window == MAP_FAILED)
        return -1;
    bool told = mincore(window, bytes, present) == 0;
    munmap(window, bytes);
    for (size_t i = 0; told && i < count; i++) {
        if (present[i] & 1)
            continue;
        cache->absent[(from + i) / 8] |= (uint8_t)(1u << (from + i) % 8);
        absent++;
    }
    return told ? absent : -1;
}

/* The number of absent ones of all; -1: the kernel does not tell. */
static int64_t look_at_all(const struct page_cache *cache, int fd)
{
    int64_t absent = 0;
    for (uint64_t from = 0; from < cache->count; from += WINDOW_PAGES) {
        uint64_t left = cache->count - from;
        int64_t found =
            look_at_window(cache, fd, from, left < WINDOW_PAGES ? (size_t)left : WINDOW_PAGES);
        if (found < 0)
            return -1;
        absent += found;
    }
    return absent;
}

static bool is_absent(const struct page_cache *cache, uint64_t index)
{
    return cache->absent[index / 8] >> index % 8 & 1;
}

/* Where the pages end that are like that at index. */
static uint64_t end_of_run(const struct page_cache *cache, uint64_t index)
{
    bool absent = is_absent(cache, index);
    while (index < cache->count && is_absent(cache, index) == absent)
        index++;
    return index;
}

void page_cache_done(struct page_cache *cache)
{
    own_freep(&cache->absent);
}

void page_cache_drop(const struct page_cache *cache, int fd)
{
    for (uint64_t index = 0, end; cache->absent && index < cache->count; index = end) {
        end = end_of_run(cache, index);
        if (is_absent(cache, index))
            posix_fadvise(fd, (off_t)((cache->first + index) * page_bytes()),
                          (off_t)((end - index) * page_bytes()), POSIX_FADV_DONTNEED);
    }
}

void page_cache_look(struct page_cache *ret_cache, int fd, uint64_t offset, uint64_t size)
{
    uint64_t first = offset / page_bytes();
    struct page_cache cache = {
        .first = first,
        .count = (offset + size + page_bytes() - 1) / page_bytes() - first,
    };
    *ret_cache = (struct page_cache){0};
    int64_t there = size == 0 ? 0 : count_there(fd, &cache);
    ret_cache->complete = size == 0 || there >= (int64_t)cache.count;
    if (ret_cache->complete)
        return;
    size_t bytes = (size_t)(cache.count + 7) / 8;
    cache.absent = own_alloc(bytes);
    if (there == 0)
        memset(cache.absent, UINT8_MAX, bytes);
    int64_t absent = there == 0 ? (int64_t)cache.count : look_at_all(&cache, fd);
    ret_cache->complete = absent == 0;
    if (absent > 0)
        *ret_cache = cache;
    else
        page_cache_done(&cache);
}
