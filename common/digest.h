// SPDX-License-Identifier: Apache-2.0
/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104). The ciphers and key derivation live in
 * sidecar/keys. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32 };

struct digest; /* a running SHA-256 */

struct digest *digest_new(void);
void digest_freep(struct digest **digest);
void digest_update(struct digest *digest, const void *data, size_t size);
/* Appends a field with its length before it (8 bytes little-endian), so that fields cannot flow
 * into each other. */
void digest_update_field(struct digest *digest, const void *data, size_t size);
/* The digest of all so far; updating may go on. */
void digest_get(const struct digest *digest, uint8_t ret_hash[DIGEST_BYTES]);

void digest_sha256(const void *data, size_t size, uint8_t ret_hash[DIGEST_BYTES]);
void digest_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                        uint8_t ret_mac[DIGEST_BYTES]);
