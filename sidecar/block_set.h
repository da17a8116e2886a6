// SPDX-License-Identifier: Apache-2.0
/*
 * A set of block numbers that takes two bytes for each while there are few in a neighbourhood of
 * 65536 blocks, and a bit for each block of it where there are many: 16 MiB for a terabyte at most.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_set {
    struct block_chunk *chunks; /* sorted */
    size_t count;
};

void block_set_done(struct block_set *set);
void block_set_add(struct block_set *set, uint32_t block);
bool block_set_has(const struct block_set *set, uint32_t block);
