// SPDX-License-Identifier: Apache-2.0
#include "sidecar/restore_sizes.h"

#include <stdlib.h>
#include <string.h>

#include "common/own.h"
#include "sidecar/manifest.h"
#include "sidecar/repo.h"
#include "sidecar/restore_plan.h"

static int compare(const void *a, const void *b)
{
    const uint32_t x = ((const struct restore_size *)a)->pack;
    const uint32_t y = ((const struct restore_size *)b)->pack;
    return (x > y) - (x < y);
}

/* Those of a range, from the listing of its backup. */
static void add(struct restore_sizes *sizes, const struct restore_range *range,
                const struct repo_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct repo_name *name = &names->names[i];
        uint32_t number;
        if (!repo_parse_pack_name(name->name, &number) || number < range->first ||
            number > range->last || name->size > UINT32_MAX)
            continue;
        if ((sizes->count & (sizes->count - 1)) == 0)
            sizes->sizes = own_resize(sizes->sizes, sizes->count ? 2 * sizes->count : 1,
                                      sizeof(sizes->sizes[0]));
        sizes->sizes[sizes->count++] = (struct restore_size){
            .pack = range->position + (number - range->first), .bytes = (uint32_t)name->size};
    }
}

/* Of all ranges from first on that are of the same backup; gives the one behind them. */
static int add_backup(struct restore_sizes *sizes, const struct restore_plan *plan, size_t *first,
                      struct repo *repo, struct error *err)
{
    const char *backup = plan->ranges[*first].backup;
    CLEANUP(own_freep) char *prefix = own_format("packs/%s/", backup);
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (repo_list(repo, prefix, &names, err) < 0)
        return -1;
    for (; *first < plan->range_count && strcmp(plan->ranges[*first].backup, backup) == 0; ++*first)
        add(sizes, &plan->ranges[*first], &names);
    return 0;
}

void restore_sizes_done(struct restore_sizes *sizes)
{
    free(sizes->sizes);
    *sizes = (struct restore_sizes){0};
}

uint32_t restore_sizes_find(const struct restore_sizes *sizes, uint32_t pack)
{
    const struct restore_size wanted = {.pack = pack};
    const struct restore_size *found =
        sizes->count > 0
            ? bsearch(&wanted, sizes->sizes, sizes->count, sizeof(sizes->sizes[0]), compare)
            : NULL;
    return found ? found->bytes : 0;
}

void restore_sizes_give(const struct restore_sizes *sizes, const struct manifest *manifest,
                        bool all, struct restore_plan *plan)
{
    const uint32_t first_index = manifest->index[0].pack;
    for (size_t i = 0; i < plan->pack_count; i++) {
        struct restore_pack *pack = &plan->packs[i];
        uint32_t number;
        const char *backup = restore_plan_pack(plan, pack->pack, &number);
        if (all || strcmp(backup, manifest->id) != 0 || number >= first_index)
            pack->object_bytes = restore_sizes_find(sizes, pack->pack);
    }
}

int restore_sizes_list(struct restore_sizes *ret_sizes, const struct restore_plan *plan,
                       struct repo *repo, struct error *err)
{
    CLEANUP(restore_sizes_done) struct restore_sizes sizes = {0};
    for (size_t next = 0; next < plan->range_count;)
        if (add_backup(&sizes, plan, &next, repo, err) < 0)
            return -1;
    if (sizes.count > 0)
        qsort(sizes.sizes, sizes.count, sizeof(sizes.sizes[0]), compare);
    *ret_sizes = sizes;
    sizes = (struct restore_sizes){0};
    return 0;
}
