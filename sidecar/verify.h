// SPDX-License-Identifier: Apache-2.0
/*
 * Verification: verify_run reads as the specification. Every region is verified as if it were the
 * only one, so that damage in one is found although another has the same object intact. It goes on
 * after a finding and ends when all was looked at. Memory: as a restore of the largest backup, and
 * some bytes for each object that is listed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/verify_region.h"

struct findings;
struct manifest_witness;
struct policy;
struct secrets;

struct verify_options {
    const struct policy *policy;
    const struct secrets *secrets;
    const char *backup;         /* id; "Latest": the newest; NULL: all */
    const char *region;         /* NULL: all */
    uint64_t system_identifier; /* 0: the only one */
    struct verify_sample sample;
    const struct manifest_witness *expected;
    size_t expected_count;
    size_t workers;        /* 0: the policy's */
    struct cancel *cancel; /* triggered also when it fails */
    struct progress *progress;
};

struct verify_result {
    char backup[BACKUP_ID_BYTES]; /* the only one; "": all */
    size_t regions, backups;      /* backups: distinct ids that were verified */
    struct verify_sample sample;
    uint64_t objects, bytes; /* read, over all regions */
    int64_t duration_ms;
};

/* 0 also with findings. -1: it could not be done, or was stopped. */
MUST_CHECK int verify_run(const struct verify_options *options, struct findings *findings,
                          struct verify_result *ret_result, struct error *err);
