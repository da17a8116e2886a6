// SPDX-License-Identifier: Apache-2.0
#include "operator/reviewer.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/crew.h"
#include "common/fifo.h"
#include "common/log.h"
#include "common/own.h"
#include "common/text.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/lookup.h"

enum { WORKERS = 4, WAITING_MAX = 64, DEADLINE_MS = 5000 };

#define AUDIENCE "lifeboat.dev"

struct question {
    enum review_purpose purpose;
    char *token;
    int64_t asked_ms;
    review_on_verdict on_verdict;
    void *arg;
    uint64_t connection;
};

struct reviewer {
    struct kube *kube;
    struct cache *pods, *restore_pods;
    struct fifo *questions;
    atomic_uint waiting; /* questions in the fifo or being asked */
};

static void question_freep(struct question **question)
{
    struct question *q = TAKE(*question);
    if (!q)
        return;
    buf_wipe(q->token, strlen(q->token));
    free(q->token);
    free(q);
}

/* Readings of JSON that the API server sent: what is missing is NULL. */

static bool contains(const json_t *array, const char *text)
{
    size_t index;
    json_t *element;
    json_array_foreach(array, index, element)
    {
        if (json_is_string(element) && strcmp(json_string_value(element), text) == 0)
            return true;
    }
    return false;
}

