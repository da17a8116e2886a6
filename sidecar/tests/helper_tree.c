// SPDX-License-Identifier: Apache-2.0
#include "sidecar/tests/helper_tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/own.h"
#include "sidecar/crc32c.h"
#include "sidecar/pg_control.h"
#include "sidecar/pg_page.h"

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    perror(what);
    abort();
}

static void make_parents(const struct helper_tree *tree, const char *path)
{
    CLEANUP(own_freep) char *copy = own_strdup(path);
    for (char *slash = copy; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        struct stat st;
        if (fstatat(tree->fd, copy, &st, 0) < 0)
            check(mkdirat(tree->fd, copy, 0700), copy);
    }
}

void helper_tree_directory(const struct helper_tree *tree, const char *path)
{
    make_parents(tree, path);
    check(mkdirat(tree->fd, path, 0700), path);
}

void helper_tree_write(const struct helper_tree *tree, const char *path, uint64_t offset,
                       const void *data, size_t size)
{
    struct error err;
    make_parents(tree, path);
    int fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    check(fd, path);
    struct stat st;
    check(fstat(fd, &st), path);
    if ((uint64_t)st.st_size < offset + size)
        check(ftruncate(fd, (off_t)(offset + size)), path);
    if (data)
        check(buf_pwrite(fd, data, size, offset, &err), path);
    close(fd);
}

void helper_tree_file(const struct helper_tree *tree, const char *path, const void *data,
                      size_t size)
{
    helper_tree_write(tree, path, 0, data, size);
}

void helper_tree_text(const struct helper_tree *tree, const char *path, const char *text)
{
    helper_tree_file(tree, path, text, strlen(text));
}

void helper_tree_link(const struct helper_tree *tree, const char *path, const char *target)
{
    make_parents(tree, path);
    check(symlinkat(target, tree->fd, path), path);
}

void helper_tree_page(uint8_t page[8192], uint32_t block)
{
    uint64_t state = block + 1;
    for (size_t i = 0; i < PG_PAGE_BYTES; i += 8) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes_store64(page + i, i % 64 < 48 ? block : state); /* compresses, as data does */
    }
    memset(page, 0, 24);
    bytes_store32(page + 4, HELPER_TREE_LSN);
    bytes_store16(page + 14, 4096); /* pd_upper: not new */
    bytes_store16(page + 8, pg_page_checksum(page, block));
}

void helper_tree_pages(const struct helper_tree *tree, const char *path, uint32_t first_block,
                       uint32_t from, uint32_t to)
{
    size_t size = (size_t)(to - from) * PG_PAGE_BYTES;
    CLEANUP(own_freep) uint8_t *pages = own_alloc(size);
    for (uint32_t i = from; i < to; i++)
        helper_tree_page(pages + (size_t)(i - from) * PG_PAGE_BYTES, first_block + i);
    helper_tree_write(tree, path, (uint64_t)from * PG_PAGE_BYTES, pages, size);
}

void helper_tree_control(const struct helper_tree *tree, uint32_t wal_segment_bytes)
{
    enum { CRC = 288 }; /* in version 1700 */
    uint8_t control[PG_CONTROL_BYTES] = {0};
    const double format = 1234567.0;
    bytes_store64(control, 12345);
    bytes_store32(control + 8, 1700);
    bytes_store32(control + 12, 202406281);
    bytes_store32(control + 16, PG_CONTROL_IN_PRODUCTION);
    bytes_store32(control + 204, 8);
    memcpy(control + 208, &format, sizeof(format));
    bytes_store32(control + 216, 8192);
    bytes_store32(control + 220, 131072);
    bytes_store32(control + 228, wal_segment_bytes);
    bytes_store32(control + CRC, crc32c_extend(0, control, CRC));
    helper_tree_file(tree, "global/pg_control", control, sizeof(control));
}

void helper_tree_make_below(struct helper_tree *tree, const char *base)
{
    const int length =
        snprintf(tree->directory, sizeof(tree->directory), "%s/lifeboat-tree-XXXXXX", base);
    if (length >= (int)sizeof(tree->directory) || !mkdtemp(tree->directory))
        check(-1, tree->directory);
    snprintf(tree->data, sizeof(tree->data), "%s/data", tree->directory);
    check(mkdir(tree->data, 0700), tree->data);
    tree->fd = open(tree->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(tree->fd, tree->data);
    helper_tree_text(tree, "PG_VERSION", "17\n");
    helper_tree_control(tree, 16 << 20);
}

void helper_tree_make(struct helper_tree *tree)
{
    const char *base = getenv("TMPDIR");
    helper_tree_make_below(tree, base && strlen(base) < 32 ? base : "/tmp");
}

static int remove_path(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void helper_tree_remove(struct helper_tree *tree)
{
    own_closep(&tree->fd);
    nftw(tree->directory, remove_path, 16, FTW_DEPTH | FTW_PHYS);
}
