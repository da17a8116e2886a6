// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "sidecar/token_exchange.h"

static void a_token_is_what_its_file_holds_without_line_ends(void **state)
{
    (void)state;
    static const struct {
        const char *content, *token; /* NULL: none */
    } table[] = {{"ey.J/+", "ey.J/+"}, {"ey.J\n", "ey.J"}, {"ey.J\r\n", "ey.J"},
                 {"", NULL},           {"\n", NULL},       {"a\nb", NULL},
                 {"a b", NULL},        {"\xc3\xa9", NULL}};
    CLEANUP(own_freep) char *directory = helper_directory_new();
    CLEANUP(own_freep) char *path = own_format("%s/token", directory);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        CLEANUP(buf_done) struct buf token = {0};
        struct error err = {0};
        helper_directory_write(directory, "token", table[i].content);
        int result = token_exchange_read(&token, path, &err);
        if (result != (table[i].token ? 0 : -1))
            fail_msg("'%s': %s", table[i].content, err.text);
        if (result == 0)
            assert_string_equal(credential_text(&token), table[i].token);
        else
            assert_int_equal(err.kind, ERROR_PERMANENT);
    }
    helper_directory_remove(TAKE(directory));
}

static void fields_of_a_form_are_encoded(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf form = BUF_SECRET(24);
    struct error err;
    assert_int_equal(token_exchange_add(&form, "a", "b c&d=e", &err), 0);
    assert_int_equal(token_exchange_add(&form, "f", "", &err), 0);
    CLEANUP(own_freep) char *text = buf_string(&form);
    assert_string_equal(text, "a=b%20c%26d%3De&f=");
    assert_int_equal(token_exchange_add(&form, "too", "long", &err), -1);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void tokens_go_nowhere_in_the_clear(void **state)
{
    (void)state;
    static const char *const safe[] = {"https://sts.example.org/", "http://127.0.0.1:80/",
                                       "http://localhost", "http://[::1]:80/",
                                       "http://169.254.170.23/v1/credentials"};
    static const char *const unsafe[] = {"http://sts.example.org/",
                                         "http://localhost.example.org/",
                                         "http://127.0.0.1@example.org/",
                                         "http://localhost:80@example.org/",
                                         "http://[::1",
                                         "ftp://127.0.0.1/",
                                         "localhost",
                                         ""};
    for (size_t i = 0; i < ARRAY_SIZE(safe); i++)
        if (!token_exchange_is_safe(safe[i]))
            fail_msg("%s", safe[i]);
    for (size_t i = 0; i < ARRAY_SIZE(unsafe); i++)
        if (token_exchange_is_safe(unsafe[i]))
            fail_msg("%s", unsafe[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_what_its_file_holds_without_line_ends),
        cmocka_unit_test(fields_of_a_form_are_encoded),
        cmocka_unit_test(tokens_go_nowhere_in_the_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
