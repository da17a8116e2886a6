// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cancel.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/cli.h"
#include "sidecar/command.h"
#include "sidecar/output.h"
#include "sidecar/wal_request.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static struct cancel stop; /* triggered by SIGTERM, SIGINT, SIGHUP and SIGALRM */
static volatile sig_atomic_t deadline_passed;

static void on_signal(int signal_number)
{
    if (signal_number == SIGALRM)
        deadline_passed = 1;
    cancel_trigger(&stop);
}

static int handle_signals(struct error *err)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (cancel_init(&stop, err) < 0)
        return -1;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int run_command(const struct cli_options *options, struct error *err)
{
    switch (options->command) {
    case CLI_BACKUP:
        return command_backup(options, &stop, err);
    case CLI_LIST:
        return command_list(options, &stop, err);
    case CLI_SHOW:
        return command_show(options, &stop, err);
    case CLI_RESTORE:
        return command_restore(options, &stop, err);
    case CLI_VERIFY:
        return command_verify(options, &stop, err);
    case CLI_PRUNE:
        return command_prune(options, &stop, err);
    case CLI_COPY:
        return command_copy(options, &stop, err);
    case CLI_ROTATE_KEY:
        return command_rotate_key(options, &stop, err);
    case CLI_WAL_RECEIVE:
        return command_wal_receive(options, &stop, err);
    case CLI_WAL_SERVE:
        return command_wal_serve(options, &stop, err);
    case CLI_SERVE:
        return command_serve(options, &stop, err);
    case CLI_VERSION:
        return output_text("lifeboat-sidecar " LIFEBOAT_VERSION "\n", err);
    case CLI_WAL_FETCH: /* fetch_wal */
    case CLI_HELP:
        break;
    }
    return output_text(cli_help(options->help_for), err);
}

/* What fails once the deadline has passed fails because of it. */
static int run(const struct cli_options *options, struct error *err)
{
    alarm(options->deadline_seconds);
    if (run_command(options, err) == 0)
        return 0;
    if (deadline_passed && err->kind == ERROR_CANCELED)
        error_wrap(err, "not done within --deadline %u seconds", options->deadline_seconds);
    return -1;
}

/* A line for a person on a terminal, a log event elsewhere; with -o json on stdout as well. */
static void report(const struct cli_options *options, const struct error *err)
{
    struct error ignored; /* if stdout is gone, stderr has it */
    CLEANUP(own_freep) char *text = text_escape(err->text);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "lifeboat-sidecar: %s: %s\n", cli_command_name(options->command), text);
    else
        log_error(err, "Failed command", S("command", cli_command_name(options->command)));
    if (options->json && output_error(err, &ignored) < 0)
        return;
}

/* Has exit statuses of its own: 1 is not for what went wrong. */
static int fetch_wal(const struct cli_options *options)
{
    struct error err;
    const int status =
        handle_signals(&err) < 0 ? WAL_REQUEST_FAILED : command_wal_fetch(options, &stop, &err);
    if (status == WAL_REQUEST_FAILED)
        report(options, &err);
    return status;
}

static bool is_command(enum cli_command command, int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], cli_command_name(command)) == 0;
}

/* Even wrong options do not end it: the server process says what is wrong, again and again, while
 * PostgreSQL runs undisturbed beside it. */
static bool is_supervisor(const struct cli_options *options, int argc, char **argv)
{
    if (!is_command(CLI_SERVE, argc, argv))
        return false;
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--supervised") == 0)
            return false;
    return options->command != CLI_HELP;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    CLEANUP(cli_options_done) struct cli_options options = {.command = CLI_SERVE};
    const int parsed = cli_parse(&options, argc, argv, &err);
    if (is_supervisor(&options, argc, argv)) {
        command_supervise(argc, argv);
        return EXIT_DONE;
    }
    if (parsed < 0) {
        fprintf(stderr, "lifeboat-sidecar: %s\n", err.text);
        return is_command(CLI_WAL_FETCH, argc, argv) ? WAL_REQUEST_FAILED : EXIT_USAGE;
    }
    if (isatty(STDERR_FILENO)) {
        log_set_terminal(true);
        log_set_level(LOG_LEVEL_WARN);
    }
    if (options.command == CLI_WAL_FETCH)
        return fetch_wal(&options);
    if (handle_signals(&err) == 0 && run(&options, &err) == 0)
        return EXIT_DONE;
    report(&options, &err);
    return EXIT_FAILED;
}
