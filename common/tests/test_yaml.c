// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/tests/helper_directory.h"
#include "common/yaml.h"

struct example {
    const char *text, *expected;
};

static struct yaml parse(const char *text)
{
    struct yaml yaml;
    struct error err;
    if (yaml_parse(&yaml, "x.yaml", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    return yaml;
}

static void expect_json(const char *text, const char *expected)
{
    CLEANUP(yaml_done) struct yaml yaml = parse(text);
    CLEANUP(own_freep) char *json = json_dumps(yaml.root, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_string_equal(json, expected);
}

static void expect_error(const char *text, size_t size, const char *expected)
{
    struct yaml yaml;
    struct error err;
    assert_int_equal(yaml_parse(&yaml, "x.yaml", text, size, &err), -1);
    assert_string_equal(err.text, expected);
    assert_int_equal(err.kind, ERROR_PERMANENT);
}

static void expect_all_json(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_json(examples[i].text, examples[i].expected);
}

static void expect_all_errors(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_error(examples[i].text, strlen(examples[i].text), examples[i].expected);
}

static void mappings_sequences_and_text_become_json(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: b", "{\"a\":\"b\"}"},
        {"a: {b: [c, d]}", "{\"a\":{\"b\":[\"c\",\"d\"]}}"},
        {"- a\n- - b\n  - c\n", "[\"a\",[\"b\",\"c\"]]"},
        {"a:\n- b\n- c: d\n", "{\"a\":[\"b\",{\"c\":\"d\"}]}"},
        {"a: |\n  one\n  two\nb: >-\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\"}"},
        {"# comment\n---\na: b # more\n...\n", "{\"a\":\"b\"}"},
        {"%YAML 1.2\n---\na: b\n", "{\"a\":\"b\"}"},
        {"\xef\xbb\xbf"
         "a: ü",
         "{\"a\":\"ü\"}"},
        {"a: {}\nb: []\n", "{\"a\":{},\"b\":[]}"},
        {"'true': a\n\"1\": b\n", "{\"true\":\"a\",\"1\":\"b\"}"},
        {"text", "\"text\""},
    };
    expect_all_json(examples, ARRAY_SIZE(examples));
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]"},
        {"[null, Null, NULL, ~]", "[null,null,null,null]"},
        {"a:\n", "{\"a\":null}"},
        {"[0, 7, -12, +3, 0x1F, 0o17]", "[0,7,-12,3,31,15]"},
        {"[9223372036854775807, -9223372036854775808]",
         "[9223372036854775807,-9223372036854775808]"},
        {"[1.5, -.5, 2., 1e3, 1.5E-1]", "[1.5,-0.5,2.0,1000.0,0.14999999999999999]"},
        {"[1.2.3, 10.0.0.1, 1:30, 2026-11-21, 100m, 4Gi, 0x, e5, .e5, 1e, 0xZ, '-']",
         "[\"1.2.3\",\"10.0.0.1\",\"1:30\",\"2026-11-21\",\"100m\",\"4Gi\",\"0x\",\"e5\",\".e5\","
         "\"1e\",\"0xZ\",\"-\"]"},
        {"[tRUE, nUll, yeS, oN, Y es, none]",
         "[\"tRUE\",\"nUll\",\"yeS\",\"oN\",\"Y es\",\"none\"]"},
    };
    expect_all_json(examples, ARRAY_SIZE(examples));
}

static void what_is_quoted_is_text(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"['true', \"no\", 'null', \"12\", '0777', '.inf', '~', '', '<<']",
         "[\"true\",\"no\",\"null\",\"12\",\"0777\",\".inf\",\"~\",\"\",\"<<\"]"},
        {"a: |\n  yes\n", "{\"a\":\"yes\\n\"}"},
    };
    expect_all_json(examples, ARRAY_SIZE(examples));
}

