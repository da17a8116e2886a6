// SPDX-License-Identifier: Apache-2.0
#include "sidecar/wal_protocol.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/own.h"

#define GREETING "lifeboat-wal/1 "
#define GAPS " stop-at-gaps"

static const char *const words[] = {
    [WAL_CONTENT] = "content", [WAL_FILE] = "file",       [WAL_NONE] = "none",
    [WAL_AGAIN] = "again",     [WAL_REFUSED] = "refused",
};

/* A name leads nowhere but to a file in the archive. */
static bool is_name(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length <= WAL_PROTOCOL_NAME_MAX &&
           strspn(name, "0123456789ABCDEFabcdefghijklmnopqrstuvwxyz.") == length;
}

int wal_protocol_format_question(const struct wal_question *question,
                                 char ret_line[WAL_PROTOCOL_LINE_MAX], struct error *err)
{
    if (!is_name(question->name))
        return error_set(err, ERROR_CORRUPT, "'%s' is no name of a file of WAL", question->name);
    snprintf(ret_line, WAL_PROTOCOL_LINE_MAX, GREETING "%s%s\n", question->name,
             question->stop_at_gaps ? GAPS : "");
    return 0;
}

static bool has_size(enum wal_answer_kind kind)
{
    return kind == WAL_CONTENT || kind == WAL_FILE;
}

void wal_protocol_format_answer(const struct wal_answer_line *answer,
                                char ret_line[WAL_PROTOCOL_LINE_MAX])
{
    const char *word = words[answer->kind];
    if (has_size(answer->kind))
        snprintf(ret_line, WAL_PROTOCOL_LINE_MAX, "%s %" PRIu64 "\n", word, answer->size);
    else if (answer->kind == WAL_NONE)
        snprintf(ret_line, WAL_PROTOCOL_LINE_MAX, "%s\n", word);
    else
        snprintf(ret_line, WAL_PROTOCOL_LINE_MAX, "%s %s\n", word, answer->text);
    for (char *at = ret_line; at[0] != '\0' && at[1] != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = ' '; /* only the last newline ends the line */
}

/* Into text of size + 1 bytes; false if it has a NUL or is too long. */
static bool copy_line(const char *line, size_t size, char text[WAL_PROTOCOL_LINE_MAX])
{
    if (size >= WAL_PROTOCOL_LINE_MAX || memchr(line, '\0', size))
        return false;
    memcpy(text, line, size);
    text[size] = '\0';
    return true;
}

int wal_protocol_parse_question(const char *line, size_t size, struct wal_question *ret_question,
                                struct error *err)
{
    struct wal_question question = {0};
    char text[WAL_PROTOCOL_LINE_MAX];
    if (!copy_line(line, size, text) || strncmp(text, GREETING, strlen(GREETING)) != 0)
        return error_set(err, ERROR_CORRUPT, "this is no question for WAL of version 1");
    char *name = text + strlen(GREETING), *rest = name + strcspn(name, " ");
    question.stop_at_gaps = strcmp(rest, GAPS) == 0;
    if (*rest != '\0' && !question.stop_at_gaps)
        return error_set(err, ERROR_CORRUPT, "a question for WAL has '%.64s' behind the name",
                         rest);
    *rest = '\0';
    if (!is_name(name))
        return error_set(err, ERROR_CORRUPT, "'%.64s' is no name of a file of WAL", name);
    memcpy(question.name, name, strlen(name) + 1);
    *ret_question = question;
    return 0;
}

static bool parse_size(const char *text, uint64_t *ret_size)
{
    char *end;
    errno = 0;
    *ret_size = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 &&
           *ret_size <= WAL_PROTOCOL_CONTENT_MAX;
}

int wal_protocol_parse_answer(const char *line, size_t size, struct wal_answer_line *ret_answer,
                              struct error *err)
{
    struct wal_answer_line answer = {0};
    char text[WAL_PROTOCOL_LINE_MAX];
    bool known = false;
    if (!copy_line(line, size, text))
        return error_set(err, ERROR_CORRUPT, "an answer for WAL is no line");
    char *rest = text + strcspn(text, " ");
    if (*rest != '\0')
        *rest++ = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(words) && !known; i++) {
        known = strcmp(text, words[i]) == 0;
        answer.kind = (enum wal_answer_kind)i;
    }
    if (known && has_size(answer.kind))
        known = parse_size(rest, &answer.size);
    else if (known && answer.kind == WAL_NONE)
        known = *rest == '\0';
    if (!known)
        return error_set(err, ERROR_CORRUPT, "'%.64s' is no answer for WAL", text);
    if (answer.kind == WAL_AGAIN || answer.kind == WAL_REFUSED)
        snprintf(answer.text, sizeof(answer.text), "%.*s", (int)sizeof(answer.text) - 1, rest);
    *ret_answer = answer;
    return 0;
}

int wal_protocol_address(const char *path, struct sockaddr_un *ret_address, struct error *err)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret_address->sun_path))
        return error_set(err, ERROR_PERMANENT, "the socket's path '%s' is too long", path);
    memcpy(ret_address->sun_path, path, strlen(path) + 1);
    return 0;
}
