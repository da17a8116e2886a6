// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_region.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/manifest.h"
#include "sidecar/progress.h"

bool verify_sample_takes(const struct verify_sample *sample, const char *name)
{
    uint8_t seed[sizeof(sample->seed)], hash[DIGEST_BYTES];
    CLEANUP(digest_freep) struct digest *digest = digest_new();
    bytes_store64(seed, sample->seed);
    digest_update(digest, seed, sizeof(seed));
    digest_update(digest, name, strlen(name));
    digest_get(digest, hash);
    return bytes_load64(hash) % 100 < sample->percent;
}

/* The first name that is not before text. */
static size_t lower_bound(const struct repo_names *names, const char *text)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->names[middle].name, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct verify_names verify_region_names(const struct verify_region *region, const char *prefix)
{
    const size_t first = lower_bound(&region->names, prefix);
    size_t end = first;
    while (end < region->names.count && text_starts_with(region->names.names[end].name, prefix))
        end++;
    return (struct verify_names){region->names.names + first, end - first};
}

const struct repo_name *verify_region_pack(const struct verify_region *region, const char *backup,
                                           uint32_t number, struct verify_pack **ret_pack)
{
    char name[REPO_NAME_MAX];
    repo_pack_name(backup, number, name);
    const size_t at = lower_bound(&region->names, name);
    if (at == region->names.count || strcmp(region->names.names[at].name, name) != 0)
        return NULL;
    *ret_pack = &region->packs[&region->names.names[at] - region->pack_names.names];
    return &region->names.names[at];
}

void verify_region_count(struct verify_region *region, uint64_t bytes)
{
    atomic_fetch_add(&region->objects, 1);
    atomic_fetch_add(&region->bytes, bytes);
    progress_add(region->progress, bytes);
}

void verify_region_done(struct verify_region *region)
{
    for (size_t i = 0; i < region->manifest_count; i++)
        manifest_done(&region->manifests[i]);
    free(region->manifests);
    if (region->packs)
        for (size_t i = 0; i < region->pack_names.count; i++)
            verify_pack_done(&region->packs[i]);
    free(region->packs);
    repo_names_done(&region->names);
}
