// SPDX-License-Identifier: Apache-2.0
#include "sidecar/document.h"

#include "common/own.h"

int document_parse(const void *text, size_t size, json_t **ret_root, struct error *err)
{
    json_error_t cause;
    json_auto_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &cause);
    if (!root)
        return error_set(err, ERROR_CORRUPT, "not JSON: line %d: %s", cause.line, cause.text);
    const json_t *format = json_object_get(root, "format");
    if (!json_is_integer(format) || json_integer_value(format) < 1)
        return error_set(err, ERROR_CORRUPT, "no format is named");
    if (json_integer_value(format) > DOCUMENT_FORMAT)
        return error_set(err, ERROR_PERMANENT,
                         "format %" JSON_INTEGER_FORMAT " is newer than this program, which knows "
                         "up to %d; use a newer lifeboat",
                         json_integer_value(format), DOCUMENT_FORMAT);
    *ret_root = TAKE(root);
    return 0;
}
