// SPDX-License-Identifier: Apache-2.0
#include "operator/restore_pod.h"

#include <stdio.h>
#include <string.h>

#include "operator/lookup.h"
#include "operator/restore_object.h"

static json_t *at(const json_t *object, const char *first, const char *second)
{
    return json_object_get(json_object_get(object, first), second);
}

static const json_t *find_container(const json_t *containers, const char *name)
{
    size_t index;
    json_t *container;
    json_array_foreach(containers, index, container)
    {
        const char *found = lookup_text(container, "name");
        if (found && (!name || strcmp(found, name) == 0))
            return container;
    }
    return NULL;
}

static const json_t *find_sidecar(const json_t *pod)
{
    const json_t *spec = json_object_get(pod, "spec");
    const json_t *native = find_container(json_object_get(spec, "initContainers"), "lifeboat");
    return native ? native : find_container(json_object_get(spec, "containers"), "lifeboat");
}

static const json_t *find_database(const json_t *pod)
{
    const char *name = lookup_text(at(pod, "metadata", "annotations"), "lifeboat.dev/container");
    return find_container(at(pod, "spec", "containers"), name);
}

/* runAsUser or runAsGroup of a member: its sidecar's, its database's, the whole pod's. */
static const json_t *identity_of(const json_t *pod, const char *name)
{
    const json_t *holders[] = {find_sidecar(pod), find_database(pod), json_object_get(pod, "spec")};
    for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
        const json_t *value = at(holders[i], "securityContext", name);
        if (json_is_integer(value))
            return value;
    }
    return NULL;
}

static const json_t *find_identity(const json_t *members, const char *name)
{
    size_t index;
    json_t *pod;
    json_array_foreach(members, index, pod)
    {
        const json_t *value = identity_of(pod, name);
        if (value)
            return value;
    }
    return NULL;
}

static const char *find_image(const struct restore_pod_facts *facts)
{
    const char *image = lookup_text(at(facts->policy, "spec", "sidecar"), "image");
    size_t index;
    json_t *pod;
    json_array_foreach(facts->members, index, pod)
    {
        if (!image)
            image = lookup_text(find_sidecar(pod), "image");
    }
    return image ? image : facts->default_image;
}

static const json_t *find_user(const struct restore_pod_facts *facts)
{
    const json_t *user = json_object_get(facts->restore->pod, "runAsUser");
    if (!user)
        user = json_object_get(at(facts->policy, "spec", "sidecar"), "runAsUser");
    return user ? user : find_identity(facts->members, "runAsUser");
}

static json_t *labels_new(const struct restore_object *restore)
{
    return json_pack("{s:s, s:s}", "app.kubernetes.io/managed-by", "lifeboat",
                     "lifeboat.dev/restorejob", restore->run.name);
}

/* Azure AD Workload Identity gives only pods with its label what they need. */
static json_t *pod_labels_new(const struct restore_pod *pod)
{
    json_t *labels = labels_new(pod->restore);
    if (pod->identity)
        json_object_set_new(labels, "azure.workload.identity/use", json_string("true"));
    return labels;
}

static json_t *owners_new(const struct restore_object *restore, bool controller)
{
    json_t *owner = json_pack("{s:s, s:s, s:s, s:s}", "apiVersion", "lifeboat.dev/v1alpha1", "kind",
                              "RestoreJob", "name", restore->run.name, "uid", restore->run.uid);
    if (controller)
        json_object_set_new(owner, "controller", json_true());
    return json_pack("[o]", owner);
}

static json_t *env_new(void)
{
    static const char *const variables[][2] = {{"POD_NAMESPACE", "metadata.namespace"},
                                               {"POD_NAME", "metadata.name"},
                                               {"POD_UID", "metadata.uid"}};
    json_t *env = json_array();
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        json_array_append_new(env,
                              json_pack("{s:s, s:{s:{s:s}}}", "name", variables[i][0], "valueFrom",
                                        "fieldRef", "fieldPath", variables[i][1]));
    return env;
}

static json_t *mounts_new(void)
{
    return json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s, s:b}, {s:s, s:s, s:b}, {s:s, s:s, s:b}]",
                     "name", "restore", "mountPath", "/restore", "name", "tmp", "mountPath", "/tmp",
                     "name", "config", "mountPath", "/etc/lifeboat/config", "readOnly", 1, "name",
                     "secrets", "mountPath", "/etc/lifeboat/secrets", "readOnly", 1, "name",
                     "token", "mountPath", "/var/run/secrets/lifeboat", "readOnly", 1);
}

static json_t *volumes_new(const struct restore_object *restore)
{
    char name[80]; /* of ConfigMap and Secret */
    snprintf(name, sizeof(name), "lifeboat-%.63s", restore->policy);
    json_t *token = json_pack("{s:{s:s, s:i, s:s}}", "serviceAccountToken", "audience",
                              "lifeboat.dev", "expirationSeconds", 3600, "path", "token");
    return json_pack("[{s:s, s:{s:s}}, {s:s, s:{}}, {s:s, s:{s:s, s:b}}, {s:s, s:{s:s, s:b}}, "
                     "{s:s, s:{s:[o]}}]",
                     "name", "restore", "persistentVolumeClaim", "claimName", restore->claim.name,
                     "name", "tmp", "emptyDir", "name", "config", "configMap", "name", name,
                     "optional", 1, "name", "secrets", "secret", "secretName", name, "optional", 1,
                     "name", "token", "projected", "sources", token);
}

