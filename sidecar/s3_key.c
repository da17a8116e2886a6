// SPDX-License-Identifier: Apache-2.0
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"

#include <string.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"
#include "sidecar/credential.h"

int s3_key_complete(struct credential *key, struct error *err)
{
    if (key->id.size == 0)
        return error_set(err, ERROR_CORRUPT, "no AccessKeyId");
    if (key->secret.size == 0)
        return error_set(err, ERROR_CORRUPT, "no SecretAccessKey");
    key->kind = CREDENTIAL_S3_KEY;
    return 0;
}

/* "Code" is in the answers of instance metadata only. */
static int check_code(struct fields *fields, struct error *err)
{
    const char *code = fields_string(fields, "Code", "Success");
    const char *message = fields_string(fields, "Message", NULL);
    if (fields->bad || strcmp(code, "Success") == 0)
        return 0;
    return error_set(err, ERROR_PERMANENT, "%.100s%s%.200s", code, message ? ": " : "",
                     message ? message : "");
}

static int read_texts(struct fields *fields, struct credential *key, struct error *err)
{
    const struct {
        const char *name;
        struct buf *text;
    } parts[] = {
        {"AccessKeyId", &key->id}, {"SecretAccessKey", &key->secret}, {"Token", &key->session}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const char *text = fields_string(fields, parts[i].name, "");
        if (!fields->bad &&
            credential_set(parts[i].text, parts[i].name, text, strlen(text), err) < 0)
            return -1;
    }
    const char *expires = fields_string(fields, "Expiration", NULL);
    if (expires && !clock_parse(expires, &key->expires_ms))
        fields_fail(fields, "Expiration", "expected a time");
    return fields_end_open(fields);
}

int s3_key_parse_json(struct credential *ret_key, const void *data, size_t size, struct error *err)
{
    CLEANUP(credential_done) struct credential key = {0};
    /* what jansson says of bad JSON may quote a secret */
    json_auto_t *root =
        size <= CREDENTIAL_ANSWER_MAX ? json_loadb(size > 0 ? data : "", size, 0, NULL) : NULL;
    struct fields fields;
    if (!json_is_object(root))
        return error_set(err, ERROR_CORRUPT, "no JSON object, or too large a one");
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    if (check_code(&fields, err) < 0 || read_texts(&fields, &key, err) < 0 ||
        s3_key_complete(&key, err) < 0)
        return -1;
    *ret_key = key;
    key = (struct credential){0};
    return 0;
}
