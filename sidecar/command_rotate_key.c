// SPDX-License-Identifier: Apache-2.0
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/key_rotation.h"
#include "sidecar/output.h"
#include "sidecar/session.h"

int command_rotate_key(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    CLEANUP(session_done) struct session session = {0};
    struct key_rotation_result result;
    if (session_init(&session, options, err) < 0)
        return -1;
    const struct key_rotation_options rotation = {
        .policy = session.policy,
        .secrets = session.secrets,
        .system_identifier = options->system_identifier,
        .dropped = options->dropped,
        .dropped_count = options->dropped_count,
        .new_data_key = options->new_data_key,
        .dry_run = options->dry_run,
        .cancel = cancel,
    };
    if (key_rotation_run(&rotation, &result, err) < 0)
        return -1;
    return output_rotation_done(&result, options->json, err);
}
