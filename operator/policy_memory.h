// SPDX-License-Identifier: Apache-2.0
/*
 * What the reconciler of policies keeps between calls: what it has told which sidecar, and the
 * metrics of policies. All of it may be lost at any moment: the worst is that a sidecar is told
 * again. From any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/message.h"

struct metrics;
struct policy_memory;

struct policy_memory *policy_memory_new(struct metrics *metrics); /* lends metrics for its life */
void policy_memory_freep(struct policy_memory **memory);

struct policy_told {
    const char *namespace, *policy, *pod_uid, *region; /* region NULL: none */
    int64_t generation;
    int64_t connected_ms; /* of the connection, so that a new one is told anew */
    enum message_wal wal;
};
/* Whether this is told. */
bool policy_memory_knows(struct policy_memory *memory, const struct policy_told *told);
/* Whether this is not yet told; from then on it is. */
bool policy_memory_tell(struct policy_memory *memory, const struct policy_told *told);
/* It could not be sent: tell it again. */
void policy_memory_untell(struct policy_memory *memory, const char *pod_uid);

/* These are all pods that the policy has now: forgets what others were told. */
void policy_memory_keep(struct policy_memory *memory, const char *namespace, const char *policy,
                        const char *const *pod_uids, size_t count);

/* lifeboat_backup_missed_slots_total{namespace,policy,schedule} */
void policy_memory_missed(struct policy_memory *memory, const char *namespace, const char *policy,
                          const char *schedule, unsigned slots);
/* lifeboat_policy_ready, lifeboat_policy_archiving, lifeboat_schedule_next_timestamp_seconds,
 * lifeboat_last_backup_timestamp_seconds and lifeboat_region_reachable follow the status; what the
 * status before had and this one has not is forgotten. backups: all of the policy, an array; they
 * tell of the types that the status does not. */
void policy_memory_show(struct policy_memory *memory, const json_t *policy, const json_t *status,
                        const json_t *backups);
struct policy_memory_pod {
    const char *namespace, *policy, *pod;
    int64_t lag_seconds;                       /* negative: not known any more */
    const struct message_archiving *archiving; /* NULL: not known any more */
};
/* lifeboat_database_replication_lag_seconds, lifeboat_wal_kept_bytes,
 * lifeboat_wal_left_seconds{namespace,policy,pod} */
void policy_memory_show_pod(struct policy_memory *memory, const struct policy_memory_pod *pod);
/* lifeboat_wal_lag_seconds{namespace,policy}; negative: not known any more. */
void policy_memory_wal_lag(struct policy_memory *memory, const char *namespace, const char *policy,
                           int64_t seconds);
/* lifeboat_recoverable_from_timestamp_seconds, lifeboat_recoverable_to_timestamp_seconds
 * {namespace,policy,region}; what it does not say is not known any more. */
void policy_memory_recoverable(struct policy_memory *memory, const char *namespace,
                               const char *policy, const struct message_region *region);
/* The policy is gone: its metrics end. */
void policy_memory_forget(struct policy_memory *memory, const char *namespace, const char *policy);
