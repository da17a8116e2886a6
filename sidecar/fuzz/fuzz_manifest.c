// SPDX-License-Identifier: Apache-2.0
/* Manifests that somebody with the key made. What is accepted is the same when it is written and
 * read again. */
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(manifest_done) struct manifest manifest = {0}, again = {0};
    CLEANUP(own_freep) char *text = NULL;
    struct error err;
    if (manifest_parse(data, size, &manifest, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT || err.kind == ERROR_PERMANENT);
        return 0;
    }
    if (manifest_format(&manifest, &text, &err) < 0)
        return 0; /* other spellings of its values made it too large */
    expect(manifest_parse(text, strlen(text), &again, &err) == 0);
    json_auto_t *one = manifest_to_json(&manifest), *two = manifest_to_json(&again);
    expect(json_equal(one, two));
    return 0;
}
