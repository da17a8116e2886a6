// SPDX-License-Identifier: Apache-2.0
/*
 * Removes many objects of one region, by several threads. Objects that the store does not let go
 * yet (Object Lock) are passed over and told; any other failure ends it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct cancel;
struct prune_objects;
struct region;
struct repo;

struct prune_locked {
    char *object;  /* name below the repository */
    char *message; /* "locked until …", or why the store refused */
};

struct prune_removal {
    struct repo *repo; /* lent, as is all but what is counted */
    struct region *region;
    size_t workers;
    struct cancel *cancel;
    bool dry_run;          /* only asks what is locked */
    uint64_t count, bytes; /* removed so far, by all calls, or would be */
    struct prune_locked *locked;
    size_t locked_count;
};

/* passing: these carry no retention from us, so nobody asks for it. Those that were removed by
 * somebody else meanwhile are removed as well. After an error, some are removed. */
MUST_CHECK int prune_remove(struct prune_removal *removal, const struct prune_objects *objects,
                            bool passing, struct error *err);
/* What was told of an object that was passed over; NULL: it was not. */
const char *prune_removal_lock(const struct prune_removal *removal, const char *object);
void prune_removal_done(struct prune_removal *removal);
