// SPDX-License-Identifier: Apache-2.0
/* Workers that take keys from the work queue and call the reconciler of their kind. */
#pragma once

#include "common/error.h"
#include "operator/reconcile.h"

struct crew;
struct metric_family;

struct controller {
    struct reconcile reconcile;
    reconcile_function reconcilers[WORK_KINDS];
    size_t workers;
    struct metric_family *errors, *seconds; /* controller_start fills these in */
};

/* Starts the workers; they end with the queue's cancel. Errors of reconcilers are logged once each,
 * counted (lifeboat_reconcile_errors_total{kind}) and come again with back-off. controller is lent.
 */
MUST_CHECK int controller_start(struct controller *controller, struct crew *crew,
                                struct error *err);
