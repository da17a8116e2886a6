// SPDX-License-Identifier: Apache-2.0
/*
 * The sidecars that we hear of, by the uid of their pod: whether they are connected, what they last
 * said, what they finished, and a way to speak to them. Knows nothing of sockets (channel fills it)
 * nor of policies (reconcilers read it). All from any thread.
 *
 * What a sidecar said outlives its connection (until the pod is forgotten), so that silence can be
 * measured.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/message.h"

struct agents;

struct agent_identity { /* as TokenReview said, never as the sidecar says */
    char namespace[64], pod[254], uid[64];
};

/* on_change: something about this pod changed (connected, gone, state, done; not mere progress, nor
 * mere WAL positions); called without any lock held, by whoever brings the news. */
struct agents *agents_new(void (*on_change)(void *arg, const struct agent_identity *who),
                          void *arg);
void agents_freep(struct agents **agents);

/* For reconcilers. */

struct agent_view {
    bool known; /* was ever heard of by this leader */
    bool connected;
    bool fresh;           /* has told its state on this connection */
    int64_t heard_ms;     /* clock_monotonic_ms of the last message; 0: never */
    int64_t connected_ms; /* when this connection came */
    int64_t asked_ms;     /* when a question was last queued on this connection; 0: never */
    struct message state; /* type MESSAGE_STATE with references of its own; else zeroed. Results of
                             done messages and progress are merged in */
};
/* A snapshot; the caller's (agent_view_done). */
void agents_view(struct agents *agents, const char *pod_uid, struct agent_view *ret_view);
void agent_view_done(struct agent_view *view);
/* A sidecar's last answer about this backup id on its present connection: true if there is one.
 * ret_lookup's texts are lent from view. Asked for with a MESSAGE_QUESTION. */
bool agent_view_lookup(const struct agent_view *view, const char *backup_id,
                       struct message_lookup *ret_lookup);

/* Queues a message (formats it; adds the epoch), unless the same waits already. NOT_FOUND: not
 * connected now; TRANSIENT: its outbox is full; PERMANENT: larger than a message may be. 0 does not
 * say that it arrived: the state that comes back does. */
MUST_CHECK int agents_send(struct agents *agents, const char *pod_uid,
                           const struct message *message, struct error *err);
/* The pod is gone: closes its connection and forgets it. */
void agents_forget(struct agents *agents, const char *pod_uid);
size_t agents_connected(struct agents *agents);

/* For channel. A connection is named by a number that is never used twice. */

struct agents_outlet { /* how to reach the socket's thread */
    void (*wake)(void *arg);
    void *arg;
};
void agents_set_outlet(struct agents *agents, const struct agents_outlet *outlet);
void agents_set_epoch(struct agents *agents, int64_t epoch);
/* A new connection of that pod. One that it has already is replaced: agents_next closes it. */
void agents_join(struct agents *agents, const struct agent_identity *who, uint64_t connection);
void agents_leave(struct agents *agents, const char *pod_uid, uint64_t connection);
/* What the sidecar said (shares its JSON). CORRUPT: a message that a sidecar does not send. */
MUST_CHECK int agents_hear(struct agents *agents, const char *pod_uid, uint64_t connection,
                           const struct message *message, struct error *err);
/* The next text to write on that connection (the caller's, own_freep) or NULL; *ret_close: close it
 * instead, with this code of docs/protocol.md (0: not). */
char *agents_next(struct agents *agents, const char *pod_uid, uint64_t connection, int *ret_close);
