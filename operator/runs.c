// SPDX-License-Identifier: Apache-2.0
#include "operator/runs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/metrics.h"
#include "common/own.h"

enum { KEY_BYTES = 64 + 64 + 2 };

struct families {
    struct metric_family *total, *duration, *bytes, *stored, *failed;
};

struct runs {
    pthread_mutex_t lock;
    char (*turns)[KEY_BYTES]; /* "<namespace>/<policy>", each as long as it is being taken */
    size_t turn_count;
    struct families backups, restores;
    struct metric_family *running;
};

static const char *const policy_labels[] = {"namespace", "policy", NULL};
static const char *const end_labels[] = {"namespace", "policy", "type", "result", NULL};
static const char *const restore_labels[] = {"namespace", "policy", "result", NULL};
static const double seconds[] = {1,    5,    15,   30,    60,    120,   300, 600,
                                 1800, 3600, 7200, 14400, 28800, 86400, 0};

static void format_key(char key[KEY_BYTES], const char *namespace, const char *policy)
{
    snprintf(key, KEY_BYTES, "%.63s/%.63s", namespace, policy);
}

/* The index of that key, or turn_count. */
static size_t find_turn(const struct runs *runs, const char *key)
{
    size_t i = 0;
    while (i < runs->turn_count && strcmp(runs->turns[i], key) != 0)
        i++;
    return i;
}

bool runs_take_turn(struct runs *runs, const char *namespace, const char *policy)
{
    char key[KEY_BYTES];
    format_key(key, namespace, policy);
    pthread_mutex_lock(&runs->lock);
    bool is_free = find_turn(runs, key) == runs->turn_count;
    if (is_free) {
        runs->turns = own_resize(runs->turns, runs->turn_count + 1, sizeof(runs->turns[0]));
        memcpy(runs->turns[runs->turn_count++], key, KEY_BYTES);
    }
    pthread_mutex_unlock(&runs->lock);
    return is_free;
}

void runs_give_turn(struct runs *runs, const char *namespace, const char *policy)
{
    char key[KEY_BYTES];
    format_key(key, namespace, policy);
    pthread_mutex_lock(&runs->lock);
    size_t at = find_turn(runs, key);
    if (at < runs->turn_count)
        memcpy(runs->turns[at], runs->turns[--runs->turn_count], KEY_BYTES);
    pthread_mutex_unlock(&runs->lock);
}

void runs_forget(struct runs *runs, const char *namespace, const char *policy)
{
    const char *const values[] = {namespace, policy};
    metric_forget(runs->running, values, 2);
    const struct families *const both[] = {&runs->backups, &runs->restores};
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        metric_forget(both[i]->total, values, 2);
        metric_forget(both[i]->duration, values, 2);
        metric_forget(both[i]->bytes, values, 2);
        metric_forget(both[i]->failed, values, 2);
        if (both[i]->stored)
            metric_forget(both[i]->stored, values, 2);
    }
}

void runs_count_running(struct runs *runs, const char *namespace, const char *policy,
                        unsigned running)
{
    metric_set(runs->running, (const char *const[]){namespace, policy}, running);
}

static void count_success(const struct families *families, const struct runs_end *end)
{
    const char *const policy[] = {end->namespace, end->policy};
    metric_add(families->bytes, policy, (double)end->bytes);
    if (families->stored)
        metric_add(families->stored, policy, (double)end->bytes_stored);
}

void runs_count_end(struct runs *runs, const struct runs_end *end)
{
    const struct families *families = end->type ? &runs->backups : &runs->restores;
    const char *result = end->ok ? "success" : "failure";
    const char *const backup[] = {end->namespace, end->policy, end->type, result};
    const char *const restore[] = {end->namespace, end->policy, result};
    metric_add(families->total, end->type ? backup : restore, 1);
    if (end->seconds >= 0)
        metric_observe(families->duration, end->type ? backup : restore, end->seconds);
    if (end->ok)
        count_success(families, end);
}

static void expect_result(struct runs *runs, const char *namespace, const char *policy,
                          const char *result)
{
    static const char *const types[] = {"Full", "Differential", "Incremental"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        metric_add(runs->backups.total, (const char *const[]){namespace, policy, types[i], result},
                   0);
    metric_add(runs->restores.total, (const char *const[]){namespace, policy, result}, 0);
}

void runs_expect(struct runs *runs, const char *namespace, const char *policy)
{
    const char *const values[] = {namespace, policy};
    expect_result(runs, namespace, policy, "success");
    expect_result(runs, namespace, policy, "failure");
    metric_add(runs->backups.failed, values, 0);
    metric_add(runs->restores.failed, values, 0);
}

void runs_count_failed_attempt(struct runs *runs, enum runs_kind kind, const char *namespace,
                               const char *policy)
{
    const struct families *families = kind == RUNS_BACKUP ? &runs->backups : &runs->restores;
    metric_add(families->failed, (const char *const[]){namespace, policy}, 1);
}

static void declare(struct runs *runs, struct metrics *metrics)
{
    runs->running = metrics_declare(metrics, METRIC_GAUGE, "lifeboat_backups_running",
                                    "Backups that are under way.", policy_labels, NULL);
    runs->backups = (struct families){
        .total = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_backups_total",
                                 "Backups that ended.", end_labels, NULL),
        .duration =
            metrics_declare(metrics, METRIC_HISTOGRAM, "lifeboat_backup_duration_seconds",
                            "How long backups took, with all attempts.", end_labels, seconds),
        .bytes = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_backup_read_bytes_total",
                                 "Bytes that backups read from databases.", policy_labels, NULL),
        .stored = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_backup_stored_bytes_total",
                                  "Bytes that backups put into each region.", policy_labels, NULL),
        .failed = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_backup_failed_attempts_total",
                                  "Attempts of backups that failed, whether another one followed.",
                                  policy_labels, NULL),
    };
    runs->restores = (struct families){
        .total = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_restores_total",
                                 "Restores that ended.", restore_labels, NULL),
        .duration =
            metrics_declare(metrics, METRIC_HISTOGRAM, "lifeboat_restore_duration_seconds",
                            "How long restores took, with all attempts.", restore_labels, seconds),
        .bytes = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_restore_written_bytes_total",
                                 "Bytes that restores wrote.", policy_labels, NULL),
        .failed = metrics_declare(metrics, METRIC_COUNTER, "lifeboat_restore_failed_attempts_total",
                                  "Attempts of restores that failed, whether another one followed.",
                                  policy_labels, NULL),
    };
}

struct runs *runs_new(struct metrics *metrics)
{
    struct runs *runs = own_alloc(sizeof(*runs));
    pthread_mutex_init(&runs->lock, NULL);
    declare(runs, metrics);
    return runs;
}

void runs_freep(struct runs **runs)
{
    if (!*runs)
        return;
    pthread_mutex_destroy(&(*runs)->lock);
    own_freep(&(*runs)->turns);
    own_freep(runs);
}
