// SPDX-License-Identifier: Apache-2.0
/*
 * What lies between the thread of the channel's client and its user: events that came, and messages
 * that are to go. Both bounded: whoever does not read is not written to, and of states and progress
 * only the latest waits. From any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/message.h"
#include "sidecar/channel_client.h"

struct channel_box;

MUST_CHECK int channel_box_new(struct channel_box **ret_box, struct error *err);
void channel_box_freep(struct channel_box **box);

/* Readable while there are events. */
int channel_box_fd(const struct channel_box *box);
/* Takes the message (NULL: none); it is left where there is no room. CONNECTED and GONE make all
 * that was not yet read void. */
void channel_box_put(struct channel_box *box, enum channel_event_type type,
                     struct message *message);
/* More should not be put before some were taken. */
bool channel_box_full(struct channel_box *box);
/* true: it was full before, and who fills it may go on. */
bool channel_box_take(struct channel_box *box, struct channel_event *ret_event);

/* Opens or closes the way out; closing drops what waits. */
void channel_box_open(struct channel_box *box, bool open);
bool channel_box_is_open(struct channel_box *box);
/* PERMANENT: too large a message. Where it is closed, or too much waits, the message is dropped. */
MUST_CHECK int channel_box_send(struct channel_box *box, const struct message *message,
                                struct error *err);
/* The next text to write, the caller's (own_freep), or NULL. */
char *channel_box_next(struct channel_box *box);
