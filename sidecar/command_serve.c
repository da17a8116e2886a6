// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/connection.h"
#include "sidecar/server.h"
#include "sidecar/supervisor.h"

enum { NUMBER_BYTES = 16 };

/* A file without a name, in memory, that outlives the server process but not the container.
 * Negative where there is none: it is a convenience. */
static int make_ledger(void)
{
    const int ledger = memfd_create("lifeboat-results", 0); /* inherited */
    if (ledger < 0)
        log_warn("Could not make a ledger for results");
    return ledger;
}

/* The same command line once more, now as the server. */
void command_supervise(int argc, char **argv)
{
    CLEANUP(own_freep) char **arguments = own_alloc(((size_t)argc + 3) * sizeof(arguments[0]));
    char number[NUMBER_BYTES], option[] = "--supervised";
    snprintf(number, sizeof(number), "%d", make_ledger());
    memcpy(arguments, argv, (size_t)argc * sizeof(arguments[0]));
    arguments[argc] = option;
    arguments[argc + 1] = number;
    const struct supervisor_options options = {.arguments = arguments};
    log_info("Started the supervisor", S("version", LIFEBOAT_VERSION));
    supervisor_run(&options);
    log_info("Stopped on request");
}

int command_serve(const struct cli_options *options, struct cancel *cancel, struct error *err)
{
    const struct server_options server = {
        .config = options->config,
        .secrets = options->secrets,
        .token = options->token,
        .host = options->host,
        .pgdata = options->pgdata ? options->pgdata : connection_environment("PGDATA", NULL),
        .namespace = connection_environment("POD_NAMESPACE", "unknown"),
        .pod = connection_environment("POD_NAME", "unknown"),
        .uid = connection_environment("POD_UID", "unknown"),
        .ledger = (int)strtol(options->supervised, NULL, 10),
        .cancel = cancel,
    };
    return server_run(&server, err);
}
