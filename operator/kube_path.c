// SPDX-License-Identifier: Apache-2.0
#include "operator/kube_path.h"

#include <stdio.h>

#include "common/own.h"
#include "common/text.h"

#define LIFEBOAT "lifeboat.dev", "v1alpha1"

const struct kube_resource kube_policies = {LIFEBOAT, "backuppolicies", "BackupPolicy", true},
                           kube_backups = {LIFEBOAT, "backups", "Backup", true},
                           kube_restore_jobs = {LIFEBOAT, "restorejobs", "RestoreJob", true},
                           kube_pods = {"", "v1", "pods", "Pod", true},
                           kube_config_maps = {"", "v1", "configmaps", "ConfigMap", true},
                           kube_secrets = {"", "v1", "secrets", "Secret", true},
                           kube_claims = {"", "v1", "persistentvolumeclaims",
                                          "PersistentVolumeClaim", true},
                           kube_nodes = {"", "v1", "nodes", "Node", false},
                           kube_namespaces = {"", "v1", "namespaces", "Namespace", false},
                           kube_leases = {"coordination.k8s.io", "v1", "leases", "Lease", true},
                           kube_events = {"events.k8s.io", "v1", "events", "Event", true},
                           kube_token_reviews = {"authentication.k8s.io", "v1", "tokenreviews",
                                                 "TokenReview", false},
                           kube_subject_access_reviews = {"authorization.k8s.io", "v1",
                                                          "subjectaccessreviews",
                                                          "SubjectAccessReview", false};

/* "/<step>/<name>", or "" without a name; the caller's. */
static char *part(const char *step, const char *name)
{
    if (!name)
        return own_strdup("");
    CLEANUP(own_freep) char *encoded = text_percent(name, false);
    return own_format("%s/%s", step, encoded);
}

/* "&<name>=<value>", or "" without a value; the caller's. */
static char *parameter(const char *name, const char *value)
{
    if (!value)
        return own_strdup("");
    CLEANUP(own_freep) char *encoded = text_percent(value, false);
    return own_format("&%s=%s", name, encoded);
}

void kube_api_version(const struct kube_resource *resource, char ret_text[KUBE_VERSION_BYTES])
{
    snprintf(ret_text, KUBE_VERSION_BYTES, "%s%s%s", resource->group, *resource->group ? "/" : "",
             resource->version);
}

void kube_ref_format(const struct kube_ref *ref, char ret_text[KUBE_TEXT_BYTES])
{
    const char *subresource = ref->subresource ? ref->subresource : "";
    char what[KUBE_TEXT_BYTES / 4];
    snprintf(what, sizeof(what), "%s%s%s", ref->resource->plural, *subresource ? "/" : "",
             subresource);
    if (ref->name)
        snprintf(ret_text, KUBE_TEXT_BYTES, "%s '%s%s%s'", what,
                 ref->namespace ? ref->namespace : "", ref->namespace ? "/" : "", ref->name);
    else if (ref->namespace)
        snprintf(ret_text, KUBE_TEXT_BYTES, "%s of '%s'", what, ref->namespace);
    else
        snprintf(ret_text, KUBE_TEXT_BYTES, "%s", what);
}

char *kube_path(const struct kube_ref *ref)
{
    char version[KUBE_VERSION_BYTES];
    kube_api_version(ref->resource, version);
    CLEANUP(own_freep) char *namespace = part("/namespaces", ref->namespace);
    CLEANUP(own_freep) char *name = part("", ref->name);
    CLEANUP(own_freep) char *subresource = part("", ref->subresource);
    return own_format("/%s/%s%s/%s%s%s", *ref->resource->group ? "apis" : "api", version, namespace,
                      ref->resource->plural, name, subresource);
}

char *kube_path_write(const struct kube_ref *ref, bool apply)
{
    CLEANUP(own_freep) char *path = kube_path(ref);
    return own_format("%s?fieldManager=lifeboat%s", path, apply ? "&force=true" : "");
}

char *kube_path_list(const struct kube_list *list)
{
    CLEANUP(own_freep) char *path = kube_path(&list->collection);
    CLEANUP(own_freep) char *labels = parameter("labelSelector", list->label_selector);
    CLEANUP(own_freep) char *token = parameter("continue", list->continue_token);
    return own_format("%s?limit=%u%s%s", path, list->limit, labels, token);
}

char *kube_path_watch(const struct kube_watch *watch)
{
    CLEANUP(own_freep) char *path = kube_path(&watch->collection);
    CLEANUP(own_freep) char *labels = parameter("labelSelector", watch->label_selector);
    CLEANUP(own_freep) char *version = parameter("resourceVersion", watch->resource_version);
    return own_format("%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%u%s%s", path,
                      watch->timeout_seconds, version, labels);
}
