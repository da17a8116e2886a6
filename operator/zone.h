// SPDX-License-Identifier: Apache-2.0
/* Time zones of the IANA database, through GLib (only here). */
#pragma once

#include <stdint.h>

#include "common/cron.h"
#include "common/error.h"

struct zone;

/* PERMANENT: no such zone; says how a name looks ("Europe/Zurich"). NULL: UTC. */
MUST_CHECK int zone_open(struct zone **ret_zone, const char *name, struct error *err);
void zone_freep(struct zone **zone);

struct civil_minute zone_civil(const struct zone *zone, int64_t ms);
/* A minute that the clock shows twice is the first of the two; one that it never shows (summer time
 * begins) is the moment at which it skips. */
int64_t zone_moment(const struct zone *zone, struct civil_minute civil);
