// SPDX-License-Identifier: Apache-2.0
/*
 * The XML that S3 and the service that lends keys for it (STS) answer with: a page of a listing
 * (ListBucketResult of ListObjectsV2), whether a bucket has Object Lock, a key, and errors. Pure.
 * The bytes are a stranger's (xml_document). Unknown elements are skipped. Reference: Amazon S3 API
 * Reference, ListObjectsV2, GetObjectLockConfiguration and "Error responses"; AWS STS API
 * Reference, AssumeRoleWithWebIdentity.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct credential;
struct store_page;

struct s3_xml_error {
    char code[64];     /* "NoSuchBucket" */
    char message[200]; /* without control characters and full stop, cut */
    char region[64];   /* where the bucket is, if the store says so; else "" */
};

/* CORRUPT */
MUST_CHECK int s3_xml_parse_listing(struct store_page *ret_page, const void *data, size_t size,
                                    struct error *err);

/* Of GetObjectLockConfiguration: whether objects may be under retention. CORRUPT */
MUST_CHECK int s3_xml_parse_lock(bool *ret_enabled, const void *data, size_t size,
                                 struct error *err);
/* Of AssumeRoleWithWebIdentity: the key that it lends. CORRUPT */
MUST_CHECK int s3_xml_parse_key(struct credential *ret_key, const void *data, size_t size,
                                struct error *err);

/* Whether data is an error document with a code, of S3 or of STS. */
bool s3_xml_parse_error(struct s3_xml_error *ret_error, const void *data, size_t size);
