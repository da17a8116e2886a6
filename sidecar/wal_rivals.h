// SPDX-License-Identifier: Apache-2.0
/*
 * WAL that is in the repository already for the bytes that a backup is about to put there, and says
 * something else: of another server on the same timeline, or of a past that this one left. Putting
 * ours beside it would leave neither restorable. It is listed once, before the backup's WAL flows:
 * later no region is waited for. Two servers that put the same segment at the same time see nothing
 * of each other.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "sidecar/repo.h"

enum { WAL_RIVALS_LOGS = 2 }; /* of 4 GiB of WAL each: that of the start and the next */

struct wal_rivals {
    struct repo *repo; /* lent */
    uint32_t segment_bytes;
    struct repo_names names[WAL_RIVALS_LOGS];
};

struct wal_rivals_place {
    uint32_t timeline, segment_bytes;
    uint64_t lsn; /* WAL of the timeline is put from there on */
};

/* Errors as repo_list. */
MUST_CHECK int wal_rivals_load(struct wal_rivals *ret_rivals, struct repo *repo,
                               const struct wal_rivals_place *place, struct error *err);
void wal_rivals_done(struct wal_rivals *rivals);
/* Whether an object of WAL may be put by this name. CONFLICT: names the intact object that
 * contradicts it; a damaged one is passed over, as restores do. */
MUST_CHECK int wal_rivals_check(const struct wal_rivals *rivals, const char *name,
                                struct error *err);
