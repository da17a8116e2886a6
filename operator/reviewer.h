// SPDX-License-Identifier: Apache-2.0
/*
 * Tells whose token it is, with TokenReview (authentication.k8s.io/v1, audience lifeboat.dev), on
 * workers of its own: at most 64 questions wait, each at most 5 s. A pod is known if it is in the
 * caches: a member of a policy, or owned by a RestoreJob. Also asks whether a token may read
 * /metrics (SubjectAccessReview).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "operator/agents.h"

struct cache;
struct cancel;
struct crew;
struct kube;
struct reviewer;

enum review_verdict {
    REVIEW_SIDECAR,         /* a known pod: identity is set */
    REVIEW_READER,          /* may read /metrics */
    REVIEW_UNAUTHENTICATED, /* no valid token for our audience */
    REVIEW_FORBIDDEN,       /* valid, but no pod that we know, or not allowed */
    REVIEW_UNAVAILABLE,     /* could not be asked in time */
};
enum review_purpose { REVIEW_CHANNEL, REVIEW_METRICS };

struct reviewer_options {
    struct kube *kube;                 /* of its own: it gets a time-out of 5 s a request */
    struct cache *pods, *restore_pods; /* NULL on a follower, which admits nobody */
    const struct cancel *cancel;
};

struct reviewer *reviewer_new(const struct reviewer_options *options);
void reviewer_freep(struct reviewer **reviewer); /* after the crew was joined */
MUST_CHECK int reviewer_start(struct reviewer *reviewer, struct crew *crew, struct error *err);

/* who is set for REVIEW_SIDECAR. Must not wait for long. */
typedef void (*review_on_verdict)(void *arg, uint64_t connection, enum review_verdict verdict,
                                  const struct agent_identity *who);
struct review {
    enum review_purpose purpose;
    const char *token;
    review_on_verdict on_verdict;
    void *arg;
};
/* Asks; on_verdict is called later by a worker, exactly once unless all stops before. The token is
 * copied and wiped. TRANSIENT: too many wait. */
MUST_CHECK int reviewer_ask(struct reviewer *reviewer, const struct review *review,
                            uint64_t connection, struct error *err);
