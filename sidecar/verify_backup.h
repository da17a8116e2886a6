// SPDX-License-Identifier: Apache-2.0
/*
 * One backup under verification in one region: its index, its maps, what its manifest says of them,
 * and every pack that it lists, by as many workers as the region has.
 */
#pragma once

#include "common/error.h"

struct manifest;
struct verify_region;

/* An error is CANCELED, or no thread could be started; all else is a finding. */
MUST_CHECK int verify_backup_run(struct verify_region *region, const struct manifest *manifest,
                                 struct error *err);
