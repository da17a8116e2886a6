// SPDX-License-Identifier: Apache-2.0
/*
 * The operator put together: probes and channel first, then the certificate, then the lease; and
 * while it holds the lease: caches, workers, the channel open to sidecars. A replica without the
 * lease answers probes, turns sidecars away, and waits for its turn.
 */
#pragma once

#include "common/error.h"

struct arguments;
struct cancel;

/* Runs until cancelled: 0, the lease released; or until something failed that ends this process,
 * as a lost lease does: -1. */
MUST_CHECK int manager_run(const struct arguments *arguments, struct cancel *stop,
                           struct error *err);
