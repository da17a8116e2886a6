// SPDX-License-Identifier: Apache-2.0
/* Workers that take keys from the work queue and call the reconciler of their kind. */
#pragma once

#include <stdatomic.h>

#include "common/error.h"
#include "operator/reconcile.h"

struct crew;
struct metric_family;

enum { CONTROLLER_WORKERS_MAX = 16 };

struct controller_worker {
    struct controller *controller;
    atomic_int_least64_t began_ms; /* with its object (clock_monotonic_ms); 0: it has none */
};

struct controller {
    struct reconcile reconcile;
    reconcile_function reconcilers[WORK_KINDS];
    size_t workers;
    /* controller_start fills these in */
    struct metric_family *errors, *seconds;
    struct controller_worker crew[CONTROLLER_WORKERS_MAX];
};

/* Starts the workers; they end with the queue's cancel. Errors of reconcilers are logged once each,
 * counted (lifeboat_reconcile_errors_total{kind}) and come again with back-off. controller is lent.
 */
MUST_CHECK int controller_start(struct controller *controller, struct crew *crew,
                                struct error *err);
/* For how long the slowest worker has been looking at one object; 0: all are idle. From any thread.
 */
int64_t controller_busy_ms(const struct controller *controller);
