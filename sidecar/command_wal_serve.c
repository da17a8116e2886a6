// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/pg_control.h"
#include "sidecar/session.h"
#include "sidecar/wal_protocol.h"
#include "sidecar/wal_server.h"

enum { CONTROL_ATTEMPTS = 50, CONTROL_PAUSE_MS = 20 };

/* Of the data directory that is the working directory. A server may be writing it. */
static int load_control(struct pg_control *ret_control, const struct cancel *cancel,
                        struct error *err)
{
    CLEANUP(buf_done) struct buf text = BUF(PG_CONTROL_BYTES);
    for (int attempt = 1;; attempt++) {
        if (buf_read_file(&text, AT_FDCWD, "global/pg_control", err) < 0)
            return error_wrap(err, "the working directory is no data directory");
        if (pg_control_parse(text.data, text.size, ret_control, err) == 0)
            return 0;
        if (err->kind != ERROR_CORRUPT || attempt == CONTROL_ATTEMPTS)
            return -1;
        if (cancel_sleep(cancel, CONTROL_PAUSE_MS, err) < 0)
            return -1;
    }
}

/* Tells whoever started us by closing standard output. */
static void close_output(void *arg)
{
    (void)arg;
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
        close(STDOUT_FILENO);
    if (null >= 0)
        close(null);
}

int command_wal_serve(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    struct pg_control control;
    if (load_control(&control, cancel, err) < 0 || session_init(&session, options, err) < 0)
        return -1;
    const struct wal_server_options server = {
        .policy = session.policy,
        .secrets = session.secrets,
        .regions = {.listed = options->asked, .listed_count = options->asked_count},
        .system_identifier =
            options->system_identifier ? options->system_identifier : control.system_identifier,
        .segment_bytes = control.wal_segment_bytes,
        .socket = WAL_PROTOCOL_SOCKET,
        .postmaster = "postmaster.pid",
        .idle_ms = WAL_SERVER_IDLE_MS,
        .listening = close_output,
        .cancel = cancel,
    };
    if (wal_server_run(&server, err) == 0)
        return 0;
    if (err->kind != ERROR_CONFLICT)
        return -1;
    log_info("Left the answering of questions for WAL to another process", S("why", err->text));
    return 0;
}
