// SPDX-License-Identifier: Apache-2.0
#include "sidecar/keys.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/digest.h"
#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/document.h"

enum {
    HKDF_BYTES_MAX = 255 * DIGEST_BYTES,
    NAKED_BYTES = 1 + KEY_BYTES, /* purpose and key: what is wrapped */
    WRAPPED_BYTES = 48,          /* RFC 5649: 33 rounded up to 40, and 8 for integrity */
    KEK_TEXT_MAX = 4096,
    KEY_OBJECT_MAX = 4096,
    NONCE_BYTES = 12,
};

static const char purpose_info[] = "lifeboat/1";
static const char not_wrapped[] = "none";

struct seal {
    EVP_CIPHER_CTX *context;
    int direction; /* what context is prepared for: 1 encrypt, 0 decrypt, -1 nothing yet */
    uint8_t key[KEY_BYTES];
};

/* With fixed algorithms libcrypto fails only where memory does. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

static int int_size(size_t size)
{
    assert(size <= INT_MAX);
    return (int)size;
}

static EVP_CIPHER_CTX *cipher_new(void)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    must(context != NULL);
    return context;
}

static void cipher_freep(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

struct slice {
    const void *data;
    size_t size;
};

static void hkdf(const struct key *key, struct slice salt, struct slice info, uint8_t *ret_bytes,
                 size_t size)
{
    assert(size <= HKDF_BYTES_MAX);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    must(context != NULL);
    must(EVP_PKEY_derive_init(context));
    must(EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()));
    must(EVP_PKEY_CTX_set1_hkdf_key(context, key->bytes, KEY_BYTES));
    if (salt.size > 0)
        must(EVP_PKEY_CTX_set1_hkdf_salt(context, salt.data, int_size(salt.size)));
    must(EVP_PKEY_CTX_add1_hkdf_info(context, info.data, int_size(info.size)));
    must(EVP_PKEY_derive(context, ret_bytes, &size));
    EVP_PKEY_CTX_free(context);
}

static void set_key(struct key *key, const uint8_t bytes[KEY_BYTES], enum key_purpose purpose)
{
    memcpy(key->bytes, bytes, KEY_BYTES);
    key->purpose = purpose;
    key_derive(key, "lifeboat/1 key id", key->id, KEY_ID_BYTES);
}

/* AES-256-KWP; false: not wrapped by this key, or damaged. out has room for WRAPPED_BYTES. */
static bool kwp(const struct key *kek, bool wrap, struct slice in, uint8_t *out, size_t *ret_size)
{
    CLEANUP(cipher_freep) EVP_CIPHER_CTX *context = cipher_new();
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    must(EVP_CipherInit_ex(context, EVP_aes_256_wrap_pad(), NULL, kek->bytes, NULL, wrap));
    int size = 0, rest = 0;
    bool ok = EVP_CipherUpdate(context, out, &size, in.data, int_size(in.size)) == 1 &&
              EVP_CipherFinal_ex(context, out + size, &rest) == 1;
    ERR_clear_error(); /* or libcurl and libpq, who share the thread, would take it for theirs */
    *ret_size = ok ? (size_t)(size + rest) : 0;
    return ok;
}

/* The 33 bytes of purpose and key from what a key object holds. */
static int unwrap(const struct key *kek, const char *base64, uint8_t ret_naked[WRAPPED_BYTES],
                  struct error *err)
{
    uint8_t wrapped[WRAPPED_BYTES];
    size_t size;
    if (!text_parse_base64(base64, strlen(base64), wrapped, sizeof(wrapped), &size) ||
        size != (kek ? WRAPPED_BYTES : NAKED_BYTES))
        return error_set(err, ERROR_CORRUPT, "wrapped: not the base64 of a wrapped key");
    if (!kek)
        memcpy(ret_naked, wrapped, size);
    else if (!kwp(kek, false, (struct slice){wrapped, size}, ret_naked, &size))
        size = 0;
    buf_wipe(wrapped, sizeof(wrapped));
    if (size != NAKED_BYTES || (ret_naked[0] != KEY_PURPOSE_DATA && ret_naked[0] != KEY_PURPOSE_ID))
        return error_set(err, ERROR_CORRUPT, "wrapped: damaged");
    return 0;
}

static int check_wrapped_by(const char *wrapped_by, const struct key *kek, struct error *err)
{
    char kek_id[KEY_ID_TEXT_BYTES] = "";
    if (kek)
        key_id_text(kek, kek_id);
    bool wrapped = strcmp(wrapped_by, not_wrapped) != 0;
    if (wrapped && !kek)
        return error_set(err, ERROR_PERMANENT,
                         "it is wrapped by user key %s, but no user key is configured", wrapped_by);
    if (!wrapped && kek)
        return error_set(err, ERROR_PERMANENT,
                         "it is not wrapped, which is refused where encryption is configured");
    if (wrapped && strcmp(wrapped_by, kek_id) != 0)
        return error_set(err, ERROR_PERMANENT, "it is wrapped by user key %s, not by %s",
                         wrapped_by, kek_id);
    return 0;
}

