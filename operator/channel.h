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

struct channel_options {
    unsigned port, probe_port; /* 0: any free one, see below */
    struct agents *agents;
    struct reviewer *reviewer;
    struct metrics *metrics;
    const struct cancel *cancel;
    bool (*live)(void *arg), (*ready)(void *arg),
        (*leading)(void *arg); /* cheap; no locks across I/O */
    void *arg;
};

MUST_CHECK int channel_new(struct channel **ret_channel, const struct channel_options *options,
                           struct error *err);
void channel_freep(struct channel **channel);
/* New certificate and key (PEM, copied) for connections from now on; TLS is served once there is
 * one. From any thread. */
MUST_CHECK int channel_set_certificate(struct channel *channel, const char *chain, const char *key,
                                       struct error *err);
int channel_run(void *channel,
                struct error *err); /* crew_main; ends with the cancel, closing 1001 */
unsigned channel_port(const struct channel *channel);
unsigned channel_probe_port(const struct channel *channel);
