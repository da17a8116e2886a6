// SPDX-License-Identifier: Apache-2.0
/*
 * What an answer of Azure Blob Storage that is not a success means: its kind, and a text with which
 * a person can act. Pure. Reference: Azure Storage REST API, "Common REST API error codes" and
 * "Blob Storage error codes".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Where the request went, and as whom; lent. */
struct azure_target {
    const char *host, *container;
    bool identity; /* with a token of an identity, not with a key or a signature */
};

struct azure_answer {
    int status;
    const void *body; /* as far as it came */
    size_t size;
    const char *code;      /* header x-ms-error-code; NULL if there is none */
    int64_t clock_skew_ms; /* the store's clock minus ours */
};

/* Sets err, for an answer whose status is not 2xx; gives -1. NOT_FOUND: no such object; CONFLICT:
 * it exists already; TRANSIENT; PERMANENT. */
int azure_failure_set(struct error *err, const struct azure_target *target,
                      const struct azure_answer *answer);