static int open_object(const char *id, const char *wrapped, const struct key *kek,
                       struct key *ret_key, struct error *err)
{
    uint8_t naked[WRAPPED_BYTES];
    if (unwrap(kek, wrapped, naked, err) < 0)
        return -1;
    CLEANUP(key_done) struct key key;
    set_key(&key, naked + 1, naked[0] == KEY_PURPOSE_ID ? KEY_PURPOSE_ID : KEY_PURPOSE_DATA);
    buf_wipe(naked, sizeof(naked));
    char real_id[KEY_ID_TEXT_BYTES];
    key_id_text(&key, real_id);
    if (strcmp(id, real_id) != 0)
        return error_set(err, ERROR_CORRUPT, "it is named %s but holds key %s", id, real_id);
    *ret_key = key;
    return 0;
}

static bool is_key_id(const char *text)
{
    uint8_t id[KEY_ID_BYTES];
    return text_parse_hex(text, id, sizeof(id));
}

static void seal_nonce(enum seal_domain domain, uint64_t index, uint8_t ret_nonce[NONCE_BYTES])
{
    bytes_store32(ret_nonce, domain);
    bytes_store64(ret_nonce + 4, index);
}

/* Prepares for one message; the key schedule is computed only when the direction changes. */
static void seal_begin(struct seal *seal, int direction, const uint8_t nonce[NONCE_BYTES],
                       const uint8_t ad[SEAL_AD_BYTES])
{
    bool ready = seal->direction == direction;
    must(EVP_CipherInit_ex(seal->context, ready ? NULL : EVP_aes_256_gcm(), NULL,
                           ready ? NULL : seal->key, nonce, direction));
    seal->direction = direction;
    int ignored;
    must(EVP_CipherUpdate(seal->context, NULL, &ignored, ad, SEAL_AD_BYTES));
}

void key_done(struct key *key)
{
    buf_wipe(key, sizeof(*key));
}

void key_id_text(const struct key *key, char ret_text[KEY_ID_TEXT_BYTES])
{
    text_hex(key->id, KEY_ID_BYTES, ret_text);
}

void key_derive(const struct key *key, const char *info, void *ret_bytes, size_t size)
{
    hkdf(key, (struct slice){NULL, 0}, (struct slice){info, strlen(info)}, ret_bytes, size);
}

void key_content_id(const struct key *id_key, const void *content, size_t size,
                    char ret_text[KEY_ID_TEXT_BYTES])
{
    uint8_t mac_key[KEY_BYTES], mac[DIGEST_BYTES];
    key_derive(id_key, "lifeboat/1 content id", mac_key, sizeof(mac_key));
    digest_hmac_sha256(mac_key, sizeof(mac_key), content, size, mac);
    buf_wipe(mac_key, sizeof(mac_key));
    text_hex(mac, KEY_ID_BYTES, ret_text);
}

int key_random(void *ret_bytes, size_t size, struct error *err)
{
    if (RAND_bytes(ret_bytes, int_size(size)) != 1)
        return error_set(err, ERROR_PERMANENT, "the system gives no random numbers");
    return 0;
}

int key_generate(enum key_purpose purpose, struct key *ret_key, struct error *err)
{
    uint8_t bytes[KEY_BYTES];
    if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
        return error_set(err, ERROR_PERMANENT, "the system gives no random numbers");
    set_key(ret_key, bytes, purpose);
    buf_wipe(bytes, sizeof(bytes));
    return 0;
}

int key_parse_kek(const void *text, size_t size, struct key *ret_key, struct error *err)
{
    static const char remedy[] = "make one with 'openssl rand -base64 32'";
    uint8_t bytes[KEK_TEXT_MAX];
    size_t got = 0;
    bool decoded =
        size <= sizeof(bytes) && text_parse_base64(text, size, bytes, sizeof(bytes), &got);
    if (decoded && got == KEY_BYTES)
        set_key(ret_key, bytes, 0);
    buf_wipe(bytes, sizeof(bytes));
    if (!decoded)
        return error_set(err, ERROR_PERMANENT, "a user key is %d bytes in base64; %s", KEY_BYTES,
                         remedy);
    if (got != KEY_BYTES)
        return error_set(err, ERROR_PERMANENT, "a user key is %d bytes in base64, not %zu; %s",
                         KEY_BYTES, got, remedy);
    return 0;
}

void keyring_done(struct keyring *keyring)
{
    for (size_t i = 0; i < keyring->count; i++)
        key_done(&keyring->keys[i]);
    free(keyring->keys);
    free(keyring->gaps);
    key_done(&keyring->id_key);
    *keyring = (struct keyring){0};
}

