// SPDX-License-Identifier: Apache-2.0
#include "sidecar/preflight.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/own.h"
#include "sidecar/pg.h"
#include "sidecar/pg_control.h"
#include "sidecar/postmaster_file.h"
#include "sidecar/source.h"

/* the postmaster writes its file first and takes its start time when it is up */
enum { POSTMASTER_START_SLACK_S = 60 };

static int check_postmaster(const struct source *source, const char *pgdata,
                            const struct pg_server *server, struct error *err)
{
    struct postmaster_file file;
    if (postmaster_file_load(source->pgdata, "postmaster.pid", &file, err) < 0) {
        if (err->kind != ERROR_NOT_FOUND)
            return error_wrap(err, "data directory '%s'", pgdata);
        return error_set(err, ERROR_PERMANENT,
                         "data directory '%s' has no postmaster.pid, so it is not that of the "
                         "running server, which says '%s': give the right --pgdata",
                         pgdata, server->data_directory);
    }
    if (file.started_s == 0)
        return error_set(err, ERROR_TRANSIENT, "'%s/postmaster.pid' is not complete yet", pgdata);
    int64_t later_s = server->postmaster_started_ms / 1000 - file.started_s;
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
