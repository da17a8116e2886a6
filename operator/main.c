// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/cancel.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/own.h"
#include "operator/arguments.h"
#include "operator/manager.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct signals {
    struct cancel *stop;
    int fd; /* signalfd(2) */
};

static void signals_done(struct signals *signals)
{
    own_closep(&signals->fd);
}

/* Blocks the signals that end us in this thread and so in all that it starts. */
static int signals_init(struct signals *signals, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC);
    return signals->fd < 0 ? error_errno(err, errno, "create signalfd") : 0;
}

static int wait_for_signal(void *arg, struct error *err)
{
    const struct signals *signals = arg;
    if (cancel_poll(signals->stop, signals->fd, POLLIN, -1, err) > 0) {
        log_info("Stopping on request");
        cancel_trigger(signals->stop);
    }
    return 0;
}

static int run(const struct arguments *arguments, struct error *err)
{
    struct cancel stop;
    CLEANUP(signals_done) struct signals signals = {.stop = &stop, .fd = -1};
    CLEANUP(crew_freep) struct crew *crew = NULL;
    if (cancel_init(&stop, err) < 0 || signals_init(&signals, err) < 0)
        return -1;
    crew = crew_new(&stop);
    if (crew_start(crew, "signals", wait_for_signal, &signals, err) < 0)
        return -1;
    return manager_run(arguments, &stop, err);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct arguments arguments;
    if (arguments_parse(&arguments, argc, argv, &err) < 0) {
        fprintf(stderr, "lifeboat-operator: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (arguments.help || arguments.version)
        return fputs(arguments.help ? arguments_help() : "lifeboat-operator " LIFEBOAT_VERSION "\n",
                     stdout) < 0 ||
                       fflush(stdout) != 0
                   ? EXIT_FAILED
                   : EXIT_DONE;
    log_set_level(arguments.log_level);
    if (run(&arguments, &err) == 0)
        return EXIT_DONE;
    log_error(&err, "Ended");
    return EXIT_FAILED;
}
