// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "operator/kube_json.h"

/* text read and printed again */
static char *read_and_print(const char *text)
{
    struct error err;
    json_auto_t *value = NULL;
    CLEANUP(own_freep) char *copy = own_strdup(text);
    if (kube_json_parse(copy, strlen(copy), &value, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void assert_reads(const char *text, const char *expected)
{
    CLEANUP(own_freep) char *printed = read_and_print(text);
    assert_string_equal(printed, expected);
}

static void what_is_usual_stays_as_it_is(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"a\":[1,-2,{\"b\":null}],\"c\":\"\\\"}]{[\",\"d\":true}",
        "[9223372036854775807,-9223372036854775807,1.5]",
        "{\"digits\":\"99999999999999999999999\",\"brackets\":\"[[[{{{\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_reads(texts[i], texts[i]);
}

static void a_nul_is_shown_and_ends_no_text(void **state)
{
    (void)state;
    assert_reads("{\"a\":\"x\\u0000y\"}", "{\"a\":\"x\xef\xbf\xbdy\"}");
    assert_reads("{\"x\\u0000y\":1}", "{\"x\xef\xbf\xbdy\":1}");
    assert_reads("{\"a\":\"\\\\u0000\"}", "{\"a\":\"\\\\u0000\"}"); /* a backslash and u0000 */
    assert_reads("{\"a\":\"\\\\\\u0000\"}", "{\"a\":\"\\\\\xef\xbf\xbd\"}");
}

static void an_integer_of_more_than_64_bits_is_a_real_number(void **state)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"[9223372036854775808]", 9223372036854775e3},
        {"[-9300000000000000000]", -93e17},
        {"[100000000000000000000]", 1e20},
        {"[999999999999999999999]", 999999999999999999e3},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(own_freep) char *printed = read_and_print(cases[i].text);
        json_auto_t *value = json_loads(printed, 0, NULL);
        assert_true(json_is_real(json_array_get(value, 0)));
        assert_true(json_real_value(json_array_get(value, 0)) == cases[i].value);
    }
}

/* {"deep":[[[…]]],"after":1} */
static char *nested(size_t levels)
{
    char *text = own_alloc(2 * levels + 64);
    char *at = stpcpy(text, "{\"deep\":");
    memset(at, '[', levels);
    memset(at + levels, ']', levels);
    strncpy(at + 2 * levels, ",\"after\":1}", 16);
    return text;
}

static void what_lies_too_deep_is_null_and_hides_nothing_else(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(own_freep) char *deep = nested(100000);
    json_auto_t *value = NULL;
    assert_int_equal(kube_json_parse(deep, strlen(deep), &value, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(value, "after")), 1);
    size_t levels = 1; /* of the object */
    const json_t *at = json_object_get(value, "deep");
    for (; json_is_array(at); at = json_array_get(at, 0))
        levels++;
    assert_true(json_is_null(at));
    assert_int_equal(levels, KUBE_JSON_DEPTH_MAX);
}

static void bad_bytes_are_corrupt(void **state)
{
    static const char *const texts[] = {"",  "{",  "[1", "\"", "{\"a\":\"\\u000",
                                        "]", "[}", "1e", "\\"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct error err;
        json_t *value = NULL;
        CLEANUP(own_freep) char *copy = own_strdup(texts[i]);
        assert_int_equal(kube_json_parse(copy, strlen(copy), &value, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
        assert_null(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_usual_stays_as_it_is),
        cmocka_unit_test(a_nul_is_shown_and_ends_no_text),
        cmocka_unit_test(an_integer_of_more_than_64_bits_is_a_real_number),
        cmocka_unit_test(what_lies_too_deep_is_null_and_hides_nothing_else),
        cmocka_unit_test(bad_bytes_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
