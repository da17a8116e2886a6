// SPDX-License-Identifier: Apache-2.0
#include "sidecar/pg_replication.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/clock.h"
#include "common/own.h"
#include "sidecar/lsn.h"
#include "sidecar/pg_failure.h"
#include "sidecar/pg_session.h"
#include "sidecar/timeline.h"
#include "sidecar/wal_message.h"

struct pg_replication {
    struct pg_session *session;
    uint32_t timeline; /* being streamed */
    bool streaming;
    bool gone;         /* the server said that the WAL is removed */
    bool hide_flushes; /* who never flushes is no synchronous standby (replication/syncrep.c) */
};

/* What PQgetCopyData allocated. */
static void free_messagep(char **message)
{
    PQfreemem(*message);
}

static int run(struct pg_replication *replication, const char *command, int columns,
               PGresult **ret_result, struct error *err)
{
    struct pg_command options = {.sql = command, .columns = columns};
    return pg_session_run(replication->session, &options, ret_result, err);
}

static int identify(struct pg_replication *replication, struct pg_system *ret_system,
                    struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, "IDENTIFY_SYSTEM", 4, &result, err) < 0)
        return error_wrap(err, "identify the system");
    struct pg_row row = {.result = result};
    struct pg_system system = {.system_identifier = pg_row_number(&row, UINT64_MAX)};
    system.timeline = (uint32_t)pg_row_number(&row, UINT32_MAX);
    system.flushed_lsn = pg_row_lsn(&row);
    if (pg_row_end(&row, "identify the system", err) < 0)
        return -1;
    *ret_system = system;
    return 0;
}

/* undefined_file: the SQLSTATE of "requested WAL segment … has already been removed" */
static bool is_missing_file(const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return sqlstate && strcmp(sqlstate, "58P01") == 0;
}

static int end_of_timeline(const struct pg_replication *replication, struct error *err)
{
    return error_set(err, ERROR_NOT_FOUND, "timeline %" PRIu32 " ends here", replication->timeline);
}

/* The server has ended the stream: with a row that names the next timeline at the end of this one,
 * and then takes commands again; without when it shuts down. */
static int end_stream(struct pg_replication *replication, struct error *err)
{
    struct pg_session *session = replication->session;
    replication->streaming = false;
    bool timeline_ended = false;
    for (;;) {
        CLEANUP(pg_result_clearp) PGresult *result = NULL;
        if (pg_session_next(session, &result, err) < 0)
            return -1;
        switch (PQresultStatus(result)) {
        case PGRES_COPY_IN: /* our direction is still open */
            if (PQputCopyEnd(session->conn, NULL) < 0)
                return pg_session_fail(session, NULL, err);
            if (pg_session_flush(session, err) < 0)
                return -1;
            break;
        case PGRES_TUPLES_OK:
            timeline_ended = true;
            break;
        case PGRES_COMMAND_OK:
            if (!timeline_ended)
                return error_set(err, ERROR_TRANSIENT,
                                 "the server ended the stream: it is shutting down");
            break;
        default: /* NULL, the end, reads as a failure */
            replication->gone = result && is_missing_file(result);
            return result ? pg_session_fail(session, result, err)
                          : end_of_timeline(replication, err);
        }
    }
}

/* The next message that libpq holds: 1; none complete: 0. */
static int take_message(struct pg_replication *replication, struct buf *message, struct error *err)
{
    CLEANUP(free_messagep) char *data = NULL;
    int size = PQgetCopyData(replication->session->conn, &data, 1);
    if (size == 0)
        return 0;
    if (size == -1)
        return end_stream(replication, err);
    if (size < 0)
        return pg_session_fail(replication->session, NULL, err);
    return buf_append(message, data, (size_t)size, err) < 0 ? -1 : 1;
}

int pg_replication_report(struct pg_replication *replication, uint64_t lsn, struct error *err)
{
    struct pg_session *session = replication->session;
    uint8_t status[WAL_MESSAGE_STATUS_BYTES];
    wal_message_format_status(lsn, replication->hide_flushes ? 0 : lsn, clock_now_ms(), status);
    if (pg_session_flush(session, err) < 0) /* an empty queue always takes one more message */
        return -1;
    if (PQputCopyData(session->conn, (const char *)status, sizeof(status)) != 1)
        return pg_session_fail(session, NULL, err);
    return pg_session_flush(session, err);
}

