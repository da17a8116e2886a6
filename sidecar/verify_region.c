// SPDX-License-Identifier: Apache-2.0
#include "sidecar/verify_region.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/digest.h"
#include "common/own.h"
#include "common/text.h"
#include "sidecar/findings.h"
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

struct verify_names verify_region_names(const struct verify_region *region, const char *prefix)
{
    const size_t first = repo_names_lower_bound(&region->names, prefix);
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
    const struct repo_name *found = repo_names_find(&region->names, name);
    if (found)
        *ret_pack = &region->packs[found - region->pack_names.names];
    return found;
}

void verify_region_tell(struct verify_region *region, const struct finding *finding,
                        const char *text)
{
    if (finding->kind != FINDING_UNREADABLE || repo_still_answers(region->repo, 0))
        findings_add(region->findings, finding, "%s", text);
}

bool verify_region_given_up(const struct verify_region *region, struct error *ret_why)
{
    return regions_first_loss(region->repo->regions, ret_why);
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
