// SPDX-License-Identifier: Apache-2.0
/*
 * Whose turn it is among the Backups of a policy: one runs at a time; the one that has begun, else
 * the oldest. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct backup_queue {
    const char *first; /* the Backup whose turn it is, lent; NULL: none is open */
    int64_t ended_ms;  /* when the last one ended; 0: none did */
    unsigned running;  /* with an attempt under way */
};

/* backups: all of the policy, lent. */
struct backup_queue backup_queue_read(const json_t *backups);
/* Whether a Backup that is open has that attempt under way. */
bool backup_queue_runs(const json_t *backups, const char *backup_id);
