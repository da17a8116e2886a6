// SPDX-License-Identifier: Apache-2.0
#include "sidecar/preflight.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/pg.h"
#include "sidecar/pg_control.h"
#include "sidecar/source.h"

enum {
    POSTMASTER_PID_MAX = 4096,
    /* the postmaster writes its file first and takes its start time when it is up */
    POSTMASTER_START_SLACK_S = 60,
};

/* The third line of postmaster.pid is the server's start in seconds since the epoch
 * (backend/utils/init/miscinit.c). */
static bool parse_start(const char *text, int64_t *ret_seconds)
{
    for (int line = 1; line < 3; line++) {
        text = strchr(text, '\n');
        if (!text++)
            return false;
    }
    char *end;
    *ret_seconds = strtoll(text, &end, 10);
    return end != text && *end == '\n';
}

static int check_postmaster(const struct source *source, const char *pgdata,
                            const struct pg_server *server, struct error *err)
{
    CLEANUP(buf_done) struct buf file = BUF(POSTMASTER_PID_MAX);
    if (buf_read_file(&file, source->pgdata, "postmaster.pid", err) < 0) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "data directory '%s'", pgdata);
        return error_set(err, ERROR_PERMANENT,
                         "data directory '%s' has no postmaster.pid, so it is not that of the "
                         "running server, which says '%s': give the right --pgdata",
                         pgdata, server->data_directory);
    }
    CLEANUP(own_freep) char *text = buf_string(&file);
    int64_t started_s;
    if (!parse_start(text, &started_s))
        return error_set(err, ERROR_TRANSIENT, "'%s/postmaster.pid' is not complete yet", pgdata);
    int64_t later_s = server->postmaster_started_ms / 1000 - started_s;
    if (later_s >= -1 && later_s <= POSTMASTER_START_SLACK_S)
        return 0;
    return error_set(err, ERROR_PERMANENT,
                     "data directory '%s' is that of another server than the connection's, whose "
                     "own is '%s': give the right --pgdata, or --host and --port",
                     pgdata, server->data_directory);
}

int preflight_same_server(const struct source *source, const char *pgdata,
                          const struct pg_server *server, const struct cancel *cancel,
                          struct error *err)
{
    CLEANUP(buf_done) struct buf content = BUF(PG_CONTROL_BYTES);
    struct pg_control control;
    if (source_read_control(source, cancel, &content, &control, err) < 0)
        return error_wrap(err, "data directory '%s'", pgdata);
    if (control.system_identifier != server->system_identifier)
        return error_set(err, ERROR_PERMANENT,
                         "data directory '%s' is of database system %" PRIu64
                         ", the connection's server is %" PRIu64
                         ": give the right --pgdata, or --host and --port",
                         pgdata, control.system_identifier, server->system_identifier);
    bool standby = control.state == PG_CONTROL_IN_ARCHIVE_RECOVERY;
    if (standby != server->in_recovery)
        return error_set(err, ERROR_PERMANENT,
                         "data directory '%s' is that of a %s, the connection's server is a %s: "
                         "give the right --pgdata, or --host and --port",
                         pgdata, standby ? "standby" : "primary",
                         server->in_recovery ? "standby" : "primary");
    return check_postmaster(source, pgdata, server, err);
}
