// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_json.h"

#include <stdio.h>
#include <string.h>

const json_t *json_at(const json_t *object, const char *path)
{
    const json_t *value = object;
    char part[64];
    while (*path) {
        size_t size = strcspn(path, "/");
        snprintf(part, sizeof(part), "%.*s", (int)size, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)(*part - '0'))
                                     : json_object_get(value, part);
        path += size + (path[size] == '/');
    }
    return value;
}

const char *text_at(const json_t *object, const char *path)
{
    const char *text = json_string_value(json_at(object, path));
    return text ? text : "(none)";
}
