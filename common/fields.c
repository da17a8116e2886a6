// SPDX-License-Identifier: Apache-2.0
#include "common/fields.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/yaml.h"

enum { VALUE_TEXT_MAX = 80, MESSAGE_MAX = 480 };

/* "<path>.<name>"; a path that is too long is cut, which only makes a message less exact. */
static void join_path(char ret_path[FIELDS_PATH_MAX], const char *path, const char *name)
{
    const char *dot = *path && name && *name ? "." : "";
    int size = snprintf(ret_path, FIELDS_PATH_MAX, "%s%s%s", path, dot, name ? name : "");
    assert(size >= 0);
}

static void element_name(char ret_name[FIELDS_PATH_MAX], const char *name, size_t index)
{
    int size = snprintf(ret_name, FIELDS_PATH_MAX, "%s[%zu]", name, index);
    assert(size >= 0 && size < FIELDS_PATH_MAX);
}

/* "policy.yaml:12: spec.quorum: " */
static void format_place(const struct fields *fields, const char *name, char *ret_text, size_t size)
{
    const char *file = fields->yaml ? fields->yaml->file : NULL;
    char path[FIELDS_PATH_MAX];
    join_path(path, fields->path, name);
    const char *colon = *path ? ": " : "";
    int written;
    if (!file) {
        written = snprintf(ret_text, size, "%s%s", path, colon);
    } else {
        unsigned line = yaml_line(fields->yaml, path);
        for (; line == 0 && fields; fields = fields->parent) /* what is missing has no line */
            line = yaml_line(fields->yaml, fields->path);
        written = snprintf(ret_text, size, "%s:%u: %s%s", file, line, path, colon);
    }
    assert(written >= 0);
}

static void fail(struct fields *fields, const char *name, const char *message)
{
    if (fields->bad)
        return;
    char place[MESSAGE_MAX];
    format_place(fields, name, place, sizeof(place));
    error_set(fields->err, fields->kind, "%s%s", place, message);
    for (struct fields *at = fields; at; at = at->parent)
        at->bad = true;
}

/* A value as JSON, short enough for a message. */
static void describe(const json_t *value, char ret_text[VALUE_TEXT_MAX])
{
    CLEANUP(own_freep)
    char *dumped =
        json_is_object(value) || json_is_array(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
    const char *text = dumped ? dumped : json_is_object(value) ? "an object" : "a list";
    int size = snprintf(ret_text, VALUE_TEXT_MAX, "%s", text);
    if (size < VALUE_TEXT_MAX)
        return;
    size_t cut = VALUE_TEXT_MAX - sizeof("…");
    while (((uint8_t)ret_text[cut] & 0xc0) == 0x80) /* within a UTF-8 sequence */
        cut--;
    memcpy(ret_text + cut, "…", sizeof("…"));
}

static void refuse(struct fields *fields, const char *name, const json_t *value,
                   const char *expected)
{
    char text[VALUE_TEXT_MAX], message[MESSAGE_MAX];
    if (!value) {
        snprintf(message, sizeof(message), "expected %s", expected);
    } else {
        describe(value, text);
        snprintf(message, sizeof(message), "expected %s, not %s", expected, text);
    }
    fail(fields, name, message);
}

/* Where name stands in seen, which it enters. */
static size_t see(struct fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->seen_count; i++)
        if (strcmp(fields->seen[i], name) == 0)
            return i;
    assert(fields->seen_count < FIELDS_MAX);
    fields->seen[fields->seen_count] = name;
    return fields->seen_count++;
}

/* NULL when missing, null, or nothing is read any more. */
static json_t *member(struct fields *fields, const char *name)
{
    see(fields, name);
    if (fields->bad)
        return NULL;
    json_t *value = json_object_get(fields->object, name);
    return json_is_null(value) ? NULL : value;
}

static const char *string_value(struct fields *fields, const char *name, const json_t *value,
                                const char *fallback)
{
    if (!json_is_string(value)) {
        refuse(fields, name, value, "a string");
        return fallback;
    }
    const char *text = json_string_value(value);
    if (strlen(text) == json_string_length(value))
        return text;
    refuse(fields, name, value, "a string without NUL characters");
    return fallback;
}

static void open_child(struct fields *fields, const char *name, json_t *value,
                       struct fields *ret_child)
{
    *ret_child = (struct fields){.object = value,
                                 .yaml = fields->yaml,
                                 .parent = fields,
                                 .kind = fields->kind,
                                 .err = fields->err,
                                 .bad = fields->bad};
    join_path(ret_child->path, fields->path, name);
    if (!value || json_is_object(value))
        return;
    refuse(ret_child, NULL, value, "an object");
    ret_child->object = NULL;
}

/* "Full, Differential or Incremental" */
static void list_words(const char *const *words, size_t count, const char *last, char *ret_text,
                       size_t size)
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *between = i == 0 ? "" : i + 1 == count ? last : ", ";
        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", between, words[i]);
    }
}

