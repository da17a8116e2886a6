// SPDX-License-Identifier: Apache-2.0
/*
 * OpenSSL's contexts as both ends of the channel need them: TLS 1.2 at least, certificates from
 * memory. libwebsockets makes connections of them and checks names.
 */
#pragma once

#include "common/error.h"

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* A client that trusts these CA certificates (PEM, one or more; NULL: none) and nobody else.
 * PERMANENT. */
MUST_CHECK int tls_client_new(struct ssl_ctx_st **ret_context, const char *ca, struct error *err);
void tls_freep(struct ssl_ctx_st **context);

/* Prepares a server's context. */
void tls_server_init(struct ssl_ctx_st *context);
/* Whether a server could use this chain (PEM, its own certificate first) with this key (PEM):
 * PERMANENT if not. */
MUST_CHECK int tls_server_check(const char *chain, const char *key, struct error *err);
/* Has the server show this chain from the next connection on; those that stand are not touched. To
 * be called by the thread that accepts connections. PERMANENT; the former chain stays then. */
MUST_CHECK int tls_server_set(struct ssl_ctx_st *context, const char *chain, const char *key,
                              struct error *err);
