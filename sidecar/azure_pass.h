// SPDX-License-Identifier: Apache-2.0
/*
 * What lets requests to Azure Storage through: an account's key, a shared access signature, or a
 * token of Microsoft Entra ID, lent for some hours. Texts go into headers and URLs as they are, so
 * they hold nothing but visible ASCII characters. Pure; all of it is wiped when it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"

enum {
    AZURE_PASS_TEXT_MAX = 32 * 1024,  /* bytes; tokens with many groups have some thousand */
    AZURE_PASS_ANSWER_MAX = 64 * 1024 /* of an answer that brings a token */
};

enum azure_pass_kind {
    AZURE_PASS_NONE,
    AZURE_PASS_KEY,       /* the key's bytes */
    AZURE_PASS_SIGNATURE, /* parameters of a query, percent-encoded, without '?' */
    AZURE_PASS_TOKEN,     /* as in "Bearer <token>" */
};

struct azure_pass {
    enum azure_pass_kind kind;
    struct buf value;   /* with a NUL behind its end */
    int64_t expires_ms; /* 0: never, as far as we know */
};

void azure_pass_done(struct azure_pass *pass); /* for CLEANUP */
/* What pass held is wiped. */
void azure_pass_copy(struct azure_pass *pass, const struct azure_pass *from);
bool azure_pass_is_same(const struct azure_pass *a, const struct azure_pass *b);

/* CORRUPT: not the base64 of a key. */
MUST_CHECK int azure_pass_of_key(struct azure_pass *ret_pass, const void *text, size_t size,
                                 struct error *err);
/* As the portal gives it, with or without '?' in front. CORRUPT: it has no signature (sig=), or
 * characters that no URL has. */
MUST_CHECK int azure_pass_of_signature(struct azure_pass *ret_pass, const void *text, size_t size,
                                       struct error *err);
/* The JSON of the token endpoint ("Microsoft identity platform and the OAuth 2.0 client credentials
 * flow") and of instance metadata ("How to use managed identities … to acquire an access token"),
 * which came at now_ms. CORRUPT. */
MUST_CHECK int azure_pass_parse_token(struct azure_pass *ret_pass, const void *data, size_t size,
                                      int64_t now_ms, struct error *err);
/* The error in such JSON, "invalid_client: AADSTS700016: Application … not found", for a person;
 * "" if it has none. */
void azure_pass_parse_error(char ret_text[256], const void *data, size_t size);
