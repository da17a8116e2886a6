// SPDX-License-Identifier: Apache-2.0
/*
 * What the members of a policy that is gone are told: that the slot which kept WAL for it is to be
 * dropped. Of one that cannot be told, or has no policy any more to do it by, and was heard to have
 * a slot, an Event says so.
 */
#pragma once

#include "common/error.h"

struct reconcile;

/* Only after the API server itself said that the policy is gone: a slot that was dropped is a gap.
 */
MUST_CHECK int policy_farewell(const struct reconcile *reconcile, const char *namespace,
                               const char *name, struct error *err);
