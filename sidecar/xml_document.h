// SPDX-License-Identifier: Apache-2.0
/*
 * A stranger's XML, read element by element: no document type, hence no entities, and bounds on
 * everything. Whoever reads it is told of each element as it ends and picks what it knows; the rest
 * is skipped, as are attributes. Pure.
 */
#pragma once

#include <stddef.h>

#include "common/buf.h"

struct XML_ParserStruct;

enum {
    XML_DOCUMENT_BYTES_MAX = 8 << 20,
    XML_DOCUMENT_DEPTH_MAX = 16,
    XML_DOCUMENT_NAME_BYTES = 32, /* longer names are cut: they are none that we know */
};

struct xml_document {
    const char *root, *other_root; /* what the outermost element may be; other_root may be NULL */
    /* An element inside the root ended; text is what it has behind the last element in it, lent
     * during the call. */
    void (*element)(struct xml_document *document, const char *name, const char *text);

    /* For element: the names of those that are open, path[1] the root, path[depth] the one that
     * ends. */
    unsigned depth;
    char path[XML_DOCUMENT_DEPTH_MAX + 1][XML_DOCUMENT_NAME_BYTES];

    /* Its own. */
    struct XML_ParserStruct *parser;
    const char *problem;
    struct buf text; /* wiped: an answer may bring a secret */
};

/* What is wrong with the document, for a person, or NULL. */
const char *xml_document_read(struct xml_document *document, const void *data, size_t size);
/* For element: ends the reading with this problem, unless there is one already. */
void xml_document_refuse(struct xml_document *document, const char *problem);

/* Text for a message to a person, also on a terminal: cut to fit, without control characters and
 * the full stop at its end. */
void xml_document_copy(char *to, size_t to_size, const char *text);
