// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_xml.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

struct listing_reader {
    struct xml_document document;
    struct store_page *page;
    struct store_page_object object; /* the one that is open */
    bool has_size, has_time;
    bool truncated, encoded;
};

struct error_reader {
    struct xml_document document;
    struct s3_xml_error *error;
};

struct lock_reader {
    struct xml_document document;
    bool enabled;
};

struct key_reader {
    struct xml_document document;
    struct credential *key;
};

static void keep_object(struct listing_reader *reader)
{
    struct store_page_object *object = &reader->object;
    if (!object->key || (!object->is_prefix && !(reader->has_size && reader->has_time)))
        xml_document_refuse(&reader->document, "an object lacks its key, size or time");
    else if (!store_page_add(reader->page, object))
        xml_document_refuse(&reader->document, "it has too many objects");
    reader->has_size = reader->has_time = false;
}

static void replace_text(char **target, const char *text)
{
    free(*target);
    *target = own_strdup(text);
}

static void read_content(struct listing_reader *reader, const char *name, const char *text)
{
    struct store_page_object *object = &reader->object;
    bool good = true;
    if (strcmp(name, "Contents") == 0)
        keep_object(reader);
    else if (strcmp(name, "Key") == 0)
        replace_text(&object->key, text);
    else if (strcmp(name, "Size") == 0)
        good = reader->has_size = store_page_parse_size(text, &object->size);
    else if (strcmp(name, "LastModified") == 0)
        good = reader->has_time = clock_parse(text, &object->modified_ms);
    if (!good)
        xml_document_refuse(&reader->document, "an object's size or time is malformed");
}

static void read_common_prefix(struct listing_reader *reader, const char *name, const char *text)
{
    reader->object.is_prefix = true;
    if (strcmp(name, "CommonPrefixes") == 0)
        keep_object(reader);
    else if (strcmp(name, "Prefix") == 0)
        replace_text(&reader->object.key, text);
}

static void read_listing(struct xml_document *document, const char *name, const char *text)
{
    struct listing_reader *reader = (struct listing_reader *)document;
    if (document->depth > 3)
        return;
    if (strcmp(document->path[2], "Contents") == 0)
        read_content(reader, name, text);
    else if (strcmp(document->path[2], "CommonPrefixes") == 0)
        read_common_prefix(reader, name, text);
    else if (strcmp(name, "IsTruncated") == 0)
        reader->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "NextContinuationToken") == 0)
        replace_text(&reader->page->next, text);
    else if (strcmp(name, "EncodingType") == 0)
        reader->encoded = strcmp(text, "url") == 0;
}

/* In place. What is not an encoding, or one of NUL, stays: no object of ours has such a name. */
static void decode(char *key)
{
    char *to = key;
    for (const char *from = key; *from; from++) {
        uint8_t byte;
        char hex[3] = "";
        if (from[0] == '%' && from[1] && from[2])
            memcpy(hex, from + 1, 2);
        if (text_parse_hex(hex, &byte, 1) && byte != 0) {
            *to++ = (char)byte;
            from += 2;
        } else if (*from == '+') {
            *to++ = ' ';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static void read_error(struct xml_document *document, const char *name, const char *text)
{
    struct s3_xml_error *error = ((struct error_reader *)document)->error;
    bool inside = strcmp(document->path[2], "Error") == 0; /* as STS wraps it */
    if (document->depth != (inside ? 3 : 2))
        return;
    if (strcmp(name, "Code") == 0)
        xml_document_copy(error->code, sizeof(error->code), text);
    else if (strcmp(name, "Message") == 0)
        xml_document_copy(error->message, sizeof(error->message), text);
    else if (strcmp(name, "Region") == 0)
        xml_document_copy(error->region, sizeof(error->region), text);
}

static void read_lock(struct xml_document *document, const char *name, const char *text)
{
    if (document->depth == 2 && strcmp(name, "ObjectLockEnabled") == 0)
        ((struct lock_reader *)document)->enabled = strcmp(text, "Enabled") == 0;
}

/* AssumeRoleWithWebIdentityResult, in it Credentials, in it these. */
static void read_key(struct xml_document *document, const char *name, const char *text)
{
    struct credential *key = ((struct key_reader *)document)->key;
    struct error err = {0};
    int result = 0;
    if (document->depth != 4)
        return;
    if (strcmp(name, "AccessKeyId") == 0)
        result = credential_set(&key->id, name, text, strlen(text), &err);
    else if (strcmp(name, "SecretAccessKey") == 0)
        result = credential_set(&key->secret, name, text, strlen(text), &err);
    else if (strcmp(name, "SessionToken") == 0)
        result = credential_set(&key->session, name, text, strlen(text), &err);
    else if (strcmp(name, "Expiration") == 0 && !clock_parse(text, &key->expires_ms))
        result = -1;
    if (result < 0)
        xml_document_refuse(document, "a part of the key is malformed");
}

bool s3_xml_parse_error(struct s3_xml_error *ret_error, const void *data, size_t size)
{
    struct s3_xml_error error = {0};
    struct error_reader reader = {
        .document = {.root = "Error", .other_root = "ErrorResponse", .element = read_error},
        .error = &error};
    if (xml_document_read(&reader.document, data, size) || !error.code[0])
        return false;
    *ret_error = error;
    return true;
}

int s3_xml_parse_lock(bool *ret_enabled, const void *data, size_t size, struct error *err)
{
    struct lock_reader reader = {
        .document = {.root = "ObjectLockConfiguration", .element = read_lock}};
    const char *problem = xml_document_read(&reader.document, data, size);
    if (problem)
        return error_set(err, ERROR_CORRUPT, "Object Lock of the bucket: %s", problem);
    *ret_enabled = reader.enabled;
    return 0;
}

int s3_xml_parse_key(struct credential *ret_key, const void *data, size_t size, struct error *err)
{
    CLEANUP(credential_done) struct credential key = {0};
    struct key_reader reader = {
        .document = {.root = "AssumeRoleWithWebIdentityResponse", .element = read_key},
        .key = &key};
    const char *problem = xml_document_read(&reader.document, data, size);
    if (problem)
        return error_set(err, ERROR_CORRUPT, "the key that was lent: %s", problem);
    if (s3_key_complete(&key, err) < 0)
        return error_wrap(err, "the key that was lent");
    *ret_key = key;
    key = (struct credential){0};
    return 0;
}

int s3_xml_parse_listing(struct store_page *ret_page, const void *data, size_t size,
                         struct error *err)
{
    CLEANUP(store_page_done) struct store_page page = {0};
    struct listing_reader reader = {
        .document = {.root = "ListBucketResult", .element = read_listing}, .page = &page};
    const char *problem = xml_document_read(&reader.document, data, size);
    free(reader.object.key);
    if (!problem && reader.truncated && !page.next)
        problem = "it says that it goes on, but not where";
    if (problem)
        return error_set(err, ERROR_CORRUPT, "listing of the bucket: %s", problem);
    if (!reader.truncated)
        own_freep(&page.next);
    for (size_t i = 0; reader.encoded && i < page.count; i++)
        decode(page.objects[i].key);
    store_page_sort(&page);
    *ret_page = page;
    page = (struct store_page){0};
    return 0;
}
