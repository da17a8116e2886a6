// SPDX-License-Identifier: Apache-2.0
/* What instance metadata or a pod's agent answers, as whoever stands in their place may send it. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct buf *text)
{
    const char *bytes = credential_text(text);
    assert(strlen(bytes) == text->size && text->size <= CREDENTIAL_TEXT_MAX);
    for (; *bytes; bytes++)
        assert(*bytes > ' ' && *bytes <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(credential_done) struct credential key = {0};
    struct error err;
    if (s3_key_parse_json(&key, data, size, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return 0;
    }
    assert(key.id.size > 0 && key.secret.size > 0);
    check_text(&key.id);
    check_text(&key.secret);
    check_text(&key.session);
    return 0;
}
