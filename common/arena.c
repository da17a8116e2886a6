// SPDX-License-Identifier: Apache-2.0
#include "common/arena.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"

enum { BLOCK_BYTES = 64 << 10 };

/* What is longer than a block has one of its own, of which nothing is left. */
static char *add_block(struct arena *arena, size_t size)
{
    arena->blocks = own_resize(arena->blocks, arena->block_count + 1, sizeof(arena->blocks[0]));
    char *block = own_alloc(size);
    arena->blocks[arena->block_count++] = block;
    return block;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *space;
    if (size > BLOCK_BYTES) {
        space = add_block(arena, size);
        arena->left = 0;
    } else if (size > arena->left) {
        space = add_block(arena, BLOCK_BYTES);
        arena->left = BLOCK_BYTES - size;
    } else {
        space = arena->blocks[arena->block_count - 1] + (BLOCK_BYTES - arena->left);
        arena->left -= size;
    }
    return memcpy(space, text, size);
}

void arena_done(struct arena *arena)
{
    for (size_t i = 0; i < arena->block_count; i++)
        free(arena->blocks[i]);
    free(arena->blocks);
    *arena = (struct arena){0};
}
