// SPDX-License-Identifier: Apache-2.0
/* What can be recovered from one region alone, for an overview of all of them. */
#pragma once

#include "common/error.h"

struct overview_options;
struct overview_region;
struct repo_names;

enum { OVERVIEW_RETRIES = 2 }; /* whoever asks wants to know it now, and asks again */

/* From names as the store listed them, of manifests and WAL, which become those of the repository.
 * Where it cannot be told that is logged. CANCELED. */
MUST_CHECK int overview_windows_find(const struct overview_options *options,
                                     struct repo_names *names, struct overview_region *region,
                                     struct error *err);
