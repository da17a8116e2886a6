// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_key.h"

#include <string.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/own.h"

void s3_key_done(struct s3_key *key)
{
    buf_done(&key->access_key_id);
    buf_done(&key->secret_access_key);
    buf_done(&key->session_token);
}

const char *s3_key_text(const struct buf *text)
{
    return text->size > 0 ? (const char *)text->data : "";
}

int s3_key_set(struct buf *ret_text, const char *name, const void *text, size_t size,
               struct error *err)
{
    const uint8_t *bytes = text;
    if (size > S3_KEY_TEXT_MAX)
        return error_set(err, ERROR_CORRUPT, "%s is longer than %d bytes", name, S3_KEY_TEXT_MAX);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return error_set(err, ERROR_CORRUPT, "%s has characters that no key has", name);
    CLEANUP(buf_done) struct buf copy = BUF_SECRET(S3_KEY_TEXT_MAX + 1);
    if (size > 0 && (buf_append(&copy, text, size, err) < 0 || buf_append(&copy, "", 1, err) < 0))
        return -1;
    copy.size = size;
    buf_done(ret_text);
    *ret_text = copy;
    copy = (struct buf){0};
    return 0;
}

static void copy_text(struct buf *to, const struct buf *from)
{
    struct error impossible;
    if (s3_key_set(to, "a key", from->data, from->size, &impossible) < 0)
        buf_done(to);
}

void s3_key_copy(struct s3_key *key, const struct s3_key *from)
{
    copy_text(&key->access_key_id, &from->access_key_id);
    copy_text(&key->secret_access_key, &from->secret_access_key);
    copy_text(&key->session_token, &from->session_token);
    key->expires_ms = from->expires_ms;
}

bool s3_key_is_same(const struct s3_key *a, const struct s3_key *b)
{
    return strcmp(s3_key_text(&a->access_key_id), s3_key_text(&b->access_key_id)) == 0 &&
           strcmp(s3_key_text(&a->secret_access_key), s3_key_text(&b->secret_access_key)) == 0 &&
           strcmp(s3_key_text(&a->session_token), s3_key_text(&b->session_token)) == 0;
}

int s3_key_check(const struct s3_key *key, struct error *err)
{
    if (key->access_key_id.size == 0)
        return error_set(err, ERROR_CORRUPT, "no AccessKeyId");
    if (key->secret_access_key.size == 0)
        return error_set(err, ERROR_CORRUPT, "no SecretAccessKey");
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

static int read_texts(struct fields *fields, struct s3_key *key, struct error *err)
{
    const struct {
        const char *name;
        struct buf *text;
    } parts[] = {{"AccessKeyId", &key->access_key_id},
                 {"SecretAccessKey", &key->secret_access_key},
                 {"Token", &key->session_token}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const char *text = fields_string(fields, parts[i].name, "");
        if (!fields->bad && s3_key_set(parts[i].text, parts[i].name, text, strlen(text), err) < 0)
            return -1;
    }
    const char *expires = fields_string(fields, "Expiration", NULL);
    if (expires && !clock_parse(expires, &key->expires_ms))
        fields_fail(fields, "Expiration", "expected a time");
    return fields_end_open(fields);
}

int s3_key_parse_json(struct s3_key *ret_key, const void *data, size_t size, struct error *err)
{
    CLEANUP(s3_key_done) struct s3_key key = {0};
    /* what jansson says of bad JSON may quote a secret */
    json_auto_t *root =
        size <= S3_KEY_ANSWER_MAX ? json_loadb(size > 0 ? data : "", size, 0, NULL) : NULL;
    struct fields fields;
    if (!json_is_object(root))
        return error_set(err, ERROR_CORRUPT, "no JSON object, or too large a one");
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    if (check_code(&fields, err) < 0 || read_texts(&fields, &key, err) < 0 ||
        s3_key_check(&key, err) < 0)
        return -1;
    *ret_key = key;
    key = (struct s3_key){0};
    return 0;
}