const struct key *keyring_find(const struct keyring *keyring, const uint8_t id[KEY_ID_BYTES])
{
    for (size_t i = 0; i < keyring->count; i++)
        if (memcmp(keyring->keys[i].id, id, KEY_ID_BYTES) == 0)
            return &keyring->keys[i];
    return NULL;
}

void keyring_add(struct keyring *keyring, const struct key *key)
{
    if (keyring_find(keyring, key->id))
        return;
    /* not realloc(3), which would leave a copy of the keys behind */
    struct key *keys = own_alloc((keyring->count + 1) * sizeof(*keys));
    if (keyring->count > 0) {
        memcpy(keys, keyring->keys, keyring->count * sizeof(*keys));
        buf_wipe(keyring->keys, keyring->count * sizeof(*keys));
    }
    if (keyring->active)
        keyring->active = keys + (keyring->active - keyring->keys);
    keys[keyring->count++] = *key;
    free(keyring->keys);
    keyring->keys = keys;
}

void keyring_add_gap(struct keyring *keyring, const uint8_t id[KEY_ID_BYTES],
                     const struct error *why)
{
    keyring->gaps = own_resize(keyring->gaps, keyring->gap_count + 1, sizeof(keyring->gaps[0]));
    struct keyring_gap *gap = &keyring->gaps[keyring->gap_count++];
    memcpy(gap->id, id, KEY_ID_BYTES);
    gap->why = *why;
}

const struct error *keyring_gap(const struct keyring *keyring, const uint8_t id[KEY_ID_BYTES])
{
    for (size_t i = 0; i < keyring->gap_count; i++)
        if (memcmp(keyring->gaps[i].id, id, KEY_ID_BYTES) == 0)
            return &keyring->gaps[i].why;
    return NULL;
}

int key_format_object(const struct key *key, const struct key *kek, char **ret_text,
                      struct error *err)
{
    uint8_t naked[NAKED_BYTES] = {(uint8_t)key->purpose}, wrapped[WRAPPED_BYTES];
    memcpy(naked + 1, key->bytes, KEY_BYTES);
    size_t size = NAKED_BYTES;
    if (kek)
        must(kwp(kek, true, (struct slice){naked, sizeof(naked)}, wrapped, &size));
    char id[KEY_ID_TEXT_BYTES], kek_id[KEY_ID_TEXT_BYTES];
    key_id_text(key, id);
    if (kek)
        key_id_text(kek, kek_id);
    CLEANUP(own_freep) char *base64 = text_base64(kek ? wrapped : naked, size);
    buf_wipe(naked, sizeof(naked));
    json_auto_t *root = json_pack("{s:i, s:s, s:s, s:s}", "format", DOCUMENT_FORMAT, "key", id,
                                  "wrappedBy", kek ? kek_id : not_wrapped, "wrapped", base64);
    char *text = root ? json_dumps(root, 0) : NULL;
    if (!text)
        return error_set(err, ERROR_PERMANENT, "cannot write the key as JSON");
    *ret_text = text;
    return 0;
}

/* What a key object says; lent from its root. */
struct object_fields {
    const char *id, *wrapped_by, *wrapped;
};

static int read_object(const void *text, size_t size, json_t **ret_root,
                       struct object_fields *ret_object, struct error *err)
{
    if (size > KEY_OBJECT_MAX)
        return error_set(err, ERROR_CORRUPT, "key object: larger than %d bytes", KEY_OBJECT_MAX);
    if (document_parse(text, size, ret_root, err) < 0)
        return error_wrap(err, "key object");
    struct fields fields;
    fields_init(&fields, *ret_root, NULL, ERROR_CORRUPT, err);
    fields_skip(&fields, "format");
    const struct object_fields object = {
        .id = fields_string(&fields, "key", ""),
        .wrapped_by = fields_string(&fields, "wrappedBy", ""),
        .wrapped = fields_string(&fields, "wrapped", ""),
    };
    if (!is_key_id(object.id))
        fields_fail(&fields, "key", "expected a key id");
    if (strcmp(object.wrapped_by, not_wrapped) != 0 && !is_key_id(object.wrapped_by))
        fields_fail(&fields, "wrappedBy", "expected a key id or '%s'", not_wrapped);
    if (fields_end(&fields) < 0)
        return error_wrap(err, "key object");
    *ret_object = object;
    return 0;
}

int key_parse_object(const void *text, size_t size, const struct key *kek, struct key *ret_key,
                     struct error *err)
{
    json_auto_t *root = NULL;
    struct object_fields object;
    if (read_object(text, size, &root, &object, err) < 0)
        return -1;
    if (check_wrapped_by(object.wrapped_by, kek, err) < 0 ||
        open_object(object.id, object.wrapped, kek, ret_key, err) < 0)
        return error_wrap(err, "key %s", object.id);
    return 0;
}

