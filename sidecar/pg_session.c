// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_session.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg.h"
#include "sidecar/pg_failure.h"

enum { CONNECT_TIMEOUT_SECONDS = 10, PASSWORD_BYTES_MAX = 4096 };

/* Set in the startup packet, so they are stronger than what ALTER ROLE, ALTER DATABASE and
 * postgresql.conf say, and nothing runs before them. */
static const char sql_settings[] = "-c search_path=pg_catalog -c role=none"
                                   " -c statement_timeout=0 -c lock_timeout=0"
                                   " -c idle_session_timeout=0"
                                   " -c idle_in_transaction_session_timeout=0"
                                   " -c client_connection_check_interval=1000"
                                   " -c client_min_messages=error -c jit=off";
static const char replication_settings[] = "-c search_path=pg_catalog -c statement_timeout=0"
                                           " -c idle_session_timeout=0"
                                           " -c client_connection_check_interval=1000"
                                           " -c client_min_messages=error";

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

/* The password as libpq wants it, with a NUL at its end. */
static int terminate_password(const struct buf *password, struct buf *terminated, struct error *err)
{
    if (!password || password->size == 0)
        return 0;
    if (memchr(password->data, '\0', password->size))
        return error_set(err, ERROR_PERMANENT,
                         "the password that connection.passwordKey names holds a NUL byte");
    if (buf_append(terminated, password->data, password->size, err) < 0 ||
        buf_append(terminated, "", 1, err) < 0)
        return error_wrap(err, "the password that connection.passwordKey names");
    return 0;
}

static PGconn *start_connect(const struct pg_options *options, bool replication,
                             const struct buf *password)
{
    const char *const settings[][2] = {
        {"host", options->host},
        {"port", options->port},
        {"user", options->user},
        {"password", password->size ? (const char *)password->data : NULL},
        /* a walsender for physical replication has no database; libpq wants a name for ~/.pgpass */
        {"dbname", replication ? "replication" : options->database},
        {"replication", replication ? "true" : NULL},
        {"sslmode", options->ssl_mode},
        {"application_name", PG_SESSION_APPLICATION_NAME},
        {"client_encoding", "UTF8"},
        {"options", replication ? replication_settings : sql_settings},
        {"keepalives_idle", "60"},
        {"keepalives_interval", "10"},
        {"keepalives_count", "3"},
    };
    const char *keywords[ARRAY_SIZE(settings) + 1] = {NULL}, *values[ARRAY_SIZE(keywords)] = {NULL};
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        keywords[i] = settings[i][0];
        values[i] = settings[i][1];
    }
    PGconn *conn = PQconnectStartParams(keywords, values, 0);
    if (!conn)
        abort();
    return conn;
}

static int fail_connect(const struct pg_session *session, struct error *err)
{
    char sqlstate[6];
    const char *message = pg_failure_split(PQerrorMessage(session->conn), sqlstate);
    struct pg_failure failure = {
        .sqlstate = sqlstate,
        .message = message,
        .role = session->role,
        .database = session->database,
        .replication = session->replication,
    };
    return pg_failure_set(&failure, err);
}

static int finish_connect(struct pg_session *session, int64_t deadline_ms, struct error *err)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (PQstatus(session->conn) != CONNECTION_BAD) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int ready = cancel_poll(session->cancel, PQsocket(session->conn),
                                status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                                left_ms > 0 ? (int)left_ms : 0, err);
        if (ready < 0)
            return -1;
        if (ready == 0)
            return error_set(err, ERROR_TRANSIENT, "no answer in time");
        status = PQconnectPoll(session->conn);
        if (status == PGRES_POLLING_OK)
            return 0;
        if (status == PGRES_POLLING_FAILED)
            break;
    }
    return fail_connect(session, err);
}

static int send_command(struct pg_session *session, const struct pg_command *command)
{
    /* replication commands are no SQL: they take the simple protocol only */
    if (session->replication)
        return PQsendQuery(session->conn, command->sql);
    return PQsendQueryParams(session->conn, command->sql, command->parameter_count, NULL,
                             command->parameters, NULL, NULL, 0);
}

static bool is_failure(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

static bool is_copying(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COPY_BOTH;
}

/* Keeps the first result of a command, but a failure rather than a success. */
static int collect(struct pg_session *session, PGresult **ret_result, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *kept = NULL;
    for (;;) {
        CLEANUP(pg_result_clearp) PGresult *result = NULL;
        if (pg_session_next(session, &result, err) < 0)
            return -1;
        if (!result)
            break;
        bool last = is_copying(result);
        if (!kept || (is_failure(result) && !is_failure(kept))) {
            pg_result_clearp(&kept);
            kept = TAKE(result);
        }
        if (last)
            break;
    }
    if (!kept || is_failure(kept))
        return pg_session_fail(session, kept, err);
    *ret_result = TAKE(kept);
    return 0;
}

const char *pg_row_text(struct pg_row *row)
{
    if (row->column >= PQnfields(row->result)) {
        row->bad = true;
        return "";
    }
    return PQgetvalue(row->result, 0, row->column++);
}

uint64_t pg_row_number(struct pg_row *row, uint64_t max)
{
    const char *text = pg_row_text(row);
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && number <= max)
        return number;
    row->bad = true;
    return 0;
}

bool pg_row_bool(struct pg_row *row)
{
    const char *text = pg_row_text(row);
    if (strcmp(text, "t") != 0 && strcmp(text, "f") != 0)
        row->bad = true;
    return *text == 't';
}

uint64_t pg_row_lsn(struct pg_row *row)
{
    uint64_t lsn = 0;
    if (!lsn_parse(pg_row_text(row), &lsn))
        row->bad = true;
    return lsn;
}

