// SPDX-License-Identifier: Apache-2.0
/*
 * The operator's server (libwebsockets, a thread of its own): the channel to the sidecars and
 * /metrics over TLS, /livez and /readyz in clear on another port. Whoever connects is nobody until
 * reviewer has said whose token it sent; before that nothing it says is read. Everything is
 * bounded: handshakes, pending reviews, connections, sizes of messages, time to say hello.
 * docs/protocol.md has the codes with which connections are closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct agents;
struct cancel;
struct channel;
struct metrics;
struct reviewer;

/* How long and how many; 0: the default, in brackets. */
struct channel_limits {
    unsigned opening_ms;                    /* TLS and request [5000] */
    unsigned review_ms;                     /* until the verdict [7000] */
    unsigned hello_ms;                      /* [5000] */
    unsigned ping_seconds, hang_up_seconds; /* [10, 30] */
    unsigned connections, strangers;        /* [2000, 256]: who is not known yet */
};

struct channel_options {
    const char *address;       /* to listen at; NULL: all there are */
    unsigned port, probe_port; /* 0: any free one, see below */
    struct agents *agents;
    struct reviewer *reviewer;
    struct metrics *metrics;
    const struct cancel *cancel;
    bool (*live)(void *arg), (*ready)(void *arg),
        (*leading)(void *arg); /* cheap; no locks across I/O */
    void *arg;
    struct channel_limits limits;
};

MUST_CHECK int channel_new(struct channel **ret_channel, const struct channel_options *options,
                           struct error *err);
/* After channel_run ended, and with it all that agents or reviewer could wake it for. */
void channel_freep(struct channel **channel);
/* New certificate and key (PEM, copied) for connections from now on, those that stand are kept; TLS
 * is served once there is one. From any thread. PERMANENT: they cannot be used. */
MUST_CHECK int channel_set_certificate(struct channel *channel, const char *chain, const char *key,
                                       struct error *err);
int channel_run(void *channel,
                struct error *err); /* crew_main; ends with the cancel, closing 1001 */
unsigned channel_port(const struct channel *channel);
unsigned channel_probe_port(const struct channel *channel);
