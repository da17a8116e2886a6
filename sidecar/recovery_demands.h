// SPDX-License-Identifier: Apache-2.0
/*
 * What the WAL on the way to a target demands of the server that replays it. A source that was
 * restarted with larger settings after the backup says so in its WAL only, and a copy with less
 * would pause there, for ever if nobody looks.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct pg_demands;
struct progress;
struct recovery_choice;
struct recovery_survey;

/* All lent. */
struct recovery_way {
    const struct recovery_survey *survey;
    const struct recovery_choice *choice;
    size_t threads; /* each takes the memory of a segment and of an object */
    struct cancel *cancel;
    struct progress *progress; /* may be NULL */
};
/* Raises demands to what the WAL demands; reads all of it, so what is damaged or missing there is
 * found before anything is copied. Errors as wal_search_first. */
MUST_CHECK int recovery_demands_find(const struct recovery_way *way, struct pg_demands *demands,
                                     struct error *err);
