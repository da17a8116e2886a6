// SPDX-License-Identifier: Apache-2.0
/* The message by which a sidecar hears which policy it serves and what it does about WAL. */
#pragma once

#include "common/error.h"

struct policy_told;
struct reconcile;

/* Sends it if it is news to that sidecar; what could not be sent is news the next time. The kinds
 * of errors are those of agents_send: NOT_FOUND, not connected now. */
MUST_CHECK int policy_assign(const struct reconcile *reconcile, const struct policy_told *told,
                             struct error *err);
