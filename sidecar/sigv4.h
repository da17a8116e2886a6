// SPDX-License-Identifier: Apache-2.0
/*
 * AWS Signature Version 4 in the Authorization header, pure ("Signature Calculations for the
 * Authorization Header: Transferring Payload in a Single Chunk", Amazon S3 API Reference). What is
 * signed is what is sent: the path as it stands in the request, encoded once and not normalised,
 * which is S3's rule.
 */
#pragma once

enum { SIGV4_PARTS_MAX = 32 }; /* headers, and parameters of a query */

struct sigv4_signer {
    const char *access_key_id, *secret_access_key;
    const char *region, *service;
};

struct sigv4_request {
    const char *method;
    const char *path;  /* percent-encoded, from the first '/' */
    const char *query; /* percent-encoded, without '?', in any order; "" if there is none */
    const char *const *headers; /* "Name: value" of all that are signed, NULL-terminated; host and
                                   x-amz-date at least, x-amz-security-token if there is one */
    const char *payload_hash;   /* hexadecimal SHA-256 of the body */
    const char *time;           /* "20130524T000000Z", as in x-amz-date */
};

/* What is signed, for tests and for comparing with what a server says it expected. The caller's
 * (own_freep). */
char *sigv4_canonical_request(const struct sigv4_request *request);
/* The value of the Authorization header. The caller's (own_freep). */
char *sigv4_authorization(const struct sigv4_signer *signer, const struct sigv4_request *request);
