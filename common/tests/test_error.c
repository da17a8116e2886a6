// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/own.h"

static void setting_an_error_gives_kind_text_and_failure(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, ERROR_CONFLICT, "object '%s' has %d bytes", "a", 3), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.text, "object 'a' has 3 bytes");
}

static void wrapping_puts_the_outside_first_and_keeps_the_kind(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_TRANSIENT, "S3 503 SlowDown");
    assert_int_equal(error_wrap(&err, "put '%s'", "packs/1"), -1);
    error_wrap(&err, "upload packs");
    assert_int_equal(err.kind, ERROR_TRANSIENT);
    assert_string_equal(err.text, "upload packs: put 'packs/1': S3 503 SlowDown");
}

static void an_error_may_be_made_of_its_own_text(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_PERMANENT, "no space");
    error_set(&err, ERROR_CORRUPT, "second try: %s", err.text);
    assert_string_equal(err.text, "second try: no space");
    error_wrap(&err, "<%s>", err.text);
    assert_string_equal(err.text, "<second try: no space>: second try: no space");
}

static void errno_decides_the_kind(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum error_kind kind;
    } cases[] = {
        {ENOENT, ERROR_NOT_FOUND},       {EEXIST, ERROR_CONFLICT},
        {ENOTEMPTY, ERROR_CONFLICT},     {EAGAIN, ERROR_TRANSIENT},
        {EINTR, ERROR_TRANSIENT},        {ETIMEDOUT, ERROR_TRANSIENT},
        {ECONNREFUSED, ERROR_TRANSIENT}, {ECONNRESET, ERROR_TRANSIENT},
        {ECONNABORTED, ERROR_TRANSIENT}, {EPIPE, ERROR_TRANSIENT},
        {EHOSTUNREACH, ERROR_TRANSIENT}, {ENETUNREACH, ERROR_TRANSIENT},
        {ENOSPC, ERROR_PERMANENT},       {EACCES, ERROR_PERMANENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err;
        assert_int_equal(error_errno(&err, cases[i].errnum, "x"), -1);
        assert_int_equal(err.kind, cases[i].kind);
    }
}

static void errno_adds_its_description(void **state)
{
    (void)state;
    struct error err;
    error_errno(&err, ENOSPC, "write '%s'", "base/1/2");
    assert_string_equal(err.text, "write 'base/1/2': No space left on device");
    error_errno(&err, 99999, "write");
    assert_string_equal(err.text, "write: unknown error");
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    struct error err;
    error_set(&err, ERROR_PERMANENT, "no object '%s'", name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    error_wrap(&err, "open");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "open: no object 'xxx", 20);
}

static void a_cut_does_not_split_a_character(void **state)
{
    (void)state;
    char name[sizeof(((struct error *)0)->text) + 8];
    memset(name, 'x', sizeof(name));
    for (size_t split = 1; split <= 3; split++) {
        size_t at = sizeof(((struct error *)0)->text) - 1 - split;
        memcpy(name + at, "\xF0\x9F\x90\x98", 5); /* an elephant */
        struct error err;
        error_set(&err, ERROR_PERMANENT, "%s", name);
        assert_int_equal(strlen(err.text), at);
        memset(name + at, 'x', 5);
    }
    struct error err;
    memcpy(name + sizeof(err.text) - 5, "\xF0\x9F\x90\x98yyy", 8);
    error_set(&err, ERROR_PERMANENT, "%s", name);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1); /* it just fits */
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(error_kind_name(ERROR_NONE), "none");
    assert_string_equal(error_kind_name(ERROR_TRANSIENT), "transient");
    assert_string_equal(error_kind_name(ERROR_PERMANENT), "permanent");
    assert_string_equal(error_kind_name(ERROR_NOT_FOUND), "not-found");
    assert_string_equal(error_kind_name(ERROR_CONFLICT), "conflict");
    assert_string_equal(error_kind_name(ERROR_CORRUPT), "corrupt");
    assert_string_equal(error_kind_name(ERROR_CANCELED), "canceled");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_an_error_gives_kind_text_and_failure),
        cmocka_unit_test(wrapping_puts_the_outside_first_and_keeps_the_kind),
        cmocka_unit_test(an_error_may_be_made_of_its_own_text),
        cmocka_unit_test(errno_decides_the_kind),
        cmocka_unit_test(errno_adds_its_description),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(a_cut_does_not_split_a_character),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
