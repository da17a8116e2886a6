// SPDX-License-Identifier: Apache-2.0
#include "operator/informers.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/backoff.h"
#include "common/crew.h"
#include "common/own.h"
#include "operator/agents.h"
#include "operator/cache.h"
#include "operator/kube.h"
#include "operator/reconcile.h"
#include "operator/run.h"
#include "operator/trim.h"
#include "operator/watch.h"
#include "operator/workqueue.h"

enum { SPREAD_MS = 60000 };

enum resource {
    POLICIES,
    BACKUPS,
    RESTORE_JOBS,
    PODS,
    RESTORE_PODS,
    CONFIG_MAPS,
    RESOURCES,
};

struct informers {
    struct informers_options options;
    struct cache *caches[RESOURCES];
    struct watch *watches; /* one a resource and namespace */
    size_t watch_count;
};

static const char policy_label[] = "lifeboat.dev/policy",
                  restore_label[] = "lifeboat.dev/restorejob";

static const char *const by_policy_label[] = {"metadata", "labels", policy_label, NULL},
                         *const by_restore_label[] = {"metadata", "labels", restore_label, NULL},
                         *const by_policy_ref[] = {"spec", "policyRef", "name", NULL},
                         *const by_source_ref[] = {"spec", "source", "policyRef", "name", NULL};

static const char *metadata_text(const json_t *object, const char *name)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(object, "metadata"), name));
    return text ? text : "";
}

static const char *label(const json_t *object, const char *name)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(object, "metadata"), "labels"), name));
}

static const char *policy_of_backup(const json_t *backup)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(backup, "spec"), "policyRef"), "name"));
}

static void wake(const struct informers *informers, enum work_kind kind, const char *namespace,
                 const char *name)
{
    struct work_key key = work_key(kind, namespace, name);
    workqueue_add(informers->options.queue, &key);
}

static void wake_object(const struct informers *informers, enum work_kind kind,
                        const json_t *object)
{
    wake(informers, kind, metadata_text(object, "namespace"), metadata_text(object, "name"));
}

/* The runs of a policy that are not at their end. */
static void wake_open(const struct informers *informers, enum work_kind kind, const char *namespace,
                      const char *policy)
{
    enum resource resource = kind == WORK_BACKUP ? BACKUPS : RESTORE_JOBS;
    json_auto_t *runs = cache_list(informers->caches[resource], namespace, policy);
    size_t index;
    json_t *run;
    json_array_foreach(runs, index, run)
    {
        if (!run_has_ended(run))
            wake_object(informers, kind, run);
    }
}

static bool is_same_generation(const json_t *before, const json_t *after)
{
    static const char *const members[] = {"uid", "generation", "deletionTimestamp"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        json_t *one = json_object_get(json_object_get(before, "metadata"), members[i]);
        json_t *other = json_object_get(json_object_get(after, "metadata"), members[i]);
        if ((one || other) && !(one && other && json_equal(one, other)))
            return false;
    }
    return true;
}

static void on_policy(void *arg, const json_t *before, const json_t *after)
{
    const struct informers *informers = arg;
    const json_t *policy = after ? after : before;
    wake_object(informers, WORK_POLICY, policy);
    if (before && after && is_same_generation(before, after))
        return;
    const char *namespace = metadata_text(policy, "namespace");
    wake_open(informers, WORK_BACKUP, namespace, metadata_text(policy, "name"));
    wake_open(informers, WORK_RESTORE, namespace, metadata_text(policy, "name"));
}

static void on_backup(void *arg, const json_t *before, const json_t *after)
{
    const struct informers *informers = arg;
    const json_t *backup = after ? after : before;
    const char *namespace = metadata_text(backup, "namespace"), *policy = policy_of_backup(backup);
    wake_object(informers, WORK_BACKUP, backup);
    if (!policy)
        return;
    wake(informers, WORK_POLICY, namespace, policy);
    if (!after || (before && !run_has_ended(before) && run_has_ended(after)))
        wake_open(informers, WORK_BACKUP, namespace, policy); /* the next one's turn */
}

static void on_restore_job(void *arg, const json_t *before, const json_t *after)
{
    wake_object(arg, WORK_RESTORE, after ? after : before);
}

static void wake_members_of(const struct informers *informers, const json_t *pod)
{
    const char *policy = label(pod, policy_label), *namespace = metadata_text(pod, "namespace");
    if (!policy)
        return;
    wake(informers, WORK_POLICY, namespace, policy);
    wake_open(informers, WORK_BACKUP, namespace, policy);
}

static void wake_restore_of(const struct informers *informers, const json_t *pod)
{
    const char *job = label(pod, restore_label);
    if (job)
        wake(informers, WORK_RESTORE, metadata_text(pod, "namespace"), job);
}

/* A StatefulSet's next pod has the name of the one before. */
static void forget_if_gone(const struct informers *informers, const json_t *before,
                           const json_t *after)
{
    if (before &&
        (!after || strcmp(metadata_text(before, "uid"), metadata_text(after, "uid")) != 0))
        agents_forget(informers->options.agents, metadata_text(before, "uid"));
}

static void on_pod(void *arg, const json_t *before, const json_t *after)
{
    const struct informers *informers = arg;
    forget_if_gone(informers, before, after);
    wake_members_of(informers, before);
    wake_members_of(informers, after);
}

static void on_restore_pod(void *arg, const json_t *before, const json_t *after)
{
    const struct informers *informers = arg;
    forget_if_gone(informers, before, after);
    wake_restore_of(informers, after ? after : before);
}

