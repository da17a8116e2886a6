// SPDX-License-Identifier: Apache-2.0
#include "operator/tests/helper_kube.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "common/tests/helper_http_server.h"
#include "common/text.h"
#include "operator/kube_config.h"

struct script_server {
    const struct script_step *steps;
    size_t count;
    struct http_server *http;
    atomic_size_t answered;
    atomic_bool surprised;
    char surprise[SCRIPT_REQUEST_BYTES];
    char request[SCRIPT_REQUEST_BYTES];
};

static bool send_chunks(int fd, const struct script_step *step)
{
    http_server_send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < SCRIPT_CHUNKS && step->chunks[i]; i++) {
        CLEANUP(own_freep)
        char *chunk = own_format("%zx\r\n%s\r\n", strlen(step->chunks[i]), step->chunks[i]);
        http_server_send(fd, chunk);
    }
    if (step->end == SCRIPT_END)
        http_server_send(fd, "0\r\n\r\n");
    return step->end != SCRIPT_DROP;
}

static bool answer(void *arg, int fd, const struct http_server_request *request)
{
    struct script_server *server = arg;
    if (server->answered == server->count)
        return true;
    const struct script_step *step = &server->steps[server->answered];
    CLEANUP(own_freep) char *line = own_format("%s %s", request->method, request->target);
    snprintf(server->request, sizeof(server->request), "%s%s", request->head, request->body);
    if (!text_starts_with(line, step->wants) && !server->surprised) {
        snprintf(server->surprise, sizeof(server->surprise), "step %zu: %s",
                 (size_t)server->answered, line);
        server->surprised = true;
    }
    server->answered++;
    if (step->body)
        return http_server_reply(fd, step->status ? step->status : 200,
                                 step->fields ? step->fields : "", step->body) &&
               step->end != SCRIPT_DROP;
    if (step->chunks[0] || step->end == SCRIPT_HOLD)
        return send_chunks(fd, step);
    return http_server_reset(fd);
}

struct script_server *script_server_new(const struct script_step *steps, size_t count)
{
    struct script_server *server = own_alloc(sizeof(*server));
    server->steps = steps;
    server->count = count;
    server->http = http_server_new(answer, server);
    return server;
}

void script_server_freep(struct script_server **server)
{
    if (!*server)
        return;
    http_server_freep(&(*server)->http);
    own_freep(server);
}

size_t script_server_steps(const struct script_server *server)
{
    return server->answered;
}

const char *script_server_surprise(const struct script_server *server)
{
    return server->surprised ? server->surprise : NULL;
}

const char *script_server_request(const struct script_server *server)
{
    return server->request;
}

struct kube_config *script_server_config(const struct script_server *server, const char *user)
{
    CLEANUP(own_freep)
    char *text = own_format("current-context: t\n"
                            "contexts: [{name: t, context: {cluster: t, user: t}}]\n"
                            "clusters: [{name: t, cluster: {server: '%s'}}]\n"
                            "users: [{name: t, user: {%s}}]\n",
                            http_server_url(server->http), user);
    const struct kube_config_text from = {
        .file = "test", .directory = "/", .text = text, .size = strlen(text)};
    struct kube_config *config = NULL;
    struct error err;
    if (kube_config_parse(&config, &from, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return config;
}
