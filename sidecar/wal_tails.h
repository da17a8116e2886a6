// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of WAL segments that lie in the regions, as far as a stream of WAL has to do with them:
 * once what covers one is stored it is of no more use and is removed, on a thread of its own, from
 * every region that is not lost: those have what covers it. What is left behind, in a region that
 * was lost or when the process is killed, is found the next time by its name.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct crew;
struct repo;
struct wal_piece;
struct wal_tails;

/* Removes a part of a segment from every region that is not lost; what cannot be is logged. */
void wal_tails_remove(struct repo *repo, const char *name);

/* Starts its thread on crew, which ends with cancel; all is lent. */
MUST_CHECK int wal_tails_new(struct wal_tails **ret_tails, struct repo *repo, struct crew *crew,
                             const struct cancel *cancel, struct error *err);
void wal_tails_freep(struct wal_tails **tails); /* after its crew was joined */

/* One that is there, or is being put. */
void wal_tails_add(struct wal_tails *tails, const char *name, const struct wal_piece *piece);
/* The object name is stored and has this piece: others within it are removed. */
void wal_tails_cover(struct wal_tails *tails, const char *name, const struct wal_piece *piece);
