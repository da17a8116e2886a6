// SPDX-License-Identifier: Apache-2.0
#include "operator/policy_memory.h"

#include <pthread.h>
#include <string.h>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/own.h"
#include "operator/condition.h"
#include "operator/lookup.h"

struct told {
    char *pod_uid, *namespace, *policy, *region;
    int64_t generation, connected_ms;
    enum message_wal wal;
};

struct policy_memory {
    struct metric_family *ready, *archiving, *next, *last, *missed, *reachable, *lag;
    struct metric_family *wal_lag, *wal_kept, *wal_left, *recoverable_from, *recoverable_to;
    pthread_mutex_t lock;
    struct told *items; /* one a pod */
    size_t count, capacity;
};

static const char *const policy_labels[] = {"namespace", "policy", NULL};
static const char *const schedule_labels[] = {"namespace", "policy", "schedule", NULL};
static const char *const region_labels[] = {"namespace", "policy", "region", NULL};
static const char *const type_labels[] = {"namespace", "policy", "type", NULL};
static const char *const pod_labels[] = {"namespace", "policy", "pod", NULL};

static struct metric_family *gauge(struct metrics *metrics, const char *name, const char *help,
                                   const char *const *labels)
{
    return metrics_declare(metrics, METRIC_GAUGE, name, help, labels, NULL);
}

static void declare_wal(struct policy_memory *memory, struct metrics *metrics)
{
    memory->archiving = gauge(
        metrics, "lifeboat_policy_archiving",
        "Whether all WAL gets to a quorum of the regions (condition Archiving).", policy_labels);
    memory->wal_lag =
        gauge(metrics, "lifeboat_wal_lag_seconds",
              "Age of the oldest WAL that no quorum of the regions has.", policy_labels);
    memory->wal_kept = gauge(metrics, "lifeboat_wal_kept_bytes",
                             "WAL that a server keeps until the regions have it.", pod_labels);
    memory->wal_left = gauge(metrics, "lifeboat_wal_left_seconds",
                             "How long a server can keep WAL at the present rate.", pod_labels);
    memory->recoverable_from = gauge(metrics, "lifeboat_recoverable_from_timestamp_seconds",
                                     "The first time that can be restored to.", region_labels);
    memory->recoverable_to = gauge(metrics, "lifeboat_recoverable_to_timestamp_seconds",
                                   "The last time that can be restored to.", region_labels);
}

struct policy_memory *policy_memory_new(struct metrics *metrics)
{
    struct policy_memory *memory = own_alloc(sizeof(*memory));
    pthread_mutex_init(&memory->lock, NULL);
    memory->ready =
        gauge(metrics, "lifeboat_policy_ready",
              "Whether a scheduled backup would succeed now (condition Ready).", policy_labels);
    memory->next = gauge(metrics, "lifeboat_schedule_next_timestamp_seconds",
                         "When the next slot of a schedule is.", schedule_labels);
    memory->last = gauge(metrics, "lifeboat_last_backup_timestamp_seconds",
                         "When the last successful backup was finished.", type_labels);
    memory->reachable = gauge(metrics, "lifeboat_region_reachable",
                              "Whether all sidecars of a policy can use a region.", region_labels);
    memory->lag = gauge(metrics, "lifeboat_database_replication_lag_seconds",
                        "How far a standby is behind its primary.", pod_labels);
    memory->missed =
        metrics_declare(metrics, METRIC_COUNTER, "lifeboat_backup_missed_slots_total",
                        "Slots of schedules that went by without a backup.", schedule_labels, NULL);
    declare_wal(memory, metrics);
    return memory;
}

static void told_done(struct told *told)
{
    own_freep(&told->pod_uid);
    own_freep(&told->namespace);
    own_freep(&told->policy);
    own_freep(&told->region);
}

void policy_memory_freep(struct policy_memory **memory)
{
    if (!*memory)
        return;
    for (size_t i = 0; i < (*memory)->count; i++)
        told_done(&(*memory)->items[i]);
    own_freep(&(*memory)->items);
    pthread_mutex_destroy(&(*memory)->lock);
    own_freep(memory);
}

/* The functions from here to add are called with the lock held. */
static struct told *find(struct policy_memory *memory, const char *pod_uid)
{
    for (size_t i = 0; i < memory->count; i++)
        if (strcmp(memory->items[i].pod_uid, pod_uid) == 0)
            return &memory->items[i];
    return NULL;
}

static void drop(struct policy_memory *memory, struct told *told)
{
    told_done(told);
    *told = memory->items[--memory->count];
}

static bool is_same(const struct told *old, const struct policy_told *told)
{
    return old->generation == told->generation && old->connected_ms == told->connected_ms &&
           old->wal == told->wal && strcmp(old->namespace, told->namespace) == 0 &&
           strcmp(old->policy, told->policy) == 0 &&
           strcmp(old->region, told->region ? told->region : "") == 0;
}

