// SPDX-License-Identifier: Apache-2.0
/* What lets requests to Azure Storage through, as people write it down and as those who lend tokens
 * answer. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct credential;

/* CORRUPT: not the base64 of a key. */
MUST_CHECK int azure_pass_of_key(struct credential *ret_pass, const void *text, size_t size,
                                 struct error *err);
/* As the portal gives it, with or without '?' in front. CORRUPT: it has no signature (sig=), or
 * characters that no URL has. */
MUST_CHECK int azure_pass_of_signature(struct credential *ret_pass, const void *text, size_t size,
                                       struct error *err);
/* The JSON of the token endpoint ("Microsoft identity platform and the OAuth 2.0 client credentials
 * flow") and of instance metadata ("How to use managed identities … to acquire an access token"),
 * which came at now_ms. CORRUPT. */
MUST_CHECK int azure_pass_parse_token(struct credential *ret_pass, const void *data, size_t size,
                                      int64_t now_ms, struct error *err);
/* The error in such JSON, "invalid_client: AADSTS700016: Application … not found", for a person;
 * "" if it has none. */
void azure_pass_parse_error(char ret_text[256], const void *data, size_t size);
