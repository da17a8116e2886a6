// SPDX-License-Identifier: Apache-2.0
#include "common/yaml.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/buf.h"
#include "common/own.h"

/* The tree of values once more, holding lines only. Node 0 is the root; as a link 0 means none. */
struct yaml_node {
    char *key; /* of a member; NULL for an element */
    uint32_t index;
    uint32_t child, sibling; /* the last child, the one before */
    unsigned line;
};

struct yaml_lines {
    struct yaml_node *nodes;
    uint32_t count, capacity;
};

struct parser {
    yaml_parser_t yaml;
    yaml_event_t event; /* the one being looked at */
    const char *file, *text;
    size_t size;
    struct yaml_lines *lines;
    unsigned depth;
    struct error *err;
};

static void lines_free(struct yaml_lines *lines)
{
    if (!lines)
        return;
    for (uint32_t i = 0; i < lines->count; i++)
        own_freep(&lines->nodes[i].key);
    own_freep(&lines->nodes);
    own_freep(&lines);
}

/* Gives the new node's number. key is taken. */
static uint32_t lines_add(struct yaml_lines *lines, uint32_t parent, struct yaml_node node)
{
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity ? 2 * lines->capacity : 64;
        lines->nodes = own_resize(lines->nodes, lines->capacity, sizeof(*lines->nodes));
    }
    uint32_t number = lines->count++;
    if (number > 0) {
        node.sibling = lines->nodes[parent].child;
        lines->nodes[parent].child = number;
    }
    lines->nodes[number] = node;
    return number;
}

/* How much of path the node's own step covers, 0 if it is another's. */
static size_t step_length(const struct yaml_node *node, const char *path)
{
    if (!node->key) {
        char *end = NULL;
        if (path[0] != '[' || strtoul(path + 1, &end, 10) != node->index || *end != ']')
            return 0;
        return (size_t)(end + 1 - path);
    }
    size_t size = strlen(node->key);
    if (strncmp(path, node->key, size) != 0 || !strchr(".[", path[size]))
        return 0;
    return size;
}

/* Keys may hold dots themselves ("lifeboat.dev/region"), so the longest that fits is taken. */
static uint32_t find_child(const struct yaml_lines *lines, uint32_t parent, const char *path,
                           size_t *ret_length)
{
    uint32_t best = 0;
    *ret_length = 0;
    for (uint32_t i = lines->nodes[parent].child; i; i = lines->nodes[i].sibling) {
        size_t length = step_length(&lines->nodes[i], path);
        if (length > *ret_length) {
            *ret_length = length;
            best = i;
        }
    }
    return best;
}

static unsigned event_line(const struct parser *parser)
{
    return (unsigned)parser->event.start_mark.line + 1;
}

#define FAIL(parser, format, ...)                                                                  \
    error_set((parser)->err, ERROR_PERMANENT, "%s:%u: " format, (parser)->file,                    \
              event_line(parser) __VA_OPT__(, ) __VA_ARGS__)

/* What libyaml did not like. Its reader (encoding) knows an offset, all else a line. */
static int fail_syntax(const struct parser *parser)
{
    const yaml_parser_t *yaml = &parser->yaml;
    size_t line = yaml->problem_mark.line + 1;
    if (yaml->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < parser->size && i < yaml->problem_offset; i++)
            line += parser->text[i] == '\n';
    }
    return error_set(parser->err, ERROR_PERMANENT, "%s:%zu: not YAML: %s%s%s", parser->file, line,
                     yaml->problem ? yaml->problem : "unknown problem", yaml->context ? " " : "",
                     yaml->context ? yaml->context : "");
}

