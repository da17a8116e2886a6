// SPDX-License-Identifier: Apache-2.0
#include "sidecar/s3_xml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/s3_key.h"

enum {
    DEPTH_MAX = 16,
    NAME_BYTES = 32,       /* of an element; longer ones are none that we know */
    TEXT_BYTES_MAX = 8192, /* of an element; a key of 1024 bytes, percent-encoded, has 3072 */
    FIRST_OBJECTS = 64,
};

/* Reads elements of depth 2 to 4; the root has depth 1. */
struct document {
    XML_Parser parser;
    const char *root, *other_root; /* what it may be; NULL: nothing else */
    const char *problem;           /* NULL while all is well */
    unsigned depth;
    char section[NAME_BYTES]; /* the element of depth 2 that is open */
    struct buf text;          /* since the last tag, NUL-terminated at its end */
    /* An element ended: one of a section or of its parts, or the section itself (name equals
     * section). */
    void (*element)(struct document *document, const char *name, const char *text);
};

struct listing_reader {
    struct document document;
    struct s3_xml_listing *listing;
    size_t capacity;
    struct s3_xml_object object; /* the one that is open */
    bool has_size, has_time;
    bool truncated, encoded;
};

struct error_reader {
    struct document document;
    struct s3_xml_error *error;
};

struct lock_reader {
    struct document document;
    bool enabled;
};

struct key_reader {
    struct document document;
    struct s3_key *key;
};

static void refuse(struct document *document, const char *problem)
{
    if (!document->problem)
        document->problem = problem;
    XML_StopParser(document->parser, XML_FALSE);
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    refuse(arg, "it has a document type");
}

static void copy_cut(char *to, size_t to_size, const char *text)
{
    size_t size = strnlen(text, to_size - 1);
    memcpy(to, text, size);
    to[size] = '\0';
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct document *document = arg;
    (void)attributes;
    buf_clear(&document->text);
    document->depth++;
    if (document->depth > DEPTH_MAX)
        refuse(document, "its elements are nested too deeply");
    if (document->depth == 1 && strcmp(name, document->root) != 0 &&
        !(document->other_root && strcmp(name, document->other_root) == 0))
        refuse(document, "its root is another element");
    if (document->depth == 2)
        copy_cut(document->section, sizeof(document->section), name);
}

static void on_text(void *arg, const XML_Char *text, int size)
{
    struct document *document = arg;
    struct error ignored;
    if (buf_append(&document->text, text, (size_t)size, &ignored) < 0)
        refuse(document, "an element is too long");
}

static void on_end(void *arg, const XML_Char *name)
{
    struct document *document = arg;
    on_text(document, "", 1);
    if (!document->problem && document->depth >= 2 && document->depth <= 4)
        document->element(document, name, (const char *)document->text.data);
    buf_clear(&document->text);
    document->depth--;
}

/* What is wrong with the document, or NULL. */
static const char *read_document(struct document *document, const void *data, size_t size)
{
    if (size > S3_XML_BYTES_MAX)
        return "it is too large";
    document->text = BUF_SECRET(TEXT_BYTES_MAX);
    document->parser = XML_ParserCreate(NULL);
    if (!document->parser)
        abort(); /* out of memory */
    XML_SetUserData(document->parser, document);
    XML_SetElementHandler(document->parser, on_start, on_end);
    XML_SetCharacterDataHandler(document->parser, on_text);
    XML_SetStartDoctypeDeclHandler(document->parser, on_doctype);
    if (XML_Parse(document->parser, size > 0 ? data : "", (int)size, XML_TRUE) != XML_STATUS_OK &&
        !document->problem)
        document->problem = "it is not well-formed XML";
    XML_ParserFree(document->parser);
    buf_done(&document->text);
    return document->problem;
}

static bool parse_size(const char *text, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(size, (uint64_t)10, &size) ||
            __builtin_add_overflow(size, (uint64_t)(*text - '0'), &size))
            return false;
    }
    *ret_size = size;
    return true;
}

static void keep_object(struct listing_reader *reader)
{
    struct s3_xml_listing *listing = reader->listing;
    struct s3_xml_object *object = &reader->object;
    if (!object->key || (!object->is_prefix && !(reader->has_size && reader->has_time))) {
        refuse(&reader->document, "an object lacks its key, size or time");
        return;
    }
    if (listing->count >= S3_XML_OBJECTS_MAX) {
        refuse(&reader->document, "it has too many objects");
        return;
    }
    if (listing->count == reader->capacity) {
        reader->capacity = reader->capacity ? 2 * reader->capacity : FIRST_OBJECTS;
        listing->objects =
            own_resize(listing->objects, reader->capacity, sizeof(*listing->objects));
    }
    listing->objects[listing->count++] = *object;
    *object = (struct s3_xml_object){0};
    reader->has_size = reader->has_time = false;
}

static void replace_text(char **target, const char *text)
{
    free(*target);
    *target = own_strdup(text);
}

static void read_content(struct listing_reader *reader, const char *name, const char *text)
{
    struct s3_xml_object *object = &reader->object;
    bool good = true;
    if (strcmp(name, "Contents") == 0)
        keep_object(reader);
    else if (strcmp(name, "Key") == 0)
        replace_text(&object->key, text);
    else if (strcmp(name, "Size") == 0)
        good = reader->has_size = parse_size(text, &object->size);
    else if (strcmp(name, "LastModified") == 0)
        good = reader->has_time = clock_parse(text, &object->modified_ms);
    if (!good)
        refuse(&reader->document, "an object's size or time is malformed");
}

static void read_common_prefix(struct listing_reader *reader, const char *name, const char *text)
{
    reader->object.is_prefix = true;
    if (strcmp(name, "CommonPrefixes") == 0)
        keep_object(reader);
    else if (strcmp(name, "Prefix") == 0)
        replace_text(&reader->object.key, text);
}

