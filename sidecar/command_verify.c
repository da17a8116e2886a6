// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/findings.h"
#include "sidecar/keys.h"
#include "sidecar/output.h"
#include "sidecar/policy.h"
#include "sidecar/progress.h"
#include "sidecar/session.h"
#include "sidecar/verify.h"

enum { SEED_BITS = 32 }; /* of a seed that we choose: short enough to be typed */

static int choose_seed(uint64_t *seed, struct error *err)
{
    uint32_t chosen = 0;
    while (*seed == 0) {
        if (key_random(&chosen, SEED_BITS / 8, err) < 0)
            return -1;
        *seed = chosen;
    }
    return 0;
}

int command_verify(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(findings_freep) struct findings *findings = findings_new();
    struct verify_sample sample = {.percent = options->sample_percent, .seed = options->seed};
    struct verify_result result;
    if (session_init(&session, options, err) < 0 || choose_seed(&sample.seed, err) < 0)
        return -1;
    session_stand_back(&session);
    CLEANUP(progress_freep)
    struct progress *progress = progress_new("Verifying", cli_progress(options));
    struct verify_options verify = {
        .policy = session.policy,
        .secrets = session.secrets,
        .backup = options->backup,
        .region = options->region,
        .system_identifier = options->system_identifier,
        .sample = sample,
        .expected = options->expected,
        .expected_count = options->expected_count,
        .workers = options->workers,
        .cancel = cancel,
        .progress = progress,
    };
    if (verify_run(&verify, findings, &result, err) < 0)
        return -1;
    progress_freep(&progress);
    if (output_verify_done(&result, findings, options->json, err) < 0)
        return -1;
    const struct finding *kept;
    size_t count;
    const uint64_t wrong = findings_get(findings, false, &kept, &count);
    if (wrong > 0)
        return error_set(err, ERROR_CORRUPT, "%" PRIu64 " things are wrong: see the list", wrong);
    return 0;
}
