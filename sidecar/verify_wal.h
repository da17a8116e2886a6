// SPDX-License-Identifier: Apache-2.0
/*
 * The WAL of a region under verification: every object of it, whether it reaches from start to stop
 * of every backup and from there on to the newest, and the histories of its timelines.
 */
#pragma once

#include "common/error.h"

struct verify_region;

/* After the region's manifests were loaded. An error is CANCELED, or no thread could be started;
 * all else is a finding. */
MUST_CHECK int verify_wal_run(struct verify_region *region, struct error *err);
