// SPDX-License-Identifier: Apache-2.0
/*
 * X.509: a certificate authority and server certificates under it, as PEM. ECDSA P-256, SHA-256,
 * random serial numbers (RFC 5280). Only this module speaks to OpenSSL in the operator. Pure: time
 * comes from the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum { AUTHORITY_PEM_MAX = 16 * 1024, AUTHORITY_CERTIFICATES_MAX = 8 };

struct authority_validity {
    int64_t from_ms, until_ms; /* since the epoch; cut to seconds */
};

struct authority_certificate {
    char *pem; /* this one alone */
    struct authority_validity validity;
};

/* A certificate and its private key; wiped and freed by authority_pair_done, zeroed is empty. */
struct authority_pair {
    char *certificate, *key;
};
void authority_pair_done(struct authority_pair *pair);
void authority_wipe(char **pem); /* wipes and frees; NULL is fine */

/* A self-signed CA that may only sign server certificates for names of that DNS domain (critical
 * name constraints, path length 0). */
void authority_make(const char *domain, const struct authority_validity *validity,
                    struct authority_pair *ret_ca);
/* A server certificate for these DNS names (NULL-terminated) with a new key. CORRUPT: ca is not a
 * CA and its key. */
MUST_CHECK int authority_sign(const struct authority_pair *ca, const char *const *names,
                              const struct authority_validity *validity,
                              struct authority_pair *ret_pair, struct error *err);

/* The certificates of a PEM text in their order, each the caller's (own_freep on pem). CORRUPT: not
 * PEM, none, or more than AUTHORITY_CERTIFICATES_MAX. */
MUST_CHECK int authority_parse(const char *pem, struct authority_certificate *ret_certificates,
                               size_t *ret_count, struct error *err);
/* Among the private keys of a PEM text, the one of that certificate (the caller's, authority_wipe)
 * or NULL. */
char *authority_find_key(const char *keys, const char *certificate);
/* Whether a client that trusts bundle (or ca alone) would accept the certificate for all these
 * names at that time. */
bool authority_accepts(const char *bundle, const char *certificate, const char *const *names,
                       int64_t now_ms);
