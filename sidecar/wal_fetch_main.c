// SPDX-License-Identifier: Apache-2.0
/*
 * lifeboat-wal-fetch: the restore_command of a PostgreSQL that shares no more than a socket with
 * the process that answers it. Static and without libraries, so that it runs in any image, and for
 * each segment anew in no time. Where nobody answers it can become the command that makes somebody.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cancel.h"
#include "sidecar/wal_request.h"

enum { PATIENCE_MS = 600 * 1000, SECONDS_MAX = 366 * 24 * 60 * 60 };

static const char usage[] =
    "usage: lifeboat-wal-fetch [options] SOCKET NAME PATH [COMMAND [ARGUMENT]...]\n"
    "\n"
    "Asks at SOCKET for the file NAME of WAL and writes it to PATH, for restore_command.\n"
    "Where nobody listens there, COMMAND, a path, is run in its place.\n"
    "\n"
    "  --patience SECONDS    how long to ask while nobody can tell (600)\n"
    "  --standby             ask for ever\n"
    "  --stop-at-gaps        a gap in the WAL is its end, for a recovery that has a target\n"
    "\n"
    "Exit status: 0 written; 1 the WAL ends before it; 126 failed, so that PostgreSQL stops.\n";

struct fetch {
    struct wal_request request;
    char **command; /* to run where nobody listens */
};

static struct cancel stop;

static void on_signal(int signal_number)
{
    (void)signal_number;
    cancel_trigger(&stop);
}

static void tell(void *arg, const struct error *why)
{
    const struct fetch *fetch = arg;
    fprintf(stderr, "lifeboat-wal-fetch: asking for '%s' again: %s\n", fetch->request.name,
            why->text);
}

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

/* Comes back only where that is not possible. What comes from here on ends it, as what came before
 * does. */
static int become(void *arg, struct error *err)
{
    const struct fetch *fetch = arg;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        signal(signals[i], SIG_DFL);
    if (cancel_check(&stop, err) < 0)
        return -1;
    execv(*fetch->command, fetch->command);
    return error_errno(err, errno, "run '%s'", *fetch->command);
}

/* Gives milliseconds. */
static bool parse_seconds(const char *text, int64_t *ret_ms)
{
    char *end;
    const long long seconds = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || seconds < 0 || seconds > SECONDS_MAX)
        return false;
    *ret_ms = (int64_t)seconds * 1000;
    return true;
}

/* false: the words make no sense. */
static bool parse(int argc, char **argv, struct fetch *fetch)
{
    static const struct option options[] = {
        {"patience", required_argument, NULL, 'p'},
        {"standby", no_argument, NULL, 's'},
        {"stop-at-gaps", no_argument, NULL, 'g'},
        {0},
    };
    struct wal_request *request = &fetch->request;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        if (option == 's')
            request->patience_ms = -1;
        else if (option == 'g')
            request->stop_at_gaps = true;
        else if (option != 'p' || !parse_seconds(optarg, &request->patience_ms))
            return false;
    }
    if (argc - optind < 3)
        return false;
    request->socket = argv[optind];
    request->name = argv[optind + 1];
    request->path = argv[optind + 2];
    fetch->command = argv + optind + 3;
    if (*fetch->command)
        request->start = become;
    return !*fetch->command || strchr(*fetch->command, '/');
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct error err;
    struct fetch fetch = {
        .request = {.patience_ms = PATIENCE_MS, .tell = tell, .arg = &fetch, .cancel = &stop}};
    if (!parse(argc, argv, &fetch)) {
        fputs(usage, stderr);
        return WAL_REQUEST_FAILED;
    }
    if (cancel_init(&stop, &err) < 0) {
        fprintf(stderr, "lifeboat-wal-fetch: %s\n", err.text);
        return WAL_REQUEST_FAILED;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    const int status = wal_request_run(&fetch.request, &err);
    if (status == WAL_REQUEST_FAILED)
        fprintf(stderr, "lifeboat-wal-fetch: gave up '%s': %s\n", fetch.request.name, err.text);
    return status;
}
