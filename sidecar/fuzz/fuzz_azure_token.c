// SPDX-License-Identifier: Apache-2.0
/* The JSON of those who give tokens, as a hostile or broken one may send it. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/azure_pass.h"
#include "sidecar/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    char text[256];
    CLEANUP(credential_done) struct credential pass = {0};
    azure_pass_parse_error(text, data, size);
    assert(strlen(text) < sizeof(text) && !strpbrk(text, "\r\n\x1b"));
    if (azure_pass_parse_token(&pass, data, size, 1000, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT && pass.kind == CREDENTIAL_NONE);
        return 0;
    }
    assert(pass.kind == CREDENTIAL_AZURE_TOKEN && pass.secret.size > 0);
    assert(strlen((const char *)pass.secret.data) == pass.secret.size);
    assert(strcspn((const char *)pass.secret.data, " \r\n") == pass.secret.size);
    assert(pass.expires_ms >= 1000);
    return 0;
}