static void add(struct policy_memory *memory, const struct policy_told *told)
{
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity ? memory->capacity * 2 : 16;
        memory->items = own_resize(memory->items, memory->capacity, sizeof(*memory->items));
    }
    memory->items[memory->count++] = (struct told){
        .pod_uid = own_strdup(told->pod_uid),
        .namespace = own_strdup(told->namespace),
        .policy = own_strdup(told->policy),
        .region = own_strdup(told->region ? told->region : ""),
        .generation = told->generation,
        .connected_ms = told->connected_ms,
        .wal = told->wal,
    };
}

bool policy_memory_knows(struct policy_memory *memory, const struct policy_told *told)
{
    pthread_mutex_lock(&memory->lock);
    const struct told *old = find(memory, told->pod_uid);
    bool same = old && is_same(old, told);
    pthread_mutex_unlock(&memory->lock);
    return same;
}

bool policy_memory_tell(struct policy_memory *memory, const struct policy_told *told)
{
    pthread_mutex_lock(&memory->lock);
    struct told *old = find(memory, told->pod_uid);
    bool same = old && is_same(old, told);
    if (old && !same)
        drop(memory, old);
    if (!same)
        add(memory, told);
    pthread_mutex_unlock(&memory->lock);
    return !same;
}

void policy_memory_untell(struct policy_memory *memory, const char *pod_uid)
{
    pthread_mutex_lock(&memory->lock);
    struct told *old = find(memory, pod_uid);
    if (old)
        drop(memory, old);
    pthread_mutex_unlock(&memory->lock);
}

