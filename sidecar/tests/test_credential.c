// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/credential.h"

static void set(struct buf *text, const char *value)
{
    struct error err;
    assert_int_equal(credential_set(text, "it", value, strlen(value), &err), 0);
}

static void texts_have_bounds(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *text = own_alloc(CREDENTIAL_TEXT_MAX + 1);
    CLEANUP(buf_done) struct buf got = {0};
    struct error err;
    memset(text, 'k', CREDENTIAL_TEXT_MAX + 1);
    assert_int_equal(credential_set(&got, "it", text, CREDENTIAL_TEXT_MAX, &err), 0);
    assert_int_equal(strlen(credential_text(&got)), CREDENTIAL_TEXT_MAX);
    assert_int_equal(credential_set(&got, "it", text, CREDENTIAL_TEXT_MAX + 1, &err), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_int_equal(got.size, CREDENTIAL_TEXT_MAX);
}

static void what_no_header_holds_is_refused_and_not_repeated(void **state)
{
    (void)state;
    static const char *const texts[] = {"secret ", "secret\r\nHost: evil", "secret\x7f",
                                        "secr\xc3\xa9t"};
    CLEANUP(buf_done) struct buf got = {0};
    struct error err;
    set(&got, "before");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(credential_set(&got, "the key", texts[i], strlen(texts[i]), &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_string_equal(err.text, "the key has characters that no credential has");
    }
    assert_int_equal(credential_set(&got, "it", "a\0b", 3, &err), -1);
    assert_string_equal(credential_text(&got), "before");
    assert_int_equal(credential_set_bytes(&got, "it", "a\0b", 3, &err), 0);
    assert_memory_equal(got.data, "a\0b", 4);
}

static void a_text_of_nothing_is_empty(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf got = {0};
    assert_string_equal(credential_text(&got), "");
    set(&got, "a");
    set(&got, "");
    assert_int_equal(got.size, 0);
    assert_string_equal(credential_text(&got), "");
}

static void a_copy_is_the_same_until_a_part_differs(void **state)
{
    (void)state;
    CLEANUP(credential_done)
    struct credential key = {.kind = CREDENTIAL_S3_KEY, .expires_ms = 5}, copy = {0};
    struct buf *const parts[] = {&copy.id, &copy.secret, &copy.session};
    set(&key.id, "a");
    set(&key.secret, "b");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        credential_copy(&copy, &key);
        assert_true(credential_is_same(&copy, &key));
        assert_ptr_not_equal(copy.id.data, key.id.data);
        assert_int_equal(copy.expires_ms, 5);
        set(parts[i], "c");
        assert_false(credential_is_same(&copy, &key));
    }
    credential_copy(&copy, &key);
    copy.kind = CREDENTIAL_AZURE_KEY;
    assert_false(credential_is_same(&copy, &key));
    credential_done(&copy);
    assert_int_equal(copy.kind, CREDENTIAL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_bounds),
        cmocka_unit_test(what_no_header_holds_is_refused_and_not_repeated),
        cmocka_unit_test(a_text_of_nothing_is_empty),
        cmocka_unit_test(a_copy_is_the_same_until_a_part_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
