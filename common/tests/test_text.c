// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/text.h"

static void bytes_become_lower_case_hexadecimal(void **state)
{
    (void)state;
    char hex[9];
    text_hex("\x00\x7f\xab\xff", 4, hex);
    assert_string_equal(hex, "007fabff");
    text_hex(NULL, 0, hex);
    assert_string_equal(hex, "");
}

static void hexadecimal_of_either_case_is_read(void **state)
{
    (void)state;
    uint8_t data[3];
    assert_true(text_parse_hex("00aBFf", data, 3));
    assert_memory_equal(data, "\x00\xab\xff", 3);
    assert_true(text_parse_hex("", data, 0));
}

static void hexadecimal_of_another_length_or_alphabet_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",        "0",      "0011",   "00112",
                                        "0011223", "00112g", "0x1122", "0011 2"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        uint8_t data[3];
        assert_false(text_parse_hex(texts[i], data, sizeof(data)));
    }
}

/* RFC 4648, 10 */
static const char *const base64_vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

static void base64_matches_the_vectors_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(base64_vectors); i++) {
        const char *plain = base64_vectors[i][0], *coded = base64_vectors[i][1];
        CLEANUP(own_freep) char *text = text_base64(plain, strlen(plain));
        assert_string_equal(text, coded);
        uint8_t data[6];
        size_t size = 99;
        assert_true(text_parse_base64(coded, strlen(coded), data, sizeof(data), &size));
        assert_int_equal(size, strlen(plain));
        assert_memory_equal(data, plain, size);
    }
}

static void base64_may_end_in_white_space(void **state)
{
    (void)state;
    uint8_t data[6];
    size_t size;
    assert_true(text_parse_base64("Zm8=\r\n \t", 8, data, sizeof(data), &size));
    assert_int_equal(size, 2);
}

static void what_is_not_strict_base64_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Z",     "Zg",   "Zg=",  "Zg===", "====",     "Z===",    "Zg=v",       "Zm9v\nZm9v",
        " Zg==", "Zm-_", "Zh==", "Zm9=",  "Zg==Zg==", "Zm9vZg=", "Zm\xC3\xA9",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        uint8_t data[16];
        size_t size;
        assert_false(text_parse_base64(texts[i], strlen(texts[i]), data, sizeof(data), &size));
    }
    uint8_t data[8];
    size_t size;
    assert_false(text_parse_base64("Zm\0v", 4, data, sizeof(data), &size));
}

static void base64_that_exceeds_the_capacity_is_refused(void **state)
{
    (void)state;
    uint8_t data[5];
    size_t size;
    assert_true(text_parse_base64("Zm9vYmE=", 8, data, 5, &size));
    assert_false(text_parse_base64("Zm9vYmFy", 8, data, 5, &size));
    assert_false(text_parse_base64("Zg==", 4, data, 0, &size));
}

static void all_but_unreserved_characters_are_percent_encoded(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *path = text_percent("a/B 9-._~+%\xC3\xA9", true);
    assert_string_equal(path, "a/B%209-._~%2B%25%C3%A9");
    CLEANUP(own_freep) char *value = text_percent("a/b=c&d", false);
    assert_string_equal(value, "a%2Fb%3Dc%26d");
    CLEANUP(own_freep) char *empty = text_percent("", false);
    assert_string_equal(empty, "");
}

