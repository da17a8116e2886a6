// SPDX-License-Identifier: Apache-2.0
#include "common/tls.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/own.h"

static void free_bio(BIO **bio)
{
    BIO_free(*bio);
}

static void free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void free_certificate(X509 **certificate)
{
    X509_free(*certificate);
}

static void free_chain(STACK_OF(X509) * *chain)
{
    sk_X509_pop_free(*chain, X509_free);
}

static int fail(struct error *err, const char *what)
{
    char reason[160];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    return error_set(err, ERROR_PERMANENT, "%s: %s", what, reason);
}

/* All certificates of a PEM text; at least one. */
static int parse_chain(const char *pem, STACK_OF(X509) * *ret_chain, struct error *err)
{
    CLEANUP(free_chain) STACK_OF(X509) *chain = sk_X509_new_null();
    CLEANUP(free_bio) BIO *bio = BIO_new_mem_buf(pem, -1);
    ERR_clear_error();
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        sk_X509_push(chain, certificate);
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end || sk_X509_num(chain) == 0)
        return fail(err, "read certificates");
    ERR_clear_error();
    *ret_chain = TAKE(chain);
    return 0;
}

static int parse_key(const char *pem, EVP_PKEY **ret_key, struct error *err)
{
    CLEANUP(free_bio) BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    if (!key)
        return fail(err, "read the certificate's key");
    *ret_key = key;
    return 0;
}

void tls_freep(struct ssl_ctx_st **context)
{
    SSL_CTX_free(*context);
    *context = NULL;
}

int tls_client_new(struct ssl_ctx_st **ret_context, const char *ca, struct error *err)
{
    CLEANUP(free_chain) STACK_OF(X509) *trusted = NULL;
    if (ca && parse_chain(ca, &trusted, err) < 0)
        return error_wrap(err, "CA of the operator");
    CLEANUP(tls_freep) SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return fail(err, "prepare TLS");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (int i = 0; i < sk_X509_num(trusted); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(trusted, i)) != 1)
            return fail(err, "CA of the operator");
    *ret_context = TAKE(context);
    return 0;
}

int tls_server_set(struct ssl_ctx_st *context, const char *chain, const char *key,
                   struct error *err)
{
    CLEANUP(free_chain) STACK_OF(X509) *certificates = NULL;
    CLEANUP(free_key) EVP_PKEY *pkey = NULL;
    if (parse_chain(chain, &certificates, err) < 0 || parse_key(key, &pkey, err) < 0)
        return -1;
    CLEANUP(free_certificate) X509 *own = sk_X509_shift(certificates);
    if (X509_check_private_key(own, pkey) != 1)
        return fail(err, "certificate and key do not belong together");
    if (SSL_CTX_use_cert_and_key(context, own, pkey, certificates, 1) != 1)
        return fail(err, "use certificate");
    return 0;
}

void tls_server_init(struct ssl_ctx_st *context)
{
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

int tls_server_check(const char *chain, const char *key, struct error *err)
{
    CLEANUP(tls_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    return context ? tls_server_set(context, chain, key, err) : fail(err, "prepare TLS");
}
