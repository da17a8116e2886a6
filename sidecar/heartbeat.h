// SPDX-License-Identifier: Apache-2.0
/*
 * The sign of life of a backup in progress: objects running/<backup-id>/<n>, so that prune in any
 * process and region leaves its packs and its parent alone. A backup that could not write one for
 * an hour must end, because by then it counts as dead.
 */
#pragma once

#include "common/error.h"

struct cancel;
struct crew;
struct heartbeat;
struct heartbeat_note;
struct repo;

/* Puts the first heartbeat. Lends repo and backup_id, copies the note. */
MUST_CHECK int heartbeat_new(struct heartbeat **ret_heartbeat, struct repo *repo,
                             const char *backup_id, const struct heartbeat_note *note,
                             struct error *err);
/* CONFLICT: the first heartbeat is gone from a region that the job still uses: whoever prunes took
 * the backup for dead, and its packs and WAL may be gone too. */
MUST_CHECK int heartbeat_check(struct heartbeat *heartbeat, struct error *err);
/* Starts a thread on the crew that puts one every five minutes. */
MUST_CHECK int heartbeat_start(struct heartbeat *heartbeat, struct crew *crew,
                               const struct cancel *cancel, struct error *err);
/* Ends the thread; join the crew then. */
void heartbeat_stop(struct heartbeat *heartbeat);
/* Removes the objects, after the commit or when the backup will not be made. What cannot be removed
 * is logged: prune does it later. */
void heartbeat_remove(struct heartbeat *heartbeat);
void heartbeat_freep(struct heartbeat **heartbeat); /* after the crew was joined, if started */
