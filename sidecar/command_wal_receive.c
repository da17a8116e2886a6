// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/session.h"
#include "sidecar/wal_board.h"
#include "sidecar/wal_follow.h"

/* Elsewhere than on a terminal only changes are told. */
static struct progress *new_progress(void)
{
    return isatty(STDERR_FILENO) ? progress_new("Receiving WAL", PROGRESS_TERMINAL) : NULL;
}

int command_wal_receive(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(progress_freep) struct progress *progress = NULL;
    char slot[WAL_SLOT_NAME_BYTES];
    if (session_init(&session, options, err) < 0)
        return -1;
    if (session.policy->wal.mode == POLICY_WAL_BACKUP_ONLY)
        return error_set(err, ERROR_PERMANENT,
                         "spec.wal.mode is BackupOnly, so no WAL is streamed: set it to Stream");
    wal_slot_name(session.policy->namespace, session.policy->name, slot);
    CLEANUP(wal_board_done) struct wal_board board;
    wal_board_init(&board, slot);
    progress = new_progress();
    const struct wal_follow_options follow = {
        .policy = session.policy,
        .secrets = session.secrets,
        .connection = {.host = options->host, .port = options->port, .user = options->user},
        .stop = cancel,
        .board = &board,
        .progress = progress,
    };
    if (wal_follow_run(&follow, err) < 0)
        return -1;
    log_info("Stopped on request", S("slot", slot));
    return 0;
}
