// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/credential.h"
#include "sidecar/s3_key.h"
#include "sidecar/s3_xml.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

#define CONTENT(key, size)                                                                         \
    "<Contents><Key>" key "</Key><LastModified>2013-09-17T18:07:53.500Z</LastModified><Size>" size \
    "</Size></Contents>"

static int parse(struct store_page *listing, const char *text, struct error *err)
{
    return s3_xml_parse_listing(listing, text, strlen(text), err);
}

static void assert_corrupt(const char *text, const char *why)
{
    struct store_page listing = {0};
    struct error err;
    assert_int_equal(parse(&listing, text, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_null(listing.objects);
    if (!strstr(err.text, why))
        fail_msg("%s: %s", text, err.text);
}

static void a_listing_gives_objects_and_prefixes_sorted(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page listing = {0};
    struct error err;
    assert_int_equal(
        parse(&listing,
              "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
              "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
              "<Prefix>p/</Prefix><IsTruncated>false</IsTruncated>"
              "<NextContinuationToken>not used</NextContinuationToken>" //
              CONTENT("p/a", "857") CONTENT(
                  "p/c",
                  "18446744073709551615") "<CommonPrefixes><Prefix>p/b/</Prefix></CommonPrefixes>"
                                          "</ListBucketResult>",
              &err),
        0);
    assert_int_equal(listing.count, 3);
    assert_null(listing.next);
    assert_string_equal(listing.objects[0].key, "p/a");
    assert_int_equal(listing.objects[0].size, 857);
    assert_int_equal(listing.objects[0].modified_ms, 1379441273500);
    assert_string_equal(listing.objects[1].key, "p/b/");
    assert_true(listing.objects[1].is_prefix);
    assert_int_equal(listing.objects[2].size, UINT64_MAX);
}

static void a_truncated_listing_says_where_it_goes_on(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page listing = {0};
    struct error err;
    assert_int_equal(parse(&listing,
                           "<ListBucketResult><NextContinuationToken>a&amp;b</"
                           "NextContinuationToken><IsTruncated>true</IsTruncated>"
                           "</ListBucketResult>",
                           &err),
                     0);
    assert_string_equal(listing.next, "a&b");
    assert_corrupt("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                   "not where");
}

static void keys_are_decoded_where_the_listing_says_so(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page listing = {0}, plain = {0};
    struct error err;
    assert_int_equal(
        parse(&listing,
              "<ListBucketResult>" CONTENT(
                  "a%2Fb+c%zz%00%", "1") "<EncodingType>url</EncodingType></ListBucketResult>",
              &err),
        0);
    assert_string_equal(listing.objects[0].key, "a/b c%zz%00%");
    assert_int_equal(
        parse(&plain, "<ListBucketResult>" CONTENT("a%2F+b", "1") "</ListBucketResult>", &err), 0);
    assert_string_equal(plain.objects[0].key, "a%2F+b");
}

static void what_is_broken_is_corrupt(void **state)
{
    (void)state;
    assert_corrupt("", "not well-formed");
    assert_corrupt("hello", "not well-formed");
    assert_corrupt("<ListBucketResult><Contents><Key>half", "not well-formed");
    assert_corrupt("<html/>", "its root");
    assert_corrupt("<Error><Code>SlowDown</Code></Error>", "its root");
    assert_corrupt("<ListBucketResult>" CONTENT("a", "-1") "</ListBucketResult>", "malformed");
    assert_corrupt("<ListBucketResult>" CONTENT("a", "") "</ListBucketResult>", "malformed");
    assert_corrupt("<ListBucketResult>" CONTENT("a", "18446744073709551616") "</ListBucketResult>",
                   "malformed");
    assert_corrupt("<ListBucketResult><Contents><Key>a</Key><LastModified>today</LastModified>"
                   "</Contents></ListBucketResult>",
                   "malformed");
    assert_corrupt("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
                   "lacks");
    assert_corrupt("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
                   "lacks");
    assert_corrupt("<ListBucketResult><CommonPrefixes></CommonPrefixes></ListBucketResult>",
                   "lacks");
    assert_corrupt("<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
                   "nested");
}

static void a_document_type_and_its_entities_are_refused(void **state)
{
    (void)state;
    assert_corrupt("<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>"
                   "<ListBucketResult><Name>&b;</Name></ListBucketResult>",
                   "document type");
    assert_corrupt("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><ListBucketResult/>",
                   "document type");
    assert_corrupt("<ListBucketResult><Name>&b;</Name></ListBucketResult>", "not well-formed");
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    struct store_page listing = {0};
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(XML_DOCUMENT_BYTES_MAX);
    assert_int_equal(buf_format(&text, &err, "<ListBucketResult><Name>"), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_format(&text, &err, "0123456789"), 0);
    CLEANUP(own_freep) char *long_name = buf_string(&text);
    assert_corrupt(long_name, "too long");

    buf_clear(&text);
    assert_int_equal(buf_format(&text, &err, "<ListBucketResult>"), 0);
    for (int i = 0; i <= STORE_PAGE_OBJECTS_MAX; i++)
        assert_int_equal(buf_format(&text, &err, CONTENT("a", "1")), 0);
    CLEANUP(own_freep) char *many = buf_string(&text);
    assert_corrupt(many, "too many");

    assert_int_equal(s3_xml_parse_listing(&listing, many, XML_DOCUMENT_BYTES_MAX + 1UL, &err), -1);
    assert_non_null(strstr(err.text, "too large"));
}

static bool parse_error(struct s3_xml_error *error, const char *text)
{
    return s3_xml_parse_error(error, text, strlen(text));
}

static void an_error_gives_code_message_and_region(void **state)
{
    (void)state;
    struct s3_xml_error error;
    assert_true(parse_error(&error, "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code>"
                                    "<Message>It is\n\x7fnot there. </Message>"
                                    "<Region>eu-west-1</Region><RequestId>x</RequestId></Error>"));
    assert_string_equal(error.code, "NoSuchKey");
    assert_string_equal(error.message, "It is  not there");
    assert_string_equal(error.region, "eu-west-1");
}

static void what_is_no_error_is_told_so(void **state)
{
    (void)state;
    struct s3_xml_error error;
    assert_false(parse_error(&error, ""));
    assert_false(parse_error(&error, "<html><body>502 Bad Gateway</body></html>"));
    assert_false(parse_error(&error, "<Error><Message>no code</Message></Error>"));
    assert_false(parse_error(&error, "<Error><a><Code>deeper</Code></a></Error>"));
    assert_false(parse_error(&error, "<Error><Code>SlowDown</Code>"));
}

#define LENT(credentials)                                                                          \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><"                        \
    "Credentials>" credentials                                                                     \
    "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
#define PAIR "<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"

static void a_key_that_is_lent_is_read_with_its_end(void **state)
{
    (void)state;
    static const char text[] =
        LENT(PAIR "<SessionToken>T&amp;</SessionToken><Expiration>2030-01-01T00:00:00Z"
                  "</Expiration>");
    CLEANUP(credential_done) struct credential key = {0};
    struct error err;
    assert_int_equal(s3_xml_parse_key(&key, text, strlen(text), &err), 0);
    assert_string_equal(credential_text(&key.id), "A");
    assert_string_equal(credential_text(&key.secret), "S");
    assert_string_equal(credential_text(&key.session), "T&");
    assert_int_equal(key.expires_ms, 1893456000000);
}

static void a_key_that_makes_no_sense_is_corrupt(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        LENT(""),
        LENT("<AccessKeyId>A</AccessKeyId>"),
        LENT(PAIR "<SessionToken>a b</SessionToken>"),
        LENT(PAIR "<Expiration>tomorrow</Expiration>"),
        "<AssumeRoleResponse/>",
        "<AssumeRoleWithWebIdentityResponse>" PAIR "</AssumeRoleWithWebIdentityResponse>",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct credential key = {0};
        struct error err = {0};
        if (s3_xml_parse_key(&key, texts[i], strlen(texts[i]), &err) == 0 ||
            err.kind != ERROR_CORRUPT)
            fail_msg("%s: %s", texts[i], err.text);
        assert_null(key.id.data);
    }
}

static void whether_a_bucket_has_object_lock_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        bool enabled;
    } table[] = {
        {"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
         "<DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
         "</ObjectLockConfiguration>",
         0, true},
        {"<ObjectLockConfiguration/>", 0, false},
        {"<ObjectLockConfiguration><Rule><ObjectLockEnabled>Enabled</ObjectLockEnabled></Rule>"
         "</ObjectLockConfiguration>",
         0, false},
        {"<Other/>", -1, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        bool enabled = false;
        struct error err = {.kind = ERROR_CORRUPT};
        assert_int_equal(s3_xml_parse_lock(&enabled, table[i].text, strlen(table[i].text), &err),
                         table[i].result);
        assert_int_equal(enabled, table[i].enabled);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

static void an_error_may_be_wrapped_as_by_sts(void **state)
{
    (void)state;
    static const char wrapped[] = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied"
                                  "</Code><Message>No.</Message></Error><RequestId>1</RequestId>"
                                  "</ErrorResponse>",
                      outside[] = "<ErrorResponse><Other><Code>C</Code></Other></ErrorResponse>";
    struct s3_xml_error error;
    assert_true(s3_xml_parse_error(&error, wrapped, strlen(wrapped)));
    assert_string_equal(error.code, "AccessDenied");
    assert_string_equal(error.message, "No");
    assert_false(s3_xml_parse_error(&error, outside, strlen(outside)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_gives_objects_and_prefixes_sorted),
        cmocka_unit_test(a_truncated_listing_says_where_it_goes_on),
        cmocka_unit_test(keys_are_decoded_where_the_listing_says_so),
        cmocka_unit_test(what_is_broken_is_corrupt),
        cmocka_unit_test(a_document_type_and_its_entities_are_refused),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(an_error_gives_code_message_and_region),
        cmocka_unit_test(what_is_no_error_is_told_so),
        cmocka_unit_test(a_key_that_is_lent_is_read_with_its_end),
        cmocka_unit_test(a_key_that_makes_no_sense_is_corrupt),
        cmocka_unit_test(whether_a_bucket_has_object_lock_is_read),
        cmocka_unit_test(an_error_may_be_wrapped_as_by_sts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
