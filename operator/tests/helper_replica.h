// SPDX-License-Identifier: Apache-2.0
/*
 * A replica of the operator, as far as the channel goes: the server with its reviewer and client of
 * Kubernetes. Only the API server stands in: it says of each token what its text says. Tests know
 * the pods db-0 and db-1 of a policy (uids u0, u1), and copy-1 (r1) of a RestoreJob; forged-1 (f1)
 * only claims to be one. What goes wrong fails the test.
 */
#pragma once

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cancel.h"
#include "common/clock.h"
#include "common/message.h"
#include "operator/authority.h"
#include "operator/channel.h"

struct cache;
struct peer;

enum { REPLICA_PATIENCE_MS = 60000 };

/* Tokens of a pod; others are "blind:<pod>:<uid>" (of an authenticator that knows nothing of
 * audiences), "person" and "reader" (who may read metrics); else it is none. */
#define TOKEN(pod, uid) "pod:" pod ":" uid
#define HELLO(pod, uid)                                                                            \
    "{\"version\":1,\"type\":\"hello\",\"pod\":{\"namespace\":\"shop\",\"name\":\"" pod            \
    "\",\"uid\":\"" uid "\"},\"sidecarVersion\":\"1\",\"epoch\":0}"
#define IDLE_STATE                                                                                 \
    "{\"version\":1,\"type\":\"state\",\"generation\":1,\"database\":{\"reachable\":false}}"

/* Waits until a condition holds. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        for (int64_t until_ = clock_monotonic_ms() + REPLICA_PATIENCE_MS; !(condition);) {         \
            if (clock_monotonic_ms() > until_)                                                     \
                fail_msg("waited in vain for " #condition);                                        \
            poll(NULL, 0, 5);                                                                      \
        }                                                                                          \
    } while (0)

struct replica {
    struct cancel cancel;
    struct http_server *api;
    struct kube_config *config;
    struct kube *kube;
    struct cache *pods, *restore_pods;
    struct metrics *metrics;
    struct agents *agents;
    struct reviewer *reviewer;
    struct channel *channel;
    struct crew *crew;
    atomic_bool leading;     /* and so ready */
    atomic_bool api_is_away; /* answers 503 */
    atomic_uint reviews;     /* of tokens and access, so far */
    atomic_uint changes;     /* told by agents, so far */
};

/* Two CAs, made by replica_set_up_all; replicas show a certificate of the first, for localhost and
 * channel.localhost. */
extern struct authority_pair replica_authority, replica_other_authority;
extern const struct message replica_assign; /* to db-0 */

/* Only its address, port and limits are read of options. */
void replica_start(struct replica *replica, const struct channel_options *options);
void replica_stop(struct replica *replica);
void replica_show_certificate(struct replica *replica, const struct authority_pair *ca);
/* The pod gets known; owner is the kind of its controller. */
void replica_put_pod(struct cache *pods, const char *name, const char *uid, const char *owner);

bool replica_is_fresh(struct replica *replica, const char *uid); /* it told its state */
size_t replica_finished_count(struct replica *replica, const char *uid);
void replica_tell(struct replica *replica, const struct message *message); /* to db-0 */
/* A peer that has said hello for db-0 and whose agent is there. */
struct peer *replica_open_agent(struct replica *replica);

/* For cmocka: of a program (its log goes nowhere), and of a test, whose state is a replica with
 * short limits. */
int replica_set_up_all(void **state);
int replica_tear_down_all(void **state);
int replica_set_up(void **state);
int replica_tear_down(void **state);
