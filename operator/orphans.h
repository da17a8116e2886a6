// SPDX-License-Identifier: Apache-2.0
/*
 * Backups that a sidecar makes though no Backup asks for them (any more): it was deleted, or given
 * up while the sidecar was silent. They are told to stop, unless they began within the last
 * minute: a list that was under way then may show less than was written.
 */
#pragma once

#include <stdint.h>

struct reconcile;

/* policy NULL: of all policies of that namespace. Gives when to look again; 0: no need to. */
int64_t orphans_cancel(const struct reconcile *reconcile, const char *namespace,
                       const char *policy);
