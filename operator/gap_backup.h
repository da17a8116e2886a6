// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the full Backup that a gap in the WAL makes due, once: what has its name and is of that
 * policy is as good.
 */
#pragma once

#include <jansson.h>

#include "common/error.h"

struct policy_spec;
struct reconcile;

/* gap: status.gap with the name of its Backup. PERMANENT and CONFLICT: it cannot be made as things
 * are. */
MUST_CHECK int gap_backup_create(const struct reconcile *reconcile, const json_t *policy,
                                 const struct policy_spec *spec, const json_t *gap,
                                 struct error *err);
