// SPDX-License-Identifier: Apache-2.0
/*
 * Which backup a recovery to a target begins with, and on which timeline it ends: the newest backup
 * that ends before the target and leads there. What cannot be reached is refused, with the windows
 * that could be: PostgreSQL would find out only after everything was copied and replayed.
 */
#pragma once

#include <stdint.h>

#include "common/error.h"
#include "sidecar/backup_id.h"

struct recovery_survey;
struct recovery_target;
struct recovery_window;
struct wal_record;

struct recovery_choice {
    char backup[BACKUP_ID_BYTES];
    uint32_t timeline;         /* on which the target lies; its history leads there */
    uint64_t from_lsn, to_lsn; /* the WAL that is replayed behind the backup */
    uint32_t segment_bytes;    /* of it */
};

/* backup: the one to begin with; NULL: any. Reads WAL, for a transaction and a restore point all of
 * it back to them. PERMANENT: out of reach, says why; TRANSIENT: it may be in reach with a region
 * that could not be listed; else as wal_search_first. */
MUST_CHECK int recovery_choice_make(struct recovery_survey *survey,
                                    const struct recovery_target *target, const char *backup,
                                    struct recovery_choice *ret_choice, struct error *err);
/* The timeline on which a recovery ends that stops at a record (kind NONE: at the end) in a window:
 * the one on which it lies, if that can be had. Pure. */
uint32_t recovery_choice_timeline(const struct recovery_survey *survey,
                                  const struct recovery_window *window,
                                  const struct wal_record *stop);
