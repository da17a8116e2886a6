// SPDX-License-Identifier: Apache-2.0
/*
 * What the channel's server knows of its connections, without the sockets: how far each is, until
 * when it may stay so, what it is to be sent, and all of them in the order in which they came. The
 * thread of the server only. Pure but for memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/message.h"
#include "operator/agents.h"

enum connection_state {
    CONNECTION_OPENING,   /* TLS, or a request that is not complete */
    CONNECTION_REVIEW,    /* a channel whose token is looked at; nothing is read meanwhile */
    CONNECTION_HELLO,     /* a known pod that has not yet said hello */
    CONNECTION_READY,     /* an agent */
    CONNECTION_CLOSING,   /* is told why, then closed */
    CONNECTION_ASKING,    /* GET /metrics whose token is looked at */
    CONNECTION_ANSWERING, /* an HTTP answer is on its way, then it is closed */
    CONNECTION_EVICTED,   /* to be closed without a word */
};

struct connection {
    uint64_t id; /* never used twice */
    enum connection_state state;
    int64_t deadline_ms; /* of the monotonic clock, for the state; 0: none */
    struct lws *socket;
    char *token;               /* wiped when freed */
    struct agent_identity who; /* from CONNECTION_HELLO on */
    struct buf in;             /* a message of which more is to come */
    char *out;                 /* is written next; NULL: nothing */
    size_t out_size, out_sent;
    int64_t ping_ms;        /* when a ping is due */
    bool ping;              /* it is: write one */
    int close_code;         /* CONNECTION_CLOSING */
    char close_reason[124]; /* RFC 6455, 5.5: 125 bytes with the code */
    struct connection *older, *newer;
};

struct connections {
    struct connection *oldest, *newest;
    size_t count, strangers; /* of which nobody knows yet who they are */
    uint64_t last_id;
};

struct connection *connection_add(struct connections *connections, struct lws *socket);
void connection_remove(struct connections *connections, struct connection *connection);
struct connection *connection_find(const struct connections *connections, uint64_t id);
/* The one that has been a stranger for longest, or NULL. */
struct connection *connection_oldest_stranger(const struct connections *connections);
void connection_enter(struct connections *connections, struct connection *connection,
                      enum connection_state state, int64_t deadline_ms);
/* To be closed with this code; reason (NULL: none) is cut to what a close frame holds. */
void connection_close(struct connections *connections, struct connection *connection, int code,
                      const char *reason);

struct connection_piece {
    const void *data;
    size_t size;
    bool final; /* of its message */
    bool binary;
};
/* Collects a message in connection->in: 1 it is complete; 0 more is to come; -1 it is no message,
 * or larger than it may be, and *ret_code says how to close. */
int connection_take(struct connection *connection, const struct connection_piece *piece,
                    int *ret_code);
/* An HTTP/1.1 answer into out, after which the connection is closed. */
void connection_answer(struct connection *connection, int status, const char *type,
                       const char *body);
