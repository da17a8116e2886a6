// SPDX-License-Identifier: Apache-2.0
/*
 * What an answer of S3 that is not a success means: its kind, and a text with which a person can
 * act. Pure. Reference: Amazon S3 API Reference, "Error responses", list of error codes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Where the request went, lent, and who signed it. */
struct s3_target {
    const char *host, *bucket, *region;
    bool by_role; /* with a key that was lent, not with one of the Secret */
};

struct s3_answer {
    int status;
    const void *body; /* as far as it came; NULL for HEAD */
    size_t size;
    const char *bucket_region; /* header x-amz-bucket-region; NULL if there is none */
    int64_t clock_skew_ms;     /* the store's clock minus ours */
};

/* Whether this is an answer of success: a status 2xx and, S3 being what it is, no error document
 * in it. */
bool s3_failure_is_none(const struct s3_answer *answer);
/* Whether the key was refused, or may have been, so that another one may help: of an answer that is
 * none of success. HEAD tells no reason. */
bool s3_failure_is_refusal(const struct s3_answer *answer);
/* Sets err, for an answer that is none of success; gives -1. NOT_FOUND: no such object; CONFLICT:
 * it exists already; TRANSIENT; PERMANENT. */
int s3_failure_set(struct error *err, const struct s3_target *target,
                   const struct s3_answer *answer);
