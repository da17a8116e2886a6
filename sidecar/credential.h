// SPDX-License-Identifier: Apache-2.0
/*
 * What lets requests to a region's store through: a key of S3, somebody's own or one lent for some
 * hours together with a session token; an Azure account's key, a shared access signature, or a
 * token of Microsoft Entra ID, which is lent as well. Pure; all of it is wiped when it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/error.h"

enum {
    CREDENTIAL_TEXT_MAX = 32 * 1024,  /* bytes; tokens with many groups have some thousand */
    CREDENTIAL_ANSWER_MAX = 64 * 1024 /* of an answer that brings one */
};

enum credential_kind {
    CREDENTIAL_NONE,
    CREDENTIAL_S3_KEY,
    CREDENTIAL_AZURE_KEY,
    CREDENTIAL_AZURE_SIGNATURE,
    CREDENTIAL_AZURE_TOKEN,
};

/* Each text has a NUL behind its end; empty ones may have no memory at all. */
struct credential {
    enum credential_kind kind;
    struct buf id;      /* S3_KEY: the access key's, which is no secret */
    struct buf secret;  /* S3_KEY: the secret access key; AZURE_KEY: its bytes; AZURE_SIGNATURE:
                           parameters of a query, percent-encoded, without '?'; AZURE_TOKEN: as in
                           "Bearer <token>" */
    struct buf session; /* S3_KEY: the session token that goes with it; may be empty */
    int64_t expires_ms; /* of clock_now_ms; 0: never, as far as we know */
};

void credential_done(struct credential *credential); /* for CLEANUP */
/* What credential held is wiped. */
void credential_copy(struct credential *credential, const struct credential *from);
/* Whether a store cannot tell the requests of one from those of the other. */
bool credential_is_same(const struct credential *a, const struct credential *b);
/* "" where there is none */
const char *credential_text(const struct buf *text);

/* Makes text one of a credential's. Texts go into headers and URLs as they are, so they hold
 * nothing but visible ASCII characters. CORRUPT, naming name and never the text: too long, or it
 * has other characters. */
MUST_CHECK int credential_set(struct buf *ret_text, const char *name, const void *text, size_t size,
                              struct error *err);
/* The same for any bytes. */
MUST_CHECK int credential_set_bytes(struct buf *ret_bytes, const char *name, const void *bytes,
                                    size_t size, struct error *err);
