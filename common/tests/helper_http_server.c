// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/own.h"

enum { CONNECTIONS_MAX = 64, HEAD_MAX = 16384, BODY_MAX = 32 << 20 };

struct http_server {
    http_server_answer answer;
    void *arg;
    char url[64];
    int stop[2]; /* a pipe */
    struct pollfd fds[2 + CONNECTIONS_MAX];
    nfds_t count;
    unsigned requests;
    atomic_uint connections;
    pthread_t thread;
};

static void check(int ok)
{
    if (ok < 0) {
        perror("http server of the test");
        abort();
    }
}

/* Up to the empty line, byte by byte, so that nothing of the body is taken. */
static bool read_head(int fd, char head[HEAD_MAX])
{
    size_t size = 0;
    while (size < HEAD_MAX - 1 && recv(fd, head + size, 1, 0) == 1) {
        head[++size] = '\0';
        if (size >= 4 && memcmp(head + size - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static bool serve(struct http_server *server, int fd)
{
    struct http_server_request request = {0};
    CLEANUP(own_freep) char *head = own_alloc(HEAD_MAX);
    char text[32];
    if (!read_head(fd, head))
        return false;
    request.number = ++server->requests;
    request.head = head;
    const char *space = strchr(head, ' ');
    const char *target_end = space ? strchr(space + 1, ' ') : NULL;
    assert(target_end && target_end - space < (ptrdiff_t)sizeof(request.target));
    snprintf(request.method, sizeof(request.method), "%.*s", (int)(space - head), head);
    snprintf(request.target, sizeof(request.target), "%.*s", (int)(target_end - space - 1),
             space + 1);
    if (http_server_field(&request, "Content-Length", text, sizeof(text)))
        request.body_size = strtoul(text, NULL, 10);
    assert(request.body_size <= BODY_MAX);
    CLEANUP(own_freep) char *body = own_alloc(request.body_size + 1);
    if (request.body_size > 0 &&
        recv(fd, body, request.body_size, MSG_WAITALL) != (ssize_t)request.body_size)
        return false;
    request.body = body;
    return server->answer(server->arg, fd, &request);
}

static void accept_connection(struct http_server *server)
{
    int fd = accept4(server->fds[1].fd, NULL, NULL, SOCK_CLOEXEC);
    check(fd);
    assert(server->count < 2 + CONNECTIONS_MAX);
    server->fds[server->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    server->connections++;
}

static void *run(void *arg)
{
    struct http_server *server = arg;
    for (;;) {
        check(poll(server->fds, server->count, -1));
        if (server->fds[0].revents)
            return NULL;
        for (nfds_t i = server->count - 1; i >= 2; i--) {
            if (!server->fds[i].revents || serve(server, server->fds[i].fd))
                continue;
            close(server->fds[i].fd);
            server->fds[i] = server->fds[--server->count];
        }
        if (server->fds[1].revents)
            accept_connection(server);
    }
}

struct http_server *http_server_new(http_server_answer answer, void *arg)
{
    struct http_server *server = own_alloc(sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener);
    check(bind(listener, (struct sockaddr *)&address, size));
    check(listen(listener, 16));
    check(getsockname(listener, (struct sockaddr *)&address, &size));
    check(pipe(server->stop));
    server->answer = answer;
    server->arg = arg;
    server->fds[0] = (struct pollfd){.fd = server->stop[0], .events = POLLIN};
    server->fds[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    server->count = 2;
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
    check(-pthread_create(&server->thread, NULL, run, server));
    return server;
}

void http_server_freep(struct http_server **server)
{
    if (!*server)
        return;
    close((*server)->stop[1]);
    pthread_join((*server)->thread, NULL);
    for (nfds_t i = 0; i < (*server)->count; i++)
        close((*server)->fds[i].fd);
    free(*server);
    *server = NULL;
}

const char *http_server_url(const struct http_server *server)
{
    return server->url;
}

unsigned http_server_connections(const struct http_server *server)
{
    return server->connections;
}

void http_server_send(int fd, const char *text)
{
    size_t size = strlen(text);
    (void)!send(fd, text, size, MSG_NOSIGNAL);
}

bool http_server_reply(int fd, int status, const char *fields, const char *body)
{
    CLEANUP(own_freep)
    char *text = own_format("HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                            strlen(body), fields, body);
    http_server_send(fd, text);
    return true;
}

bool http_server_reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
    return false;
}

const char *http_server_field(const struct http_server_request *request, const char *name,
                              char *buffer, size_t size)
{
    size_t name_size = strlen(name);
    for (const char *line = request->head; line; line = strstr(line, "\r\n")) {
        line += line == request->head ? 0 : 2;
        if (strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
            continue;
        const char *value = line + name_size + 1;
        value += strspn(value, " ");
        snprintf(buffer, size, "%.*s", (int)strcspn(value, "\r"), value);
        return buffer;
    }
    return NULL;
}
