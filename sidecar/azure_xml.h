// SPDX-License-Identifier: Apache-2.0
/*
 * The XML that Azure Blob Storage answers with: a page of a listing (EnumerationResults of List
 * Blobs) and errors. Pure, over bytes of a stranger's (xml_document). Unknown elements are skipped.
 * Reference: Azure Storage REST API, "List Blobs" and "Status and error codes".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct store_page;

struct azure_xml_error {
    char code[64];     /* "ContainerNotFound" */
    char message[200]; /* the first line, without control characters and full stop, cut */
    char detail[200];  /* AuthenticationErrorDetail, likewise; else "" */
};

/* CORRUPT */
MUST_CHECK int azure_xml_parse_listing(struct store_page *ret_page, const void *data, size_t size,
                                       struct error *err);

/* Whether data is an error document with a code. */
bool azure_xml_parse_error(struct azure_xml_error *ret_error, const void *data, size_t size);
