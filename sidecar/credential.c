// SPDX-License-Identifier: Apache-2.0
#include "sidecar/credential.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/own.h"

void credential_done(struct credential *credential)
{
    buf_done(&credential->id);
    buf_done(&credential->secret);
    buf_done(&credential->session);
    *credential = (struct credential){0};
}

const char *credential_text(const struct buf *text)
{
    return text->size > 0 ? (const char *)text->data : "";
}

int credential_set_bytes(struct buf *ret_bytes, const char *name, const void *bytes, size_t size,
                         struct error *err)
{
    if (size > CREDENTIAL_TEXT_MAX)
        return error_set(err, ERROR_CORRUPT, "%s is longer than %d bytes", name,
                         CREDENTIAL_TEXT_MAX);
    CLEANUP(buf_done) struct buf copy = BUF_SECRET(CREDENTIAL_TEXT_MAX + 1);
    if (size > 0) {
        bytes_put(&copy, bytes, size);
        bytes_put8(&copy, '\0');
        copy.size--;
    }
    buf_done(ret_bytes);
    *ret_bytes = copy;
    copy = (struct buf){0};
    return 0;
}

int credential_set(struct buf *ret_text, const char *name, const void *text, size_t size,
                   struct error *err)
{
    const uint8_t *bytes = text;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return error_set(err, ERROR_CORRUPT, "%s has characters that no credential has", name);
    return credential_set_bytes(ret_text, name, text, size, err);
}

static void copy_bytes(struct buf *to, const struct buf *from)
{
    struct error impossible;
    if (credential_set_bytes(to, "a copy", from->data, from->size, &impossible) < 0)
        abort(); /* it was no larger before */
}

void credential_copy(struct credential *credential, const struct credential *from)
{
    credential->kind = from->kind;
    copy_bytes(&credential->id, &from->id);
    copy_bytes(&credential->secret, &from->secret);
    copy_bytes(&credential->session, &from->session);
    credential->expires_ms = from->expires_ms;
}

static bool is_same(const struct buf *a, const struct buf *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

bool credential_is_same(const struct credential *a, const struct credential *b)
{
    return a->kind == b->kind && is_same(&a->id, &b->id) && is_same(&a->secret, &b->secret) &&
           is_same(&a->session, &b->session);
}
