// SPDX-License-Identifier: Apache-2.0
/*
 * A key that requests to S3 are signed with: that of a person, or one lent for some hours together
 * with a session token. Its texts go into headers as they are, so they hold nothing but visible
 * ASCII characters. Pure; all of it is wiped when it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"

enum {
    S3_KEY_TEXT_MAX = 16384,     /* bytes of each text */
    S3_KEY_ANSWER_MAX = 64 << 10 /* of an answer that brings a key */
};

/* Each text has a NUL behind its end; empty ones may have no memory at all. */
struct s3_key {
    struct buf access_key_id, secret_access_key;
    struct buf session_token; /* empty: none goes with it */
    int64_t expires_ms;       /* by the clock of who lent it; 0: never */
};

void s3_key_done(struct s3_key *key); /* for CLEANUP */
/* What key held is wiped. */
void s3_key_copy(struct s3_key *key, const struct s3_key *from);
/* Whether both are signed with alike. */
bool s3_key_is_same(const struct s3_key *a, const struct s3_key *b);
/* "" where there is none */
const char *s3_key_text(const struct buf *text);

/* Makes text one of a key's; name says which one. CORRUPT: too long, or it has other characters. */
MUST_CHECK int s3_key_set(struct buf *ret_text, const char *name, const void *text, size_t size,
                          struct error *err);
/* CORRUPT "no AccessKeyId" if one of the two texts that every key has is empty. */
MUST_CHECK int s3_key_check(const struct s3_key *key, struct error *err);

/* The JSON of instance metadata ("IAM roles for Amazon EC2") and of the container credentials
 * provider (AWS SDKs and Tools Reference Guide). CORRUPT; PERMANENT: it says that there is none,
 * and why. */
MUST_CHECK int s3_key_parse_json(struct s3_key *ret_key, const void *data, size_t size,
                                 struct error *err);
