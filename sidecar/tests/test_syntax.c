// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/syntax.h"

#define HUNDRED                                                                                    \
    "a123456789a123456789a123456789a123456789a123456789a123456789a123456789a123456789a123456789"   \
    "a123456789"

struct examples {
    syntax_rule rule;
    const char *good[12], *bad[16];
};

static const struct examples all[] = {
    {syntax_label,
     {"a", "eu-central-1", "0", "a--b"},
     {"", "-a", "a-", "A", "a.b", "a_b", "ü", HUNDRED}},
    {syntax_policy_name,
     {"a", "a123456789a123456789a123456789a123456789"},
     {"", "a123456789a123456789a123456789a1234567890", "a/b"}},
    {syntax_short_name, {"a", "a123456789a123456789"}, {"", "a123456789a123456789a"}},
    {syntax_secret_key,
     {"k1", "eu.ca.crt", ".hidden", "A_b-c", "a..b"},
     {"", ".", "..", "..data", "a/b", "a b", "ü", HUNDRED HUNDRED HUNDRED}},
    {syntax_secret_prefix, {"eu", "a.b"}, {"", "..", "a/b", HUNDRED HUNDRED HUNDRED}},
    {syntax_identifier, {"lifeboat", "My User", "ü"}, {"", "a\nb", HUNDRED}},
    {syntax_bucket,
     {"abc", "my.bucket-1", "0ab"},
     {"", "ab", "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "a/b", HUNDRED}},
    {syntax_storage_class, {"STANDARD_IA", "GLACIER_IR", "X1"}, {"", "standard", "A B", "A\r\nB"}},
    {syntax_s3_region, {"eu-central-1", "RegionOne", "us_1"}, {"", "a/b", "a b", HUNDRED}},
    {syntax_endpoint,
     {"https://s3.example.com", "http://127.0.0.1:9000", "https://[2001:db8::1]", "http://[::1]:1",
      "https://a:65535"},
     {"", "https://", "s3.example.com", "ftp://a", "https://a/", "https://a/b",
      "https://a:", "https://a:0", "https://a:65536", "https://a:9x", "https://a:080",
      "https://u@a", "https://a?b", "https://[::1", "https://[]", "https://[::1]x"}},
    {syntax_prefix,
     {"", "a", "a/b/c", "A.b_c-d", "...", "a..b"},
     {"/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/..", "a b", "a\\b", "ü"}},
    {syntax_directory,
     {"/", "/a", "/a/b c/", "/a..b", "/...", "//a"},
     {"", "a", "./a", "/..", "/a/../b", "/a/..", "//../a", "/a\nb"}},
    {syntax_time_zone,
     {"UTC", "Europe/Berlin", "Etc/GMT+5"},
     {"", "/etc/x", "../x", "a b", "1/x", "Europe/", HUNDRED}},
    {syntax_image,
     {"a", "registry.example.com:5000/a/b:v1.2", "a@sha256:00ff"},
     {"", "a b", "a\nb", "$(x)"}},
};

static void good_texts_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (const char *const *text = all[i].good; *text; text++)
            if (all[i].rule(*text))
                fail_msg("'%s' is refused: expected %s", *text, all[i].rule(*text));
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        for (size_t j = 0; j < ARRAY_SIZE(all[i].bad) && all[i].bad[j]; j++)
            if (!all[i].rule(all[i].bad[j]))
                fail_msg("rule %zu accepts '%s'", i, all[i].bad[j]);
}

static void a_text_is_found_among_others(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", NULL, "b"};
    assert_true(syntax_is_among("b", texts, 3));
    assert_false(syntax_is_among("b", texts, 2));
    assert_false(syntax_is_among(NULL, texts, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_accepted),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(a_text_is_found_among_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
