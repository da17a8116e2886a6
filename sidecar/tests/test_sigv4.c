// SPDX-License-Identifier: Apache-2.0
/* The vectors are those of the AWS Signature Version 4 test suite and of the examples in the Amazon
 * S3 API Reference ("Signature Calculations for the Authorization Header"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/sigv4.h"

#define DATE "20150830T123600Z"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TOKEN                                                                                      \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP" \
    "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT" \
    "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz" \
    "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

struct vector {
    const char *name, *method, *path, *query;
    const char *headers[6]; /* besides Host and X-Amz-Date */
    const char *body;       /* NULL: none */
    const char *signed_headers, *signature;
};

static const char host_date[] = "host;x-amz-date";
static const char host_header_date[] = "host;my-header1;x-amz-date";

static const struct vector suite[] = {
    {"get-vanilla",
     "GET",
     "/",
     "",
     {NULL},
     NULL,
     host_date,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     {NULL},
     NULL,
     host_date,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {NULL},
     NULL,
     host_date,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-encoded",
     "GET",
     "/",
     "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     {NULL},
     NULL,
     host_date,
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     UNRESERVED "=" UNRESERVED,
     {NULL},
     NULL,
     host_date,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "%E1%88%B4=bar",
     {NULL},
     NULL,
     host_date,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-unreserved",
     "GET",
     "/" UNRESERVED,
     "",
     {NULL},
     NULL,
     host_date,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/%E1%88%B4",
     "",
     {NULL},
     NULL,
     host_date,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-space",
     "GET",
     "/example%20space/",
     "",
     {NULL},
     NULL,
     host_date,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-slashes-unnormalized",
     "GET",
     "//example//",
     "",
     {NULL},
     NULL,
     host_date,
     "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
    {"get-relative-unnormalized",
     "GET",
     "/example/..",
     "",
     {NULL},
     NULL,
     host_date,
     "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
    {"get-slash-pointless-dot-unnormalized",
     "GET",
     "/./example",
     "",
     {NULL},
     NULL,
     host_date,
     "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     "",
     {"My-Header1:value2", "My-Header1:value2", "My-Header1:value1"},
     NULL,
     host_header_date,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     "",
     {"My-Header1:value4", "My-Header1:value1", "My-Header1:value3", "My-Header1:value2"},
     NULL,
     host_header_date,
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     {"My-Header1: value1  ", "My-Header2: \"a   b   c\""},
     NULL,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-vanilla-with-session-token",
     "GET",
     "/",
     "",
     {"X-Amz-Security-Token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"},
     NULL,
     "host;x-amz-date;x-amz-security-token",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-vanilla",
     "POST",
     "/",
     "",
     {NULL},
     NULL,
     host_date,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     {NULL},
     NULL,
     host_date,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     "",
     {"My-Header1:value1"},
     NULL,
     host_header_date,
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     "",
     {"My-Header1:VALUE1"},
     NULL,
     host_header_date,
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-sts-header-before",
     "POST",
     "/",
     "",
     {"X-Amz-Security-Token:" TOKEN},
     NULL,
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     {"Content-Type:application/x-www-form-urlencoded"},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     "",
     {"Content-Type:application/x-www-form-urlencoded; charset=utf8"},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
};

/* Of the Amazon S3 API Reference; these have their own date, keys and x-amz-content-sha256. */
static const struct vector s3[] = {
    {"GET Object",
     "GET",
     "/test.txt",
     "",
     {"Range: bytes=0-9"},
     NULL,
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT Object",
     "PUT",
     "/test%24file.text",
     "",
     {"Date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY"},
     "Welcome to Amazon S3.",
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET Bucket Lifecycle",
     "GET",
     "/",
     "lifecycle",
     {NULL},
     NULL,
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"GET Bucket (List Objects)",
     "GET",
     "/",
     "max-keys=2&prefix=J",
     {NULL},
     NULL,
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void hash_body(const char *body, char ret_hex[2 * DIGEST_BYTES + 1])
{
    uint8_t hash[DIGEST_BYTES];
    digest_sha256(body ? body : "", body ? strlen(body) : 0, hash);
    text_hex(hash, sizeof(hash), ret_hex);
}

static void assert_vector(const struct vector *vector, const struct sigv4_signer *signer,
                          const char *const first[3], const char *time)
{
    const char *headers[12] = {first[0], first[1], first[2]};
    char hash[2 * DIGEST_BYTES + 1];
    size_t count = first[2] ? 3 : 2;
    for (size_t i = 0; i < ARRAY_SIZE(vector->headers) && vector->headers[i]; i++)
        headers[count++] = vector->headers[i];
    hash_body(vector->body, hash);
    const struct sigv4_request request = {
        .method = vector->method,
        .path = vector->path,
        .query = vector->query,
        .headers = headers,
        .payload_hash = hash,
        .time = time,
    };
    CLEANUP(own_freep)
    char *expected = own_format("AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
                                "SignedHeaders=%s, Signature=%s",
                                signer->access_key_id, time, signer->service,
                                vector->signed_headers, vector->signature);
    CLEANUP(own_freep) char *authorization = sigv4_authorization(signer, &request);
    CLEANUP(own_freep) char *canonical = sigv4_canonical_request(&request);
    if (strcmp(authorization, expected) != 0)
        fail_msg("%s: %s\nof\n%s", vector->name, authorization, canonical);
}

static void the_vectors_of_the_test_suite_are_met(void **state)
{
    (void)state;
    const struct sigv4_signer signer = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                        "us-east-1", "service"};
    const char *const first[3] = {"Host:example.amazonaws.com", "X-Amz-Date:" DATE, NULL};
    for (size_t i = 0; i < ARRAY_SIZE(suite); i++)
        assert_vector(&suite[i], &signer, first, DATE);
}

static void the_examples_of_s3_are_met(void **state)
{
    (void)state;
    const struct sigv4_signer signer = {
        "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"};
    for (size_t i = 0; i < ARRAY_SIZE(s3); i++) {
        char hash[2 * DIGEST_BYTES + 1], header[128];
        hash_body(s3[i].body, hash);
        snprintf(header, sizeof(header), "x-amz-content-sha256: %s", hash);
        const char *const first[3] = {"Host: examplebucket.s3.amazonaws.com",
                                      "x-amz-date: 20130524T000000Z", header};
        assert_vector(&s3[i], &signer, first, "20130524T000000Z");
    }
}

static void the_canonical_request_is_that_of_the_documentation(void **state)
{
    (void)state;
    const char *const headers[] = {"x-amz-date: 20130524T000000Z",
                                   "x-amz-content-sha256: " EMPTY_HASH,
                                   "Host: examplebucket.s3.amazonaws.com", NULL};
    const struct sigv4_request request = {
        .method = "GET",
        .path = "/",
        .query = "prefix=J&max-keys=2",
        .headers = headers,
        .payload_hash = EMPTY_HASH,
        .time = "20130524T000000Z",
    };
    CLEANUP(own_freep) char *canonical = sigv4_canonical_request(&request);
    assert_string_equal(canonical, "GET\n"
                                   "/\n"
                                   "max-keys=2&prefix=J\n"
                                   "host:examplebucket.s3.amazonaws.com\n"
                                   "x-amz-content-sha256:" EMPTY_HASH "\n"
                                   "x-amz-date:20130524T000000Z\n"
                                   "\n"
                                   "host;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_test_suite_are_met),
        cmocka_unit_test(the_examples_of_s3_are_met),
        cmocka_unit_test(the_canonical_request_is_that_of_the_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
