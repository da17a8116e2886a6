// SPDX-License-Identifier: Apache-2.0
/*
 * A libpq connection whose every wait can be cancelled: what pg (SQL) and pg_replication (the
 * streaming protocol) have in common. Nothing blocks but the look-up of a host's name. Whoever gets
 * CANCELED finds the connection closed: the server then ends the running command within a second,
 * because client_connection_check_interval makes it look (libpq's PQcancel could block for ever).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct pg_conn;   /* libpq's PGconn */
struct pg_result; /* libpq's PGresult */
struct pg_options;

#define PG_SESSION_APPLICATION_NAME "lifeboat"

struct pg_session {
    struct pg_conn *conn; /* NULL once closed by a cancel */
    const struct cancel *cancel;
    char *role, *database; /* as libpq chose them */
    bool replication;      /* speaks the streaming replication protocol */
};

/* Errors as pg_open and pg_replication_open say. */
MUST_CHECK int pg_session_open(struct pg_session **ret_session, const struct pg_options *options,
                               bool replication, struct error *err);
void pg_session_closep(struct pg_session **session);

struct pg_command {
    const char *sql;
    const char *const *parameters; /* texts for $1, $2 …; none in replication commands */
    int parameter_count;
    int columns; /* that the one row of the answer must have; 0: no rows are expected */
};
/* Runs a command and gives its result (pg_result_clearp); after a start of streaming, the
 * connection is in copy mode. TRANSIENT when the connection is lost. */
MUST_CHECK int pg_session_run(struct pg_session *session, const struct pg_command *command,
                              struct pg_result **ret_result, struct error *err);
void pg_result_clearp(struct pg_result **result);
/* Runs a query and gives its rows one by one, as they come: an answer of any length takes no
 * memory. each gives -1 only with err set; what is left of the answer is read and dropped then. */
typedef int (*pg_row_each)(void *arg, const struct pg_result *row, struct error *err);
MUST_CHECK int pg_session_each(struct pg_session *session, const struct pg_command *command,
                               pg_row_each each, void *arg, struct error *err);

/* The next result of what is running, NULL in ret_result after the last. */
MUST_CHECK int pg_session_next(struct pg_session *session, struct pg_result **ret_result,
                               struct error *err);
/* Sends what libpq holds back. */
MUST_CHECK int pg_session_flush(struct pg_session *session, struct error *err);
/* Waits until something came and takes it in: 1; nothing within timeout_ms (negative: no limit): 0.
 */
MUST_CHECK int pg_session_wait(struct pg_session *session, int timeout_ms, struct error *err);
/* Sets err from what went wrong on the connection (result NULL) or with a command; -1. */
int pg_session_fail(const struct pg_session *session, const struct pg_result *result,
                    struct error *err);

/*
 * Reading the columns of a result's first row, from left to right. Like a reader of bytes it turns
 * bad at what it does not understand, gives zeros from then on, and is looked at once at the end.
 */
struct pg_row {
    const struct pg_result *result;
    int column;
    bool bad;
};

const char *pg_row_text(struct pg_row *row); /* lent; "" for null */
uint64_t pg_row_number(struct pg_row *row, uint64_t max);
bool pg_row_bool(struct pg_row *row);
uint64_t pg_row_lsn(struct pg_row *row);
/* PERMANENT "<what>: …" if anything was wrong. */
MUST_CHECK int pg_row_end(const struct pg_row *row, const char *what, struct error *err);
