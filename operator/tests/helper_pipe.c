// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_pipe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cancel.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/kube_config.h"

enum { CONNECTIONS_MAX = 64, KUBECONFIG_MAX = 64 * 1024 };

struct pipe {
    char *server; /* the text that the kubeconfig has */
    struct sockaddr_in target, address;
    int listener;
    atomic_bool stopped_up, cut;
    struct cancel stop;
    struct crew *crew;
    struct pollfd ends[2 * CONNECTIONS_MAX]; /* of connection n: 2n and 2n + 1 */
    size_t count;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

static void accept_one(struct pipe *pipe)
{
    int here = accept4(pipe->listener, NULL, NULL, SOCK_CLOEXEC);
    int there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(here >= 0 && there >= 0 && pipe->count < CONNECTIONS_MAX, "accept");
    must(connect(there, (struct sockaddr *)&pipe->target, sizeof(pipe->target)) == 0, "connect");
    pipe->ends[2 * pipe->count] = (struct pollfd){.fd = here, .events = POLLIN};
    pipe->ends[2 * pipe->count++ + 1] = (struct pollfd){.fd = there, .events = POLLIN};
}

static void hang_up(struct pollfd *end)
{
    own_closep(&end->fd);
    end->fd = -1; /* poll(2) passes over it */
}

static void forward(struct pollfd *from, struct pollfd *to)
{
    char bytes[16384];
    if (from->fd < 0 || !(from->revents & (POLLIN | POLLHUP | POLLERR)))
        return;
    ssize_t got = recv(from->fd, bytes, sizeof(bytes), 0);
    if (got > 0 && send(to->fd, bytes, (size_t)got, MSG_NOSIGNAL) == got)
        return;
    hang_up(from);
    hang_up(to);
}

static void cut_all(struct pipe *pipe)
{
    for (size_t i = 0; i < 2 * pipe->count; i++)
        hang_up(&pipe->ends[i]);
    pipe->count = 0;
}

static int run(void *arg, struct error *err)
{
    struct pipe *pipe = arg;
    struct pollfd fds[2 * CONNECTIONS_MAX + 2];
    (void)err;
    while (!cancel_requested(&pipe->stop)) {
        if (atomic_exchange(&pipe->cut, false))
            cut_all(pipe);
        bool open = !atomic_load(&pipe->stopped_up);
        size_t ends = open ? 2 * pipe->count : 0;
        fds[0] = (struct pollfd){.fd = pipe->stop.fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = open ? pipe->listener : -1, .events = POLLIN};
        memcpy(fds + 2, pipe->ends, ends * sizeof(fds[0]));
        poll(fds, ends + 2, 50);
        for (size_t i = 0; i < ends; i++)
            pipe->ends[i].revents = fds[i + 2].revents;
        for (size_t i = 0; i < ends && !atomic_load(&pipe->stopped_up); i++)
            forward(&pipe->ends[i], &pipe->ends[i ^ 1]);
        if (fds[1].revents & POLLIN)
            accept_one(pipe);
    }
    return 0;
}

void pipe_stop_up(struct pipe *pipe)
{
    atomic_store(&pipe->stopped_up, true);
}

void pipe_cut(struct pipe *pipe)
{
    atomic_store(&pipe->cut, true);
}

struct kube_config *pipe_config(const struct pipe *pipe)
{
    struct error err;
    CLEANUP(buf_done) struct buf file = BUF_SECRET(KUBECONFIG_MAX);
    const char *path = getenv("LIFEBOAT_TEST_KUBECONFIG");
    must(path && buf_read_file(&file, AT_FDCWD, path, &err) == 0, "kubeconfig");
    CLEANUP(own_freep) char *before = buf_string(&file);
    const char *at = strstr(before, pipe->server);
    must(at != NULL, "server in kubeconfig");
    CLEANUP(own_freep)
    char *text = own_format("%.*shttps://127.0.0.1:%d%s", (int)(at - before), before,
                            ntohs(pipe->address.sin_port), at + strlen(pipe->server));
    const char *directory = getenv("TMPDIR");
    CLEANUP(own_freep)
    char *name = own_format("%s/lifeboat-pipe-XXXXXX", directory ? directory : "/tmp");
    int fd = mkstemp(name);
    must(fd >= 0 && buf_pwrite(fd, text, strlen(text), 0, &err) == 0, "temporary kubeconfig");
    own_closep(&fd);
    struct kube_config *config = NULL;
    must(kube_config_load(&config, name, &err) == 0, "load kubeconfig");
    unlink(name);
    return config;
}

void pipe_freep(struct pipe **pipe)
{
    struct pipe *p = TAKE(*pipe);
    crew_freep(&p->crew);
    for (size_t i = 0; i < 2 * p->count; i++)
        own_closep(&p->ends[i].fd);
    own_closep(&p->listener);
    cancel_done(&p->stop);
    free(p->server);
    free(p);
}

struct pipe *pipe_new(const char *server)
{
    struct pipe *pipe = own_alloc(sizeof(*pipe));
    struct error err;
    const char *port = strrchr(server, ':');
    pipe->server = own_strdup(server);
    pipe->target = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                        .sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10))};
    pipe->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(pipe->address);
    pipe->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(pipe->listener, (struct sockaddr *)&pipe->address, size) == 0 &&
             listen(pipe->listener, CONNECTIONS_MAX) == 0 &&
             getsockname(pipe->listener, (struct sockaddr *)&pipe->address, &size) == 0,
         "listen");
    must(cancel_init(&pipe->stop, &err) == 0, "eventfd");
    pipe->crew = crew_new(&pipe->stop);
    must(crew_start(pipe->crew, "pipe", run, pipe, &err) == 0, "thread");
    return pipe;
}