int key_check_object(const void *text, size_t size, const char *id, const char *kek_id,
                     struct error *err)
{
    json_auto_t *root = NULL;
    struct object_fields object;
    uint8_t wrapped[WRAPPED_BYTES];
    size_t got;
    if (read_object(text, size, &root, &object, err) < 0)
        return -1;
    if (strcmp(object.id, id) != 0 || strcmp(object.wrapped_by, kek_id) != 0)
        return error_set(err, ERROR_CORRUPT, "it says that it holds key %s wrapped by user key %s",
                         object.id, object.wrapped_by);
    const bool decoded =
        text_parse_base64(object.wrapped, strlen(object.wrapped), wrapped, sizeof(wrapped), &got);
    buf_wipe(wrapped, sizeof(wrapped));
    if (!decoded || got != (strcmp(kek_id, not_wrapped) == 0 ? NAKED_BYTES : WRAPPED_BYTES))
        return error_set(err, ERROR_CORRUPT, "wrapped: not the base64 of a wrapped key");
    return 0;
}

char *key_format_choice(const char *id)
{
    return own_format("{\"format\": %d, \"key\": \"%s\"}\n", DOCUMENT_FORMAT, id);
}

int key_check_choice(const void *text, size_t size, const char *id, struct error *err)
{
    json_auto_t *root = NULL;
    struct fields fields;
    if (document_parse(text, size, &root, err) < 0)
        return -1;
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    fields_skip(&fields, "format");
    if (strcmp(fields_string(&fields, "key", ""), id) != 0)
        fields_fail(&fields, "key", "expected what the name says, %s", id);
    return fields_end(&fields);
}

void seal_freep(struct seal **seal)
{
    struct seal *s = TAKE(*seal);
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->context);
    buf_wipe(s, sizeof(*s));
    free(s);
}

struct seal *seal_new(const struct key *dek, const uint8_t salt[KEY_SALT_BYTES], uint8_t kind,
                      uint8_t ret_commitment[KEY_COMMITMENT_BYTES])
{
    uint8_t info[sizeof(purpose_info)]; /* the NUL's place is the kind's */
    memcpy(info, purpose_info, sizeof(info));
    info[sizeof(info) - 1] = kind;
    uint8_t derived[KEY_BYTES + KEY_COMMITMENT_BYTES];
    hkdf(dek, (struct slice){salt, KEY_SALT_BYTES}, (struct slice){info, sizeof(info)}, derived,
         sizeof(derived));
    struct seal *seal = own_alloc(sizeof(*seal));
    seal->context = cipher_new();
    seal->direction = -1;
    memcpy(seal->key, derived, KEY_BYTES);
    memcpy(ret_commitment, derived + KEY_BYTES, KEY_COMMITMENT_BYTES);
    buf_wipe(derived, sizeof(derived));
    return seal;
}

void seal_encrypt(struct seal *seal, enum seal_domain domain, uint64_t index,
                  const uint8_t ad[SEAL_AD_BYTES], const void *in, size_t size, void *out)
{
    uint8_t nonce[NONCE_BYTES], *to = out;
    seal_nonce(domain, index, nonce);
    seal_begin(seal, 1, nonce, ad);
    int done = 0, rest = 0;
    must(EVP_CipherUpdate(seal->context, to, &done, in, int_size(size)));
    must(EVP_CipherFinal_ex(seal->context, to + done, &rest));
    must(EVP_CIPHER_CTX_ctrl(seal->context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, to + size));
}

int seal_decrypt(struct seal *seal, enum seal_domain domain, uint64_t index,
                 const uint8_t ad[SEAL_AD_BYTES], const void *in, size_t size, void *out,
                 struct error *err)
{
    if (size < SEAL_TAG_BYTES)
        return error_set(err, ERROR_CORRUPT, "shorter than its authentication tag");
    uint8_t nonce[NONCE_BYTES], tag[SEAL_TAG_BYTES], *to = out;
    const uint8_t *from = in;
    size -= SEAL_TAG_BYTES;
    memcpy(tag, from + size, sizeof(tag)); /* libcrypto takes no const tag */
    seal_nonce(domain, index, nonce);
    seal_begin(seal, 0, nonce, ad);
    int done = 0, rest = 0;
    must(EVP_CipherUpdate(seal->context, to, &done, from, int_size(size)));
    must(EVP_CIPHER_CTX_ctrl(seal->context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag));
    if (EVP_CipherFinal_ex(seal->context, to + done, &rest) == 1)
        return 0;
    ERR_clear_error(); /* or libcurl and libpq, who share the thread, would take it for theirs */
    buf_wipe(out, size);
    return error_set(err, ERROR_CORRUPT, "not authentic");
}
