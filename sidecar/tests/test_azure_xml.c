// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/azure_xml.h"
#include "sidecar/store_page.h"
#include "sidecar/xml_document.h"

#define TIME "Wed, 09 Sep 2009 09:20:02 GMT"
#define BLOB(name, size)                                                                           \
    "<Blob><Name>" name "</Name><Deleted>false</Deleted><Properties><Last-Modified>" TIME          \
    "</Last-Modified><Etag>0x8CB</Etag><Content-Length>" size                                      \
    "</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
#define LISTING(blobs)                                                                             \
    "<EnumerationResults ServiceEndpoint=\"https://a/\"><Blobs>" blobs                             \
    "</Blobs></EnumerationResults>"

static int parse(struct store_page *page, const char *text, struct error *err)
{
    return azure_xml_parse_listing(page, text, strlen(text), err);
}

static void assert_corrupt(const char *text, const char *why)
{
    struct store_page page = {0};
    struct error err;
    assert_int_equal(parse(&page, text, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_null(page.objects);
    if (!strstr(err.text, why))
        fail_msg("%s: %s", text, err.text);
}

static void a_listing_gives_blobs_and_prefixes_sorted(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page page = {0};
    struct error err;
    assert_int_equal(parse(&page,
                           "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>"
                           "<EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\">"
                           "<Prefix>p/</Prefix><Delimiter>/</Delimiter><Blobs>"   //
                           BLOB("p/a", "857") BLOB("p/c", "18446744073709551615") //
                           "<BlobPrefix><Name>p/b/</Name></BlobPrefix></Blobs><NextMarker />"
                           "</EnumerationResults>",
                           &err),
                     0);
    assert_int_equal(page.count, 3);
    assert_null(page.next);
    assert_string_equal(page.objects[0].key, "p/a");
    assert_int_equal(page.objects[0].size, 857);
    assert_int_equal(page.objects[0].modified_ms, 1252488002000);
    assert_string_equal(page.objects[1].key, "p/b/");
    assert_true(page.objects[1].is_prefix);
    assert_false(page.objects[2].is_prefix);
    assert_int_equal(page.objects[2].size, UINT64_MAX);
}

static void a_listing_says_where_it_goes_on(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page page = {0};
    struct error err;
    assert_int_equal(parse(&page,
                           "<EnumerationResults><Blobs/><NextMarker>2!76!a&amp;b</NextMarker>"
                           "</EnumerationResults>",
                           &err),
                     0);
    assert_int_equal(page.count, 0);
    assert_string_equal(page.next, "2!76!a&b");
}

static void what_is_broken_is_corrupt(void **state)
{
    (void)state;
    assert_corrupt("", "not well-formed");
    assert_corrupt("<EnumerationResults><Blobs><Blob><Name>half", "not well-formed");
    assert_corrupt("<ListBucketResult/>", "its root");
    assert_corrupt("<Error><Code>ServerBusy</Code></Error>", "its root");
    assert_corrupt(LISTING(BLOB("a", "-1")), "malformed");
    assert_corrupt(LISTING(BLOB("a", "18446744073709551616")), "malformed");
    assert_corrupt(LISTING("<Blob><Name>a</Name><Properties><Last-Modified>2009-09-09T09:20:02Z"
                           "</Last-Modified></Properties></Blob>"),
                   "malformed");
    assert_corrupt(LISTING("<Blob><Name>a</Name></Blob>"), "lacks");
    assert_corrupt(
        LISTING("<Blob><Properties><Content-Length>1</Content-Length><Last-Modified>" TIME
                "</Last-Modified></Properties></Blob>"),
        "lacks");
    assert_corrupt(LISTING("<BlobPrefix></BlobPrefix>"), "lacks");
    /* what one blob has does not do for the next one */
    assert_corrupt(LISTING(BLOB("a", "1") "<Blob><Name>b</Name></Blob>"), "lacks");
    assert_corrupt("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><EnumerationResults/>",
                   "document type");
}

static void what_stands_elsewhere_is_skipped(void **state)
{
    (void)state;
    CLEANUP(store_page_done) struct store_page page = {0};
    struct error err;
    assert_int_equal(
        parse(&page,
              "<EnumerationResults><Name>x</Name><Other>" BLOB(
                  "b",
                  "x") "</Other><Blobs><Other>"
                       "<Name>y</Name></Other><Blob><Name>a</Name><Metadata><Content-Length>x"
                       "</Content-Length></Metadata><Properties><Content-Length>3</Content-Length>"
                       "<Last-Modified>" TIME "</Last-Modified></Properties><Tags><TagSet><Tag>"
                       "<Key>Name</Key></Tag></TagSet></Tags></Blob></Blobs></EnumerationResults>",
              &err),
        0);
    assert_int_equal(page.count, 1);
    assert_string_equal(page.objects[0].key, "a");
    assert_int_equal(page.objects[0].size, 3);
}

static void a_page_is_bounded(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(buf_done) struct buf text = BUF(XML_DOCUMENT_BYTES_MAX);
    assert_int_equal(buf_format(&text, &err, "<EnumerationResults><Blobs>"), 0);
    for (int i = 0; i <= STORE_PAGE_OBJECTS_MAX; i++)
        assert_int_equal(buf_format(&text, &err, "<BlobPrefix><Name>a</Name></BlobPrefix>"), 0);
    CLEANUP(own_freep) char *many = buf_string(&text);
    assert_corrupt(many, "too many");
}

static void an_error_gives_code_first_line_and_detail(void **state)
{
    (void)state;
    struct azure_xml_error error;
    static const char text[] =
        "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error><Code>AuthenticationFailed"
        "</Code><Message>Server failed to authenticate the request.\nRequestId:1\nTime:2</Message>"
        "<AuthenticationErrorDetail>Signature\tdid not match.</AuthenticationErrorDetail></Error>";
    assert_true(azure_xml_parse_error(&error, text, strlen(text)));
    assert_string_equal(error.code, "AuthenticationFailed");
    assert_string_equal(error.message, "Server failed to authenticate the request");
    assert_string_equal(error.detail, "Signature did not match");
    assert_false(azure_xml_parse_error(&error, "", 0));
    assert_false(azure_xml_parse_error(&error, "<html/>", 7));
    assert_false(azure_xml_parse_error(&error, "<Error></Error>", 15));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_gives_blobs_and_prefixes_sorted),
        cmocka_unit_test(a_listing_says_where_it_goes_on),
        cmocka_unit_test(what_is_broken_is_corrupt),
        cmocka_unit_test(what_stands_elsewhere_is_skipped),
        cmocka_unit_test(a_page_is_bounded),
        cmocka_unit_test(an_error_gives_code_first_line_and_detail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