static bool equals(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool copy_text(char *ret_text, size_t size, const char *text)
{
    if (!text || !*text || strlen(text) >= size)
        return false;
    memcpy(ret_text, text, strlen(text) + 1);
    return true;
}

/* The pod whose token it is: TokenReview tells namespace and account in the user's name, pod and
 * uid in its extra (kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin). */
static bool read_identity(const json_t *status, struct agent_identity *ret_who)
{
    static const char prefix[] = "system:serviceaccount:";
    const json_t *user = json_object_get(status, "user");
    const json_t *extra = json_object_get(user, "extra");
    const json_t *pod = json_object_get(extra, "authentication.kubernetes.io/pod-name");
    const json_t *uid = json_object_get(extra, "authentication.kubernetes.io/pod-uid");
    const char *name = lookup_text(user, "username");
    if (!name || !text_starts_with(name, prefix) || !strchr(name + sizeof(prefix) - 1, ':'))
        return false;
    CLEANUP(own_freep) char *namespace = own_strdup(name + sizeof(prefix) - 1);
    *strchr(namespace, ':') = '\0';
    return copy_text(ret_who->namespace, sizeof(ret_who->namespace), namespace) &&
           copy_text(ret_who->pod, sizeof(ret_who->pod),
                     json_string_value(json_array_get(pod, 0))) &&
           copy_text(ret_who->uid, sizeof(ret_who->uid), json_string_value(json_array_get(uid, 0)));
}

static bool is_same_pod(const json_t *pod, const struct agent_identity *who)
{
    return equals(lookup_text(json_object_get(pod, "metadata"), "uid"), who->uid);
}

static bool belongs_to_restore_job(const json_t *pod)
{
    const json_t *owners = json_object_get(json_object_get(pod, "metadata"), "ownerReferences");
    size_t index;
    json_t *owner;
    json_array_foreach(owners, index, owner)
    {
        const char *version = lookup_text(owner, "apiVersion");
        if (json_is_true(json_object_get(owner, "controller")) &&
            equals(lookup_text(owner, "kind"), "RestoreJob") && version &&
            text_starts_with(version, "lifeboat.dev/"))
            return true;
    }
    return false;
}

static enum review_verdict find_pod(const struct reviewer *reviewer,
                                    const struct agent_identity *who)
{
    if (!reviewer->pods || !reviewer->restore_pods)
        return REVIEW_FORBIDDEN;
    json_auto_t *member = cache_get(reviewer->pods, who->namespace, who->pod);
    json_auto_t *restore = cache_get(reviewer->restore_pods, who->namespace, who->pod);
    if ((member && is_same_pod(member, who)) ||
        (restore && is_same_pod(restore, who) && belongs_to_restore_job(restore)))
        return REVIEW_SIDECAR;
    bool complete = cache_synced(reviewer->pods) && cache_synced(reviewer->restore_pods);
    return complete ? REVIEW_FORBIDDEN : REVIEW_UNAVAILABLE;
}

static json_t *token_review(const struct question *question)
{
    json_t *spec = json_pack("{s:s}", "token", question->token);
    if (spec && question->purpose == REVIEW_CHANNEL)
        json_object_set_new(spec, "audiences", json_pack("[s]", AUDIENCE));
    return json_pack("{s:s, s:s, s:o}", "apiVersion", "authentication.k8s.io/v1", "kind",
                     "TokenReview", "spec", spec);
}

/* May that user get /metrics? (SubjectAccessReview, as kube-rbac-proxy and others ask.) */
static enum review_verdict review_access(const struct reviewer *reviewer, const json_t *user,
                                         struct error *err)
{
    static const struct kube_ref reviews = {.resource = &kube_subject_access_reviews};
    json_auto_t *answer = NULL;
    json_auto_t *review =
        json_pack("{s:s, s:s, s:{s:{s:s, s:s}, s:O*, s:O*, s:O*, s:O*}}", "apiVersion",
                  "authorization.k8s.io/v1", "kind", "SubjectAccessReview", "spec",
                  "nonResourceAttributes", "path", "/metrics", "verb", "get", "user",
                  json_object_get(user, "username"), "groups", json_object_get(user, "groups"),
                  "uid", json_object_get(user, "uid"), "extra", json_object_get(user, "extra"));
    if (kube_create(reviewer->kube, &reviews, review, &answer, err) < 0)
        return REVIEW_UNAVAILABLE;
    const json_t *status = json_object_get(answer, "status");
    bool allowed = json_is_true(json_object_get(status, "allowed"));
    return allowed ? REVIEW_READER : REVIEW_FORBIDDEN;
}

static enum review_verdict review(const struct reviewer *reviewer, const struct question *question,
                                  struct agent_identity *ret_who, struct error *err)
{
    static const struct kube_ref reviews = {.resource = &kube_token_reviews};
    json_auto_t *answer = NULL;
    json_auto_t *body = token_review(question);
    if (!body) /* no UTF-8, no token */
        return REVIEW_UNAUTHENTICATED;
    if (kube_create(reviewer->kube, &reviews, body, &answer, err) < 0)
        return REVIEW_UNAVAILABLE;
    const json_t *status = json_object_get(answer, "status");
    if (!json_is_true(json_object_get(status, "authenticated")))
        return REVIEW_UNAUTHENTICATED;
    if (question->purpose == REVIEW_METRICS)
        return review_access(reviewer, json_object_get(status, "user"), err);
    if (!contains(json_object_get(status, "audiences"), AUDIENCE))
        return REVIEW_UNAUTHENTICATED;
    return read_identity(status, ret_who) ? find_pod(reviewer, ret_who) : REVIEW_FORBIDDEN;
}

/* A question that waited too long is not asked any more: whoever asked has gone. */
static void answer(const struct reviewer *reviewer, const struct question *question)
{
    struct agent_identity who = {0};
    struct error err = {.kind = ERROR_NONE};
    enum review_verdict verdict = REVIEW_UNAVAILABLE;
    if (clock_monotonic_ms() - question->asked_ms < DEADLINE_MS)
        verdict = review(reviewer, question, &who, &err);
    if (err.kind != ERROR_NONE && err.kind != ERROR_CANCELED)
        log_error(&err, "Failed to review a token");
    question->on_verdict(question->arg, question->connection, verdict, &who);
}

static int work(void *arg, struct error *err)
{
    struct reviewer *reviewer = arg;
    void *item;
    while (fifo_pop(reviewer->questions, &item, err) == 0) {
        CLEANUP(question_freep) struct question *question = item;
        answer(reviewer, question);
        atomic_fetch_sub(&reviewer->waiting, 1);
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

int reviewer_ask(struct reviewer *reviewer, const struct review *review, uint64_t connection,
                 struct error *err)
{
    if (atomic_fetch_add(&reviewer->waiting, 1) >= WAITING_MAX) {
        atomic_fetch_sub(&reviewer->waiting, 1);
        return error_set(err, ERROR_TRANSIENT, "%d reviews of tokens wait already", WAITING_MAX);
    }
    CLEANUP(question_freep) struct question *question = own_alloc(sizeof(*question));
    *question = (struct question){.purpose = review->purpose,
                                  .token = own_strdup(review->token),
                                  .asked_ms = clock_monotonic_ms(),
                                  .on_verdict = review->on_verdict,
                                  .arg = review->arg,
                                  .connection = connection};
    if (fifo_push(reviewer->questions, question, err) < 0) { /* never waits: there is room */
        atomic_fetch_sub(&reviewer->waiting, 1);
        return -1;
    }
    question = NULL;
    return 0;
}

int reviewer_start(struct reviewer *reviewer, struct crew *crew, struct error *err)
{
    for (int i = 0; i < WORKERS; i++)
        if (crew_start(crew, "reviewer", work, reviewer, err) < 0)
            return -1;
    return 0;
}

void reviewer_freep(struct reviewer **reviewer)
{
    struct reviewer *r = TAKE(*reviewer);
    if (!r)
        return;
    for (struct question *left; (left = fifo_take_left(r->questions));)
        question_freep(&left);
    fifo_free(r->questions);
    free(r);
}

struct reviewer *reviewer_new(const struct reviewer_options *options)
{
    struct reviewer *reviewer = own_alloc(sizeof(*reviewer));
    *reviewer = (struct reviewer){.kube = options->kube,
                                  .pods = options->pods,
                                  .restore_pods = options->restore_pods,
                                  .questions = fifo_new(WAITING_MAX, options->cancel)};
    kube_set_timeout(options->kube, DEADLINE_MS);
    return reviewer;
}
