// SPDX-License-Identifier: Apache-2.0
#include "common/digest.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/bytes.h"
#include "common/own.h"

struct digest {
    EVP_MD_CTX *context;
};

/* With fixed algorithms libcrypto fails only where memory does. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

static EVP_MD_CTX *context_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL);
    return context;
}

void digest_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                        uint8_t ret_mac[DIGEST_BYTES])
{
    assert(key_size <= INT_MAX);
    must(HMAC(EVP_sha256(), key_size > 0 ? key : "", (int)key_size, data, size, ret_mac, NULL) !=
         NULL);
}

void digest_sha256(const void *data, size_t size, uint8_t ret_hash[DIGEST_BYTES])
{
    must(EVP_Digest(data, size, ret_hash, NULL, EVP_sha256(), NULL));
}

void digest_get(const struct digest *digest, uint8_t ret_hash[DIGEST_BYTES])
{
    EVP_MD_CTX *copy = context_new();
    must(EVP_MD_CTX_copy_ex(copy, digest->context));
    must(EVP_DigestFinal_ex(copy, ret_hash, NULL));
    EVP_MD_CTX_free(copy);
}

void digest_update(struct digest *digest, const void *data, size_t size)
{
    must(EVP_DigestUpdate(digest->context, data, size));
}

void digest_update_field(struct digest *digest, const void *data, size_t size)
{
    uint8_t length[8];
    bytes_store64(length, size);
    digest_update(digest, length, sizeof(length));
    digest_update(digest, data, size);
}

void digest_freep(struct digest **digest)
{
    struct digest *d = TAKE(*digest);
    if (!d)
        return;
    EVP_MD_CTX_free(d->context);
    free(d);
}

struct digest *digest_new(void)
{
    struct digest *digest = own_alloc(sizeof(*digest));
    digest->context = context_new();
    must(EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL));
    return digest;
}
