// SPDX-License-Identifier: Apache-2.0
#include "operator/authority.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/own.h"

enum { SERIAL_BITS = 127 /* positive, at most 20 bytes, unpredictable: RFC 5280, 4.1.2.2 */ };

static void key_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void x509_freep(X509 **certificate)
{
    X509_free(*certificate);
}

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

static void store_freep(X509_STORE **store)
{
    X509_STORE_free(*store);
}

/* What libcrypto fails at only if memory does. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

static BIO *reader(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    must(bio != NULL);
    return bio;
}

/* No pass phrase is ever asked for on a terminal. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1;
}

static X509 *read_certificate(const char *pem)
{
    CLEANUP(bio_freep) BIO *bio = reader(pem);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    ERR_clear_error(); /* or libcurl, who shares the thread, would take it for its own */
    return certificate;
}

static EVP_PKEY *read_key(const char *pem)
{
    CLEANUP(bio_freep) BIO *bio = reader(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    ERR_clear_error();
    return key;
}

static char *take_text(BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *text = own_alloc((size_t)size + 1);
    memcpy(text, data, (size_t)size);
    return text;
}

static char *format_certificate(X509 *certificate)
{
    CLEANUP(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    must(bio && PEM_write_bio_X509(bio, certificate) == 1);
    return take_text(bio);
}

static char *format_key(const EVP_PKEY *key)
{
    CLEANUP(bio_freep) BIO *bio = BIO_new(BIO_s_secmem()); /* cleansed when freed */
    must(bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    return take_text(bio);
}

static EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL);
    return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    must(number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL);
    BN_free(number);
}

static void set_times(X509 *certificate, const struct authority_validity *validity)
{
    must(ASN1_TIME_adj(X509_getm_notBefore(certificate), validity->from_ms / 1000, 0, 0) &&
         ASN1_TIME_adj(X509_getm_notAfter(certificate), validity->until_ms / 1000, 0, 0));
}

static X509 *begin(const char *common_name, const struct authority_validity *validity,
                   EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    must(certificate && X509_set_version(certificate, X509_VERSION_3) == 1);
    X509_NAME *name = X509_get_subject_name(certificate);
    must(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"lifeboat.dev", -1,
                                    -1, 0) == 1 &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)common_name, -1, -1,
                                    0) == 1);
    set_serial(certificate);
    set_times(certificate, validity);
    must(X509_set_pubkey(certificate, key) == 1);
    return certificate;
}

static int64_t time_ms(const ASN1_TIME *time)
{
    struct tm tm;
    must(ASN1_TIME_to_tm(time, &tm) == 1); /* checked when it was parsed */
    return (int64_t)timegm(&tm) * 1000;
}

static bool is_time(const ASN1_TIME *time)
{
    return ASN1_TIME_check(time) == 1;
}

void authority_wipe(char **pem)
{
    if (*pem)
        buf_wipe(*pem, strlen(*pem));
    own_freep(pem);
    *pem = NULL;
}

void authority_pair_done(struct authority_pair *pair)
{
    own_freep(&pair->certificate);
    pair->certificate = NULL;
    authority_wipe(&pair->key);
}

static bool read_next(BIO *bio, X509 **ret_certificate)
{
    *ret_certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    ERR_clear_error();
    return *ret_certificate && is_time(X509_get0_notBefore(*ret_certificate)) &&
           is_time(X509_get0_notAfter(*ret_certificate));
}

/* How many certificates a text claims to hold: what does not parse is not passed over. */
static size_t count_claims(const char *pem)
{
    static const char head[] = "-----BEGIN ";
    size_t count = 0;
    for (const char *at = strstr(pem, head); at; at = strstr(at + 1, head))
        count++;
    return count;
}

int authority_parse(const char *pem, struct authority_certificate *ret_certificates,
                    size_t *ret_count, struct error *err)
{
    size_t claims = count_claims(pem);
    if (claims == 0 || claims > AUTHORITY_CERTIFICATES_MAX)
        return error_set(err, ERROR_CORRUPT, "expected 1 to %d certificates in PEM, not %zu",
                         AUTHORITY_CERTIFICATES_MAX, claims);
    struct authority_certificate certificates[AUTHORITY_CERTIFICATES_MAX] = {0};
    CLEANUP(bio_freep) BIO *bio = reader(pem);
    size_t count = 0;
    for (; count < claims; count++) {
        CLEANUP(x509_freep) X509 *certificate = NULL;
        if (!read_next(bio, &certificate))
            break;
        certificates[count] = (struct authority_certificate){
            .pem = format_certificate(certificate),
            .validity = {time_ms(X509_get0_notBefore(certificate)),
                         time_ms(X509_get0_notAfter(certificate))},
        };
    }
    if (count == claims) {
        memcpy(ret_certificates, certificates, sizeof(certificates));
        *ret_count = count;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        own_freep(&certificates[i].pem);
    return error_set(err, ERROR_CORRUPT, "certificate %zu of %zu cannot be read", count + 1,
                     claims);
}

char *authority_find_key(const char *keys, const char *certificate)
{
    CLEANUP(x509_freep) X509 *wanted = read_certificate(certificate);
    CLEANUP(bio_freep) BIO *bio = reader(keys);
    for (EVP_PKEY *key;
         wanted && (key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)) != NULL;) {
        CLEANUP(key_freep) EVP_PKEY *owned = key;
        bool fits = X509_check_private_key(wanted, owned) == 1;
        ERR_clear_error();
        if (fits)
            return format_key(owned);
    }
    ERR_clear_error();
    return NULL;
}

