// SPDX-License-Identifier: Apache-2.0
#include "operator/controller.h"

#include <assert.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/metrics.h"
#include "operator/kube.h"

static const char *const kind_names[WORK_KINDS] = {
    [WORK_POLICY] = "BackupPolicy", [WORK_BACKUP] = "Backup", [WORK_RESTORE] = "RestoreJob"};

static void declare_metrics(struct controller *controller)
{
    static const char *const labels[] = {"kind", NULL};
    static const double buckets[] = {0.001, 0.01, 0.1, 1, 10, 60, 0};
    struct metrics *metrics = controller->reconcile.metrics;
    controller->errors =
        metrics_declare(metrics, METRIC_COUNTER, "lifeboat_reconcile_errors_total",
                        "Looks at an object that ended in an error.", labels, NULL);
    controller->seconds = metrics_declare(metrics, METRIC_HISTOGRAM, "lifeboat_reconcile_seconds",
                                          "How long a look at an object took.", labels, buckets);
    for (size_t i = 0; i < WORK_KINDS; i++)
        metric_add(controller->errors, &kind_names[i], 0);
}

static void report(const struct controller *controller, const struct work_key *key,
                   const struct error *err)
{
    metric_add(controller->errors, &kind_names[key->kind], 1);
    log_error(err, "Failed to reconcile", S("object_kind", kind_names[key->kind]),
              S("namespace", key->namespace), S("name", key->name));
}

static void work_on(const struct controller *controller, const struct work_key *key)
{
    const struct reconcile *reconcile = &controller->reconcile;
    struct error err = {0};
    int64_t again_ms = 0, begin_ms = clock_monotonic_ms();
    int result =
        controller->reconcilers[key->kind](reconcile, key->namespace, key->name, &again_ms, &err);
    metric_observe(controller->seconds, &kind_names[key->kind],
                   (double)(clock_monotonic_ms() - begin_ms) / 1000);
    if (result == 0) {
        if (again_ms > 0)
            workqueue_add_after(reconcile->queue, key, again_ms);
        workqueue_done(reconcile->queue, key);
        return;
    }
    if (err.kind != ERROR_CANCELED)
        report(controller, key, &err);
    workqueue_retry(reconcile->queue, key, kube_wish_ms(reconcile->kube));
}

/* Ends only with the cancel, which is no error of a worker's. */
static int run_worker(void *arg, struct error *err)
{
    struct controller_worker *worker = arg;
    struct work_key key;
    while (workqueue_take(worker->controller->reconcile.queue, &key, err) == 0) {
        atomic_store(&worker->began_ms, clock_monotonic_ms());
        work_on(worker->controller, &key);
        atomic_store(&worker->began_ms, 0);
    }
    return err->kind == ERROR_CANCELED ? 0 : -1;
}

int64_t controller_busy_ms(const struct controller *controller)
{
    int64_t longest_ms = 0, now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < CONTROLLER_WORKERS_MAX; i++) {
        int64_t began_ms = atomic_load(&controller->crew[i].began_ms);
        if (began_ms > 0 && now_ms - began_ms > longest_ms)
            longest_ms = now_ms - began_ms;
    }
    return longest_ms;
}

int controller_start(struct controller *controller, struct crew *crew, struct error *err)
{
    assert(controller->workers <= CONTROLLER_WORKERS_MAX);
    declare_metrics(controller);
    for (size_t i = 0; i < controller->workers; i++) {
        char name[16];
        snprintf(name, sizeof(name), "reconcile-%zu", i % 100);
        controller->crew[i].controller = controller;
        if (crew_start(crew, name, run_worker, &controller->crew[i], err) < 0)
            return -1;
    }
    return 0;
}
