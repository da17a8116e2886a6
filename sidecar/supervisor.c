// SPDX-License-Identifier: Apache-2.0
#include "sidecar/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/log.h"
#include "common/own.h"

enum {
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 30 * 1000,
    SETTLED_MS = 60 * 1000,
    GRACE_MS = 15 * 1000,
    EXIT_NO_PROGRAM = 127,
};

struct supervisor {
    const struct supervisor_options *options;
    const char *program;
    sigset_t signals; /* those that are waited for, blocked */
    struct backoff backoff;
    int64_t settled_ms, grace_ms;
    pid_t child;                                 /* 0: none */
    int64_t started_ms, start_at_ms, kill_at_ms; /* monotonic */
    bool stopping;
};

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value > 0 ? value : fallback;
}

/* Between fork and exec: async-signal-safe calls only. The child dies with us. */
static _Noreturn void become_child(const struct supervisor *supervisor, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(supervisor->program, supervisor->options->arguments);
    }
    _exit(EXIT_NO_PROGRAM);
}

static void plan_start(struct supervisor *supervisor)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (now_ms - supervisor->started_ms >= supervisor->settled_ms)
        backoff_reset(&supervisor->backoff);
    supervisor->start_at_ms = now_ms + backoff_next_ms(&supervisor->backoff, backoff_random(), 0);
}

static void start(struct supervisor *supervisor)
{
    const pid_t parent = getpid();
    struct error err;
    supervisor->started_ms = clock_monotonic_ms();
    const pid_t child = fork();
    if (child == 0)
        become_child(supervisor, parent);
    if (child > 0) {
        supervisor->child = child;
        return;
    }
    error_errno(&err, errno, "fork");
    log_error(&err, "Could not start the server");
    plan_start(supervisor);
}

static void note_end(struct supervisor *supervisor, int status)
{
    supervisor->child = 0;
    plan_start(supervisor);
    if (supervisor->stopping)
        return;
    const int64_t delay_ms = supervisor->start_at_ms - clock_monotonic_ms();
    if (WIFSIGNALED(status))
        log_warn("The server was killed, starting it again", I("signal", WTERMSIG(status)),
                 I("delay_ms", delay_ms));
    else
        log_warn("The server ended, starting it again", I("status", WEXITSTATUS(status)),
                 I("delay_ms", delay_ms));
}

/* Takes in all that ended: the child, and whatever lost its parent. */
static void reap(struct supervisor *supervisor)
{
    int status;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
        if (ended == supervisor->child)
            note_end(supervisor, status);
}

static void stop(struct supervisor *supervisor, int signal_number)
{
    if (!supervisor->stopping)
        supervisor->kill_at_ms = clock_monotonic_ms() + supervisor->grace_ms;
    supervisor->stopping = true;
    if (supervisor->child > 0)
        kill(supervisor->child, signal_number);
}

/* Waits for the next signal, or for the time at which something is due. */
static int wait_for_signal(const struct supervisor *supervisor)
{
    const int64_t due_ms = supervisor->stopping ? supervisor->kill_at_ms : supervisor->start_at_ms;
    const bool bounded = supervisor->stopping || supervisor->child == 0;
    int64_t left_ms = due_ms - clock_monotonic_ms();
    if (left_ms < 0)
        left_ms = 0;
    const struct timespec timeout = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
    return bounded ? sigtimedwait(&supervisor->signals, NULL, &timeout)
                   : sigwaitinfo(&supervisor->signals, NULL);
}

static void do_what_is_due(struct supervisor *supervisor)
{
    const int64_t now_ms = clock_monotonic_ms();
    if (supervisor->stopping && supervisor->child > 0 && now_ms >= supervisor->kill_at_ms) {
        kill(supervisor->child, SIGKILL);
        supervisor->kill_at_ms = now_ms + supervisor->grace_ms;
    }
    if (!supervisor->stopping && supervisor->child == 0 && now_ms >= supervisor->start_at_ms)
        start(supervisor);
}

void supervisor_run(const struct supervisor_options *options)
{
    static const int waited[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    struct supervisor supervisor = {
        .options = options,
        .program = options->program ? options->program : "/proc/self/exe",
        .backoff = {.base_ms = or_default(options->backoff_ms, BACKOFF_MS),
                    .cap_ms = or_default(options->backoff_max_ms, BACKOFF_MAX_MS)},
        .settled_ms = or_default(options->settled_ms, SETTLED_MS),
        .grace_ms = or_default(options->grace_ms, GRACE_MS),
    };
    sigemptyset(&supervisor.signals);
    for (size_t i = 0; i < ARRAY_SIZE(waited); i++)
        sigaddset(&supervisor.signals, waited[i]);
    sigprocmask(SIG_BLOCK, &supervisor.signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* where another process is the container's first */
    while (!supervisor.stopping || supervisor.child > 0) {
        do_what_is_due(&supervisor);
        const int signal_number = wait_for_signal(&supervisor);
        if (signal_number > 0 && signal_number != SIGCHLD)
            stop(&supervisor, signal_number);
        reap(&supervisor);
    }
    sigprocmask(SIG_UNBLOCK, &supervisor.signals, NULL);
}
