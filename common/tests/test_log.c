// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/own.h"

static int pipes[2];

static int open_pipe(void **state)
{
    (void)state;
    clock_fake(INT64_C(1795249278000));
    log_set_level(LOG_LEVEL_INFO);
    if (pipe(pipes) < 0)
        return -1;
    log_set_fd(pipes[1]);
    return 0;
}

static int close_pipe(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    clock_fake(-1);
    own_closep(&pipes[0]);
    own_closep(&pipes[1]);
    return 0;
}

/* What was logged since the test began. */
static const char *logged(void)
{
    static char text[65536];
    own_closep(&pipes[1]);
    ssize_t size = read(pipes[0], text, sizeof(text) - 1);
    assert_true(size >= 0);
    text[size] = '\0';
    return text;
}

static void an_event_is_one_line_of_json(void **state)
{
    (void)state;
    log_info("Committed backup", S("backup", "20261121T082118Z-full-3fa2"), U("bytes", 42));
    assert_string_equal(logged(), "{\"time\":\"2026-11-21T08:21:18.000Z\",\"level\":\"info\","
                                  "\"message\":\"Committed backup\","
                                  "\"backup\":\"20261121T082118Z-full-3fa2\",\"bytes\":42}\n");
}

static void an_event_may_have_no_fields(void **state)
{
    (void)state;
    log_warn("Lost connection");
    assert_string_equal(logged(), "{\"time\":\"2026-11-21T08:21:18.000Z\",\"level\":\"warn\","
                                  "\"message\":\"Lost connection\"}\n");
}

static void every_type_of_field_is_written(void **state)
{
    (void)state;
    log_info("Read", S("none", NULL), I("signed", INT64_MIN), U("largest", UINT64_MAX),
             F("rate", 0.5), F("endless", INFINITY), B("yes", true), B("no", false));
    assert_non_null(strstr(logged(), "\"none\":null,\"signed\":-9223372036854775808,"
                                     "\"largest\":\"18446744073709551615\",\"rate\":0.5,"
                                     "\"endless\":null,\"yes\":true,\"no\":false}\n"));
}

static void an_error_adds_its_text_and_kind(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_NOT_FOUND, "no object 'a'");
    log_error(&err, "Failed restore", S("backup", "x"));
    assert_non_null(strstr(logged(), "\"level\":\"error\",\"message\":\"Failed restore\","
                                     "\"backup\":\"x\",\"error\":\"no object 'a'\","
                                     "\"kind\":\"not-found\"}\n"));
}

static void line_breaks_and_quotes_cannot_forge_a_line(void **state)
{
    (void)state;
    log_info("Read", S("name", "a\n{\"level\":\"error\"}\t\x01\\"));
    const char *text = logged();
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_non_null(strstr(text, "\"a\\n{\\\"level\\\":\\\"error\\\"}\\t\\u0001\\\\\""));
}

static void bytes_that_are_not_utf8_are_escaped(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x98", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x98"},
        {"a\xFFz", "a\\\\xffz"},
        {"\xC3\xA9\x80z", "\xC3\xA9\\\\x80z"},
        {"\xE2\x82", "\\\\xe2\\\\x82"},                       /* cut short */
        {"\xC0\xAF", "\\\\xc0\\\\xaf"},                       /* longer than needed */
        {"\xED\xA0\x80", "\\\\xed\\\\xa0\\\\x80"},            /* a surrogate */
        {"\xF4\x90\x80\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"}, /* above U+10FFFF */
        {"\xF8\x88\x80\x80\x80", "\\\\xf8\\\\x88\\\\x80\\\\x80\\\\x80"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        log_info("Read", S("name", cases[i][0]));
    const char *text = logged();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(own_freep) char *expected = own_format("\"name\":\"%s\"}\n", cases[i][1]);
        text = strstr(text, expected);
        assert_non_null(text);
    }
}

static void every_line_is_valid_json(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        char name[] = {(char)byte, 'x', (char)byte, '\0'};
        log_info("R", S("n", name));
    }
    const char *text = logged();
    for (int i = 1; i < 256; i++) {
        json_t *line = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(line);
        assert_true(json_is_string(json_object_get(line, "n")));
        json_decref(line);
        text = strchr(text, '\n') + 1;
    }
    assert_string_equal(text, "");
}

static void on_a_terminal_an_event_is_a_line_to_read(void **state)
{
    (void)state;
    log_set_terminal(true);
    log_warn("Found damaged pages", S("file", "base/5/\x1b[2J"), U("pages", 3), S("pod", NULL));
    log_info("Connected");
    log_set_terminal(false);
    assert_string_equal(
        logged(), "\r\033[Kwarning: Found damaged pages (file base/5/\\x1b[2J, pages 3, pod null)\n"
                  "\r\033[Kinfo: Connected\n");
}

static void events_below_the_level_are_dropped(void **state)
{
    (void)state;
    log_debug("Dropped");
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("Dropped");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("Kept");
    assert_string_equal(logged(), "{\"time\":\"2026-11-21T08:21:18.000Z\",\"level\":\"debug\","
                                  "\"message\":\"Kept\"}\n");
}

static void levels_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        enum log_level level;
        assert_true(log_parse_level(names[i], &level));
        assert_int_equal(level, i);
    }
    enum log_level level = LOG_LEVEL_WARN;
    assert_false(log_parse_level("INFO", &level));
    assert_false(log_parse_level("", &level));
    assert_int_equal(level, LOG_LEVEL_WARN);
}

static void logging_keeps_errno_even_where_it_fails(void **state)
{
    (void)state;
    log_set_fd(-1);
    errno = ENOSPC;
    log_info("Unwritable");
    assert_int_equal(errno, ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_is_one_line_of_json, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(an_event_may_have_no_fields, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(every_type_of_field_is_written, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(an_error_adds_its_text_and_kind, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(line_breaks_and_quotes_cannot_forge_a_line, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(bytes_that_are_not_utf8_are_escaped, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(every_line_is_valid_json, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(on_a_terminal_an_event_is_a_line_to_read, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(events_below_the_level_are_dropped, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(levels_have_names, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(logging_keeps_errno_even_where_it_fails, open_pipe,
                                        close_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
