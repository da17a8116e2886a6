// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/output.h"
#include "sidecar/progress.h"
#include "sidecar/restore.h"
#include "sidecar/session.h"

int command_restore(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    if (session_init(&session, options, err) < 0)
        return -1;
    CLEANUP(progress_freep)
    struct progress *progress = progress_new("Restoring", cli_progress(options));
    struct restore_options restore = {
        .policy = session.policy,
        .secrets = session.secrets,
        .to = options->to,
        .delta = options->delta,
        .backup = options->backup,
        .region = options->region,
        .first = options->first_region,
        .excluded = options->excluded,
        .excluded_count = options->excluded_count,
        .system_identifier = options->system_identifier,
        .tablespaces = options->tablespaces,
        .tablespace_count = options->tablespace_count,
        .workers = options->workers,
        .cancel = cancel,
        .progress = progress,
    };
    struct restore_result result;
    if (restore_run(&restore, &result, err) < 0)
        return -1;
    progress_freep(&progress);
    return output_restore_done(&result, options->to, options->json, err);
}
