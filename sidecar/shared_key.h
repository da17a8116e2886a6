// SPDX-License-Identifier: Apache-2.0
/*
 * Shared Key authorization of Azure Storage, in the form of version 2015-02-21 and later, pure
 * ("Authorize with Shared Key", Azure Storage REST API reference).
 */
#pragma once

#include <stddef.h>

enum { SHARED_KEY_PARTS_MAX = 16 }; /* headers x-ms-*, and parameters of a query */

struct shared_key_signer {
    const char *account;
    const void *key; /* decoded */
    size_t key_size;
};

/* Of the request as it is sent; lent. */
struct shared_key_request {
    const char *method;
    const char *path;              /* percent-encoded, from the first '/' */
    const char *const *parameters; /* of the query, "name=value" decoded, names in lower case and
                                      each once; NULL-terminated, NULL: none */
    const char *const *headers;    /* "Name: value", NULL-terminated, each name once; x-ms-date and
                                      x-ms-version at least */
    size_t body_size;
};

/* What is signed, for tests and for comparing with what a server says it expected. The caller's
 * (own_freep). */
char *shared_key_string_to_sign(const char *account, const struct shared_key_request *request);
/* The value of the Authorization header. The caller's (own_freep). */
char *shared_key_authorization(const struct shared_key_signer *signer,
                               const struct shared_key_request *request);
