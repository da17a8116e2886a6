// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/output.h"
#include "sidecar/policy.h"
#include "sidecar/prune.h"
#include "sidecar/session.h"

/* The first region's error, once all regions had their turn. */
static int check_regions(const struct prune_result *result, struct error *err)
{
    const struct prune_region *failed = NULL;
    size_t failures = 0;
    for (size_t i = result->count; i-- > 0;)
        if (result->regions[i].error.kind != ERROR_NONE) {
            failed = &result->regions[i];
            failures++;
        }
    if (!failed)
        return 0;
    *err = failed->error;
    if (result->count == 1)
        return -1;
    return error_wrap(err, "%zu of %zu regions could not be pruned, region '%s'", failures,
                      result->count, failed->name);
}

int command_prune(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    CLEANUP(prune_result_done) struct prune_result result = {0};
    if (session_init(&session, options, err) < 0)
        return -1;
    const struct prune_options prune = {
        .policy = session.policy,
        .secrets = session.secrets,
        .region = options->region,
        .system_identifier = options->system_identifier,
        .dry_run = options->dry_run,
        .cancel = cancel,
    };
    const struct output_prune output = {
        .rules = &session.policy->retention, .result = &result, .dry_run = options->dry_run};
    if (prune_run(&prune, &result, err) < 0 || output_prune_done(&output, options->json, err) < 0)
        return -1;
    return check_regions(&result, err);
}
