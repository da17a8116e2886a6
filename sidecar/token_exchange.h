// SPDX-License-Identifier: Apache-2.0
/*
 * What the exchange of a pod's own token for a credential takes, whoever gives that: the token, in
 * a file that somebody else writes anew from time to time, the form to send, and where to.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "sidecar/credential.h"

enum { TOKEN_EXCHANGE_FORM_MAX = 3 * CREDENTIAL_TEXT_MAX + 4096 }; /* bytes of a form */

/* The token without the line end that its file may have; with a NUL behind its end. NOT_FOUND,
 * PERMANENT: not readable, or no token. */
MUST_CHECK int token_exchange_read(struct buf *ret_token, const char *path, struct error *err);
/* Puts "name=value" behind what form holds, percent-encoded. PERMANENT: the form is full. */
MUST_CHECK int token_exchange_add(struct buf *form, const char *name, const char *value,
                                  struct error *err);
/* Whether a token may go there: https://, or plain HTTP that does not leave this machine. */
bool token_exchange_is_safe(const char *url);
