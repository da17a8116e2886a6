// SPDX-License-Identifier: Apache-2.0
#include "common/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/own.h"

enum { FIRST_CAPACITY = 64, READ_STEP = 64 * 1024 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Always one byte more than capacity is allocated: the NUL of vsnprintf(3) in buf_format. */
static void grow(struct buf *buf, size_t wanted)
{
    size_t capacity = buf->capacity < buf->limit / 2 ? buf->capacity * 2 : buf->limit;
    if (capacity < wanted)
        capacity = wanted;
    if (capacity < FIRST_CAPACITY)
        capacity = min_size(FIRST_CAPACITY, buf->limit);
    if (buf->secret) {
        uint8_t *data = own_alloc(capacity + 1);
        if (buf->size > 0)
            memcpy(data, buf->data, buf->size);
        buf_wipe(buf->data, buf->capacity);
        free(buf->data);
        buf->data = data;
    } else {
        buf->data = own_resize(buf->data, 1, capacity + 1);
    }
    buf->capacity = capacity;
}

/* Reads what follows of a file until its end. */
static int read_all(struct buf *buf, int fd, const char *path, struct error *err)
{
    for (;;) {
        uint8_t beyond, *space = &beyond;
        size_t room = min_size(READ_STEP, buf->limit - buf->size);
        if (room > 0 && buf_reserve(buf, room, &space, err) < 0)
            return -1;
        ssize_t got = read(fd, space, room > 0 ? room : sizeof(beyond));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "read '%s'", path);
        if (got == 0)
            return 0;
        if (room == 0)
            return error_set(err, ERROR_PERMANENT, "'%s' is larger than %zu bytes", path,
                             buf->limit);
        buf->size += (size_t)got;
    }
}

void buf_wipe(void *data, size_t size)
{
    if (size > 0)
        explicit_bzero(data, size);
}

int buf_pwrite(int fd, const void *data, size_t size, uint64_t offset, struct error *err)
{
    const uint8_t *from = data;
    size_t done = 0;
    while (done < size) {
        const size_t part = min_size(size - done, BUF_WRITE_BYTES_MAX);
        ssize_t put = pwrite(fd, from + done, part, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_errno(err, errno, "write at offset %ju", (uintmax_t)(offset + done));
        done += (size_t)put;
    }
    return 0;
}

ssize_t buf_pread(int fd, void *data, size_t size, uint64_t offset, struct error *err)
{
    uint8_t *to = data;
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, to + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "read at offset %ju", (uintmax_t)(offset + done));
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int buf_read_file(struct buf *buf, int dir, const char *path, struct error *err)
{
    CLEANUP(own_closep) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open '%s'", path);
    buf_clear(buf);
    return read_all(buf, fd, path, err);
}

char *buf_string(const struct buf *buf)
{
    char *text = own_alloc(buf->size + 1);
    if (buf->size > 0)
        memcpy(text, buf->data, buf->size);
    return text;
}

int buf_reserve(struct buf *buf, size_t size, uint8_t **ret_space, struct error *err)
{
    if (size > buf->limit - buf->size)
        return error_set(err, ERROR_PERMANENT, "larger than %zu bytes", buf->limit);
    if (!buf->data || size > buf->capacity - buf->size)
        grow(buf, buf->size + size);
    *ret_space = buf->data + buf->size;
    return 0;
}

int buf_format(struct buf *buf, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return error_errno(err, errno, "format text");
    uint8_t *space;
    if (buf_reserve(buf, (size_t)length, &space, err) < 0)
        return -1;
    va_start(args, format);
    vsnprintf((char *)space, (size_t)length + 1, format, args);
    va_end(args);
    buf->size += (size_t)length;
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t size, struct error *err)
{
    uint8_t *space;
    if (buf_reserve(buf, size, &space, err) < 0)
        return -1;
    if (size > 0)
        memcpy(space, data, size);
    buf->size += size;
    return 0;
}

void buf_clear(struct buf *buf)
{
    if (buf->secret)
        buf_wipe(buf->data, buf->size);
    buf->size = 0;
}

void buf_done(struct buf *buf)
{
    if (buf->secret)
        buf_wipe(buf->data, buf->capacity);
    free(buf->data);
    buf->data = NULL;
    buf->size = buf->capacity = 0;
}
