// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/own.h"
#include "sidecar/supervisor.h"

enum { PATIENCE_MS = 20000, GRACE_MS = 300 };

/* This program is also the child: what it is to do, and where it says that it has begun. */
static const char child_option[] = "--child";

/* The supervisor in a process of its own, and the pipe into which its children write their pids. */
struct running {
    pid_t supervisor;
    int starts;
};

static int run_child(const char *what, const char *pipe_number)
{
    const pid_t self = getpid();
    const int starts = (int)strtol(pipe_number, NULL, 10);
    if (strcmp(what, "ignore") == 0)
        signal(SIGTERM, SIG_IGN);
    if (strcmp(what, "orphan") == 0 && fork() == 0)
        _exit(0); /* a grandchild that nobody waits for */
    if (write(starts, &self, sizeof(self)) != (ssize_t)sizeof(self))
        return 1;
    if (strcmp(what, "crash") == 0)
        abort();
    if (strcmp(what, "exit") == 0)
        return 0;
    if (strcmp(what, "orphan") == 0)
        return 3;
    for (;;)
        pause();
}

static struct running start(const char *program, const char *what)
{
    int fds[2];
    char number[16], self[] = "supervised", option[] = "--child";
    struct running running;
    CLEANUP(own_freep) char *word = own_strdup(what);
    assert_return_code(pipe(fds), errno);
    snprintf(number, sizeof(number), "%d", fds[1]);
    char *arguments[] = {self, option, word, number, NULL};
    const struct supervisor_options options = {
        .program = program,
        .arguments = arguments,
        .backoff_ms = 1,
        .backoff_max_ms = 20,
        .grace_ms = GRACE_MS,
    };
    running.supervisor = fork();
    assert_return_code(running.supervisor, errno);
    if (running.supervisor == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        log_set_level(LOG_LEVEL_ERROR + 1);
        supervisor_run(&options);
        _exit(0);
    }
    close(fds[1]);
    running.starts = fds[0];
    return running;
}

static pid_t next_child(const struct running *running)
{
    pid_t child = 0;
    assert_int_equal(read(running->starts, &child, sizeof(child)), sizeof(child));
    return child;
}

/* Its exit status, after the signal. */
static int stop(struct running *running, int signal_number)
{
    int status = 0;
    assert_return_code(kill(running->supervisor, signal_number), errno);
    assert_int_equal(waitpid(running->supervisor, &status, 0), running->supervisor);
    close(running->starts);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_child_that_ends_is_started_again_whatever_its_end(void **state)
{
    (void)state;
    static const char *const ends[] = {"crash", "exit", "orphan"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct running running = start(NULL, ends[i]);
        const pid_t first = next_child(&running), second = next_child(&running);
        assert_int_not_equal(first, second);
        for (int more = 0; more < 3; more++)
            next_child(&running);
        assert_int_equal(stop(&running, SIGTERM), 0);
    }
}

static void a_child_that_is_killed_is_started_again(void **state)
{
    (void)state;
    struct running running = start(NULL, "wait");
    const pid_t first = next_child(&running);
    assert_return_code(kill(first, SIGKILL), errno);
    assert_int_not_equal(next_child(&running), first);
    assert_int_equal(stop(&running, SIGINT), 0);
}

static void its_end_ends_the_child(void **state)
{
    (void)state;
    struct running running = start(NULL, "wait");
    const pid_t child = next_child(&running);
    assert_int_equal(stop(&running, SIGTERM), 0);
    assert_int_equal(kill(child, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void a_child_that_ignores_the_request_is_killed_in_the_end(void **state)
{
    (void)state;
    struct running running = start(NULL, "ignore");
    const pid_t child = next_child(&running);
    const int64_t asked_ms = clock_monotonic_ms();
    assert_int_equal(stop(&running, SIGTERM), 0);
    assert_in_range(clock_monotonic_ms() - asked_ms, GRACE_MS - 50, PATIENCE_MS);
    assert_int_equal(kill(child, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void a_child_dies_with_its_supervisor(void **state)
{
    (void)state;
    struct running running = start(NULL, "ignore");
    next_child(&running);
    assert_return_code(kill(running.supervisor, SIGKILL), errno);
    assert_int_equal(waitpid(running.supervisor, NULL, 0), running.supervisor);
    pid_t nobody; /* the pipe is at its end when the last writer has gone */
    assert_int_equal(read(running.starts, &nobody, sizeof(nobody)), 0);
    close(running.starts);
}

/* State and children of a process: "Z" for a zombie. */
static bool has_zombies(pid_t parent)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *children = fopen(path, "r");
    bool found = false;
    assert_non_null(children);
    for (int child; fscanf(children, "%d", &child) == 1;) {
        char stat[256] = "";
        snprintf(path, sizeof(path), "/proc/%d/stat", child);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        found |= fgets(stat, sizeof(stat), file) && strstr(stat, ") Z ");
        fclose(file);
    }
    fclose(children);
    return found;
}

static void orphans_of_the_child_are_reaped(void **state)
{
    (void)state;
    struct running running = start(NULL, "orphan");
    for (int i = 0; i < 10; i++)
        next_child(&running);
    const int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    int clean = 0;
    while (clean < 3 && clock_monotonic_ms() < until_ms) {
        clean = has_zombies(running.supervisor) ? 0 : clean + 1;
        next_child(&running);
    }
    assert_int_equal(clean, 3);
    assert_int_equal(stop(&running, SIGTERM), 0);
}

static void a_program_that_is_not_there_is_tried_again(void **state)
{
    (void)state;
    struct running running = start("/nowhere/at-all", "wait");
    struct timespec moment = {.tv_nsec = 200 * 1000000};
    nanosleep(&moment, NULL);
    assert_int_equal(waitpid(running.supervisor, NULL, WNOHANG), 0);
    assert_int_equal(stop(&running, SIGTERM), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_that_ends_is_started_again_whatever_its_end),
        cmocka_unit_test(a_child_that_is_killed_is_started_again),
        cmocka_unit_test(its_end_ends_the_child),
        cmocka_unit_test(a_child_that_ignores_the_request_is_killed_in_the_end),
        cmocka_unit_test(a_child_dies_with_its_supervisor),
        cmocka_unit_test(orphans_of_the_child_are_reaped),
        cmocka_unit_test(a_program_that_is_not_there_is_tried_again),
    };
    if (argc == 4 && strcmp(argv[1], child_option) == 0)
        return run_child(argv[2], argv[3]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