static void on_config_map(void *arg, const json_t *before, const json_t *after)
{
    const json_t *map = after ? after : before;
    const char *policy = label(map, policy_label);
    if (policy)
        wake(arg, WORK_POLICY, metadata_text(map, "namespace"), policy);
}

static const struct {
    const struct kube_resource *resource;
    const char *label_selector;
    const char *const *index;
    void (*trim)(json_t *object);
    void (*on_change)(void *arg, const json_t *before, const json_t *after);
    const char *thread;
} watched[RESOURCES] = {
    [POLICIES] = {&kube_policies, NULL, NULL, NULL, on_policy, "watch-policy"},
    [BACKUPS] = {&kube_backups, NULL, by_policy_ref, trim_backup, on_backup, "watch-backup"},
    [RESTORE_JOBS] = {&kube_restore_jobs, NULL, by_source_ref, NULL, on_restore_job,
                      "watch-restore"},
    [PODS] = {&kube_pods, policy_label, by_policy_label, trim_pod, on_pod, "watch-pod"},
    [RESTORE_PODS] = {&kube_pods, restore_label, by_restore_label, NULL, on_restore_pod,
                      "watch-rpod"},
    [CONFIG_MAPS] = {&kube_config_maps, "app.kubernetes.io/managed-by=lifeboat", by_policy_label,
                     NULL, on_config_map, "watch-configmap"},
};

static bool is_pod_of(const json_t *pod, const struct agent_identity *who)
{
    return strcmp(metadata_text(pod, "uid"), who->uid) == 0;
}

/* A pod that went between its token's review and its hello is forgotten here: nobody else comes. */
void informers_wake_agent(const struct informers *informers, const struct agent_identity *who)
{
    json_auto_t *pod = cache_get(informers->caches[PODS], who->namespace, who->pod);
    json_auto_t *restore_pod = cache_get(informers->caches[RESTORE_PODS], who->namespace, who->pod);
    wake_members_of(informers, pod);
    wake_restore_of(informers, restore_pod);
    if (!is_pod_of(pod, who) && !is_pod_of(restore_pod, who))
        agents_forget(informers->options.agents, who->uid);
}

void informers_wake_policies(const struct informers *informers)
{
    json_auto_t *policies = cache_list(informers->caches[POLICIES], NULL, NULL);
    size_t index;
    json_t *policy;
    json_array_foreach(policies, index, policy)
    {
        wake_object(informers, WORK_POLICY, policy);
    }
}

static void wake_later(const struct informers *informers, enum work_kind kind,
                       enum resource resource)
{
    json_auto_t *objects = cache_list(informers->caches[resource], NULL, NULL);
    size_t index;
    json_t *object;
    json_array_foreach(objects, index, object)
    {
        if (kind == WORK_BACKUP && run_has_ended(object))
            continue; /* a RestoreJob still has a pod to be removed, or an end of its own */
        struct work_key key =
            work_key(kind, metadata_text(object, "namespace"), metadata_text(object, "name"));
        workqueue_add_after(informers->options.queue, &key, backoff_random() % SPREAD_MS);
    }
}

void informers_wake_all(const struct informers *informers)
{
    wake_later(informers, WORK_POLICY, POLICIES);
    wake_later(informers, WORK_BACKUP, BACKUPS);
    wake_later(informers, WORK_RESTORE, RESTORE_JOBS);
}

bool informers_synced(const struct informers *informers)
{
    for (size_t i = 0; i < RESOURCES; i++)
        if (!cache_synced(informers->caches[i]))
            return false;
    return true;
}

static size_t scopes(const struct informers *informers)
{
    return informers->options.namespace_count > 0 ? informers->options.namespace_count : 1;
}

int informers_start(struct informers *informers, struct crew *crew, struct error *err)
{
    for (size_t i = 0; i < informers->watch_count; i++)
        if (crew_start(crew, watched[i % RESOURCES].thread, watch_run, &informers->watches[i],
                       err) < 0)
            return -1;
    return 0;
}

void informers_lend(const struct informers *informers, struct reconcile *reconcile)
{
    reconcile->policies = informers->caches[POLICIES];
    reconcile->backups = informers->caches[BACKUPS];
    reconcile->restore_jobs = informers->caches[RESTORE_JOBS];
    reconcile->pods = informers->caches[PODS];
    reconcile->restore_pods = informers->caches[RESTORE_PODS];
    reconcile->config_maps = informers->caches[CONFIG_MAPS];
}

void informers_freep(struct informers **informers)
{
    struct informers *i = TAKE(*informers);
    if (!i)
        return;
    for (size_t resource = 0; resource < RESOURCES; resource++)
        cache_freep(&i->caches[resource]);
    free(i->watches);
    free(i);
}

struct informers *informers_new(const struct informers_options *options)
{
    struct informers *informers = own_alloc(sizeof(*informers));
    informers->options = *options;
    informers->watch_count = RESOURCES * scopes(informers);
    informers->watches = own_alloc(informers->watch_count * sizeof(informers->watches[0]));
    for (size_t i = 0; i < RESOURCES; i++) {
        informers->caches[i] = cache_new(watched[i].index);
        cache_set_trim(informers->caches[i], watched[i].trim);
        cache_expect(informers->caches[i], scopes(informers));
    }
    for (size_t i = 0; i < informers->watch_count; i++) {
        size_t resource = i % RESOURCES;
        informers->watches[i] = (struct watch){
            .kube = options->kube,
            .resource = watched[resource].resource,
            .namespace = options->namespace_count > 0 ? options->namespaces[i / RESOURCES] : NULL,
            .label_selector = watched[resource].label_selector,
            .cache = informers->caches[resource],
            .cancel = options->cancel,
            .on_change = watched[resource].on_change,
            .arg = informers,
        };
    }
    return informers;
}
