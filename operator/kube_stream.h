// SPDX-License-Identifier: Apache-2.0
/*
 * The events of a watch out of the bytes of its answer: JSON objects, one a line, cut anywhere by
 * the network. Pure. Bad bytes are CORRUPT and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/error.h"
#include "operator/kube.h"

/* etcd takes 1.5 MiB, of which each byte may be six in JSON. */
enum { KUBE_STREAM_LINE_MAX = 16 << 20 };

struct kube_stream {
    struct buf line; /* what came since the last newline */
    kube_on_event on_event;
    void *arg;
    bool expired; /* the server said 410: that is what ended it */
};

void kube_stream_init(struct kube_stream *stream, kube_on_event on_event, void *arg);
void kube_stream_done(struct kube_stream *stream); /* for CLEANUP */
/* -1 ends the watch: CORRUPT; what the server's ERROR event says; what on_event says. */
MUST_CHECK int kube_stream_feed(struct kube_stream *stream, const void *data, size_t size,
                                struct error *err);
/* TRANSIENT: the answer ended in the middle of an event. */
MUST_CHECK int kube_stream_end(const struct kube_stream *stream, struct error *err);
