// SPDX-License-Identifier: Apache-2.0
/*
 * A bounded first-in-first-out queue of pointers between threads. It owns nothing that is in it.
 * Closing it lets readers empty it and then get NOT_FOUND; cancelling stops both sides at once.
 * A fifo takes two file descriptors; running out of them aborts, as out of memory does.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct cancel;
struct fifo;

struct fifo *fifo_new(size_t capacity, const struct cancel *cancel); /* lends cancel for its life */
void fifo_free(struct fifo *fifo);
void fifo_freep(struct fifo **fifo);

/* Waits for room; CANCELED. Pushing into a closed fifo is a programming error. */
MUST_CHECK int fifo_push(struct fifo *fifo, void *item, struct error *err);
/* Waits for an item; NOT_FOUND once closed and empty; CANCELED. */
MUST_CHECK int fifo_pop(struct fifo *fifo, void **ret_item, struct error *err);
/* The same for whoever has other duties: 1; no item within timeout_ms: 0. */
MUST_CHECK int fifo_pop_within(struct fifo *fifo, int timeout_ms, void **ret_item,
                               struct error *err);
void fifo_close(struct fifo *fifo);
/* The next item, also when cancelled, or NULL; never waits: for whoever frees what nobody took. */
void *fifo_take_left(struct fifo *fifo);
