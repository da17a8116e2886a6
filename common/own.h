// SPDX-License-Identifier: Apache-2.0
/*
 * Ownership: every owning local has CLEANUP(destructor), results are handed out with TAKE. Out of
 * memory aborts, so the allocators never return NULL; a size from outside is checked against a
 * limit before it gets here.
 */
#pragma once

#include <stddef.h>

#define CLEANUP(destructor) __attribute__((cleanup(destructor)))

/* The value of pointer variable p, which becomes NULL: ownership moves to the reader of the value.
 */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })
/* The same for a file descriptor, which becomes -1. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

void *own_alloc(size_t bytes);                        /* zeroed */
void *own_resize(void *p, size_t count, size_t size); /* like reallocarray(3) */
char *own_strdup(const char *s);                      /* NULL gives NULL */
char *own_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Destructors for CLEANUP. */
void own_freep(void *p);  /* p is the address of a pointer from the functions above */
void own_closep(int *fd); /* closes unless negative */
