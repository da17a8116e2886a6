// SPDX-License-Identifier: Apache-2.0
/*
 * The XML that S3 answers with: a page of a listing (ListBucketResult of ListObjectsV2) and errors.
 * Pure. The bytes are a stranger's: no document type, hence no entities, and bounds on everything.
 * Unknown elements are skipped. Reference: Amazon S3 API Reference, ListObjectsV2 and "Error
 * responses".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum {
    S3_XML_BYTES_MAX = 8 << 20, /* of a document */
    S3_XML_OBJECTS_MAX = 10000, /* of a page; S3 itself sends 1000 at most */
};

struct s3_xml_object {
    char *key; /* whole, of a prefix with the '/' at its end */
    uint64_t size;
    int64_t modified_ms;
    bool is_prefix; /* neither size nor modified_ms */
};

struct s3_xml_listing {
    struct s3_xml_object *objects; /* sorted by key, bytewise */
    size_t count;
    char *continuation; /* where the next page begins, NULL on the last one */
};

struct s3_xml_error {
    char code[64];     /* "NoSuchBucket" */
    char message[200]; /* without control characters and full stop, cut */
    char region[64];   /* where the bucket is, if the store says so; else "" */
};

/* CORRUPT */
MUST_CHECK int s3_xml_parse_listing(struct s3_xml_listing *ret_listing, const void *data,
                                    size_t size, struct error *err);
void s3_xml_listing_done(struct s3_xml_listing *listing);

/* Whether data is an error document with a code. */
bool s3_xml_parse_error(struct s3_xml_error *ret_error, const void *data, size_t size);
