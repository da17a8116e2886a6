// SPDX-License-Identifier: Apache-2.0
#include "common/own.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

void own_closep(int *fd)
{
    int saved = errno; /* a destructor must not hide the errno that an error is made of */
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

void own_freep(void *p)
{
    void *memory;
    memcpy(&memory, p, sizeof(memory)); /* the variable may be a pointer to any type */
    free(memory);
    memory = NULL;
    memcpy(p, &memory, sizeof(memory));
}

char *own_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        abort();
    return text;
}

char *own_strdup(const char *s)
{
    return s ? must(strdup(s)) : NULL;
}

void *own_resize(void *p, size_t count, size_t size)
{
    if (count == 0 || size == 0)
        count = size = 1; /* realloc(3) to nothing would free */
    return must(reallocarray(p, count, size));
}

void *own_alloc(size_t bytes)
{
    return must(calloc(1, bytes ? bytes : 1));
}
