// SPDX-License-Identifier: Apache-2.0
/*
 * The Secret of a policy, as it is mounted in a pod or made by hand: a directory with one file a
 * key. Files are read anew each time, as Kubernetes replaces them under us. Errors name the field
 * that asks, the key, the directory and what to do, never a value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/error.h"

struct policy_region;
struct secrets;

enum { SECRETS_VALUE_MAX = 16384 }; /* bytes; enough for any password, token or key */

/* directory NULL: there is none; asking for anything is an error then that names --secrets. */
MUST_CHECK int secrets_open(struct secrets **ret_secrets, const char *directory, struct error *err);
void secrets_closep(struct secrets **secrets);

/* Whether text can be a key of a Secret: 1 to 253 of [A-Za-z0-9._-], not starting with "..". */
bool secrets_key_valid(const char *key);

/* The text of a key (cleared first) without the newline at its end. value is a BUF_SECRET and its
 * limit that of the text; field is what asks: "connection.passwordKey". NOT_FOUND: no such file;
 * PERMANENT: empty, too large, not readable. */
MUST_CHECK int secrets_get(const struct secrets *secrets, const char *field, const char *key,
                           struct buf *value, struct error *err);
/* The same for spec.encryption.keys[index], the text that key_parse_kek takes; its remedy is how to
 * make a key. */
MUST_CHECK int secrets_get_user_key(const struct secrets *secrets, size_t index, const char *key,
                                    struct buf *value, struct error *err);

/* The path of the region's caKey, which was readable a moment ago, for libraries that want a file.
 * The caller's (own_freep); NULL if the region has none. */
MUST_CHECK int secrets_ca_path(const struct secrets *secrets, const struct policy_region *region,
                               char **ret_path, struct error *err);

/* <credentials>.access-key-id, <credentials>.secret-access-key, and <credentials>.session-token,
 * which may be missing and is empty then. */
struct secrets_s3 {
    struct buf access_key_id, secret_access_key, session_token;
};
MUST_CHECK int secrets_get_s3(const struct secrets *secrets, const struct policy_region *region,
                              struct secrets_s3 *ret_keys, struct error *err);
void secrets_s3_done(struct secrets_s3 *keys); /* wipes; for CLEANUP */

/* <credentials>.account-key or <credentials>.sas-token, of which exactly one is there: the other is
 * empty. */
struct secrets_azure {
    struct buf account_key, sas_token;
};
MUST_CHECK int secrets_get_azure(const struct secrets *secrets, const struct policy_region *region,
                                 struct secrets_azure *ret_keys, struct error *err);
void secrets_azure_done(struct secrets_azure *keys); /* wipes; for CLEANUP */