static bool verifies(X509_STORE *store, X509 *certificate, const char *name, int64_t now_ms)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    must(context != NULL);
    bool ok = X509_STORE_CTX_init(context, store, certificate, NULL) == 1 &&
              X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER) == 1;
    if (ok) {
        X509_VERIFY_PARAM *wanted = X509_STORE_CTX_get0_param(context);
        must(X509_VERIFY_PARAM_set1_host(wanted, name, 0) == 1);
        X509_VERIFY_PARAM_set_time(wanted, now_ms / 1000);
        ok = X509_verify_cert(context) == 1;
    }
    ERR_clear_error();
    X509_STORE_CTX_free(context);
    return ok;
}

bool authority_accepts(const char *bundle, const char *certificate, const char *const *names,
                       int64_t now_ms)
{
    CLEANUP(x509_freep) X509 *server = read_certificate(certificate);
    CLEANUP(store_freep) X509_STORE *store = X509_STORE_new();
    CLEANUP(bio_freep) BIO *bio = reader(bundle);
    must(store != NULL);
    for (X509 *ca; (ca = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL;) {
        (void)!X509_STORE_add_cert(store, ca); /* one that is too odd is not trusted */
        X509_free(ca);
    }
    ERR_clear_error();
    for (size_t i = 0; server && names[i]; i++) {
        /* a wildcard is asked for by a name that it covers */
        CLEANUP(own_freep)
        char *name =
            own_format("%s%s", names[i][0] == '*' ? "any" : "", names[i] + (names[i][0] == '*'));
        if (!verifies(store, server, name, now_ms))
            return false;
    }
    return server != NULL;
}

static char *alternative_names(const char *const *names)
{
    char *text = own_strdup("");
    for (size_t i = 0; names[i]; i++) {
        CLEANUP(own_freep) char *before = text;
        text = own_format("%s%sDNS:%s", before, i > 0 ? "," : "", names[i]);
    }
    return text;
}

int authority_sign(const struct authority_pair *ca, const char *const *names,
                   const struct authority_validity *validity, struct authority_pair *ret_pair,
                   struct error *err)
{
    CLEANUP(x509_freep) X509 *issuer = read_certificate(ca->certificate);
    CLEANUP(key_freep) EVP_PKEY *issuer_key = read_key(ca->key);
    if (!issuer || !issuer_key || X509_check_private_key(issuer, issuer_key) != 1) {
        ERR_clear_error();
        return error_set(err, ERROR_CORRUPT, "the CA's certificate and key do not belong together");
    }
    CLEANUP(key_freep) EVP_PKEY *key = make_key();
    CLEANUP(x509_freep) X509 *certificate = begin("lifeboat channel", validity, key);
    CLEANUP(own_freep) char *alternatives = alternative_names(names);
    must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth");
    add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    add_extension(certificate, issuer, NID_authority_key_identifier, "keyid");
    add_extension(certificate, issuer, NID_subject_alt_name, alternatives);
    must(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    *ret_pair = (struct authority_pair){format_certificate(certificate), format_key(key)};
    return 0;
}

void authority_make(const char *domain, const struct authority_validity *validity,
                    struct authority_pair *ret_ca)
{
    CLEANUP(key_freep) EVP_PKEY *key = make_key();
    char since[CLOCK_TEXT_BYTES]; /* a name of its own: clients look for issuers by name */
    clock_format(validity->from_ms, since);
    CLEANUP(own_freep) char *name = own_format("lifeboat CA %s", since);
    CLEANUP(x509_freep) X509 *certificate = begin(name, validity, key);
    CLEANUP(own_freep) char *constraint = own_format("critical,permitted;DNS:%s", domain);
    must(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign");
    add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
    add_extension(certificate, certificate, NID_name_constraints, constraint);
    must(X509_sign(certificate, key, EVP_sha256()) > 0);
    *ret_ca = (struct authority_pair){format_certificate(certificate), format_key(key)};
}