static json_t *container_new(const struct restore_pod *pod)
{
    json_t *container =
        json_pack("{s:s, s:s, s:[s], s:o, s:o, s:{s:b, s:b, s:b, s:{s:[s]}}, s:s}", "name",
                  "lifeboat", "image", pod->image, "args", "serve", "env", env_new(),
                  "volumeMounts", mounts_new(), "securityContext", "allowPrivilegeEscalation", 0,
                  "readOnlyRootFilesystem", 1, "runAsNonRoot", 1, "capabilities", "drop", "ALL",
                  "terminationMessagePolicy", "FallbackToLogsOnError");
    if (pod->resources)
        json_object_set(container, "resources", pod->resources);
    return container;
}

/* An fsGroup would make an existing pgdata 2770, which PostgreSQL refuses: only at a mismatch. */
static json_t *security_new(const struct restore_pod *pod)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:s, s:{s:s}}", "runAsNonRoot", 1, "runAsUser",
                     (json_int_t)pod->user, "runAsGroup", (json_int_t)pod->group, "fsGroup",
                     (json_int_t)pod->group, "fsGroupChangePolicy", "OnRootMismatch",
                     "seccompProfile", "type", "RuntimeDefault");
}

static void set_wishes(json_t *spec, const json_t *wishes)
{
    static const char *const names[] = {"serviceAccountName", "nodeSelector",     "tolerations",
                                        "affinity",           "imagePullSecrets", NULL};
    for (size_t i = 0; names[i]; i++) {
        json_t *wish = json_object_get(wishes, names[i]);
        if (wish && !json_is_null(wish))
            json_object_set(spec, names[i], wish);
    }
}

json_t *restore_pod_format(const struct restore_pod *pod, const char *id)
{
    const struct restore_object *restore = pod->restore;
    json_t *spec = json_pack("{s:s, s:s, s:b, s:b, s:i, s:o, s:[o], s:o}", "restartPolicy", "Never",
                             "serviceAccountName", "default", "automountServiceAccountToken", 0,
                             "enableServiceLinks", 0, "terminationGracePeriodSeconds", 10,
                             "securityContext", security_new(pod), "containers", container_new(pod),
                             "volumes", volumes_new(restore));
    set_wishes(spec, restore->pod);
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:o}, s:o}", "apiVersion", "v1", "kind", "Pod",
                     "metadata", "namespace", restore->run.namespace, "name", id, "labels",
                     pod_labels_new(pod), "ownerReferences", owners_new(restore, true), "spec",
                     spec);
}

/* A copy of what the user wants, ours on top. */
static json_t *merged(json_t *wishes, json_t *ours)
{
    json_t *all = json_is_object(wishes) ? json_copy(wishes) : json_object();
    json_object_update(all, ours);
    json_decref(ours);
    return all;
}

json_t *restore_pod_format_claim(const struct restore_object *restore, const char *id)
{
    json_t *modes = restore->claim.access_modes ? json_copy(restore->claim.access_modes)
                                                : json_pack("[s]", "ReadWriteOnce");
    json_t *spec = json_pack("{s:o, s:{s:{s:s}}}", "accessModes", modes, "resources", "requests",
                             "storage", restore->claim.size);
    if (restore->claim.storage_class)
        json_object_set_new(spec, "storageClassName", json_string(restore->claim.storage_class));
    if (restore->claim.volume_name)
        json_object_set_new(spec, "volumeName", json_string(restore->claim.volume_name));
    json_t *annotations =
        merged(restore->claim.annotations, json_pack("{s:s, s:s}", RESTORE_POD_OWNER,
                                                     restore->run.uid, RESTORE_POD_ATTEMPT, id));
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:o, s:o}, s:o}", "apiVersion", "v1", "kind",
                     "PersistentVolumeClaim", "metadata", "namespace", restore->run.namespace,
                     "name", restore->claim.name, "labels",
                     merged(restore->claim.labels, labels_new(restore)), "annotations", annotations,
                     "ownerReferences", owners_new(restore, false), "spec", spec);
}

json_t *restore_pod_format_keep(const json_t *claim)
{
    const json_t *metadata = json_object_get(claim, "metadata");
    return json_pack("{s:{s:O, s:O, s:n}}", "metadata", "uid", json_object_get(metadata, "uid"),
                     "resourceVersion", json_object_get(metadata, "resourceVersion"),
                     "ownerReferences");
}

static bool has_azure_identity(const json_t *policy)
{
    size_t index;
    json_t *region;
    json_array_foreach(at(policy, "spec", "regions"), index, region)
    {
        const char *auth = lookup_text(json_object_get(region, "azure"), "auth");
        if (auth && strcmp(auth, "WebIdentity") == 0)
            return true;
    }
    return false;
}

int restore_pod_plan(struct restore_pod *ret_pod, const struct restore_pod_facts *facts,
                     struct error *err)
{
    const json_t *user = find_user(facts);
    const json_t *group = find_identity(facts->members, "runAsGroup");
    struct restore_pod pod = {
        .restore = facts->restore,
        .image = find_image(facts),
        .user = json_integer_value(user),
        .resources = json_object_get(at(facts->policy, "spec", "sidecar"), "resources"),
        .identity = has_azure_identity(facts->policy),
    };
    pod.group = group ? json_integer_value(group) : pod.user;
    if (!pod.image)
        return error_set(err, ERROR_PERMANENT,
                         "spec.sidecar.image of the policy is not set, and there is no member to "
                         "take it from: set it");
    if (pod.user <= 0)
        return error_set(err, ERROR_PERMANENT,
                         "the user that PostgreSQL runs as is %s: set spec.sidecar.runAsUser of "
                         "the policy, or spec.pod.runAsUser",
                         user ? "root in the policy's pods, and must not be" : "not known");
    *ret_pod = pod;
    return 0;
}
