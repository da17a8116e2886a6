// SPDX-License-Identifier: Apache-2.0
/*
 * Which resources there are for us, and the path and query of each request about them. Pure; names,
 * selectors and tokens are percent-encoded, so nothing in them can become another part of a URL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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

struct kube_list {
    struct kube_ref collection;
    const char *label_selector; /* may be NULL */
    unsigned limit;             /* objects a page; 0: the server's choice */
    const char *continue_token; /* of the page before; NULL: the first page */
};

struct kube_watch {
    struct kube_ref collection;
    const char *label_selector;
    const char *resource_version;
    unsigned timeout_seconds; /* the server ends the watch after that */
};

enum { KUBE_TEXT_BYTES = 400, KUBE_VERSION_BYTES = 64 };

/* "/apis/lifeboat.dev/v1alpha1/namespaces/shop/backups/b/status"; the caller's, own_freep. */
char *kube_path(const struct kube_ref *ref);
/* The same with the query; that of a write says "fieldManager=lifeboat". */
char *kube_path_write(const struct kube_ref *ref, bool apply);
char *kube_path_list(const struct kube_list *list);
char *kube_path_watch(const struct kube_watch *watch);

/* "backups 'shop/b'", for messages */
void kube_ref_format(const struct kube_ref *ref, char ret_text[KUBE_TEXT_BYTES]);
/* "lifeboat.dev/v1alpha1", "v1" */
void kube_api_version(const struct kube_resource *resource, char ret_text[KUBE_VERSION_BYTES]);
