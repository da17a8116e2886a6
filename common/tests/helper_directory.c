// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"

enum { FILE_BYTES_MAX = 1 << 20, DESCRIPTORS = 16, MEMORY_NEEDED_BYTES = 1 << 30 };

static int remove_item(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void make_parents(char *path)
{
    for (char *slash = path; (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
}

void helper_directory_in_memory(void)
{
    static const char memory[] = "/dev/shm";
    struct statvfs fs;
    if (statvfs(memory, &fs) == 0 && access(memory, W_OK) == 0 &&
        fs.f_bavail >= MEMORY_NEEDED_BYTES / fs.f_frsize)
        setenv("TMPDIR", memory, 0);
}

char *helper_directory_new(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = own_format("%s/lifeboat-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

void helper_directory_remove(char *directory)
{
    assert_int_equal(nftw(directory, remove_item, DESCRIPTORS, FTW_DEPTH | FTW_PHYS), 0);
    free(directory);
}

void helper_directory_write(const char *directory, const char *path, const char *text)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", directory, path);
    make_parents(full);
    CLEANUP(own_closep) int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct error err;
    assert_true(fd >= 0);
    assert_int_equal(buf_pwrite(fd, text, strlen(text), 0, &err), 0);
}

void helper_directory_expect(const char *directory, const char *path, const char *text)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", directory, path);
    CLEANUP(buf_done) struct buf content = BUF(FILE_BYTES_MAX);
    struct error err;
    if (buf_read_file(&content, AT_FDCWD, full, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(content.size, strlen(text));
    assert_memory_equal(content.data, text, content.size);
}

void helper_directory_expect_missing(const char *directory, const char *path)
{
    CLEANUP(own_freep) char *full = own_format("%s/%s", directory, path);
    struct stat st;
    if (lstat(full, &st) == 0)
        fail_msg("'%s' is there", full);
    assert_int_equal(errno, ENOENT);
}
