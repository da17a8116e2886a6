// SPDX-License-Identifier: Apache-2.0
#include "sidecar/credential.h"
#include "sidecar/azure_pass.h"

#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/credential.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

enum { LIFETIME_MAX_S = 7 * 24 * 60 * 60 };

int azure_pass_of_key(struct credential *ret_pass, const void *text, size_t size, struct error *err)
{
    uint8_t key[256];
    size_t key_size = 0;
    int result = -1;
    if (text_parse_base64(text, size, key, sizeof(key), &key_size) && key_size > 0)
        result = credential_set_bytes(&ret_pass->secret, "it", key, key_size, err);
    else
        error_set(err, ERROR_CORRUPT, "not the key of a storage account, which is base64");
    buf_wipe(key, sizeof(key));
    if (result == 0)
        ret_pass->kind = CREDENTIAL_AZURE_KEY;
    return result;
}

int azure_pass_of_signature(struct credential *ret_pass, const void *text, size_t size,
                            struct error *err)
{
    const char *start = text;
    if (size > 0 && *start == '?') {
        start++;
        size--;
    }
    if (memchr(start, '#', size) || !memmem(start, size, "sig=", 4) ||
        credential_set(&ret_pass->secret, "it", start, size, err) < 0)
        return error_set(err, ERROR_CORRUPT,
                         "not a shared access signature, which looks like 'sv=…&sig=…'");
    ret_pass->kind = CREDENTIAL_AZURE_SIGNATURE;
    return 0;
}

/* In seconds, a number or the text of one; -1: neither. */
static int64_t lifetime_of(const json_t *root)
{
    const json_t *value = json_object_get(root, "expires_in");
    const char *text = json_string_value(value);
    uint64_t seconds = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        seconds = (uint64_t)json_integer_value(value);
    else if (!text || !store_page_parse_size(text, &seconds))
        return -1;
    return (int64_t)(seconds < LIFETIME_MAX_S ? seconds : LIFETIME_MAX_S);
}

int azure_pass_parse_token(struct credential *ret_pass, const void *data, size_t size,
                           int64_t now_ms, struct error *err)
{
    json_auto_t *root = json_loadb(size > 0 ? data : "", size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *token = json_object_get(root, "access_token");
    size_t token_size = json_string_length(token);
    int64_t lifetime_s = lifetime_of(root);
    if (!root)
        return error_set(err, ERROR_CORRUPT, "not JSON");
    if (token_size == 0)
        return error_set(err, ERROR_CORRUPT, "it has no access_token");
    if (lifetime_s < 0)
        return error_set(err, ERROR_CORRUPT, "it has no expires_in, in seconds");
    if (credential_set(&ret_pass->secret, "access_token", json_string_value(token), token_size,
                       err) < 0)
        return -1;
    ret_pass->kind = CREDENTIAL_AZURE_TOKEN;
    ret_pass->expires_ms = now_ms + 1000 * lifetime_s;
    return 0;
}

void azure_pass_parse_error(char ret_text[256], const void *data, size_t size)
{
    json_auto_t *root = json_loadb(size > 0 ? data : "", size, 0, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    const char *description = json_string_value(json_object_get(root, "error_description"));
    ret_text[0] = '\0';
    if (!error)
        return;
    CLEANUP(own_freep)
    char *text =
        own_format("%s%s%s", error, description ? ": " : "", description ? description : "");
    text[strcspn(text, "\r\n")] = '\0'; /* what follows are ids of the request */
    xml_document_copy(ret_text, 256, text);
}
