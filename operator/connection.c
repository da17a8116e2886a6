// SPDX-License-Identifier: Apache-2.0
#include "operator/connection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"

static bool is_stranger(enum connection_state state)
{
    return state == CONNECTION_OPENING || state == CONNECTION_REVIEW || state == CONNECTION_ASKING;
}

struct connection *connection_find(const struct connections *connections, uint64_t id)
{
    struct connection *at = connections->newest; /* who is looked for has come lately */
    while (at && at->id != id)
        at = at->older;
    return at;
}

struct connection *connection_oldest_stranger(const struct connections *connections)
{
    struct connection *at = connections->oldest;
    while (at && !is_stranger(at->state))
        at = at->newer;
    return at;
}

void connection_enter(struct connections *connections, struct connection *connection,
                      enum connection_state state, int64_t deadline_ms)
{
    connections->strangers -= is_stranger(connection->state);
    connections->strangers += is_stranger(state);
    connection->state = state;
    connection->deadline_ms = deadline_ms;
}

/* A close frame's reason is UTF-8: what is cut is cut between characters. */
static size_t cut_length(const char *text, size_t max)
{
    size_t size = strlen(text);
    if (size <= max)
        return size;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

void connection_close(struct connections *connections, struct connection *connection, int code,
                      const char *reason)
{
    size_t size = reason ? cut_length(reason, sizeof(connection->close_reason) - 1) : 0;
    if (size > 0)
        memcpy(connection->close_reason, reason, size);
    connection->close_reason[size] = '\0';
    connection->close_code = code;
    connection_enter(connections, connection, CONNECTION_CLOSING, 0);
}

int connection_take(struct connection *connection, const struct connection_piece *piece,
                    int *ret_code)
{
    struct error err;
    bool hello = connection->state == CONNECTION_HELLO;
    connection->in.limit = hello ? MESSAGE_HELLO_BYTES_MAX : MESSAGE_BYTES_MAX;
    if (piece->binary) {
        *ret_code = MESSAGE_CLOSE_UNSUPPORTED;
        return -1;
    }
    if (buf_append(&connection->in, piece->data, piece->size, &err) < 0) {
        *ret_code = MESSAGE_CLOSE_TOO_LARGE;
        return -1;
    }
    return piece->final;
}

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    default:
        return "Service Unavailable";
    }
}

void connection_answer(struct connection *connection, int status, const char *type,
                       const char *body)
{
    assert(!connection->out);
    const char *challenge = status == 401 ? "WWW-Authenticate: Bearer\r\n" : "";
    connection->out = own_format("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                                 "%sCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
                                 status, status_text(status), type, strlen(body), challenge, body);
    connection->out_size = strlen(connection->out);
    connection->out_sent = 0;
}

void connection_remove(struct connections *connections, struct connection *connection)
{
    struct connection *older = connection->older, *newer = connection->newer;
    *(older ? &older->newer : &connections->oldest) = newer;
    *(newer ? &newer->older : &connections->newest) = older;
    connections->count--;
    connections->strangers -= is_stranger(connection->state);
    if (connection->token)
        buf_wipe(connection->token, strlen(connection->token));
    free(connection->token);
    free(connection->out);
    buf_done(&connection->in);
    free(connection);
}

struct connection *connection_add(struct connections *connections, struct lws *socket)
{
    struct connection *connection = own_alloc(sizeof(*connection));
    *connection = (struct connection){
        .id = ++connections->last_id, .socket = socket, .older = connections->newest};
    *(connections->newest ? &connections->newest->newer : &connections->oldest) = connection;
    connections->newest = connection;
    connections->count++;
    connections->strangers++;
    return connection;
}
