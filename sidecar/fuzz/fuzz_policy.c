// SPDX-License-Identifier: Apache-2.0
/* Any bytes: a policy that keeps its promises, or PERMANENT with a text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_region(const struct policy_region *region)
{
    must(region->name && *region->name);
    if (region->store == POLICY_STORE_FILE) {
        must(region->file_path && region->file_path[0] == '/');
        return;
    }
    must(region->s3.bucket && region->s3.prefix && region->s3.region);
    must((region->s3.auth == POLICY_S3_STATIC) == (region->s3.credentials != NULL));
    must((region->s3.lock_days > 0) == (region->s3.lock_mode != NULL));
}

static void check_policy(const struct policy *policy)
{
    struct error err;
    must(policy->name && strlen(policy->name) <= 40 && policy->namespace);
    must(policy->region_count >= 1 && policy->region_count <= POLICY_REGIONS_MAX);
    unsigned writable = 0;
    for (size_t i = 0; i < policy->region_count; i++) {
        const struct policy_region *region = &policy->regions[i];
        check_region(region);
        must(policy_find_region(policy, region->name, &err) == region);
        writable += !region->read_only;
    }
    must(policy->quorum <= writable && (policy->quorum > 0 || writable == 0));
    must(policy->encryption.enabled == (policy->encryption.active_key != NULL));
    must(!policy->encryption.enabled || policy->encryption.key_count > 0);
    must(policy->compression_level >= 1 && policy->compression_level <= 19);
    must(policy->workers >= 1 && policy->workers <= 64);
    must(policy->uploads >= 1 && policy->uploads <= 64);
    must(policy->connection.port >= 1 && policy->connection.port <= 65535);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(policy_freep) struct policy *policy = NULL;
    struct error err = {0};
    if (policy_parse(&policy, "fuzz.yaml", (const char *)data, size, &err) == 0)
        check_policy(policy);
    else
        must(err.kind == ERROR_PERMANENT && err.text[0]);
    return 0;
}
