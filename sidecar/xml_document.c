// SPDX-License-Identifier: Apache-2.0
#include "sidecar/xml_document.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

enum { TEXT_BYTES_MAX = 8192 }; /* of an element; a name of 1024 bytes, percent-encoded, has 3072 */

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int internal)
{
    (void)name, (void)system, (void)public, (void)internal;
    xml_document_refuse(arg, "it has a document type");
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_document *document = arg;
    (void)attributes;
    buf_clear(&document->text);
    document->depth++;
    if (document->depth > XML_DOCUMENT_DEPTH_MAX) {
        xml_document_refuse(document, "its elements are nested too deeply");
        return;
    }
    if (document->depth == 1 && strcmp(name, document->root) != 0 &&
        !(document->other_root && strcmp(name, document->other_root) == 0))
        xml_document_refuse(document, "its root is another element");
    char *open = document->path[document->depth];
    size_t size = strnlen(name, XML_DOCUMENT_NAME_BYTES - 1);
    memcpy(open, name, size);
    open[size] = '\0';
}

static void on_text(void *arg, const XML_Char *text, int size)
{
    struct xml_document *document = arg;
    struct error ignored;
    if (buf_append(&document->text, text, (size_t)size, &ignored) < 0)
        xml_document_refuse(document, "an element is too long");
}

static void on_end(void *arg, const XML_Char *name)
{
    struct xml_document *document = arg;
    on_text(document, "", 1);
    if (!document->problem && document->depth > 1)
        document->element(document, name, (const char *)document->text.data);
    buf_clear(&document->text);
    document->depth--;
}

void xml_document_copy(char *to, size_t to_size, const char *text)
{
    size_t size = strnlen(text, to_size - 1);
    for (size_t i = 0; i < size; i++)
        to[i] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
    while (size > 0 && (to[size - 1] == '.' || to[size - 1] == ' '))
        size--;
    to[size] = '\0';
}

void xml_document_refuse(struct xml_document *document, const char *problem)
{
    if (!document->problem)
        document->problem = problem;
    XML_StopParser(document->parser, XML_FALSE);
}

const char *xml_document_read(struct xml_document *document, const void *data, size_t size)
{
    if (size > XML_DOCUMENT_BYTES_MAX)
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
