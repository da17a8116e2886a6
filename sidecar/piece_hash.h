// SPDX-License-Identifier: Apache-2.0
/*
 * A keyed 64-bit hash (XXH3, with a secret derived from the repository's id key) of a piece of 8
 * KiB: to find out what changed, never as proof of authenticity. The only user of libxxhash.
 */
#pragma once

#include <stdint.h>

struct key;

enum { PIECE_HASH_SECRET_BYTES = 192 };

struct piece_hash {
    uint8_t secret[PIECE_HASH_SECRET_BYTES];
};

void piece_hash_init(struct piece_hash *hash, const struct key *id_key);
uint64_t piece_hash(const struct piece_hash *hash, const void *piece); /* PIECE_BYTES bytes */
