// SPDX-License-Identifier: Apache-2.0
/* Any bytes: a value whose lines are known, or PERMANENT with a text. */
#include <stdint.h>
#include <stdlib.h>

#include "common/own.h"
#include "common/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(yaml_done) struct yaml yaml = {0};
    struct error err = {0};
    if (yaml_parse(&yaml, "fuzz.yaml", (const char *)data, size, &err) < 0) {
        if (err.kind != ERROR_PERMANENT || !err.text[0])
            abort();
        return 0;
    }
    if (!yaml.root || yaml_line(&yaml, "") == 0)
        abort();
    const char *key;
    json_t *value;
    json_object_foreach(yaml.root, key, value)
    {
        if (*key && yaml_line(&yaml, key) == 0)
            abort();
    }
    CLEANUP(own_freep) char *text = json_dumps(yaml.root, JSON_ENCODE_ANY);
    if (!text)
        abort();
    return 0;
}
