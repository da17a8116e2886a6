// SPDX-License-Identifier: Apache-2.0
/*
 * Moves sealed objects into one region, as they are, on several threads. Each is read whole from
 * the first region that has it intact: its SHA-256 is right, and its seal binds it to this
 * repository and name. What is damaged or missing is told, and from where it was taken instead.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/copy_plan.h"

struct buf;
struct cancel;
struct copy_heartbeat;
struct findings;
struct progress;
struct repo;

struct copy_mover {
    struct repo *repo;   /* all regions; the one to read first is the first */
    struct repo *target; /* the region that it goes to, alone */
    struct copy_scene scene;
    size_t workers;
    struct findings *findings;
    struct cancel *cancel;
    struct progress *progress;       /* may be NULL */
    atomic_uint down;                /* bit mask of the regions that do not answer any more */
    _Atomic uint64_t objects, bytes; /* that were put */
};

/* Reads an object, intact, into object (cleared first): 1; 0: no region has it so, which was told.
 * -1: CANCELED, or no region answers any more. backup: whose it is, may be NULL. */
MUST_CHECK int copy_mover_fetch(struct copy_mover *mover, const struct copy_item *item,
                                const char *backup, struct buf *object, struct error *err);
/* Puts it. */
MUST_CHECK int copy_mover_put(struct copy_mover *mover, const char *name, const struct buf *object,
                              struct error *err);

struct copy_load { /* what belongs together */
    const struct copy_items *items;
    const char *backup;               /* may be NULL */
    struct copy_heartbeat *heartbeat; /* may be NULL */
};
/* Both for all items, in parallel; gives how many could not be. Errors: the region that it goes to,
 * and as copy_mover_fetch. */
MUST_CHECK int copy_mover_move(struct copy_mover *mover, const struct copy_load *load,
                               size_t *ret_failed, struct error *err);
