// SPDX-License-Identifier: Apache-2.0
/* A key of S3 in the answers of those who lend one. Pure. */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct credential;

/* Makes it a CREDENTIAL_S3_KEY, its texts being set. CORRUPT "no AccessKeyId" if one of the two
 * that every key has is empty. */
MUST_CHECK int s3_key_complete(struct credential *key, struct error *err);

/* The JSON of instance metadata ("IAM roles for Amazon EC2") and of the container credentials
 * provider (AWS SDKs and Tools Reference Guide). CORRUPT; PERMANENT: it says that there is none,
 * and why. */
MUST_CHECK int s3_key_parse_json(struct credential *ret_key, const void *data, size_t size,
                                 struct error *err);
