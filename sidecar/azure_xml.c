// SPDX-License-Identifier: Apache-2.0
#include "sidecar/azure_xml.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/own.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

struct listing_reader {
    struct xml_document document;
    struct store_page *page;
    struct store_page_object object; /* the one that is open */
    bool has_size, has_time;
};

struct error_reader {
    struct xml_document document;
    struct azure_xml_error *error;
};

static bool is_open(const struct xml_document *document, unsigned depth, const char *name)
{
    return document->depth >= depth && strcmp(document->path[depth], name) == 0;
}

static void keep_object(struct listing_reader *reader, bool is_prefix)
{
    struct store_page_object *object = &reader->object;
    object->is_prefix = is_prefix;
    if (!object->key || (!is_prefix && !(reader->has_size && reader->has_time)))
        xml_document_refuse(&reader->document, "a blob lacks its name, size or time");
    else if (!store_page_add(reader->page, object))
        xml_document_refuse(&reader->document, "it has too many blobs");
    reader->has_size = reader->has_time = false;
}

/* Blobs/Blob/Properties/… */
static void read_property(struct listing_reader *reader, const char *name, const char *text)
{
    bool good = true;
    if (strcmp(name, "Content-Length") == 0)
        good = reader->has_size = store_page_parse_size(text, &reader->object.size);
    else if (strcmp(name, "Last-Modified") == 0)
        good = reader->has_time = clock_parse_http(text, &reader->object.modified_ms);
    if (!good)
        xml_document_refuse(&reader->document, "a blob's size or time is malformed");
}

/* Blobs/Blob/Name and Blobs/BlobPrefix/Name, and the end of what is around them */
static void read_blob(struct listing_reader *reader, const char *name, const char *text)
{
    struct xml_document *document = &reader->document;
    bool is_prefix = is_open(document, 3, "BlobPrefix");
    if (!is_prefix && !is_open(document, 3, "Blob"))
        return;
    if (document->depth == 3) {
        keep_object(reader, is_prefix);
    } else if (document->depth == 4 && strcmp(name, "Name") == 0) {
        free(reader->object.key);
        reader->object.key = own_strdup(text);
    } else if (document->depth == 5 && !is_prefix && is_open(document, 4, "Properties")) {
        read_property(reader, name, text);
    }
}

static void read_listing(struct xml_document *document, const char *name, const char *text)
{
    struct listing_reader *reader = (struct listing_reader *)document;
    if (is_open(document, 2, "Blobs")) {
        read_blob(reader, name, text);
    } else if (document->depth == 2 && strcmp(name, "NextMarker") == 0) {
        free(reader->page->next);
        reader->page->next = *text ? own_strdup(text) : NULL;
    }
}

/* Messages go on with "RequestId:…" and "Time:…" on lines of their own. */
static void copy_line(char *to, size_t to_size, const char *text)
{
    CLEANUP(own_freep) char *line = own_strdup(text);
    line[strcspn(line, "\r\n")] = '\0';
    xml_document_copy(to, to_size, line);
}

static void read_error(struct xml_document *document, const char *name, const char *text)
{
    struct azure_xml_error *error = ((struct error_reader *)document)->error;
    if (document->depth != 2)
        return;
    if (strcmp(name, "Code") == 0)
        copy_line(error->code, sizeof(error->code), text);
    else if (strcmp(name, "Message") == 0)
        copy_line(error->message, sizeof(error->message), text);
    else if (strcmp(name, "AuthenticationErrorDetail") == 0)
        copy_line(error->detail, sizeof(error->detail), text);
}

bool azure_xml_parse_error(struct azure_xml_error *ret_error, const void *data, size_t size)
{
    struct azure_xml_error error = {0};
    struct error_reader reader = {.document = {.root = "Error", .element = read_error},
                                  .error = &error};
    if (xml_document_read(&reader.document, data, size) || !error.code[0])
        return false;
    *ret_error = error;
    return true;
}

int azure_xml_parse_listing(struct store_page *ret_page, const void *data, size_t size,
                            struct error *err)
{
    CLEANUP(store_page_done) struct store_page page = {0};
    struct listing_reader reader = {
        .document = {.root = "EnumerationResults", .element = read_listing}, .page = &page};
    const char *problem = xml_document_read(&reader.document, data, size);
    free(reader.object.key);
    if (problem)
        return error_set(err, ERROR_CORRUPT, "listing of the container: %s", problem);
    store_page_sort(&page);
    *ret_page = page;
    page = (struct store_page){0};
    return 0;
}
