// SPDX-License-Identifier: Apache-2.0
/* The JSON of those who give tokens, as a hostile or broken one may send it. */
#include <assert.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/azure_pass.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    char text[256];
    CLEANUP(azure_pass_done) struct azure_pass pass = {0};
    azure_pass_parse_error(text, data, size);
    assert(strlen(text) < sizeof(text) && !strpbrk(text, "\r\n\x1b"));
    if (azure_pass_parse_token(&pass, data, size, 1000, &err) < 0) {
        assert(err.kind == ERROR_CORRUPT && pass.kind == AZURE_PASS_NONE);
        return 0;
    }
    assert(pass.kind == AZURE_PASS_TOKEN && pass.value.size > 0);
    assert(strlen((const char *)pass.value.data) == pass.value.size);
    assert(strcspn((const char *)pass.value.data, " \r\n") == pass.value.size);
    assert(pass.expires_ms >= 1000);
    return 0;
}