static void read_listing(struct document *document, const char *name, const char *text)
{
    struct listing_reader *reader = (struct listing_reader *)document;
    if (document->depth > 3)
        return;
    if (strcmp(document->section, "Contents") == 0)
        read_content(reader, name, text);
    else if (strcmp(document->section, "CommonPrefixes") == 0)
        read_common_prefix(reader, name, text);
    else if (strcmp(name, "IsTruncated") == 0)
        reader->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "NextContinuationToken") == 0)
        replace_text(&reader->listing->continuation, text);
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

static int compare_objects(const void *a, const void *b)
{
    return strcmp(((const struct s3_xml_object *)a)->key, ((const struct s3_xml_object *)b)->key);
}

static void read_error(struct document *document, const char *name, const char *text)
{
    struct s3_xml_error *error = ((struct error_reader *)document)->error;
    bool inside = strcmp(document->section, "Error") == 0; /* as STS wraps it */
    if (document->depth != (inside ? 3 : 2))
        return;
    if (strcmp(name, "Code") == 0)
        copy_cut(error->code, sizeof(error->code), text);
    else if (strcmp(name, "Message") == 0)
        copy_cut(error->message, sizeof(error->message), text);
    else if (strcmp(name, "Region") == 0)
        copy_cut(error->region, sizeof(error->region), text);
}

static void read_lock(struct document *document, const char *name, const char *text)
{
    if (document->depth == 2 && strcmp(name, "ObjectLockEnabled") == 0)
        ((struct lock_reader *)document)->enabled = strcmp(text, "Enabled") == 0;
}

/* AssumeRoleWithWebIdentityResult, in it Credentials, in it these. */
static void read_key(struct document *document, const char *name, const char *text)
{
    struct s3_key *key = ((struct key_reader *)document)->key;
    struct error err = {0};
    int result = 0;
    if (document->depth != 4)
        return;
    if (strcmp(name, "AccessKeyId") == 0)
        result = s3_key_set(&key->access_key_id, name, text, strlen(text), &err);
    else if (strcmp(name, "SecretAccessKey") == 0)
        result = s3_key_set(&key->secret_access_key, name, text, strlen(text), &err);
    else if (strcmp(name, "SessionToken") == 0)
        result = s3_key_set(&key->session_token, name, text, strlen(text), &err);
    else if (strcmp(name, "Expiration") == 0 && !clock_parse(text, &key->expires_ms))
        result = -1;
    if (result < 0)
        refuse(document, "a part of the key is malformed");
}

/* It becomes part of a message to people, on terminals too. */
static void clean(char *text)
{
    size_t size = 0;
    for (; text[size]; size++) {
        if (iscntrl((unsigned char)text[size]))
            text[size] = ' ';
    }
    while (size > 0 && (text[size - 1] == '.' || text[size - 1] == ' '))
        text[--size] = '\0';
}

void s3_xml_listing_done(struct s3_xml_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->objects[i].key);
    free(listing->objects);
    free(listing->continuation);
    *listing = (struct s3_xml_listing){0};
}

bool s3_xml_parse_error(struct s3_xml_error *ret_error, const void *data, size_t size)
{
    struct s3_xml_error error = {0};
    struct error_reader reader = {
        .document = {.root = "Error", .other_root = "ErrorResponse", .element = read_error},
        .error = &error};
    if (read_document(&reader.document, data, size) || !error.code[0])
        return false;
    clean(error.code);
    clean(error.message);
    clean(error.region);
    *ret_error = error;
    return true;
}

int s3_xml_parse_lock(bool *ret_enabled, const void *data, size_t size, struct error *err)
{
    struct lock_reader reader = {
        .document = {.root = "ObjectLockConfiguration", .element = read_lock}};
    const char *problem = read_document(&reader.document, data, size);
    if (problem)
        return error_set(err, ERROR_CORRUPT, "Object Lock of the bucket: %s", problem);
    *ret_enabled = reader.enabled;
    return 0;
}

int s3_xml_parse_key(struct s3_key *ret_key, const void *data, size_t size, struct error *err)
{
    CLEANUP(s3_key_done) struct s3_key key = {0};
    struct key_reader reader = {
        .document = {.root = "AssumeRoleWithWebIdentityResponse", .element = read_key},
        .key = &key};
    const char *problem = read_document(&reader.document, data, size);
    if (problem)
        return error_set(err, ERROR_CORRUPT, "the key that was lent: %s", problem);
    if (s3_key_check(&key, err) < 0)
        return error_wrap(err, "the key that was lent");
    *ret_key = key;
    key = (struct s3_key){0};
    return 0;
}

int s3_xml_parse_listing(struct s3_xml_listing *ret_listing, const void *data, size_t size,
                         struct error *err)
{
    CLEANUP(s3_xml_listing_done) struct s3_xml_listing listing = {0};
    struct listing_reader reader = {
        .document = {.root = "ListBucketResult", .element = read_listing}, .listing = &listing};
    const char *problem = read_document(&reader.document, data, size);
    free(reader.object.key);
    if (!problem && reader.truncated && !listing.continuation)
        problem = "it says that it goes on, but not where";
    if (problem)
        return error_set(err, ERROR_CORRUPT, "listing of the bucket: %s", problem);
    if (!reader.truncated)
        replace_text(&listing.continuation, NULL);
    for (size_t i = 0; reader.encoded && i < listing.count; i++)
        decode(listing.objects[i].key);
    if (listing.count > 1)
        qsort(listing.objects, listing.count, sizeof(*listing.objects), compare_objects);
    *ret_listing = listing;
    listing = (struct s3_xml_listing){0};
    return 0;
}
