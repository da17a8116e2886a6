// SPDX-License-Identifier: Apache-2.0
/* Any line is a question for WAL that can be asked again, an answer that can be given again, or
 * CORRUPT. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/wal_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
    if (!held)
        abort();
}

static void try_question(const char *line, size_t size)
{
    struct wal_question question, again;
    char text[WAL_PROTOCOL_LINE_MAX];
    struct error err;
    if (wal_protocol_parse_question(line, size, &question, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return;
    }
    expect(!strchr(question.name, '/'));
    expect(wal_protocol_format_question(&question, text, &err) == 0);
    expect(wal_protocol_parse_question(text, strlen(text) - 1, &again, &err) == 0);
    expect(strcmp(question.name, again.name) == 0 && question.stop_at_gaps == again.stop_at_gaps);
}

static void try_answer(const char *line, size_t size)
{
    struct wal_answer_line answer, again;
    char text[WAL_PROTOCOL_LINE_MAX];
    struct error err;
    if (wal_protocol_parse_answer(line, size, &answer, &err) < 0) {
        expect(err.kind == ERROR_CORRUPT);
        return;
    }
    expect(answer.size <= WAL_PROTOCOL_CONTENT_MAX);
    wal_protocol_format_answer(&answer, text);
    expect(strchr(text, '\n') == text + strlen(text) - 1);
    expect(wal_protocol_parse_answer(text, strlen(text) - 1, &again, &err) == 0);
    expect(answer.kind == again.kind && answer.size == again.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!data)
        return 0;
    try_question((const char *)data, size);
    try_answer((const char *)data, size);
    return 0;
}
