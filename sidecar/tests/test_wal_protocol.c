// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "sidecar/wal_protocol.h"

#define SEGMENT "000000010000000A000000FF"

static void a_question_is_one_line(void **state)
{
    (void)state;
    static const struct {
        struct wal_question question;
        const char *line;
    } cases[] = {
        {{SEGMENT, false}, "lifeboat-wal/1 " SEGMENT "\n"},
        {{"00000002.history", true}, "lifeboat-wal/1 00000002.history stop-at-gaps\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[WAL_PROTOCOL_LINE_MAX];
        struct wal_question question;
        struct error err;
        assert_int_equal(wal_protocol_format_question(&cases[i].question, line, &err), 0);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(wal_protocol_parse_question(line, strlen(line) - 1, &question, &err), 0);
        assert_string_equal(question.name, cases[i].question.name);
        assert_int_equal(question.stop_at_gaps, cases[i].question.stop_at_gaps);
    }
}

static void what_is_no_question_is_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "lifeboat-wal/1",
        "lifeboat-wal/1 ",
        "lifeboat-wal/2 " SEGMENT,
        "lifeboat-wal/1 " SEGMENT " ",
        "lifeboat-wal/1 " SEGMENT " stop",
        "lifeboat-wal/1 " SEGMENT " stop-at-gaps stop-at-gaps",
        "lifeboat-wal/1  stop-at-gaps",
        "lifeboat-wal/1 ../secret",
        "lifeboat-wal/1 a\nb",
        "lifeboat-wal/1 " SEGMENT SEGMENT SEGMENT,
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct wal_question question;
        struct error err;
        if (wal_protocol_parse_question(lines[i], strlen(lines[i]), &question, &err) == 0)
            fail_msg("'%s' was taken for a question", lines[i]);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

static void a_name_that_leads_elsewhere_is_never_asked_for(void **state)
{
    (void)state;
    static const struct wal_question wrong[] = {{"", false}, {"a/b", false}, {"a b", false}};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char line[WAL_PROTOCOL_LINE_MAX];
        struct error err;
        assert_int_equal(wal_protocol_format_question(&wrong[i], line, &err), -1);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

static void an_answer_is_one_line(void **state)
{
    (void)state;
    static const struct {
        struct wal_answer_line answer;
        const char *line;
    } cases[] = {
        {{.kind = WAL_CONTENT, .size = 16777216}, "content 16777216\n"},
        {{.kind = WAL_CONTENT}, "content 0\n"},
        {{.kind = WAL_FILE, .size = 16777216}, "file 16777216\n"},
        {{.kind = WAL_NONE}, "none\n"},
        {{.kind = WAL_AGAIN, .text = "list\nregion 'us': \tS3 503"},
         "again list region 'us':  S3 503\n"},
        {{.kind = WAL_REFUSED, .text = "no"}, "refused no\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[WAL_PROTOCOL_LINE_MAX];
        struct wal_answer_line answer;
        struct error err;
        wal_protocol_format_answer(&cases[i].answer, line);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(wal_protocol_parse_answer(line, strlen(line) - 1, &answer, &err), 0);
        assert_int_equal(answer.kind, cases[i].answer.kind);
        assert_int_equal(answer.size, cases[i].answer.size);
    }
}

static void the_longest_reason_fits_into_an_answer(void **state)
{
    (void)state;
    struct wal_answer_line answer = {.kind = WAL_REFUSED}, again;
    char line[WAL_PROTOCOL_LINE_MAX];
    struct error err;
    memset(answer.text, 'x', sizeof(answer.text) - 1);
    wal_protocol_format_answer(&answer, line);
    assert_int_equal(wal_protocol_parse_answer(line, strlen(line) - 1, &again, &err), 0);
    assert_string_equal(again.text, answer.text);
}

static void what_is_no_answer_is_corrupt(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",          "content",    "content ",     "content -1", "content 1x", "content 1073741825",
        "none left", "contents 1", "lifeboat-wal", "None",       "content +1", " none",
        "file",      "file 1 2",   "file -1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct wal_answer_line answer;
        struct error err;
        if (wal_protocol_parse_answer(lines[i], strlen(lines[i]), &answer, &err) == 0)
            fail_msg("'%s' was taken for an answer", lines[i]);
        assert_int_equal(err.kind, ERROR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_one_line),
        cmocka_unit_test(what_is_no_question_is_refused),
        cmocka_unit_test(a_name_that_leads_elsewhere_is_never_asked_for),
        cmocka_unit_test(an_answer_is_one_line),
        cmocka_unit_test(the_longest_reason_fits_into_an_answer),
        cmocka_unit_test(what_is_no_answer_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