static int next_event(struct parser *parser)
{
    yaml_event_delete(&parser->event);
    if (!yaml_parser_parse(&parser->yaml, &parser->event))
        return fail_syntax(parser);
    return 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static size_t count_digits(const char *text)
{
    return strspn(text, "0123456789");
}

static const char *skip_sign(const char *text)
{
    return text + (*text == '-' || *text == '+');
}

/* [-+]?(0|[1-9][0-9]*) */
static bool is_decimal(const char *text)
{
    text = skip_sign(text);
    size_t digits = count_digits(text);
    return digits > 0 && !text[digits] && (digits == 1 || text[0] != '0');
}

/* 0x[0-9a-fA-F]+ or 0o[0-7]+ */
static bool is_hex_or_octal(const char *text)
{
    if (strncmp(text, "0x", 2) == 0)
        return text[2] && !text[2 + strspn(text + 2, "0123456789abcdefABCDEF")];
    return strncmp(text, "0o", 2) == 0 && text[2] && !text[2 + strspn(text + 2, "01234567")];
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? with a point or an exponent */
static bool is_real(const char *text)
{
    text = skip_sign(text);
    size_t whole = count_digits(text), fraction = 0;
    text += whole;
    bool real = *text == '.';
    if (real) {
        fraction = count_digits(text + 1);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text = skip_sign(text + 1);
        size_t exponent = count_digits(text);
        return exponent > 0 && !text[exponent];
    }
    return real && !*text;
}

/* A number to readers of YAML 1.1 or to Go, though none of ours: 0777, 1_000, 0b11, -0x1F, 0X1F. */
static bool is_other_number(const char *text)
{
    char plain[80];
    size_t size = 0;
    text = skip_sign(text);
    if ((*text < '0' || *text > '9') && *text != '.')
        return false;
    for (; *text; text++) {
        if (*text == '_')
            continue;
        if (size == sizeof(plain) - 1)
            return false;
        plain[size++] = *text;
    }
    plain[size] = '\0';
    if (plain[0] == '0' && plain[1] && strchr("xXoObB", plain[1]))
        return plain[2] && !plain[2 + strspn(plain + 2, "0123456789abcdefABCDEF")];
    return !plain[count_digits(plain)] || is_real(plain);
}

/* Plain scalars that not everybody reads alike, or that JSON cannot say. */
static int check_unambiguous(const struct parser *parser, const char *text)
{
    static const char *const trues[] = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", NULL};
    static const char *const falses[] = {"n", "N", "no", "No", "NO", "off", "Off", "OFF", NULL};
    static const char *const infinities[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};

    bool yes = is_one_of(text, trues);
    if (yes || is_one_of(text, falses))
        return FAIL(parser,
                    "kubectl reads plain '%s' as a boolean: write %s, or put it in quotes if it is "
                    "text",
                    text, yes ? "true" : "false");
    if (is_one_of(skip_sign(text), infinities))
        return FAIL(parser, "'%s' is not a number here: put it in quotes if it is text", text);
    if (!is_decimal(text) && !is_hex_or_octal(text) && !is_real(text) && is_other_number(text))
        return FAIL(parser,
                    "'%s' is not the same number to every reader of YAML: write it in plain "
                    "decimal, or put it in quotes if it is text",
                    text);
    return 0;
}

static json_t *integer_value(const char *text)
{
    int base = 10;
    if (is_hex_or_octal(text)) {
        base = text[1] == 'x' ? 16 : 8;
        text += 2;
    }
    errno = 0;
    long long number = strtoll(text, NULL, base);
    return errno == 0 ? json_integer(number) : NULL;
}

static int parse_plain(const struct parser *parser, const char *text, json_t **ret_value)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};

    if (check_unambiguous(parser, text) < 0)
        return -1;
    if (is_one_of(text, nulls))
        *ret_value = json_null();
    else if (is_one_of(text, trues) || is_one_of(text, falses))
        *ret_value = json_boolean(is_one_of(text, trues));
    else if (is_decimal(text) || is_hex_or_octal(text))
        *ret_value = integer_value(text);
    else if (is_real(text))
        *ret_value = json_real(strtod(text, NULL)); /* NULL for an infinity */
    else
        *ret_value = json_string(text);
    if (!*ret_value)
        return FAIL(parser, "the number '%s' is too large", text);
    return 0;
}

static int check_node(const struct parser *parser, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    if (anchor)
        return FAIL(parser, "anchors ('&%s') are not supported: write the value out", anchor);
    if (tag)
        return FAIL(parser,
                    "tags ('%s') are not supported: put text in quotes, leave the rest plain", tag);
    return 0;
}

static int parse_scalar(const struct parser *parser, json_t **ret_value)
{
    const char *text = (const char *)parser->event.data.scalar.value;
    size_t size = parser->event.data.scalar.length;
    if (check_node(parser, parser->event.data.scalar.anchor, parser->event.data.scalar.tag) < 0)
        return -1;
    if (strlen(text) != size)
        return FAIL(parser, "text with a NUL character");
    if (parser->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return parse_plain(parser, text, ret_value);
    *ret_value = json_stringn(text, size);
    return *ret_value ? 0 : FAIL(parser, "text that is not UTF-8");
}

/* A key has to be a string to everybody; others are turned into one in ways of their own. */
static int parse_key(const struct parser *parser, const json_t *object, char **ret_key)
{
    if (parser->event.type != YAML_SCALAR_EVENT)
        return FAIL(parser, "a key has to be a text");
    const char *text = (const char *)parser->event.data.scalar.value;
    bool plain = parser->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && strcmp(text, "<<") == 0)
        return FAIL(parser, "merge keys ('<<') are not supported: write the fields out");
    json_auto_t *value = NULL;
    if (parse_scalar(parser, &value) < 0)
        return -1;
    if (!json_is_string(value))
        return FAIL(parser, "the key '%s' is not a text: put it in quotes", text);
    if (json_object_get(object, text))
        return FAIL(parser, "duplicate key '%s'", text);
    *ret_key = own_strdup(text);
    return 0;
}

/* Each of these begins at the value's first event and ends at its last. */
static int parse_value(struct parser *parser, uint32_t node, json_t **ret_value);

