// SPDX-License-Identifier: Apache-2.0
#include "operator/lookup.h"

#include <string.h>

const char *lookup_text(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

const json_t *lookup_element(const json_t *array, const char *member, const char *text)
{
    size_t index;
    const json_t *element;
    json_array_foreach(array, index, element)
    {
        const char *found = lookup_text(element, member);
        if (found && strcmp(found, text) == 0)
            return element;
    }
    return NULL;
}
