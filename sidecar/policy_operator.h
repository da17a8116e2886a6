// SPDX-License-Identifier: Apache-2.0
/*
 * The part of a policy's spec that only the operator acts on: schedules, verification,
 * drills, objectives, deadline and the injected container. The engine checks it,
 * so that a mistake is found wherever the policy is read first, and keeps nothing. What a drill's
 * template says below its first level is checked by the API server.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct fields;

/* Asks spec for all those members. writable: some region may be written to. -1: the error is where
 * spec keeps it. */
MUST_CHECK int policy_operator_check(struct fields *spec, bool writable);
