// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a repository is what others remember of it: regions against each other, manifests against
 * the witnesses in later manifests, and all against what the caller expects. Pure but for the
 * findings it adds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sidecar/manifest.h"

struct findings;

struct verify_seen { /* a manifest in a region */
    struct manifest_witness what;
    bool readable; /* its SHA-256 is known */
};

struct verify_memory { /* what one manifest says of another */
    char by[BACKUP_ID_BYTES];
    struct manifest_witness what;
};

struct verify_view { /* of one region that could be listed */
    const char *region;
    struct verify_seen *seen;
    size_t seen_count;
    struct verify_memory *memories;
    size_t memory_count;
    char (*retired)[BACKUP_ID_BYTES]; /* backups that were removed on purpose */
    size_t retired_count;
};

struct verify_witness {
    const struct verify_view *views;
    size_t view_count;
    bool complete; /* views of all regions of the policy: what none has is gone */
    const struct manifest_witness *expected;
    size_t expected_count;
};

void verify_witness_check(const struct verify_witness *witness, struct findings *findings);
void verify_view_done(struct verify_view *view);
