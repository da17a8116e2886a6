// SPDX-License-Identifier: Apache-2.0
/*
 * A JSON document of the repository, as repository.json, key objects and manifests are: an object
 * whose member "format" says which version of the repository format it follows. Pure.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

enum { DOCUMENT_FORMAT = 1 };

/* Parses text and looks at "format"; the rest is the caller's to read with fields.h, which must be
 * told of "format" by fields_skip. The root is the caller's (json_auto_t). CORRUPT: not such a
 * document; PERMANENT: a newer format. Errors do not say which document it is. */
MUST_CHECK int document_parse(const void *text, size_t size, json_t **ret_root, struct error *err);
