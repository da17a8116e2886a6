// SPDX-License-Identifier: Apache-2.0
#include "sidecar/repo_document.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/document.h"

enum { DECIMAL_BYTES = 24 };

void repo_document_done(struct repo_document *document)
{
    free(document->namespace);
    free(document->name);
    free(document->writer);
    *document = (struct repo_document){0};
}

void repo_document_id(const struct repo_document *document, uint8_t ret_id[DIGEST_BYTES])
{
    char system[DECIMAL_BYTES];
    int length = snprintf(system, sizeof(system), "%" PRIu64, document->system_identifier);
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    digest_update_field(digest, "lifeboat/1", strlen("lifeboat/1"));
    digest_update_field(digest, document->namespace, strlen(document->namespace));
    digest_update_field(digest, document->name, strlen(document->name));
    digest_update_field(digest, system, (size_t)length);
    digest_get(digest, ret_id);
}

char *repo_document_format(const struct repo_document *document)
{
    uint8_t id[DIGEST_BYTES];
    char id_text[2 * DIGEST_BYTES + 1];
    repo_document_id(document, id);
    text_hex(id, sizeof(id), id_text);
    CLEANUP(own_freep)
    char *system = own_format("%" PRIu64, document->system_identifier);
    json_auto_t *root = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s?}", "format", DOCUMENT_FORMAT,
                                  "repository", id_text, "namespace", document->namespace, "name",
                                  document->name, "systemIdentifier", system, "idKey",
                                  document->id_key, "writer", document->writer);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (!text)
        abort(); /* out of memory: the values are valid UTF-8 by the policy's rules */
    return text;
}

static const char *required(struct fields *fields, const char *name)
{
    fields_require(fields, name);
    return fields_string(fields, name, "");
}

static int read_fields(struct fields *fields, struct repo_document *document)
{
    fields_skip(fields, "format");
    document->namespace = own_strdup(required(fields, "namespace"));
    document->name = own_strdup(required(fields, "name"));
    fields_require(fields, "systemIdentifier");
    document->system_identifier = fields_decimal(fields, "systemIdentifier", 0);
    document->writer = own_strdup(fields_string(fields, "writer", NULL));
    const char *id_key = required(fields, "idKey"), *repository = required(fields, "repository");
    uint8_t key_id[KEY_ID_BYTES], stated[DIGEST_BYTES] = {0}, id[DIGEST_BYTES];
    if (text_parse_hex(id_key, key_id, sizeof(key_id)))
        text_hex(key_id, sizeof(key_id), document->id_key);
    else
        fields_fail(fields, "idKey", "expected %d hexadecimal digits", 2 * KEY_ID_BYTES);
    repo_document_id(document, id);
    if (!text_parse_hex(repository, stated, sizeof(stated)) || memcmp(stated, id, sizeof(id)) != 0)
        fields_fail(fields, "repository", "is not the id of this namespace, name and system");
    return fields_end(fields);
}

int repo_document_parse(const void *text, size_t size, struct repo_document *ret_document,
                        struct error *err)
{
    json_auto_t *root = NULL;
    if (document_parse(text, size, &root, err) < 0)
        return -1;
    CLEANUP(repo_document_done) struct repo_document document = {0};
    struct fields fields;
    fields_init(&fields, root, NULL, ERROR_CORRUPT, err);
    if (read_fields(&fields, &document) < 0)
        return -1;
    *ret_document = document;
    document = (struct repo_document){0};
    return 0;
}

int repo_document_same(const struct repo_document *found, const struct repo_document *wanted,
                       struct error *err)
{
    if (strcmp(found->namespace, wanted->namespace) == 0 &&
        strcmp(found->name, wanted->name) == 0 &&
        found->system_identifier == wanted->system_identifier)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "the repository belongs to policy '%s/%s' and database system %" PRIu64
                     ", not to '%s/%s' and %" PRIu64 ": use another bucket or prefix",
                     found->namespace, found->name, found->system_identifier, wanted->namespace,
                     wanted->name, wanted->system_identifier);
}
