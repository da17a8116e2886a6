// SPDX-License-Identifier: Apache-2.0
/* Strings that are freed all at once, each without what malloc(3) adds to it. */
#pragma once

#include <stddef.h>

struct arena { /* zeroed: empty */
    char **blocks;
    size_t block_count;
    size_t left; /* bytes of the last one */
};

void arena_done(struct arena *arena);
/* A copy, lent by the arena; it may be changed, but not be made longer. */
char *arena_strdup(struct arena *arena, const char *text);
