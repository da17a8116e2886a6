// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/copy.h"
#include "sidecar/findings.h"
#include "sidecar/output.h"
#include "sidecar/progress.h"
#include "sidecar/session.h"

int command_copy(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    CLEANUP(copy_result_done) struct copy_result result = {0};
    if (session_init(&session, options, err) < 0)
        return -1;
    CLEANUP(progress_freep)
    struct progress *progress = progress_new("Copying", cli_progress(options));
    const struct copy_options copy = {
        .policy = session.policy,
        .secrets = session.secrets,
        .from = options->from,
        .to = options->to,
        .system_identifier = options->system_identifier,
        .workers = options->workers,
        .dry_run = options->dry_run,
        .cancel = cancel,
        .progress = progress,
    };
    if (copy_run(&copy, findings, &result, err) < 0)
        return -1;
    progress_freep(&progress);
    if (output_copy_done(&result, findings, options->json, err) < 0)
        return -1;
    const struct finding *kept;
    size_t count;
    const uint64_t wrong = findings_get(findings, false, &kept, &count);
    if (wrong > 0)
        return error_set(err, ERROR_CORRUPT,
                         "%" PRIu64 " things could not be copied as they should: see the list",
                         wrong);
    return 0;
}
