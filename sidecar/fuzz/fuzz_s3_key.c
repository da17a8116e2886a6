// SPDX-License-Identifier: Apache-2.0
/* What instance metadata or a pod's agent answers, as whoever stands in their place may send it. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/s3_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct buf *text)
{
    const char *bytes = s3_key_text(text);
    assert(strlen(bytes) == text->size && text->size <= S3_KEY_TEXT_MAX);
    for (; *bytes; bytes++)
        assert(*bytes > ' ' && *bytes <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(s3_key_done) struct s3_key key = {0};
    struct error err;
    if (s3_key_parse_json(&key, data, size, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return 0;
    }
    assert(key.access_key_id.size > 0 && key.secret_access_key.size > 0);
    check_text(&key.access_key_id);
    check_text(&key.secret_access_key);
    check_text(&key.session_token);
    return 0;
}
