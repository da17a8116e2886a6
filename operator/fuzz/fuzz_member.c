// SPDX-License-Identifier: Apache-2.0
/* Any JSON as a pod: what is none is PERMANENT and nothing else. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "operator/member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t ignored;
    json_auto_t *object = json_loadb((const char *)data, size, JSON_ALLOW_NUL, &ignored);
    struct member member;
    struct error err = {.kind = ERROR_NONE};
    if (!object)
        return 0;
    if (member_read(&member, object, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT);
        return 0;
    }
    expect(member.name && member.uid && strlen(member.region) < sizeof(member.region));
    return 0;
}
