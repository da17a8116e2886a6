// SPDX-License-Identifier: Apache-2.0
/*
 * The sign of life of a backup that is being copied into a region: objects running/<backup-id>/<n>
 * there, as of a backup in progress, so that prune leaves its packs and WAL alone until its
 * manifest names them. Their numbers begin where those of no backup ever get.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

struct copy_heartbeat;
struct manifest;
struct repo;

enum { COPY_HEARTBEAT_FIRST = 1000000 }; /* a backup puts one every five minutes */

/* Puts the first one into the regions of repo, which is lent. */
MUST_CHECK int copy_heartbeat_new(struct copy_heartbeat **ret_heartbeat, struct repo *repo,
                                  const struct manifest *manifest, struct error *err);
/* Puts another one when it is time; from any thread. */
MUST_CHECK int copy_heartbeat_beat(struct copy_heartbeat *heartbeat, struct error *err);
/* Removes them; what cannot be removed is logged: prune does it later. */
void copy_heartbeat_freep(struct copy_heartbeat **heartbeat);

/* Whether "running/<backup-id>/<n>" is of a backup in progress, not of a copy. */
bool copy_heartbeat_is_backups(const char *name);
