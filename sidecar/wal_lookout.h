// SPDX-License-Identifier: Apache-2.0
/*
 * Looks out, beside a stream of WAL, for parts of the segment that is being written which somebody
 * else puts: another receiver of the same server's, whose bytes are the same, or another server on
 * the same timeline (wal_rivals sees the complete segments of those). What differs is a conflict;
 * whoever came first goes on. That is who had stored the first byte that differs before a look at
 * the regions that showed nothing else for it: of two at most one can say so.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"

struct cancel;
struct crew;
struct repo;
struct wal_lookout;

enum { WAL_LOOKOUT_MS = 10 * 1000 }; /* between looks, while something is stored */

struct wal_lookout_options { /* repo is lent */
    struct repo *repo;
    uint32_t timeline, segment_bytes;
};
struct wal_lookout *wal_lookout_new(const struct wal_lookout_options *options);
void wal_lookout_freep(struct wal_lookout **lookout); /* after the crew was joined */
/* Looks from now on, on a thread of crew's, until cancel. */
MUST_CHECK int wal_lookout_start(struct wal_lookout *lookout, struct crew *crew,
                                 const struct cancel *cancel, struct error *err);

/* What came, of one segment; lent, and unchanged until the next call. data NULL: none. */
struct wal_lookout_view {
    uint64_t from_lsn, to_lsn;
    const void *data;
};
void wal_lookout_show(struct wal_lookout *lookout, const struct wal_lookout_view *view);
/* An object that we put, at most WAL_STREAM_FLYING_MAX of them at once. It is forgotten when it is
 * in no region any more. */
void wal_lookout_own(struct wal_lookout *lookout, const char *name);
/* A quorum of regions has all before that. */
void wal_lookout_store(struct wal_lookout *lookout, uint64_t durable_lsn);

/* A look. CONFLICT: names what came before ours and differs; or the errors of repo_list, and of
 * reading an object. */
MUST_CHECK int wal_lookout_look(struct wal_lookout *lookout, struct error *err);
/* The CONFLICT that a look has found; cheap. */
MUST_CHECK int wal_lookout_check(struct wal_lookout *lookout, struct error *err);
/* After that, and when no put is under way: removes from all regions those of our parts of the
 * segment that have the first byte that differs or what follows it, so that what was there first
 * can be restored. */
void wal_lookout_withdraw(struct wal_lookout *lookout);
