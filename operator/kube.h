// SPDX-License-Identifier: Apache-2.0
/*
 * The Kubernetes API over HTTPS: one function a verb, each one request, no retries, no cache (that
 * is watch's work). Only this module speaks to the API server. Objects are jansson values. Errors
 * (from the Status object that the server sends): 404 NOT_FOUND; 409 CONFLICT; 429, 5xx, and 401
 * (the token is read anew for the next request) TRANSIENT; 403, 422 and other 4xx PERMANENT, with
 * the server's message. Source: Kubernetes API Concepts, kubernetes.io/docs/reference/using-api.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

struct cancel;
struct kube;
struct kube_config;

struct kube_resource {
    const char *group; /* "" is the core group */
    const char *version, *plural, *kind;
    bool namespaced;
};

extern const struct kube_resource kube_policies, kube_backups, kube_restore_jobs, /* lifeboat.dev */
    kube_pods, kube_config_maps, kube_secrets, kube_claims, kube_nodes, kube_namespaces,
    kube_leases, kube_events /* events.k8s.io */, kube_token_reviews, kube_subject_access_reviews;

/* One object, or with name NULL a collection; namespace NULL: all, or not namespaced. */
struct kube_ref {
    const struct kube_resource *resource;
    const char *namespace, *name;
    const char *subresource; /* "status"; NULL: none */
};

/* config and cancel are lent for the life of the client, which serves any number of threads. */
MUST_CHECK int kube_new(struct kube **ret_kube, struct kube_config *config,
                        const struct cancel *cancel, struct error *err);
void kube_freep(struct kube **kube);

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

struct kube_list {
    struct kube_ref collection;
    const char *label_selector; /* may be NULL */
    unsigned limit;             /* objects a page; 0: the server's choice */
    const char *continue_token; /* of the page before; NULL: the first page */
};
enum kube_list_outcome { KUBE_LIST_DONE, KUBE_LIST_EXPIRED /* 410: list again from the start */ };
MUST_CHECK int kube_list(struct kube *kube, const struct kube_list *list, json_t **ret_page,
                         enum kube_list_outcome *ret_outcome, struct error *err);

struct kube_watch {
    struct kube_ref collection;
    const char *label_selector;
    const char *resource_version;
    unsigned timeout_seconds; /* the server ends the watch after that */
    /* type is ADDED, MODIFIED, DELETED or BOOKMARK; object is lent. -1 ends the watch with err. */
    int (*on_event)(void *arg, const char *type, json_t *object, struct error *err);
    void *arg;
};
enum kube_watch_outcome { KUBE_WATCH_ENDED, KUBE_WATCH_EXPIRED /* 410: list again */ };
/* Blocks until the watch ends. */
MUST_CHECK int kube_watch(struct kube *kube, const struct kube_watch *watch,
                          enum kube_watch_outcome *ret_outcome, struct error *err);