int pg_replication_receive(struct pg_replication *replication, int timeout_ms, struct buf *message,
                           struct error *err)
{
    buf_clear(message);
    if (cancel_check(replication->session->cancel, err) < 0)
        return -1;
    int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    for (;;) {
        if (!replication->streaming)
            return end_of_timeline(replication, err);
        int taken = take_message(replication, message, err);
        if (taken != 0)
            return taken;
        int64_t left_ms = timeout_ms < 0 ? -1 : deadline_ms - clock_monotonic_ms();
        if (timeout_ms >= 0 && left_ms < 0)
            left_ms = 0;
        int came = pg_session_wait(replication->session, (int)left_ms, err);
        if (came <= 0)
            return came;
    }
}

bool pg_replication_wal_is_gone(const struct pg_replication *replication)
{
    return replication->gone;
}

bool pg_replication_may_be_synchronous(const char *synchronous_standby_names)
{
    return strchr(synchronous_standby_names, '*') ||
           strcasestr(synchronous_standby_names, PG_SESSION_APPLICATION_NAME);
}

static int look_for_synchronous(struct pg_replication *replication, struct error *err)
{
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, "SHOW synchronous_standby_names", 1, &result, err) < 0)
        return error_wrap(err, "look for synchronous standbys");
    replication->hide_flushes = pg_replication_may_be_synchronous(PQgetvalue(result, 0, 0));
    return 0;
}

int pg_replication_start(struct pg_replication *replication, const char *slot, uint32_t timeline,
                         uint64_t lsn, struct error *err)
{
    char start[LSN_TEXT_BYTES];
    lsn_format(lsn, start);
    if (look_for_synchronous(replication, err) < 0)
        return -1;
    CLEANUP(own_freep) char *quoted = slot ? pg_failure_quote(slot) : own_strdup("");
    CLEANUP(own_freep)
    char *command = own_format("START_REPLICATION %s%s PHYSICAL %s TIMELINE %" PRIu32,
                               slot ? "SLOT " : "", quoted, start, timeline);
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, command, 0, &result, err) < 0)
        return error_wrap(err, "stream WAL from %s of timeline %" PRIu32, start, timeline);
    replication->timeline = timeline;
    /* without copy mode, lsn is the very end of the timeline */
    replication->streaming = PQresultStatus(result) == PGRES_COPY_BOTH;
    return 0;
}

int pg_replication_history(struct pg_replication *replication, uint32_t timeline,
                           struct buf *content, struct error *err)
{
    CLEANUP(own_freep) char *command = own_format("TIMELINE_HISTORY %" PRIu32, timeline);
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, command, 2, &result, err) < 0 ||
        buf_append(content, PQgetvalue(result, 0, 1), (size_t)PQgetlength(result, 0, 1), err) < 0)
        return error_wrap(err, "read the history of timeline %" PRIu32, timeline);
    return 0;
}

int pg_replication_timeline(struct pg_replication *replication, uint32_t timeline,
                            struct timeline *ret_timeline, struct error *err)
{
    CLEANUP(buf_done) struct buf history = BUF(TIMELINE_HISTORY_MAX);
    if (timeline > 1 && pg_replication_history(replication, timeline, &history, err) < 0)
        return -1;
    return timeline_parse(timeline, history.data, history.size, ret_timeline, err);
}

int pg_replication_drop_slot(struct pg_replication *replication, const char *name,
                             struct error *err)
{
    CLEANUP(own_freep) char *quoted = pg_failure_quote(name);
    CLEANUP(own_freep) char *command = own_format("DROP_REPLICATION_SLOT %s", quoted);
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, command, 0, &result, err) < 0)
        return error_wrap(err, "drop replication slot '%s'", name);
    return 0;
}

int pg_replication_create_slot(struct pg_replication *replication, const char *name,
                               enum pg_slot_life life, struct error *err)
{
    CLEANUP(own_freep) char *quoted = pg_failure_quote(name);
    CLEANUP(own_freep)
    char *command = own_format("CREATE_REPLICATION_SLOT %s%s PHYSICAL (RESERVE_WAL)", quoted,
                               life == PG_SLOT_TEMPORARY ? " TEMPORARY" : "");
    CLEANUP(pg_result_clearp) PGresult *result = NULL;
    if (run(replication, command, 4, &result, err) < 0)
        return error_wrap(err, "create replication slot '%s'", name);
    return 0;
}

void pg_replication_closep(struct pg_replication **replication)
{
    if (!*replication)
        return;
    pg_session_closep(&(*replication)->session);
    own_freep(replication);
}

int pg_replication_open(struct pg_replication **ret_replication, const struct pg_options *options,
                        struct pg_system *ret_system, struct error *err)
{
    CLEANUP(pg_replication_closep)
    struct pg_replication *replication = own_alloc(sizeof(*replication));
    if (pg_session_open(&replication->session, options, true, err) < 0 ||
        identify(replication, ret_system, err) < 0)
        return -1;
    *ret_replication = TAKE(replication);
    return 0;
}
