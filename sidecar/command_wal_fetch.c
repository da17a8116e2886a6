// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/wal_protocol.h"
#include "sidecar/wal_request.h"

enum { FIRST_CLOSED_FD = 3, NUMBER_BYTES = 24, STARTED_WITHIN_MS = 60 * 1000 };

extern char **environ;

struct fetch {
    const struct cli_options *options;
    const struct cancel *cancel;
    pid_t server; /* our child; 0: none */
};

static void tell(void *arg, const struct error *why)
{
    const struct fetch *fetch = arg;
    log_warn("Asking for WAL again", S("file", fetch->options->wal_name), S("error", why->text));
}

/* The command line of the server: ours, but for what only concerns one file. arguments has room
 * for it. */
static void make_arguments(const struct cli_options *options, char *number, const char **arguments)
{
    const struct {
        const char *option, *value;
    } texts[] = {{"-f", options->policy},
                 {"--secrets", options->secrets},
                 {"--system-identifier", options->system_identifier ? number : NULL}};
    *arguments++ = "lifeboat-sidecar";
    *arguments++ = cli_command_name(CLI_WAL_SERVE);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!texts[i].value)
            continue;
        *arguments++ = texts[i].option;
        *arguments++ = texts[i].value;
    }
    for (size_t i = 0; i < options->asked_count; i++) {
        *arguments++ = "--region";
        *arguments++ = options->asked[i];
    }
    *arguments = NULL;
}

/* In a session of its own, so that what ends PostgreSQL's processes does not end it; it looks after
 * itself. Its standard output is the pipe, its messages go where ours do. */
static int spawn_server(struct fetch *fetch, int output, struct error *err)
{
    const struct cli_options *options = fetch->options;
    const char *arguments[16 + 2 * POLICY_REGIONS_MAX];
    char number[NUMBER_BYTES];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    snprintf(number, sizeof(number), "%ju", (uintmax_t)options->system_identifier);
    make_arguments(options, number, arguments);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, FIRST_CLOSED_FD);
    const int errnum = posix_spawn(&fetch->server, "/proc/self/exe", &actions, &attributes,
                                   (char **)(uintptr_t)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (errnum == 0)
        return 0;
    fetch->server = 0;
    return error_errno(err, errnum, "start %s", cli_command_name(CLI_WAL_SERVE));
}

/* Until it closes its standard output: it hears questions, or has failed and said why. */
static int start_server(void *arg, struct error *err)
{
    struct fetch *fetch = arg;
    int ends[2];
    if (fetch->server > 0 && waitpid(fetch->server, NULL, WNOHANG) == 0)
        return error_set(err, ERROR_TRANSIENT, "the process that answers does not listen yet");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, errno, "make a pipe");
    CLEANUP(own_closep) int input = ends[0];
    CLEANUP(own_closep) int output = ends[1];
    if (spawn_server(fetch, output, err) < 0)
        return -1;
    own_closep(&output);
    output = -1;
    return cancel_poll(fetch->cancel, input, POLLIN, STARTED_WITHIN_MS, err) < 0 ? -1 : 0;
}

int command_wal_fetch(const struct cli_options *options, const struct cancel *cancel,
                      struct error *err)
{
    struct fetch fetch = {.options = options, .cancel = cancel};
    const struct wal_request request = {
        .socket = WAL_PROTOCOL_SOCKET,
        .name = options->wal_name,
        .path = options->to,
        .stop_at_gaps = options->stop_at_gaps,
        .patience_ms = options->standby ? -1 : (int64_t)options->patience_seconds * 1000,
        .start = start_server,
        .tell = tell,
        .arg = &fetch,
        .cancel = cancel,
    };
    return wal_request_run(&request, err);
}