static bool is_among(const char *text, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

void policy_memory_keep(struct policy_memory *memory, const char *namespace, const char *policy,
                        const char *const *pod_uids, size_t count)
{
    pthread_mutex_lock(&memory->lock);
    for (size_t i = memory->count; i-- > 0;)
        if (strcmp(memory->items[i].namespace, namespace) == 0 &&
            strcmp(memory->items[i].policy, policy) == 0 &&
            !is_among(memory->items[i].pod_uid, pod_uids, count))
            drop(memory, &memory->items[i]);
    pthread_mutex_unlock(&memory->lock);
}

void policy_memory_missed(struct policy_memory *memory, const char *namespace, const char *policy,
                          const char *schedule, unsigned slots)
{
    const char *const labels[] = {namespace, policy, schedule};
    metric_add(memory->missed, labels, slots);
}

/* Negative: not known any more. */
static void set_or_forget(struct metric_family *family, const char *const *labels, size_t count,
                          double value)
{
    if (value < 0)
        metric_forget(family, labels, count);
    else
        metric_set(family, labels, value);
}

void policy_memory_show_pod(struct policy_memory *memory, const struct policy_memory_pod *pod)
{
    const char *const labels[] = {pod->namespace, pod->policy, pod->pod};
    const struct message_archiving *archiving = pod->archiving;
    set_or_forget(memory->lag, labels, ARRAY_SIZE(labels), (double)pod->lag_seconds);
    set_or_forget(memory->wal_kept, labels, ARRAY_SIZE(labels),
                  archiving ? (double)archiving->kept_bytes : -1);
    set_or_forget(memory->wal_left, labels, ARRAY_SIZE(labels),
                  archiving ? (double)archiving->left_seconds : -1);
}

void policy_memory_wal_lag(struct policy_memory *memory, const char *namespace, const char *policy,
                           int64_t seconds)
{
    const char *const labels[] = {namespace, policy};
    set_or_forget(memory->wal_lag, labels, ARRAY_SIZE(labels), (double)seconds);
}

static double seconds_of(const char *time)
{
    int64_t ms;
    return time && clock_parse(time, &ms) ? (double)ms / 1000 : -1;
}

void policy_memory_recoverable(struct policy_memory *memory, const char *namespace,
                               const char *policy, const struct message_region *region)
{
    const char *const labels[] = {namespace, policy, region->name};
    set_or_forget(memory->recoverable_from, labels, ARRAY_SIZE(labels),
                  seconds_of(region->recoverable_from));
    set_or_forget(memory->recoverable_to, labels, ARRAY_SIZE(labels),
                  seconds_of(region->recoverable_to));
}

/* Whether list has an element of that name which has that member. */
static bool has_named(const json_t *list, const char *name, const char *member)
{
    const json_t *element = lookup_element(list, "name", name);
    return element && (!member || json_object_get(element, member));
}

struct show {
    const char *namespace, *policy;
    const json_t *before, *status;
};

/* Forgets the series of elements of a list of the status before that are not there any more. */
static void forget_gone(struct metric_family *family, const struct show *show, const char *list,
                        const char *member)
{
    size_t index;
    const json_t *element;
    json_array_foreach(json_object_get(show->before, list), index, element)
    {
        const char *name = lookup_text(element, "name");
        const char *const labels[] = {show->namespace, show->policy, name};
        if (name && !has_named(json_object_get(show->status, list), name, member))
            metric_forget(family, labels, ARRAY_SIZE(labels));
    }
}

static void set_time(struct metric_family *family, const struct show *show, const char *name,
                     const char *time)
{
    const char *const labels[] = {show->namespace, show->policy, name};
    int64_t ms;
    if (name && time && clock_parse(time, &ms))
        metric_set(family, labels, (double)ms / 1000);
}

/* Of each type the newest one, so that a new leader shows what the former one did. */
static void show_last_backups(const struct policy_memory *memory, const struct show *show,
                              const json_t *backups)
{
    json_auto_t *newest = json_object();
    size_t index;
    const char *type;
    json_t *backup, *finished;
    json_array_foreach(backups, index, backup)
    {
        const json_t *status = json_object_get(backup, "status");
        const char *time = lookup_text(status, "finished");
        type = lookup_text(status, "type");
        const char *other = type ? lookup_text(newest, type) : NULL;
        if (type && time && (!other || strcmp(time, other) > 0) &&
            condition_is_true(backup, "Succeeded"))
            json_object_set(newest, type, json_object_get(status, "finished"));
    }
    json_object_foreach(newest, type, finished)
    {
        set_time(memory->last, show, type, json_string_value(finished));
    }
    const json_t *last = json_object_get(show->status, "lastBackup"); /* its Backup may be gone */
    set_time(memory->last, show, lookup_text(last, "type"), lookup_text(last, "finished"));
}

/* Absent where it is not known, or not asked for: 0 is worth an alert. */
static void show_archiving(const struct policy_memory *memory, const struct show *show,
                           const json_t *shown)
{
    const char *const labels[] = {show->namespace, show->policy};
    const json_t *condition = condition_find(shown, "Archiving");
    const char *status = lookup_text(condition, "status"),
               *reason = lookup_text(condition, "reason");
    bool told =
        status && reason && strcmp(status, "Unknown") != 0 && strcmp(reason, "BackupOnly") != 0;
    set_or_forget(memory->archiving, labels, ARRAY_SIZE(labels),
                  told ? condition_is_true(shown, "Archiving") : -1);
}

void policy_memory_show(struct policy_memory *memory, const json_t *policy, const json_t *status,
                        const json_t *backups)
{
    const json_t *metadata = json_object_get(policy, "metadata");
    const struct show show = {.namespace = lookup_text(metadata, "namespace"),
                              .policy = lookup_text(metadata, "name"),
                              .before = json_object_get(policy, "status"),
                              .status = status};
    const char *const labels[] = {show.namespace, show.policy};
    json_auto_t *shown = json_pack("{s:O}", "status", status);
    metric_set(memory->ready, labels, condition_is_true(shown, "Ready"));
    show_archiving(memory, &show, shown);

    size_t index;
    const json_t *element;
    json_array_foreach(json_object_get(status, "schedules"), index, element)
        set_time(memory->next, &show, lookup_text(element, "name"), lookup_text(element, "next"));
    json_array_foreach(json_object_get(status, "regions"), index, element)
    {
        const char *const names[] = {show.namespace, show.policy, lookup_text(element, "name")};
        const json_t *reachable = json_object_get(element, "reachable");
        if (reachable)
            metric_set(memory->reachable, names, json_is_true(reachable));
    }
    show_last_backups(memory, &show, backups);
    forget_gone(memory->next, &show, "schedules", "next");
    forget_gone(memory->reachable, &show, "regions", "reachable");
    forget_gone(memory->recoverable_from, &show, "regions", "recoverableFrom");
    forget_gone(memory->recoverable_to, &show, "regions", "recoverableTo");
    forget_gone(memory->lag, &show, "pods", NULL);
    forget_gone(memory->wal_kept, &show, "pods", NULL);
    forget_gone(memory->wal_left, &show, "pods", NULL);
}

void policy_memory_forget(struct policy_memory *memory, const char *namespace, const char *policy)
{
    struct metric_family *families[] = {
        memory->ready,    memory->archiving,        memory->next,
        memory->last,     memory->missed,           memory->reachable,
        memory->lag,      memory->wal_lag,          memory->wal_kept,
        memory->wal_left, memory->recoverable_from, memory->recoverable_to};
    const char *const labels[] = {namespace, policy};
    for (size_t i = 0; i < ARRAY_SIZE(families); i++)
        metric_forget(families[i], labels, ARRAY_SIZE(labels));
}
