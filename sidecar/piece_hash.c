// SPDX-License-Identifier: Apache-2.0
#include "sidecar/piece_hash.h"

#include <xxhash.h>

#include "sidecar/frame.h"
#include "sidecar/keys.h"

void piece_hash_init(struct piece_hash *hash, const struct key *id_key)
{
    key_derive(id_key, "lifeboat/1 piece hash", hash->secret, sizeof(hash->secret));
}

uint64_t piece_hash(const struct piece_hash *hash, const void *piece)
{
    return XXH3_64bits_withSecret(piece, PIECE_BYTES, hash->secret, sizeof(hash->secret));
}
