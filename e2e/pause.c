// SPDX-License-Identifier: Apache-2.0
/* What keeps a pod's namespaces alive in the test cluster: waits until it is told to end, and reaps
 * what the pod's processes leave behind. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_end(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void on_child(int signal_number)
{
    (void)signal_number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGCHLD, on_child);
    for (;;)
        pause();
}
