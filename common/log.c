// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/own.h"
#include "common/text.h"

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

static _Atomic enum log_level lowest_level = LOG_LEVEL_INFO;
static atomic_int log_fd = STDERR_FILENO;
static atomic_bool for_terminal;

static json_t *string_value(const char *s)
{
    if (!s)
        return json_null();
    json_t *value = json_string(s); /* NULL if it is not UTF-8 */
    if (value)
        return value;
    CLEANUP(own_freep) char *escaped = text_escape(s);
    return json_string(escaped);
}

/* JSON integers are signed in jansson: what does not fit becomes a string rather than wrong. */
static json_t *unsigned_value(uint64_t number)
{
    if (number <= INT64_MAX)
        return json_integer((json_int_t)number);
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    return json_string(text);
}

static json_t *field_value(const struct log_field *field)
{
    json_t *real;
    switch (field->type) {
    case LOG_STRING:
        return string_value(field->string);
    case LOG_UNSIGNED:
        return unsigned_value(field->number);
    case LOG_SIGNED:
        return json_integer(field->integer);
    case LOG_REAL:
        real = json_real(field->real); /* NULL if it is infinite or not a number */
        return real ? real : json_null();
    case LOG_BOOL:
        return json_boolean(field->flag);
    }
    return json_null();
}

static json_t *event(enum log_level level, const struct error *err, const char *message,
                     const struct log_field *fields, size_t count)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format_ms(clock_now_ms(), time);
    json_t *root = json_object();
    json_object_set_new(root, "time", json_string(time));
    json_object_set_new(root, "level", json_string(level_names[level]));
    json_object_set_new(root, "message", string_value(message));
    for (size_t i = 0; i < count; i++)
        json_object_set_new(root, fields[i].name, field_value(&fields[i]));
    if (err) {
        json_object_set_new(root, "error", string_value(err->text));
        json_object_set_new(root, "kind", json_string(error_kind_name(err->kind)));
    }
    return root;
}

static char *json_line(const json_t *root)
{
    CLEANUP(own_freep) char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        abort(); /* out of memory */
    return own_format("%s\n", text);
}

/* Of the document of an event, for people; its time is now, and nobody needs to be told. */
static char *terminal_line(enum log_level level, json_t *root)
{
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    const char *name, *separator = " (";
    json_t *value;
    char *line = own_format("\r\033[K%s: %s", levels[level],
                            json_string_value(json_object_get(root, "message")));
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, "time") == 0 || strcmp(name, "level") == 0 || strcmp(name, "message") == 0)
            continue;
        CLEANUP(own_freep) char *before = line;
        CLEANUP(own_freep) char *coded = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        CLEANUP(own_freep)
        char *plain = text_escape(json_is_string(value) ? json_string_value(value)
                                  : coded               ? coded
                                                        : "");
        line = own_format("%s%s%s %s", before, separator, name, plain);
        separator = ", ";
    }
    CLEANUP(own_freep) char *open = line;
    return own_format("%s%s\n", open, *separator == ',' ? ")" : "");
}

/* Goes on only after a signal or a part; an unwritable log has nobody to be told. */
static void write_line(const char *line, size_t left)
{
    while (left > 0) {
        ssize_t put = write(atomic_load(&log_fd), line, left);
        if (put < 0 && errno != EINTR)
            return;
        if (put > 0) {
            line += put;
            left -= (size_t)put;
        }
    }
}

void log_pass(const void *line, size_t size)
{
    write_line(line, size);
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

bool log_parse_level(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

void log_set_terminal(bool terminal)
{
    atomic_store(&for_terminal, terminal);
}

void log_set_level(enum log_level level)
{
    atomic_store(&lowest_level, level);
}

void log_write(enum log_level level, const struct error *err, const char *message,
               const struct log_field *fields, size_t count)
{
    if (level < atomic_load(&lowest_level))
        return;
    int saved = errno;
    json_t *root = event(level, err, message, fields, count);
    CLEANUP(own_freep)
    char *line = atomic_load(&for_terminal) ? terminal_line(level, root) : json_line(root);
    json_decref(root);
    write_line(line, strlen(line));
    errno = saved;
}
