// SPDX-License-Identifier: Apache-2.0
/* A set of pieces of a pack, as ranges: small where they lie in rows. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct piece_range {
    uint32_t first, count;
};

struct piece_set {
    struct piece_range *ranges; /* ascending, neither touching nor overlapping */
    size_t count;
};

void piece_set_done(struct piece_set *set);
void piece_set_add(struct piece_set *set, uint32_t first, uint32_t count);
bool piece_set_has(const struct piece_set *set, uint32_t first, uint32_t count); /* all of them */
