// SPDX-License-Identifier: Apache-2.0
/*
 * Keys and ciphers; the only user of OpenSSL's EVP ciphers. A KEK is a 256-bit key of the user's
 * that wraps data keys (DEK) and the repository's id key with AES-KWP (RFC 5649). From a DEK and an
 * object's salt HKDF-SHA-256 (RFC 5869) derives the object key, which seals frames with AES-256-GCM
 * (NIST SP 800-38D), and a commitment to the DEK. Formats: docs/repository-format.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
    KEY_BYTES = 32,
    KEY_ID_BYTES = 8,
    KEY_ID_TEXT_BYTES = 17,
    KEY_SALT_BYTES = 32,
    KEY_COMMITMENT_BYTES = 32
};
enum { SEAL_TAG_BYTES = 16, SEAL_AD_BYTES = 45 };

enum key_purpose { KEY_PURPOSE_DATA = 1, KEY_PURPOSE_ID = 2 };

struct key {
    uint8_t bytes[KEY_BYTES];
    uint8_t id[KEY_ID_BYTES];
    enum key_purpose purpose; /* of wrapped keys; 0 for a KEK */
};

void key_done(struct key *key); /* wipes */

/* A KEK from what 'openssl rand -base64 32' prints; PERMANENT: not base64, or not 32 bytes (says
 * how many). */
MUST_CHECK int key_parse_kek(const void *text, size_t size, struct key *ret_key, struct error *err);
MUST_CHECK int key_generate(enum key_purpose purpose, struct key *ret_key, struct error *err);
void key_id_text(const struct key *key, char ret_text[KEY_ID_TEXT_BYTES]);

/* The content of a key object; kek NULL: unwrapped (encryption.mode None). The caller's JSON text
 * (own_freep). */
MUST_CHECK int key_format_object(const struct key *key, const struct key *kek, char **ret_text,
                                 struct error *err);
/* CORRUPT: malformed, or what was unwrapped does not have the id that the object names; PERMANENT:
 * wrapped by another KEK than the one given, or unwrapped though kek is given. */
MUST_CHECK int key_parse_object(const void *text, size_t size, const struct key *kek,
                                struct key *ret_key, struct error *err);

/* A key object by its content, unopened. CORRUPT: malformed, or not that key wrapped by that KEK
 * ("none": not wrapped); PERMANENT: a newer format. */
MUST_CHECK int key_check_object(const void *text, size_t size, const char *id, const char *kek_id,
                                struct error *err);

/* What lies under the name of a choice of a data key: the name says it all, the content repeats it
 * for whoever looks. The caller's JSON text (own_freep). */
char *key_format_choice(const char *id);
/* CORRUPT: malformed, or the choice of another key; PERMANENT: a newer format. */
MUST_CHECK int key_check_choice(const void *text, size_t size, const char *id, struct error *err);

/* A key that is missing because its object is damaged. */
struct keyring_gap {
    uint8_t id[KEY_ID_BYTES];
    struct error why;
};

/* The data keys that could be unwrapped, and the id key. */
struct keyring {
    struct key *keys;
    size_t count;
    struct keyring_gap *gaps;
    size_t gap_count;
    struct key id_key;
    const struct key *active; /* the data key for new objects; one of keys */
};

void keyring_done(struct keyring *keyring);
void keyring_add(struct keyring *keyring,
                 const struct key *key); /* copies; a key that is there already is not added */
const struct key *keyring_find(const struct keyring *keyring,
                               const uint8_t id[KEY_ID_BYTES]); /* or NULL */
void keyring_add_gap(struct keyring *keyring, const uint8_t id[KEY_ID_BYTES],
                     const struct error *why);
/* Why a key is not in the keyring, if its object is damaged; or NULL. */
const struct error *keyring_gap(const struct keyring *keyring, const uint8_t id[KEY_ID_BYTES]);

/* First KEY_ID_BYTES of HMAC-SHA-256 of content under a key derived from the id key: the <id> in
 * names, as hex. */
void key_content_id(const struct key *id_key, const void *content, size_t size,
                    char ret_text[KEY_ID_TEXT_BYTES]);
/* HKDF output of any length up to 8160 bytes from a key. info is text. */
void key_derive(const struct key *key, const char *info, void *ret_bytes, size_t size);
MUST_CHECK int key_random(void *ret_bytes, size_t size, struct error *err);

/* One object's key, ready for AES-256-GCM. Use by one thread at a time. */
struct seal;
enum seal_domain { SEAL_FRAME = 1, SEAL_FOOTER = 2 };

/* Derives from dek, salt and the object's kind; also gives the commitment. */
struct seal *seal_new(const struct key *dek, const uint8_t salt[KEY_SALT_BYTES], uint8_t kind,
                      uint8_t ret_commitment[KEY_COMMITMENT_BYTES]);
void seal_freep(struct seal **seal);
/* out: size + SEAL_TAG_BYTES; in == out is allowed. */
void seal_encrypt(struct seal *seal, enum seal_domain domain, uint64_t index,
                  const uint8_t ad[SEAL_AD_BYTES], const void *in, size_t size, void *out);
/* size includes the tag; out: size - SEAL_TAG_BYTES. CORRUPT: not authentic. */
MUST_CHECK int seal_decrypt(struct seal *seal, enum seal_domain domain, uint64_t index,
                            const uint8_t ad[SEAL_AD_BYTES], const void *in, size_t size, void *out,
                            struct error *err);
