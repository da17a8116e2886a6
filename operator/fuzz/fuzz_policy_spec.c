// SPDX-License-Identifier: Apache-2.0
/* Any JSON as a BackupPolicy: what is no policy is PERMANENT and nothing else. */
#include <stdlib.h>

#include "common/own.h"
#include "operator/policy_spec.h"

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
    struct policy_spec spec;
    struct error err = {.kind = ERROR_NONE};
    if (!object)
        return 0;
    if (policy_spec_read(&spec, object, &err) < 0) {
        expect(err.kind == ERROR_PERMANENT);
        return 0;
    }
    CLEANUP(own_freep) char *keys = policy_spec_secret_keys(&spec);
    expect(keys && spec.region_count > 0 && spec.quorum <= spec.writable_count);
    for (size_t i = 0; i < spec.region_count; i++)
        expect(policy_spec_find_region(&spec, spec.regions[i].name) == &spec.regions[i]);
    (void)policy_spec_refused(&spec);
    return 0;
}
