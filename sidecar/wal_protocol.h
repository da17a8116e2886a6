// SPDX-License-Identifier: Apache-2.0
/*
 * What the restore_command of a recovering PostgreSQL and the process that has its WAL say to each
 * other over a Unix socket: one line each way, and then the file (docs/protocol.md). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "common/error.h"

enum { WAL_PROTOCOL_LINE_MAX = 640, WAL_PROTOCOL_NAME_MAX = 64 };

/* In a data directory. */
#define WAL_PROTOCOL_SOCKET "pg_wal/lifeboat.socket"

/* Of a file that is delivered: no segment is larger. */
#define WAL_PROTOCOL_CONTENT_MAX (UINT64_C(1) << 30)

struct wal_question {
    char name[WAL_PROTOCOL_NAME_MAX + 1]; /* of the file, as PostgreSQL's %f */
    bool stop_at_gaps; /* a gap is the end: what asks has a target and fails if it misses it */
};

enum wal_answer_kind {
    WAL_CONTENT, /* here it is */
    WAL_FILE,    /* the same: it is in an open file that comes with the line, and nobody else's */
    WAL_NONE,    /* it is the end: every region was asked, and none has it or any later */
    WAL_AGAIN,   /* nobody can tell now */
    WAL_REFUSED, /* the question is wrong, and asking it again is no use */
};

struct wal_answer_line {
    enum wal_answer_kind kind;
    uint64_t size;                             /* of WAL_CONTENT: bytes that follow; of WAL_FILE */
    char text[sizeof((struct error){0}.text)]; /* of WAL_AGAIN and WAL_REFUSED: why */
};

/* A whole line, with its newline; its length without the NUL. The name must be a valid one, which
 * is CORRUPT else. */
MUST_CHECK int wal_protocol_format_question(const struct wal_question *question,
                                            char ret_line[WAL_PROTOCOL_LINE_MAX],
                                            struct error *err);
void wal_protocol_format_answer(const struct wal_answer_line *answer,
                                char ret_line[WAL_PROTOCOL_LINE_MAX]);

/* A line without its newline. CORRUPT. */
MUST_CHECK int wal_protocol_parse_question(const char *line, size_t size,
                                           struct wal_question *ret_question, struct error *err);
MUST_CHECK int wal_protocol_parse_answer(const char *line, size_t size,
                                         struct wal_answer_line *ret_answer, struct error *err);

/* Of the socket. PERMANENT: its path is longer than that of a Unix socket can be. */
MUST_CHECK int wal_protocol_address(const char *path, struct sockaddr_un *ret_address,
                                    struct error *err);
