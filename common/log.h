// SPDX-License-Identifier: Apache-2.0
/*
 * One JSON line per event on stderr: {"time":…,"level":"info","message":"Committed
 * backup","backup":…}. Messages are in the past tense and carry no values; values are typed fields.
 * Library code does not log errors that it returns. Secrets have no field type.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct error;

struct log_field {
    const char *name;
    enum { LOG_STRING, LOG_UNSIGNED, LOG_SIGNED, LOG_REAL, LOG_BOOL } type;
    union {
        const char *string; /* NULL prints null; bytes that are not UTF-8 are escaped */
        uint64_t number;
        int64_t integer;
        double real;
        bool flag;
    };
};

#define S(field_name, value)                                                                       \
    ((struct log_field){.name = (field_name), .type = LOG_STRING, .string = (value)})
#define U(field_name, value)                                                                       \
    ((struct log_field){.name = (field_name), .type = LOG_UNSIGNED, .number = (value)})
#define I(field_name, value)                                                                       \
    ((struct log_field){.name = (field_name), .type = LOG_SIGNED, .integer = (value)})
#define F(field_name, value)                                                                       \
    ((struct log_field){.name = (field_name), .type = LOG_REAL, .real = (value)})
#define B(field_name, value)                                                                       \
    ((struct log_field){.name = (field_name), .type = LOG_BOOL, .flag = (value)})

#define log_debug(...) LOG_EVENT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_EVENT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) LOG_EVENT(LOG_LEVEL_WARN, __VA_ARGS__)
/* log_error(err, "Failed backup", fields…): adds "error" and "kind" of err. */
#define log_error(err, ...) LOG_ERROR(err, __VA_ARGS__)

/* Events below this level are dropped; the default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
bool log_parse_level(const char *name, enum log_level *ret_level);
/* For a person at a terminal: "warning: Found damaged pages (backup …, pages 3)", in the place of a
 * line that redraws itself. */
void log_set_terminal(bool terminal);
/* Where lines go, stderr by default; whole lines are written at once. For tests and for progress on
 * a terminal. */
void log_set_fd(int fd);

void log_write(enum log_level level, const struct error *err, const char *message,
               const struct log_field *fields, size_t count);

/* Hands on a line that is a log event already, with its newline: of a child process. */
void log_pass(const void *line, size_t size);

#define LOG_FIELDS(...) ((struct log_field[]){__VA_ARGS__})
#define LOG_COUNT(...) (sizeof(LOG_FIELDS(__VA_ARGS__)) / sizeof(struct log_field))
#define LOG_EVENT(level, message, ...)                                                             \
    log_write(level, NULL, message, LOG_FIELDS(__VA_ARGS__), LOG_COUNT(__VA_ARGS__))
#define LOG_ERROR(err, message, ...)                                                               \
    log_write(LOG_LEVEL_ERROR, err, message, LOG_FIELDS(__VA_ARGS__), LOG_COUNT(__VA_ARGS__))