static void sizes_have_at_most_three_digits(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 kB"},
        {1049, "1.0 kB"},
        {1050, "1.1 kB"},
        {99949, "99.9 kB"},
        {99950, "100 kB"},
        {312000000, "312 MB"},
        {999499999, "999 MB"},
        {999500000, "1.0 GB"},
        {7100000000, "7.1 GB"},
        {UINT64_MAX, "18.4 EB"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[16];
        text_size(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void durations_show_their_two_largest_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {-5, "0.0 s"},           {0, "0.0 s"},           {49, "0.0 s"},
        {1234, "1.2 s"},         {59949, "59.9 s"},      {59950, "1 m 00 s"},
        {245000, "4 m 05 s"},    {3599949, "59 m 59 s"}, {3600000, "1 h 00 m"},
        {90061000, "25 h 01 m"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[24];
        text_duration(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
    char text[24];
    text_duration(INT64_MAX, text); /* fits, whatever it says */
    assert_true(strlen(text) < sizeof(text));
}

static void ages_show_their_largest_unit(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {-5, "0 s"},         {999, "0 s"},       {119999, "119 s"},
        {120000, "2 m"},     {7199999, "119 m"}, {7200000, "2 h"},
        {172799999, "47 h"}, {172800000, "2 d"}, {31536000000, "365 d"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[24];
        text_age(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
    char text[24];
    text_age(INT64_MAX, text); /* fits */
    assert_true(strlen(text) < sizeof(text));
}

static void a_prefix_is_found_only_at_the_start(void **state)
{
    (void)state;
    assert_true(text_is_word("eu-west_1.a") && text_is_word("7"));
    assert_false(text_is_word("") || text_is_word("-a") || text_is_word("a b") ||
                 text_is_word("a/b") || text_is_word("\xc3\xa4"));
    assert_true(text_starts_with("packs/1", "packs/"));
    assert_true(text_starts_with("packs/1", ""));
    assert_false(text_starts_with("pack", "packs/"));
    assert_false(text_starts_with("x/packs/", "packs/"));
}

static void bytes_that_no_terminal_should_see_are_escaped(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"", ""},
        {"plain 'text' \xc3\xa9 \xf0\x9f\x98\x80", "plain 'text' \xc3\xa9 \xf0\x9f\x98\x80"},
        {"a\x1b[2Jb\n", "a\\x1b[2Jb\\x0a"},
        {"caf\xe9", "caf\\xe9"},
        {"\xc0\xaf \xed\xa0\x80", "\\xc0\\xaf \\xed\\xa0\\x80"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(own_freep) char *escaped = text_escape(texts[i][0]);
        assert_string_equal(escaped, texts[i][1]);
    }
}

static void a_text_is_cut_at_a_character(void **state)
{
    (void)state;
    char fitted[8];
    text_fit("1234567", fitted, sizeof(fitted));
    assert_string_equal(fitted, "1234567");
    text_fit("12345678", fitted, sizeof(fitted));
    assert_string_equal(fitted, "1234…");
    text_fit("123\u00e4567", fitted, sizeof(fitted));
    assert_string_equal(fitted, "123…");
    text_fit("\u20ac\u20ac\u20ac", fitted, sizeof(fitted));
    assert_string_equal(fitted, "\u20ac…");
    text_fit("\xff", fitted, sizeof(fitted));
    assert_string_equal(fitted, "\\xff");
    text_fit("", fitted, sizeof(fitted));
    assert_string_equal(fitted, "");
    text_fit("12345", fitted, 4);
    assert_string_equal(fitted, "…");
}

static void what_is_appended_never_exceeds_the_buffer(void **state)
{
    (void)state;
    char text[8] = "";
    text_append(text, sizeof(text), "%s%d", "ab", 12);
    assert_string_equal(text, "ab12");
    text_append(text, sizeof(text), "%s", "cdefgh");
    assert_string_equal(text, "ab12cde");
    text_append(text, sizeof(text), "%s", "more");
    assert_string_equal(text, "ab12cde");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_lower_case_hexadecimal),
        cmocka_unit_test(hexadecimal_of_either_case_is_read),
        cmocka_unit_test(hexadecimal_of_another_length_or_alphabet_is_refused),
        cmocka_unit_test(base64_matches_the_vectors_both_ways),
        cmocka_unit_test(base64_may_end_in_white_space),
        cmocka_unit_test(what_is_not_strict_base64_is_refused),
        cmocka_unit_test(base64_that_exceeds_the_capacity_is_refused),
        cmocka_unit_test(all_but_unreserved_characters_are_percent_encoded),
        cmocka_unit_test(sizes_have_at_most_three_digits),
        cmocka_unit_test(durations_show_their_two_largest_units),
        cmocka_unit_test(ages_show_their_largest_unit),
        cmocka_unit_test(a_prefix_is_found_only_at_the_start),
        cmocka_unit_test(bytes_that_no_terminal_should_see_are_escaped),
        cmocka_unit_test(a_text_is_cut_at_a_character),
        cmocka_unit_test(what_is_appended_never_exceeds_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
