// SPDX-License-Identifier: Apache-2.0
/*
 * The sidecar's end of the channel (libwebsockets, a thread of its own; docs/protocol.md): finds
 * the leader among the addresses of the endpoint, one after the other, keeps a connection to it and
 * comes back for ever, with back-off. It says hello by itself and refuses epochs below the highest
 * it ever saw. Its user is told what happens in the order in which it happened, on a thread of the
 * user's choice (what an ended connection said and was not yet read is dropped), and needs no
 * memory of what got lost with a connection: at CHANNEL_CONNECTED it says where it stands.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"

struct cancel;
struct channel_client;

struct channel_client_options {             /* all texts are lent for the client's life */
    const char *namespace, *pod, *uid;      /* for hello; the operator believes the token only */
    const char *version;                    /* of the sidecar */
    const char *token_file;                 /* read anew for each connection */
    const struct cancel *cancel;            /* ends channel_client_run */
    unsigned ping_seconds, hang_up_seconds; /* 0: 10 and 30 */
    unsigned backoff_ms, backoff_max_ms;    /* after a whole round of addresses; 0: 1 s and 30 s */
};

enum channel_event_type {
    CHANNEL_NONE,
    CHANNEL_CONNECTED, /* hello is on its way: send a MESSAGE_STATE */
    CHANNEL_MESSAGE,   /* of the operator: ASSIGN, RUN, CANCEL or QUESTION */
    CHANNEL_GONE,      /* the connection is; what was not yet sent is dropped */
};
struct channel_event {
    enum channel_event_type type;
    struct message message; /* CHANNEL_MESSAGE: the reader's (message_clear) */
};

MUST_CHECK int channel_client_new(struct channel_client **ret_client,
                                  const struct channel_client_options *options, struct error *err);
void channel_client_freep(struct channel_client **client); /* after channel_client_run ended */
int channel_client_run(void *client, struct error *err);   /* crew_main; ends with the cancel */

/* All that follows from any thread. */

/* Where to connect from now on: "host:port" and the CA certificates (PEM, one or more) that the
 * server's must come from; copied. NULL: nowhere. A connection that stands is kept. */
void channel_client_set_target(struct channel_client *client, const char *endpoint, const char *ca);
/* Readable (poll(2)) while channel_client_next has something. */
int channel_client_fd(const struct channel_client *client);
/* The next event; CHANNEL_NONE if there is none now. Does not wait. */
void channel_client_next(struct channel_client *client, struct channel_event *ret_event);
/* Queues STATE, PROGRESS or DONE. Of STATE and PROGRESS only the latest waits; where there is no
 * connection, or too much waits already, the message is dropped: the next state brings it back.
 * PERMANENT: larger than a message may be. */
MUST_CHECK int channel_client_send(struct channel_client *client, const struct message *message,
                                   struct error *err);
bool channel_client_connected(struct channel_client *client);
/* The highest epoch ever seen. */
int64_t channel_client_epoch(struct channel_client *client);
