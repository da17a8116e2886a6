// SPDX-License-Identifier: Apache-2.0
/*
 * Whether the WAL that a backup needs lies in the regions, by its names alone. A segment that is
 * there is not put again, so somebody who pruned at that moment may have taken it away since.
 */
#pragma once

#include "common/error.h"

struct manifest;
struct repo;

/* In every writable region that is usable; one that cannot be listed is lost. CONFLICT: names the
 * region and what is missing there. */
MUST_CHECK int wal_presence_check(struct repo *repo, const struct manifest *manifest,
                                  struct error *err);
