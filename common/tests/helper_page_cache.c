// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_page_cache.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/magic.h>

#include "common/own.h"
#include "common/tests/helper_directory.h"

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        fail_msg("cannot open '%s'", path);
    return fd;
}

static bool is_on_disk(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC;
}

char *helper_page_cache_directory(void)
{
    const char *temporary = getenv("TMPDIR");
    CLEANUP(own_freep) char *before = own_strdup(temporary);
    const char *const places[] = {temporary ? temporary : "/tmp", "/var/tmp", "."};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (!is_on_disk(places[i]) || access(places[i], W_OK) < 0)
            continue;
        setenv("TMPDIR", places[i], 1);
        char *directory = helper_directory_new();
        if (before)
            setenv("TMPDIR", before, 1);
        else
            unsetenv("TMPDIR");
        return directory;
    }
    return NULL;
}

void helper_page_cache_sync(const char *path)
{
    CLEANUP(own_closep) int fd = open_file(path, O_RDWR);
    assert_int_equal(fsync(fd), 0);
}

void helper_page_cache_drop(const char *path)
{
    helper_page_cache_sync(path);
    CLEANUP(own_closep) int fd = open_file(path, O_RDWR);
    for (int i = 0; i < 100 && helper_page_cache_count(path) > 0; i++)
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(helper_page_cache_count(path), 0);
}

void helper_page_cache_make(const char *path, size_t pages)
{
    CLEANUP(own_closep) int fd = open_file(path, O_RDWR | O_CREAT);
    CLEANUP(own_freep) uint8_t *page = own_alloc(page_bytes());
    for (size_t i = 0; i < pages; i++) {
        assert_int_equal(getrandom(page, page_bytes(), 0), page_bytes());
        assert_int_equal(write(fd, page, page_bytes()), page_bytes());
    }
    helper_page_cache_drop(path);
}

void helper_page_cache_touch(const char *path, size_t page)
{
    CLEANUP(own_closep) int fd = open_file(path, O_RDONLY);
    char byte;
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)(page * page_bytes())), 1);
}

char *helper_page_cache_read(const char *path)
{
    CLEANUP(own_closep) int fd = open_file(path, O_RDONLY);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size_t pages = ((size_t)st.st_size + page_bytes() - 1) / page_bytes();
    char *text = own_alloc(pages + 1);
    if (pages == 0)
        return text;
    CLEANUP(own_freep) unsigned char *present = own_alloc(pages);
    void *memory = mmap(NULL, pages * page_bytes(), PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mincore(memory, pages * page_bytes(), present), 0);
    munmap(memory, pages * page_bytes());
    for (size_t i = 0; i < pages; i++)
        text[i] = present[i] & 1 ? 'x' : '.';
    return text;
}

size_t helper_page_cache_count(const char *path)
{
    CLEANUP(own_freep) char *text = helper_page_cache_read(path);
    size_t count = 0;
    for (const char *c = text; *c; c++)
        count += *c == 'x';
    return count;
}
