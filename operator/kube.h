// SPDX-License-Identifier: Apache-2.0
/*
 * The Kubernetes API over HTTPS: one function a verb, each one request, no retries, no cache (that
 * is watch's work). Only this module speaks to the API server. Objects are jansson values. Errors
 * (from the Status object that the server sends): 404 NOT_FOUND; 409 CONFLICT; 408, 429, 5xx, and
 * 401 (the token is read anew for the next request) TRANSIENT; 403, 422 and other 4xx PERMANENT,
 * with the server's message; CORRUPT: an answer that is no JSON. Source: Kubernetes API Concepts,
 * kubernetes.io/docs/reference/using-api.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"
#include "operator/kube_path.h"

struct cancel;
struct kube;
struct kube_config;

/* config and cancel are lent for the life of the client, which serves any number of threads.
 * Requests that have to be made while all else stops (a lease released, a last status) are those of
 * a second client with a cancel of its own. */
MUST_CHECK int kube_new(struct kube **ret_kube, struct kube_config *config,
                        const struct cancel *cancel, struct error *err);
void kube_freep(struct kube **kube);
/* How long a request takes at most, all but kube_watch: 30 s unless set here, before the first. */
void kube_set_timeout(struct kube *kube, int timeout_ms);
/* How long from now the server wishes not to be asked again (Retry-After): for callers' back-off.
 */
uint32_t kube_wish_ms(const struct kube *kube);

/* ret_object (the caller's, json_decref) may be NULL in all but kube_get. */
MUST_CHECK int kube_get(struct kube *kube, const struct kube_ref *ref, json_t **ret_object,
                        struct error *err);
MUST_CHECK int kube_create(struct kube *kube, const struct kube_ref *collection,
                           const json_t *object, json_t **ret_object, struct error *err);
/* PUT with the object's resourceVersion: CONFLICT if somebody else changed it meanwhile. */
MUST_CHECK int kube_update(struct kube *kube, const struct kube_ref *ref, const json_t *object,
                           json_t **ret_object, struct error *err);
MUST_CHECK int kube_merge_patch(struct kube *kube, const struct kube_ref *ref, const json_t *patch,
                                json_t **ret_object, struct error *err);
/* Server-side apply as field manager "lifeboat", forced: object is all that we want to own. */
MUST_CHECK int kube_apply(struct kube *kube, const struct kube_ref *ref, const json_t *object,
                          json_t **ret_object, struct error *err);
/* In the background; uid (may be NULL) is a precondition: CONFLICT if the object is another one. */
MUST_CHECK int kube_delete(struct kube *kube, const struct kube_ref *ref, const char *uid,
                           struct error *err);

/* A page (kind …List; the caller's) whose items have apiVersion and kind, which the server leaves
 * out. */
enum kube_list_outcome {
    KUBE_LIST_DONE,
    KUBE_LIST_EXPIRED,   /* 410: list again from the start */
    KUBE_LIST_TOO_LARGE, /* above 16 MiB: ask for fewer objects a page */
};
MUST_CHECK int kube_list(struct kube *kube, const struct kube_list *list, json_t **ret_page,
                         enum kube_list_outcome *ret_outcome, struct error *err);

/* type is ADDED, MODIFIED, DELETED or BOOKMARK; object is lent. -1 ends the watch with err. */
typedef int (*kube_on_event)(void *arg, const char *type, json_t *object, struct error *err);

enum kube_watch_outcome { KUBE_WATCH_ENDED, KUBE_WATCH_EXPIRED /* 410: list again */ };
/* Blocks until the watch ends: the server ends it after its timeout_seconds. on_event is called by
 * this thread. CORRUPT: what came is no event, or an object above 16 MiB. */
MUST_CHECK int kube_watch(struct kube *kube, const struct kube_watch *watch, kube_on_event on_event,
                          void *arg, enum kube_watch_outcome *ret_outcome, struct error *err);
