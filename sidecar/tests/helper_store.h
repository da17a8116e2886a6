// SPDX-License-Identifier: Apache-2.0
/* Stores for tests: an empty one in a temporary directory, or below a fresh prefix of the bucket
 * that the environment names (e2e/s3.py). What they hold goes with them. */
#pragma once

#include <stdbool.h>

#include "common/cancel.h"
#include "sidecar/policy.h"
#include "sidecar/store.h"

struct secrets;

struct helper_store {
    struct store *store; /* does not wait between attempts; may be wrapped */
    struct cancel cancel;
    struct policy_region region;
    struct secrets *secrets;
    char *directory; /* holds "objects", or the files of the secrets */
    char objects[80], prefix[64];
};

/* Each asserts that it works. */
void helper_store_open_file(struct helper_store *helper);
/* The one that region describes; access_key and secret_key become its credentials, "session" the
 * token if there is one. */
void helper_store_open_s3(struct helper_store *helper, const struct policy_s3 *s3,
                          const char *access_key, const char *secret_key);
/* The one that azure describes; text becomes the key "eu.<suffix>" of its credentials (suffix NULL:
 * it has none). ca_key is a path. */
void helper_store_open_azure(struct helper_store *helper, const struct policy_azure *azure,
                             const char *suffix, const char *text);
/* The region of the environment; bucket NULL if there is none. */
struct policy_s3 helper_store_s3_of_environment(bool path_style);
/* Like helper_store_open_s3 with it. */
void helper_store_open_environment(struct helper_store *helper, bool path_style);
void helper_store_close(struct helper_store *helper);

/* Bytes to put, with their hash; lends data. */
struct store_bytes helper_store_bytes(const void *data, size_t size);
struct store_bytes helper_store_text(const char *text);

/* The names in bytewise order, each followed by a space: "a/b a/c/ ". own_freep */
char *helper_store_names(struct store *store, const char *prefix, enum store_depth depth);
void helper_store_assert_put(struct store *store, const char *name, const char *text);
void helper_store_assert_content(struct store *store, const char *name, const char *text);