/* A name that nobody asked for is more likely misspelt than meant. */
static void check_known(struct fields *fields)
{
    const char *name;
    json_t *value;
    json_object_foreach(fields->object, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < fields->seen_count && !known; i++)
            known = strcmp(fields->seen[i], name) == 0;
        if (known)
            continue;
        char words[MESSAGE_MAX / 2];
        list_words(fields->seen, fields->seen_count, " and ", words, sizeof(words));
        fields_fail(fields, name, "unknown field; known here: %s", words);
        return;
    }
}

void fields_init(struct fields *fields, json_t *object, const struct yaml *yaml,
                 enum error_kind kind, struct error *err)
{
    *fields = (struct fields){.object = object, .yaml = yaml, .kind = kind, .err = err};
    if (!object || json_is_object(object))
        return;
    refuse(fields, NULL, object, "an object");
    fields->object = NULL;
}

const char *fields_string(struct fields *fields, const char *name, const char *fallback)
{
    const json_t *value = member(fields, name);
    return value ? string_value(fields, name, value, fallback) : fallback;
}

int64_t fields_integer(struct fields *fields, const char *name, int64_t min, int64_t max,
                       int64_t fallback)
{
    const json_t *value = member(fields, name);
    if (!value)
        return fallback;
    int64_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= min && number <= max)
        return number;
    char expected[VALUE_TEXT_MAX];
    snprintf(expected, sizeof(expected), "an integer from %" PRId64 " to %" PRId64, min, max);
    refuse(fields, name, value, expected);
    return fallback;
}

bool fields_bool(struct fields *fields, const char *name, bool fallback)
{
    const json_t *value = member(fields, name);
    if (!value)
        return fallback;
    if (json_is_boolean(value))
        return json_is_true(value);
    refuse(fields, name, value, "true or false");
    return fallback;
}

int fields_choice(struct fields *fields, const char *name, const char *const *choices, int fallback)
{
    const json_t *value = member(fields, name);
    if (!value)
        return fallback;
    size_t count = 0;
    for (; choices[count]; count++)
        if (json_is_string(value) && strcmp(json_string_value(value), choices[count]) == 0)
            return (int)count;
    char words[MESSAGE_MAX / 2];
    list_words(choices, count, " or ", words, sizeof(words));
    refuse(fields, name, value, words);
    return fallback;
}

uint64_t fields_decimal(struct fields *fields, const char *name, uint64_t fallback)
{
    const json_t *value = member(fields, name);
    if (!value)
        return fallback;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t digits = strspn(text, "0123456789");
    bool canonical =
        digits > 0 && digits == json_string_length(value) && (digits == 1 || text[0] != '0');
    errno = 0;
    uint64_t number = strtoull(text, NULL, 10);
    if (canonical && errno == 0)
        return number;
    refuse(fields, name, value, "a decimal number below 2^64 as a string");
    return fallback;
}

bool fields_has(const struct fields *fields, const char *name)
{
    const json_t *value = json_object_get(fields->object, name);
    return value && !json_is_null(value);
}

void fields_require(struct fields *fields, const char *name)
{
    fields->required[see(fields, name)] = true;
}

void fields_skip(struct fields *fields, const char *name)
{
    see(fields, name);
}

void fields_object(struct fields *fields, const char *name, struct fields *ret_child)
{
    open_child(fields, name, member(fields, name), ret_child);
}

size_t fields_array(struct fields *fields, const char *name, size_t max)
{
    const json_t *value = member(fields, name);
    if (!value)
        return 0;
    if (!json_is_array(value)) {
        refuse(fields, name, value, "a list");
        return 0;
    }
    size_t count = json_array_size(value);
    if (count <= max)
        return count;
    fields_fail(fields, name, "expected at most %zu elements, not %zu", max, count);
    return 0;
}

void fields_array_object(struct fields *fields, const char *name, size_t index,
                         struct fields *ret_child)
{
    char element[FIELDS_PATH_MAX];
    element_name(element, name, index);
    open_child(fields, element, json_array_get(member(fields, name), index), ret_child);
}

const char *fields_array_string(struct fields *fields, const char *name, size_t index)
{
    const json_t *value = json_array_get(member(fields, name), index);
    char element[FIELDS_PATH_MAX];
    element_name(element, name, index);
    return value ? string_value(fields, element, value, NULL) : NULL;
}

json_t *fields_string_map(struct fields *fields, const char *name, size_t max)
{
    struct fields map;
    fields_object(fields, name, &map);
    if (json_object_size(map.object) > max)
        fields_fail(fields, name, "expected at most %zu members, not %zu", max,
                    json_object_size(map.object));
    const char *key;
    json_t *value;
    json_object_foreach(map.object, key, value) string_value(&map, key, value, NULL);
    return fields->bad ? NULL : map.object;
}

void fields_fail(struct fields *fields, const char *name, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    fail(fields, name, message);
}

void fields_refuse(struct fields *fields, const char *name, const char *expected)
{
    refuse(fields, name, name ? json_object_get(fields->object, name) : NULL, expected);
}

int fields_end_open(struct fields *fields)
{
    for (size_t i = 0; i < fields->seen_count; i++)
        if (fields->required[i] && !fields_has(fields, fields->seen[i]))
            fail(fields, fields->seen[i], "required, but missing");
    return fields->bad ? -1 : 0;
}

int fields_end(struct fields *fields)
{
    check_known(fields);
    return fields_end_open(fields);
}
