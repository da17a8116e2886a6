// SPDX-License-Identifier: Apache-2.0
/*
 * The server of a pod's sidecar on a thread of its own, beside a real PostgreSQL, its operator
 * played by helper_operator. Failures abort the test program.
 */
#pragma once

#include "sidecar/server.h"

struct helper_pod;
struct helper_postgres;

/* For a pod and its database, both lent; no ledger, the real program. */
struct server_options helper_sidecar_options(const struct helper_pod *pod,
                                             const struct helper_postgres *database);
/* One at a time; returns when the operator is connected. */
void helper_sidecar_start(const struct server_options *options);
/* Does nothing if none runs. */
void helper_sidecar_stop(void);
