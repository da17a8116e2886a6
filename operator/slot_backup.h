// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the Backup of a slot: once, whoever tries and how often, as its name is made of policy,
 * schedule and slot. That name may be taken: "shop" with the schedule "eu-daily" and "shop-eu" with
 * "daily" mean the same one, and a person may give any. A Backup of another policy or schedule is
 * none of this slot, which then gets a name that only it has.
 */
#pragma once

#include <jansson.h>

#include "common/error.h"

struct policy_slot;
struct policy_spec;
struct reconcile;

/* policy: what spec was read from, for Events. PERMANENT: the API server refuses it; CONFLICT: both
 * names are taken; else it may pass. */
MUST_CHECK int slot_backup_create(const struct reconcile *reconcile, const json_t *policy,
                                  const struct policy_spec *spec, const struct policy_slot *slot,
                                  struct error *err);
