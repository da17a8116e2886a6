// SPDX-License-Identifier: Apache-2.0
/* Workers that take keys from the work queue and call the reconciler of their kind. */
#pragma once

#include "common/error.h"
#include "operator/reconcile.h"

struct cancel;
struct crew;

struct controller {
    struct reconcile reconcile;
    reconcile_function reconcilers[WORK_KINDS];
    const struct cancel *cancel;
    size_t workers;
};

/* Starts the workers; they end with the cancel. Errors of reconcilers are logged once each, counted
 * (lifeboat_reconcile_errors_total{kind}) and come again with back-off. controller is lent. */
MUST_CHECK int controller_start(const struct controller *controller, struct crew *crew,
                                struct error *err);
