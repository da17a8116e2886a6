// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fields.h"
#include "common/own.h"
#include "common/yaml.h"

static const char *const colours[] = {"Red", "Green", "Blue", NULL};

/* Reads one document of every type of field; its error, "" if there is none. */
static const char *read_all(const char *text)
{
    static struct error err;
    CLEANUP(yaml_done) struct yaml yaml = {0};
    if (yaml_parse(&yaml, "x.yaml", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    struct fields root, child;
    fields_init(&root, yaml.root, &yaml, ERROR_PERMANENT, &err);
    fields_require(&root, "name");
    fields_string(&root, "name", NULL);
    fields_integer(&root, "count", -5, 100, 7);
    fields_bool(&root, "on", false);
    fields_choice(&root, "colour", colours, 2);
    fields_decimal(&root, "id", 0);
    fields_string_map(&root, "labels", 2);
    fields_skip(&root, "other");
    size_t count = fields_array(&root, "tags", 2);
    for (size_t i = 0; i < count; i++)
        fields_array_string(&root, "tags", i);
    count = fields_array(&root, "parts", 2);
    for (size_t i = 0; i < count; i++) {
        fields_array_object(&root, "parts", i, &child);
        fields_require(&child, "size");
        fields_integer(&child, "size", 0, 9, 0);
        if (fields_end(&child) < 0)
            return err.text;
    }
    fields_object(&root, "box", &child);
    fields_string(&child, "lid", "none");
    if (fields_end(&child) < 0)
        return err.text;
    return fields_end(&root) < 0 ? err.text : "";
}

static void members_are_read_by_type(void **state)
{
    (void)state;
    json_error_t problem;
    json_auto_t *object = json_loads("{\"s\": \"text\", \"i\": -3, \"b\": true, \"c\": \"Green\","
                                     " \"d\": \"18446744073709551615\", \"a\": [\"x\", \"y\"],"
                                     " \"l\": {\"k\": \"v\"}, \"o\": {\"n\": 5}, \"null\": null}",
                                     0, &problem);
    struct error err;
    struct fields fields, child;
    fields_init(&fields, object, NULL, ERROR_CORRUPT, &err);
    assert_string_equal(fields_string(&fields, "s", NULL), "text");
    assert_int_equal(fields_integer(&fields, "i", -3, -3, 0), -3);
    assert_true(fields_bool(&fields, "b", false));
    assert_int_equal(fields_choice(&fields, "c", colours, 0), 1);
    assert_true(fields_decimal(&fields, "d", 0) == UINT64_MAX);
    assert_int_equal(fields_array(&fields, "a", 2), 2);
    assert_string_equal(fields_array_string(&fields, "a", 1), "y");
    json_t *labels = fields_string_map(&fields, "l", 1);
    assert_string_equal(json_string_value(json_object_get(labels, "k")), "v");
    fields_object(&fields, "o", &child);
    assert_int_equal(fields_integer(&child, "n", 0, 9, 0), 5);
    assert_int_equal(fields_end(&child), 0);
    assert_true(fields_has(&fields, "s"));
    assert_false(fields_has(&fields, "null"));
    assert_string_equal(fields_string(&fields, "null", "fallback"), "fallback");
    assert_int_equal(fields_end(&fields), 0);
}

static void missing_members_give_their_fallback(void **state)
{
    (void)state;
    struct error err;
    struct fields fields, child;
    fields_init(&fields, NULL, NULL, ERROR_CORRUPT, &err);
    assert_string_equal(fields_string(&fields, "s", "x"), "x");
    assert_int_equal(fields_integer(&fields, "i", 1, 2, 9), 9);
    assert_true(fields_bool(&fields, "b", true));
    assert_int_equal(fields_choice(&fields, "c", colours, 2), 2);
    assert_true(fields_decimal(&fields, "d", 3) == 3);
    assert_int_equal(fields_array(&fields, "a", 2), 0);
    assert_null(fields_array_string(&fields, "a", 0));
    assert_null(fields_string_map(&fields, "l", 1));
    fields_array_object(&fields, "a", 0, &child);
    assert_int_equal(fields_end(&child), 0);
    fields_object(&fields, "o", &child);
    assert_int_equal(fields_end(&child), 0);
    assert_int_equal(fields_end(&fields), 0);
}

static void each_wrong_member_is_named_with_line_path_and_value(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } examples[] = {
        {"name: a", ""},
        {"name: 5", "x.yaml:1: name: expected a string, not 5"},
        {"name: [a]", "x.yaml:1: name: expected a string, not a list"},
        {"name: {a: b}", "x.yaml:1: name: expected a string, not an object"},
        {"count: 1", "x.yaml:1: name: required, but missing"},
        {"name: null", "x.yaml:1: name: required, but missing"},
        {"name: a\ncount: 101", "x.yaml:2: count: expected an integer from -5 to 100, not 101"},
        {"name: a\ncount: '3'", "x.yaml:2: count: expected an integer from -5 to 100, not \"3\""},
        {"name: a\ncount: 3.5", "x.yaml:2: count: expected an integer from -5 to 100, not 3.5"},
        {"name: a\n'on': 'no'", "x.yaml:2: on: expected true or false, not \"no\""},
        {"name: a\n\ncolour: red", "x.yaml:3: colour: expected Red, Green or Blue, not \"red\""},
        {"name: a\ncolour: 1", "x.yaml:2: colour: expected Red, Green or Blue, not 1"},
        {"name: a\nid: 5", "x.yaml:2: id: expected a decimal number below 2^64 as a string, not 5"},
        {"name: a\nid: '18446744073709551616'",
         "x.yaml:2: id: expected a decimal number below 2^64 as a string, not "
         "\"18446744073709551616\""},
        {"name: a\nid: '007'",
         "x.yaml:2: id: expected a decimal number below 2^64 as a string, not \"007\""},
        {"name: a\nid: ''",
         "x.yaml:2: id: expected a decimal number below 2^64 as a string, not \"\""},
        {"name: a\nlabels:\n  a: b\n  c: 5", "x.yaml:4: labels.c: expected a string, not 5"},
        {"name: a\nlabels: {a: b, c: d, e: f}",
         "x.yaml:2: labels: expected at most 2 members, not 3"},
        {"name: a\nlabels: b", "x.yaml:2: labels: expected an object, not \"b\""},
        {"name: a\ntags: [a, b, c]", "x.yaml:2: tags: expected at most 2 elements, not 3"},
        {"name: a\ntags: b", "x.yaml:2: tags: expected a list, not \"b\""},
        {"name: a\ntags:\n- b\n- 5", "x.yaml:4: tags[1]: expected a string, not 5"},
        {"name: a\ntags:\n- b\n- ", "x.yaml:4: tags[1]: expected a string, not null"},
        {"name: a\nparts:\n- size: 1\n- 5", "x.yaml:4: parts[1]: expected an object, not 5"},
        {"name: a\nparts:\n- size: 1\n- size: 10",
         "x.yaml:4: parts[1].size: expected an integer from 0 to 9, not 10"},
        {"name: a\nparts:\n- {}", "x.yaml:3: parts[0].size: required, but missing"},
        {"name: a\nparts:\n- size: 1\n  sise: 1",
         "x.yaml:4: parts[0].sise: unknown field; known here: size"},
        {"name: a\nbox: 5", "x.yaml:2: box: expected an object, not 5"},
        {"name: a\nbox:\n  lit: x", "x.yaml:3: box.lit: unknown field; known here: lid"},
        {"nam: a", "x.yaml:1: nam: unknown field; known here: name, count, on, colour, id, labels, "
                   "other, tags, parts and box"},
        {"name: a\nother: [1, {x: z}]", ""},
        {"[a]", "x.yaml:1: expected an object, not a list"},
        {"name: [\"x\"]\ncount: z", "x.yaml:1: name: expected a string, not a list"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
        assert_string_equal(read_all(examples[i].text), examples[i].expected);
}

static void a_long_value_is_cut_between_characters(void **state)
{
    (void)state;
    char text[400] = "name: a\ncount: ";
    for (int i = 0; i < 100; i++)
        memcpy(text + strlen(text), "ü", sizeof("ü"));
    const char *message = read_all(text);
    static const char start[] = "x.yaml:2: count: expected an integer from -5 to 100, not \"üü";
    assert_memory_equal(message, start, sizeof(start) - 1);
    assert_string_equal(message + strlen(message) - strlen("üü…"), "üü…");
    assert_true(strlen(message) < 160);
}

static void json_without_lines_is_named_by_path_and_kind(void **state)
{
    (void)state;
    json_error_t problem;
    json_auto_t *object = json_loads("{\"a\": {\"b\": \"x\\u0000y\"}}", JSON_ALLOW_NUL, &problem);
    struct error err;
    struct fields root, child;
    fields_init(&root, object, NULL, ERROR_CORRUPT, &err);
    fields_object(&root, "a", &child);
    assert_string_equal(fields_string(&child, "b", "safe"), "safe");
    assert_int_equal(fields_end(&child), -1);
    assert_int_equal(fields_end(&root), -1);
    assert_int_equal(err.kind, ERROR_CORRUPT);
    assert_string_equal(err.text,
                        "a.b: expected a string without NUL characters, not \"x\\u0000y\"");
}

static void only_the_first_error_is_kept(void **state)
{
    (void)state;
    json_error_t problem;
    json_auto_t *object = json_loads("{\"a\": {\"b\": 5}, \"c\": 7}", 0, &problem);
    struct error err;
    struct fields root, child, sibling;
    fields_init(&root, object, NULL, ERROR_CORRUPT, &err);
    fields_object(&root, "a", &child);
    fields_fail(&child, "b", "no %s", "good");
    fields_fail(&child, NULL, "worse");
    assert_string_equal(fields_string(&root, "c", "fallback"), "fallback");
    fields_object(&root, "missing", &sibling);
    assert_int_equal(fields_end(&sibling), -1);
    assert_int_equal(fields_end(&root), -1);
    assert_string_equal(err.text, "a.b: no good");
}

static void a_caller_can_refuse_a_value(void **state)
{
    (void)state;
    json_error_t problem;
    json_auto_t *object = json_loads("{\"a\": {\"b\": 5}}", 0, &problem);
    struct error err;
    struct fields root, child;
    fields_init(&root, object, NULL, ERROR_PERMANENT, &err);
    fields_object(&root, "a", &child);
    fields_refuse(&child, "b", "an even number");
    assert_string_equal(err.text, "a.b: expected an even number, not 5");

    fields_init(&root, object, NULL, ERROR_PERMANENT, &err);
    fields_object(&root, "a", &child);
    fields_fail(&child, NULL, "needs a lid");
    assert_string_equal(err.text, "a: needs a lid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_by_type),
        cmocka_unit_test(missing_members_give_their_fallback),
        cmocka_unit_test(each_wrong_member_is_named_with_line_path_and_value),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(json_without_lines_is_named_by_path_and_kind),
        cmocka_unit_test(only_the_first_error_is_kept),
        cmocka_unit_test(a_caller_can_refuse_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
