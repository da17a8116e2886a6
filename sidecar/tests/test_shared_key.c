// SPDX-License-Identifier: Apache-2.0
/* The strings to sign are the examples of "Authorize with Shared Key" in the Azure Storage REST API
 * reference; the signatures were made of them with OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/shared_key.h"

static void metadata_of_a_container_is_signed_as_in_the_reference(void **state)
{
    (void)state;
    static const char *const parameters[] = {"restype=container", "comp=metadata", "timeout=20",
                                             NULL};
    static const char *const headers[] = {"x-ms-version: 2015-02-21",
                                          "x-ms-date: Fri, 26 Jun 2015 23:39:12 GMT", NULL};
    const struct shared_key_request request = {
        .method = "GET", .path = "/mycontainer", .parameters = parameters, .headers = headers};
    CLEANUP(own_freep) char *text = shared_key_string_to_sign("myaccount", &request);
    assert_string_equal(text, "GET\n\n\n\n\n\n\n\n\n\n\n\n"
                              "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
                              "x-ms-version:2015-02-21\n"
                              "/myaccount/mycontainer\ncomp:metadata\nrestype:container\n"
                              "timeout:20");
}

static void a_put_signs_length_type_and_conditions(void **state)
{
    (void)state;
    static const char *const headers[] = {"If-None-Match: *",
                                          "Content-Type: text/plain; charset=UTF-8",
                                          "x-ms-blob-type: BlockBlob",
                                          "x-ms-date: Sun, 27 Sep 2009 22:33:35 GMT",
                                          "X-Ms-Version: 2021-08-06",
                                          "Host: myaccount.blob.core.windows.net",
                                          NULL};
    const struct shared_key_request request = {
        .method = "PUT", .path = "/mycontainer/a%20b", .headers = headers, .body_size = 11};
    const struct shared_key_signer signer = {.account = "myaccount", .key = "key", .key_size = 3};
    CLEANUP(own_freep) char *text = shared_key_string_to_sign("myaccount", &request);
    CLEANUP(own_freep) char *value = shared_key_authorization(&signer, &request);
    assert_string_equal(text, "PUT\n\n\n11\n\ntext/plain; charset=UTF-8\n\n\n\n*\n\n\n"
                              "x-ms-blob-type:BlockBlob\n"
                              "x-ms-date:Sun, 27 Sep 2009 22:33:35 GMT\n"
                              "x-ms-version:2021-08-06\n"
                              "/myaccount/mycontainer/a%20b");
    assert_string_equal(value, "SharedKey myaccount:Iws7y/BwEdUGZ+zKe33wL6FG3jIMGEHbkfk7q1iS6i0=");
}

static void a_range_is_signed_and_values_are_those_before_encoding(void **state)
{
    (void)state;
    static const char *const parameters[] = {"prefix=a/b=c", "Comp=list", "marker=2!76!x", NULL};
    static const char *const headers[] = {"Range: bytes=0-9", "x-ms-date: d", NULL};
    const struct shared_key_request request = {
        .method = "GET", .path = "/a/c", .parameters = parameters, .headers = headers};
    CLEANUP(own_freep) char *text = shared_key_string_to_sign("a", &request);
    assert_string_equal(text, "GET\n\n\n\n\n\n\n\n\n\n\nbytes=0-9\nx-ms-date:d\n/a/a/c"
                              "\ncomp:list\nmarker:2!76!x\nprefix:a/b=c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_of_a_container_is_signed_as_in_the_reference),
        cmocka_unit_test(a_put_signs_length_type_and_conditions),
        cmocka_unit_test(a_range_is_signed_and_values_are_those_before_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