int pg_row_end(const struct pg_row *row, const char *what, struct error *err)
{
    if (row->bad)
        return error_set(err, ERROR_PERMANENT, "%s: PostgreSQL gave an answer of another form",
                         what);
    return 0;
}

void pg_result_clearp(PGresult **result)
{
    PQclear(*result);
    *result = NULL;
}

int pg_session_fail(const struct pg_session *session, const PGresult *result, struct error *err)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    struct pg_failure failure = {
        .sqlstate = sqlstate ? sqlstate : "",
        .message = message ? message : PQerrorMessage(session->conn),
        .hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
        .role = session->role,
        .database = session->database,
        .replication = session->replication,
        .connected = true,
    };
    if (!*failure.message)
        failure.message = "connection lost";
    return pg_failure_set(&failure, err);
}

int pg_session_wait(struct pg_session *session, int timeout_ms, struct error *err)
{
    int ready = cancel_poll(session->cancel, PQsocket(session->conn), POLLIN, timeout_ms, err);
    if (ready < 0) {
        PQfinish(TAKE(session->conn));
        return -1;
    }
    if (ready == 0)
        return 0;
    if (!PQconsumeInput(session->conn))
        return pg_session_fail(session, NULL, err);
    return 1;
}

int pg_session_flush(struct pg_session *session, struct error *err)
{
    if (cancel_check(session->cancel, err) < 0)
        return -1;
    int pending;
    while ((pending = PQflush(session->conn)) > 0) {
        /* the server may be unable to read before we have read */
        if (cancel_poll(session->cancel, PQsocket(session->conn), POLLIN | POLLOUT, -1, err) < 0) {
            PQfinish(TAKE(session->conn));
            return -1;
        }
        if (!PQconsumeInput(session->conn))
            return pg_session_fail(session, NULL, err);
    }
    return pending < 0 ? pg_session_fail(session, NULL, err) : 0;
}

int pg_session_next(struct pg_session *session, PGresult **ret_result, struct error *err)
{
    while (PQisBusy(session->conn))
        if (pg_session_wait(session, -1, err) < 0)
            return -1;
    *ret_result = PQgetResult(session->conn);
    return 0;
}

int pg_session_run(struct pg_session *session, const struct pg_command *command,
                   PGresult **ret_result, struct error *err)
{
    if (cancel_check(session->cancel, err) < 0)
        return -1;
    if (!send_command(session, command))
        return pg_session_fail(session, NULL, err);
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (pg_session_flush(session, err) < 0 || collect(session, &result, err) < 0)
        return -1;
    if (command->columns > 0 && (PQntuples(result) != 1 || PQnfields(result) != command->columns))
        return error_set(err, ERROR_PERMANENT, "PostgreSQL gave %d rows of %d columns",
                         PQntuples(result), PQnfields(result));
    *ret_result = TAKE(result);
    return 0;
}

/* One result of a query in single-row mode. */
static int give_row(struct pg_session *session, const PGresult *result, pg_row_each each, void *arg,
                    struct error *err)
{
    if (is_failure(result))
        return pg_session_fail(session, result, err);
    return PQresultStatus(result) == PGRES_SINGLE_TUPLE ? each(arg, result, err) : 0;
}

int pg_session_each(struct pg_session *session, const struct pg_command *command, pg_row_each each,
                    void *arg, struct error *err)
{
    struct error ignored;
    bool failed = false;
    if (cancel_check(session->cancel, err) < 0)
        return -1;
    if (!send_command(session, command) || !PQsetSingleRowMode(session->conn))
        return pg_session_fail(session, NULL, err);
    if (pg_session_flush(session, err) < 0)
        return -1;
    for (;;) {
        CLEANUP(pg_result_clearp) PGresult *result = NULL;
        if (pg_session_next(session, &result, failed ? &ignored : err) < 0)
            return -1;
        if (!result)
            return failed ? -1 : 0;
        if (!failed && give_row(session, result, each, arg, err) < 0)
            failed = true;
    }
}

void pg_session_closep(struct pg_session **session)
{
    if (!*session)
        return;
    PQfinish((*session)->conn);
    own_freep(&(*session)->role);
    own_freep(&(*session)->database);
    own_freep(session);
}

int pg_session_open(struct pg_session **ret_session, const struct pg_options *options,
                    bool replication, struct error *err)
{
    CLEANUP(buf_done) struct buf password = BUF_SECRET(PASSWORD_BYTES_MAX);
    if (terminate_password(options->password, &password, err) < 0)
        return -1;
    int seconds = options->connect_timeout_seconds ? options->connect_timeout_seconds
                                                   : CONNECT_TIMEOUT_SECONDS;
    int64_t deadline_ms = clock_monotonic_ms() + seconds * INT64_C(1000);

    CLEANUP(pg_session_closep) struct pg_session *session = own_alloc(sizeof(*session));
    session->cancel = options->cancel;
    session->replication = replication;
    session->conn = start_connect(options, replication, &password);
    PQsetNoticeProcessor(session->conn, ignore_notice, NULL);
    PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE); /* for pg_failure_split */
    session->role = own_strdup(PQuser(session->conn) ? PQuser(session->conn) : "");
    session->database = own_strdup(PQdb(session->conn) ? PQdb(session->conn) : "");
    if (finish_connect(session, deadline_ms, err) < 0)
        return error_wrap(err, "connect to PostgreSQL at '%s' port %s as \"%s\"%s",
                          PQhost(session->conn), PQport(session->conn), session->role,
                          replication ? " for replication" : "");
    PQsetErrorVerbosity(session->conn, PQERRORS_DEFAULT);
    if (PQsetnonblocking(session->conn, 1) != 0)
        return pg_session_fail(session, NULL, err);
    *ret_session = TAKE(session);
    return 0;
}