static int parse_mapping(struct parser *parser, uint32_t node, json_t **ret_value)
{
    json_auto_t *object = json_object();
    while (next_event(parser) == 0) {
        if (parser->event.type == YAML_MAPPING_END_EVENT) {
            *ret_value = TAKE(object);
            return 0;
        }
        CLEANUP(own_freep) char *key = NULL;
        if (parse_key(parser, object, &key) < 0)
            return -1;
        struct yaml_node member = {.key = own_strdup(key), .line = event_line(parser)};
        uint32_t child = lines_add(parser->lines, node, member);
        json_t *value = NULL;
        if (next_event(parser) < 0 || parse_value(parser, child, &value) < 0)
            return -1;
        if (json_object_set_new(object, key, value) < 0)
            return FAIL(parser, "a key that is not UTF-8");
    }
    return -1;
}

static int parse_sequence(struct parser *parser, uint32_t node, json_t **ret_value)
{
    json_auto_t *array = json_array();
    while (next_event(parser) == 0) {
        if (parser->event.type == YAML_SEQUENCE_END_EVENT) {
            *ret_value = TAKE(array);
            return 0;
        }
        struct yaml_node element = {.index = (uint32_t)json_array_size(array),
                                    .line = event_line(parser)};
        json_t *value = NULL;
        if (parse_value(parser, lines_add(parser->lines, node, element), &value) < 0)
            return -1;
        json_array_append_new(array, value);
    }
    return -1;
}

static int parse_value(struct parser *parser, uint32_t node, json_t **ret_value)
{
    const yaml_event_t *event = &parser->event;
    if (event->type == YAML_SCALAR_EVENT)
        return parse_scalar(parser, ret_value);
    if (event->type == YAML_ALIAS_EVENT)
        return FAIL(parser, "aliases ('*%s') are not supported: write the value out",
                    event->data.alias.anchor);
    if (parser->depth == YAML_DEPTH_MAX)
        return FAIL(parser, "more than %d levels deep", YAML_DEPTH_MAX);

    parser->depth++;
    int result;
    if (event->type == YAML_MAPPING_START_EVENT) {
        result =
            check_node(parser, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        if (result == 0)
            result = parse_mapping(parser, node, ret_value);
    } else {
        assert(event->type == YAML_SEQUENCE_START_EVENT);
        result =
            check_node(parser, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        if (result == 0)
            result = parse_sequence(parser, node, ret_value);
    }
    parser->depth--;
    return result;
}

static int parse_stream(struct parser *parser, json_t **ret_root)
{
    if (next_event(parser) < 0 || next_event(parser) < 0) /* stream start, document start */
        return -1;
    if (parser->event.type == YAML_STREAM_END_EVENT)
        return FAIL(parser, "the file is empty");
    if (next_event(parser) < 0)
        return -1;
    lines_add(parser->lines, 0, (struct yaml_node){.line = event_line(parser)});
    json_auto_t *root = NULL;
    if (parse_value(parser, 0, &root) < 0)
        return -1;
    if (next_event(parser) < 0 || next_event(parser) < 0) /* document end, stream end */
        return -1;
    if (parser->event.type != YAML_STREAM_END_EVENT)
        return FAIL(parser, "a second document begins here: put it into a file of its own");
    *ret_root = TAKE(root);
    return 0;
}

void yaml_done(struct yaml *yaml)
{
    json_decref(yaml->root);
    lines_free(yaml->lines);
    own_freep(&yaml->file);
    *yaml = (struct yaml){0};
}

unsigned yaml_line(const struct yaml *yaml, const char *path)
{
    if (!yaml->lines)
        return 0;
    uint32_t node = 0;
    while (*path) {
        size_t length;
        node = find_child(yaml->lines, node, path, &length);
        if (!node)
            return 0;
        path += length;
        path += *path == '.';
    }
    return yaml->lines->nodes[node].line;
}

int yaml_parse(struct yaml *ret_yaml, const char *file, const char *text, size_t size,
               struct error *err)
{
    if (size > YAML_BYTES_MAX)
        return error_set(err, ERROR_PERMANENT, "%s: larger than %d bytes", file, YAML_BYTES_MAX);
    struct yaml yaml = {.lines = own_alloc(sizeof(*yaml.lines)), .file = own_strdup(file)};
    struct parser parser = {
        .file = file, .text = text, .size = size, .lines = yaml.lines, .err = err};
    if (!yaml_parser_initialize(&parser.yaml))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)text, size);
    int result = parse_stream(&parser, &yaml.root);
    yaml_event_delete(&parser.event);
    yaml_parser_delete(&parser.yaml);
    if (result < 0)
        yaml_done(&yaml);
    else
        *ret_yaml = yaml;
    return result;
}

int yaml_load(struct yaml *ret_yaml, const char *path, struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(YAML_BYTES_MAX);
    if (buf_read_file(&text, AT_FDCWD, path, err) < 0)
        return -1;
    return yaml_parse(ret_yaml, path, (const char *)text.data, text.size, err);
}
