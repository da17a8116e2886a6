// SPDX-License-Identifier: Apache-2.0
/*
 * repository.json: what a repository belongs to, in clear (docs/repository-format.md). Pure.
 */
#pragma once

#include <stdint.h>

#include "common/digest.h"
#include "common/error.h"
#include "sidecar/keys.h"

enum { REPO_DOCUMENT_MAX = 65536 };

struct repo_document {
    char *namespace, *name;
    uint64_t system_identifier;
    char id_key[KEY_ID_TEXT_BYTES];
    char *writer; /* uid of the writing cluster's kube-system namespace; NULL outside Kubernetes */
};

void repo_document_done(struct repo_document *document);

/* The repository id: the same in every region. */
void repo_document_id(const struct repo_document *document, uint8_t ret_id[DIGEST_BYTES]);
/* The document as text; the caller's (own_freep). */
char *repo_document_format(const struct repo_document *document);
/* CORRUPT: not a valid document; PERMANENT: a newer format. */
MUST_CHECK int repo_document_parse(const void *text, size_t size,
                                   struct repo_document *ret_document, struct error *err);
/* PERMANENT unless both name the same policy and database system; the text names both. */
MUST_CHECK int repo_document_same(const struct repo_document *found,
                                  const struct repo_document *wanted, struct error *err);
