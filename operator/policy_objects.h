// SPDX-License-Identifier: Apache-2.0
/*
 * The objects that are made for a policy: the ConfigMap lifeboat-<policy>, which is what its
 * sidecars read, and a Backup for a slot or for a gap in the WAL. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct policy_spec;
struct policy_spec_schedule;

struct policy_config_map_facts {
    const char *bundle;      /* the certificates that the channel is checked with (PEM) */
    const char *namespace;   /* the operator's */
    const char *cluster_uid; /* who writes to the repositories; NULL: not known */
};
/* Results are the caller's (json_decref). policy: the object as the API server has it. */
json_t *policy_config_map(const json_t *policy, const struct policy_config_map_facts *facts);
/* Whether an object of that name is one that we made. */
bool policy_config_map_is_ours(const json_t *object, const char *policy);
/* Whether there already has all that wanted says. */
bool policy_config_map_is_current(const json_t *there, const json_t *wanted);

json_t *policy_slot_backup(const struct policy_spec *spec,
                           const struct policy_spec_schedule *schedule, int64_t slot_ms);
/* A full one; gap: status.gap with the name of its Backup. */
json_t *policy_gap_backup(const struct policy_spec *spec, const json_t *gap);
/* Whether a Backup that has the name of the wanted one is as good: of that policy, and of no other
 * schedule. */
bool policy_slot_is_made(const json_t *there, const json_t *wanted);
