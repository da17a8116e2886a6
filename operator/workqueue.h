// SPDX-License-Identifier: Apache-2.0
/*
 * What to look at next: keys of objects, each at most once in the queue and never with two workers
 * at a time; one that changes while it is worked on comes again. Failures come back later and
 * later (1 s to 5 min). From any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct workqueue;

enum work_kind { WORK_POLICY, WORK_BACKUP, WORK_RESTORE, WORK_KINDS };

struct work_key {
    enum work_kind kind;
    char namespace[64], name[254];
};

struct workqueue *workqueue_new(const struct cancel *cancel); /* lends cancel for its life */
void workqueue_freep(struct workqueue **queue);

struct work_key work_key(enum work_kind kind, const char *namespace, const char *name);

void workqueue_add(struct workqueue *queue, const struct work_key *key);
/* Not before delay_ms; an earlier date of the same key wins. */
void workqueue_add_after(struct workqueue *queue, const struct work_key *key, int64_t delay_ms);

/* Waits for a key that is due; CANCELED. Then one of the two below. */
MUST_CHECK int workqueue_take(struct workqueue *queue, struct work_key *ret_key, struct error *err);
void workqueue_done(struct workqueue *queue, const struct work_key *key);
/* Later, with back-off; not before wish_ms (as kube_wish_ms; 0: none). */
void workqueue_retry(struct workqueue *queue, const struct work_key *key, uint32_t wish_ms);

size_t workqueue_depth(struct workqueue *queue); /* due, and not taken yet */
