// SPDX-License-Identifier: Apache-2.0
#include "common/tests/helper_http_play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/own.h"
#include "common/tests/helper_http_server.h"

static bool is_expected(const struct http_step *step, const struct http_server_request *request)
{
    return strcmp(step->method, request->method) == 0 &&
           (!step->expects || strstr(request->head, step->expects)) &&
           (!step->refuses || !strstr(request->head, step->refuses)) &&
           (!step->expects_body || strstr(request->body, step->expects_body));
}

static bool act(void *arg, int fd, const struct http_server_request *request)
{
    struct http_play *play = arg;
    unsigned at = play->done++;
    const struct http_step *step = at < play->count ? &play->steps[at] : NULL;
    if (!step || !is_expected(step, request)) {
        if (!play->fault[0])
            snprintf(play->fault, sizeof(play->fault), "request %u: %s%s", at + 1, request->head,
                     request->body_size > 0 ? request->body : "");
        return http_server_reply(fd, 400, "", "");
    }
    if (step->reset)
        return http_server_reset(fd);
    if (step->raw)
        http_server_send(fd, step->raw);
    if (!step->status)
        return false;
    if (strcmp(request->method, "HEAD") == 0) {
        CLEANUP(own_freep)
        char *head = own_format("HTTP/1.1 %d Status\r\n%s\r\n", step->status,
                                step->fields ? step->fields : "");
        http_server_send(fd, head);
        return true;
    }
    return http_server_reply(fd, step->status, step->fields ? step->fields : "",
                             step->body ? step->body : "");
}

void http_play_start(struct http_play *play)
{
    play->server = http_server_new(act, play);
}

void http_play_end(struct http_play *play)
{
    http_server_freep(&play->server);
    if (play->fault[0])
        fail_msg("%s", play->fault);
    assert_int_equal(play->done, play->count);
}