static void what_kubectl_reads_otherwise_is_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 1\nsuspend: yes\n", "x.yaml:2: kubectl reads plain 'yes' as a boolean: write true, or "
                                 "put it in quotes if it is text"},
        {"a: Off", "x.yaml:1: kubectl reads plain 'Off' as a boolean: write false, or put it in "
                   "quotes if it is text"},
        {"[a, on]", "x.yaml:1: kubectl reads plain 'on' as a boolean: write true, or put it in "
                    "quotes if it is text"},
        {"a: NO", "x.yaml:1: kubectl reads plain 'NO' as a boolean: write false, or put it in "
                  "quotes if it is text"},
        {"y: 1", "x.yaml:1: kubectl reads plain 'y' as a boolean: write true, or put it in quotes "
                 "if it is text"},
        {"a: 0777", "x.yaml:1: '0777' is not the same number to every reader of YAML: write it in "
                    "plain decimal, or put it in quotes if it is text"},
        {"a: 1_000", "x.yaml:1: '1_000' is not the same number to every reader of YAML: write it "
                     "in plain decimal, or put it in quotes if it is text"},
        {"a: 0b11", "x.yaml:1: '0b11' is not the same number to every reader of YAML: write it in "
                    "plain decimal, or put it in quotes if it is text"},
        {"a: -0x1F", "x.yaml:1: '-0x1F' is not the same number to every reader of YAML: write it "
                     "in plain decimal, or put it in quotes if it is text"},
        {"a: -.inf", "x.yaml:1: '-.inf' is not a number here: put it in quotes if it is text"},
        {"a: .NaN", "x.yaml:1: '.NaN' is not a number here: put it in quotes if it is text"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void keys_have_to_be_text(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 1\n5: b\n", "x.yaml:2: the key '5' is not a text: put it in quotes"},
        {"true: b", "x.yaml:1: the key 'true' is not a text: put it in quotes"},
        {"null: b", "x.yaml:1: the key 'null' is not a text: put it in quotes"},
        {"[a]: b", "x.yaml:1: a key has to be a text"},
        {"{a: 1}: b", "x.yaml:1: a key has to be a text"},
        {"<<: {a: b}", "x.yaml:1: merge keys ('<<') are not supported: write the fields out"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void a_duplicate_key_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "x.yaml:5: duplicate key 'c'"},
        {"{a: 1, 'a': 2}", "x.yaml:1: duplicate key 'a'"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void aliases_anchors_and_tags_are_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: &here 1\n", "x.yaml:1: anchors ('&here') are not supported: write the value out"},
        {"a: &m {b: c}\n", "x.yaml:1: anchors ('&m') are not supported: write the value out"},
        {"a: 1\nb: *there\n",
         "x.yaml:2: aliases ('*there') are not supported: write the value out"},
        {"a: !!str 5", "x.yaml:1: tags ('tag:yaml.org,2002:str') are not supported: put text in "
                       "quotes, leave the rest plain"},
        {"a: !mine [5]", "x.yaml:1: tags ('!mine') are not supported: put text in quotes, leave "
                         "the rest plain"},
        {"? *x\n: 1\n", "x.yaml:1: a key has to be a text"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void one_document_is_what_a_file_holds(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 1\n---\nb: 2\n",
         "x.yaml:2: a second document begins here: put it into a file of its own"},
        {"", "x.yaml:1: the file is empty"},
        {"# only a comment\n", "x.yaml:2: the file is empty"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void broken_syntax_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 1\nb: [1, 2\n", "x.yaml:3: not YAML: did not find expected ',' or ']' while parsing a "
                             "flow sequence"},
        {"a: 1\n\tb: 2\n",
         "x.yaml:2: not YAML: found a tab character that violates indentation while "
         "scanning a plain scalar"},
        {"a: b: c\n", "x.yaml:1: not YAML: mapping values are not allowed in this context"},
        {"a: 1\nb: \"unfinished\n", "x.yaml:3: not YAML: found unexpected end of stream while "
                                    "scanning a quoted scalar"},
        {"a: 1\nb: \xff\n", "x.yaml:2: not YAML: invalid leading UTF-8 octet"},
        {"a: 1\n\nb: \"\x01\"\n", "x.yaml:3: not YAML: control characters are not allowed"},
        {"a: \"x\\0y\"\n", "x.yaml:1: text with a NUL character"},
        {"\"a\\0b\": 1\n", "x.yaml:1: text with a NUL character"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void numbers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"a: 9223372036854775808", "x.yaml:1: the number '9223372036854775808' is too large"},
        {"a: 0xFFFFFFFFFFFFFFFFF", "x.yaml:1: the number '0xFFFFFFFFFFFFFFFFF' is too large"},
        {"a: 1e999", "x.yaml:1: the number '1e999' is too large"},
    };
    expect_all_errors(examples, ARRAY_SIZE(examples));
}

static void depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * YAML_DEPTH_MAX + 3];
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    text[2L * YAML_DEPTH_MAX] = '\0';
    CLEANUP(yaml_done) struct yaml yaml = parse(text);
    assert_true(json_is_array(yaml.root));

    memset(text, '[', sizeof(text));
    expect_error(text, sizeof(text), "x.yaml:1: more than 64 levels deep");
}

static void size_is_bounded(void **state)
{
    (void)state;
    CLEANUP(own_freep) char *text = own_alloc(YAML_BYTES_MAX + 1);
    memset(text, ' ', YAML_BYTES_MAX + 1);
    text[0] = 'a';
    CLEANUP(yaml_done) struct yaml yaml;
    struct error err;
    assert_int_equal(yaml_parse(&yaml, "x.yaml", text, YAML_BYTES_MAX, &err), 0);
    expect_error(text, YAML_BYTES_MAX + 1, "x.yaml: larger than 1048576 bytes");
}

static void every_member_and_element_has_a_line(void **state)
{
    (void)state;
    CLEANUP(yaml_done)
    struct yaml yaml = parse("# a policy\n"
                             "metadata:\n"
                             "  annotations:\n"
                             "    lifeboat.dev: short\n"
                             "    lifeboat.dev/region: eu\n"
                             "spec:\n"
                             "  regions:\n"
                             "  - name: eu\n"
                             "    s3:\n"
                             "      bucket: b\n"
                             "  - {name: us,\n"
                             "     file: {path: /b}}\n");
    static const struct {
        const char *path;
        unsigned line;
    } lines[] = {
        {"", 2},
        {"metadata", 2},
        {"metadata.annotations.lifeboat.dev", 4},
        {"metadata.annotations.lifeboat.dev/region", 5},
        {"spec", 6},
        {"spec.regions", 7},
        {"spec.regions[0]", 8},
        {"spec.regions[0].s3", 9},
        {"spec.regions[0].s3.bucket", 10},
        {"spec.regions[1].name", 11},
        {"spec.regions[1].file.path", 12},
        {"spec.regions[2]", 0},
        {"spec.region", 0},
        {"spec.regions[0].s3.bucket.more", 0},
        {"spec.regions[0", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_int_equal(yaml_line(&yaml, lines[i].path), lines[i].line);
    struct yaml empty = {0};
    assert_int_equal(yaml_line(&empty, "spec"), 0);
}

static void a_file_is_loaded_by_its_path(void **state)
{
    (void)state;
    char *directory = helper_directory_new();
    CLEANUP(own_freep) char *path = own_format("%s/a.yaml", directory);
    helper_directory_write(directory, "a.yaml", "a: b\n");
    CLEANUP(yaml_done) struct yaml yaml = {0};
    struct error err;
    assert_int_equal(yaml_load(&yaml, path, &err), 0);
    assert_string_equal(json_string_value(json_object_get(yaml.root, "a")), "b");
    assert_string_equal(yaml.file, path);

    helper_directory_remove(directory);
    struct yaml missing;
    assert_int_equal(yaml_load(&missing, path, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_sequences_and_text_become_json),
        cmocka_unit_test(plain_scalars_follow_the_core_schema),
        cmocka_unit_test(what_is_quoted_is_text),
        cmocka_unit_test(what_kubectl_reads_otherwise_is_refused),
        cmocka_unit_test(keys_have_to_be_text),
        cmocka_unit_test(a_duplicate_key_is_named_with_its_line),
        cmocka_unit_test(aliases_anchors_and_tags_are_refused),
        cmocka_unit_test(one_document_is_what_a_file_holds),
        cmocka_unit_test(broken_syntax_is_named_with_its_line),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(every_member_and_element_has_a_line),
        cmocka_unit_test(a_file_is_loaded_by_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
