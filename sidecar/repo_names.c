// SPDX-License-Identifier: Apache-2.0
#include "sidecar/repo_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/own.h"
#include "sidecar/regions.h"
#include "sidecar/roll_call.h"

/* A limit against a store whose listing never ends: packs of 200 TiB, names of about 2 GB. */
enum { REPO_NAMES_MAX = 1 << 24 };

struct listing {
    struct regions *regions;
    const struct repo_names_below *below;
    struct roll_call_answer answers[REGIONS_MAX];
    struct repo_names found[REGIONS_MAX]; /* each is written by whoever asks that region */
};

/* One region's part of it. */
struct part {
    size_t skip;
    uint32_t region;
    struct repo_names *names;
};

void repo_names_done(struct repo_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i].name);
    free(names->names);
    *names = (struct repo_names){0};
}

size_t repo_names_lower_bound(const struct repo_names *names, const char *text)
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

struct repo_name *repo_names_find(const struct repo_names *names, const char *name)
{
    const size_t at = repo_names_lower_bound(names, name);
    return at < names->count && strcmp(names->names[at].name, name) == 0 ? &names->names[at] : NULL;
}

int repo_names_add(struct repo_names *names, const struct store_object *object, size_t skip,
                   struct error *err)
{
    if (names->count == REPO_NAMES_MAX)
        return error_set(err, ERROR_CORRUPT, "a listing of more than %d objects", REPO_NAMES_MAX);
    names->names = own_resize(names->names, names->count + 1, sizeof(names->names[0]));
    names->names[names->count++] = (struct repo_name){
        .name = own_strdup(object->name + skip),
        .size = object->size,
        .modified_ms = object->modified_ms,
    };
    return 0;
}

/* One region */

static int add_name(void *arg, const struct store_object *object, struct error *err)
{
    const struct part *part = arg;
    struct repo_names *names = part->names;
    if (repo_names_add(names, object, part->skip, err) < 0)
        return -1;
    names->names[names->count - 1].regions = part->region;
    return 0;
}

/* Where a repository is looked for, a region that has none is no reason to leave others unasked. */
static int ask_names(void *arg, size_t index, struct error *err)
{
    struct listing *listing = arg;
    const struct repo_names_below *below = listing->below;
    struct region *region = regions_at(listing->regions, index);
    struct part part = {below->skip, 1u << index, &listing->found[index]};
    if (store_list(region->store, below->prefix, below->depth, add_name, &part, err) < 0)
        return -1;
    if (regions_strict(listing->regions))
        return region->writable;
    return !below->opening || part.names->count > 0;
}

static int ask_all(struct listing *listing, struct error *err)
{
    struct regions *regions = listing->regions;
    const bool strict = regions_strict(regions);
    const struct roll_call call = {
        .regions = regions,
        .among = UINT32_MAX,
        .insist = strict,
        .enough = strict ? regions_quorum(regions) : 1,
        .laggards = strict                    ? LAGGARDS_LOST
                    : listing->below->opening ? LAGGARDS_DOUBTED
                                              : LAGGARDS_WAITED_FOR,
        .ask = ask_names,
        .arg = listing,
    };
    return roll_call_run(&call, listing->answers, err);
}

/* All together */

static int compare_names(const void *a, const void *b)
{
    const struct repo_name *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Sorts, and makes one of what several regions have. */
static void merge(struct repo_names *names)
{
    size_t kept = 0;
    if (names->count > 0)
        qsort(names->names, names->count, sizeof(names->names[0]), compare_names);
    for (size_t i = 0; i < names->count; i++) {
        struct repo_name *name = &names->names[i];
        struct repo_name *last = kept ? &names->names[kept - 1] : NULL;
        if (!last || strcmp(last->name, name->name) != 0) {
            names->names[kept++] = *name;
            continue;
        }
        last->regions |= name->regions;
        last->sizes_differ |= name->size != last->size;
        if (name->modified_ms > last->modified_ms)
            last->modified_ms = name->modified_ms;
        free(name->name);
    }
    names->count = kept;
}

/* Moves the names of a region to the end. */
static void append(struct repo_names *names, struct repo_names *found)
{
    if (found->count == 0)
        return;
    names->names = own_resize(names->names, names->count + found->count, sizeof(names->names[0]));
    memcpy(names->names + names->count, found->names, found->count * sizeof(names->names[0]));
    names->count += found->count;
    free(found->names);
    *found = (struct repo_names){0};
}

/* -1: the job cannot go on without the region. */
static int note_unlisted(struct listing *listing, size_t index, struct repo_names *names,
                         struct error *err)
{
    struct regions *regions = listing->regions;
    const struct roll_call_answer *answer = &listing->answers[index];
    const struct region *region = regions_at(regions, index);
    *err = answer->error;
    if (names->unlisted == 0)
        names->unlisted_error = *err;
    names->unlisted |= 1u << index;
    if (!answer->asked)
        return 0;
    if (regions_strict(regions) && region->writable)
        return regions_lose(regions, index, err);
    if (regions_count(regions) > 1 && regions_usable(regions, index))
        log_error(err, "Could not list a region", S("region", region->name));
    return 0;
}

static int join(struct listing *listing, struct repo_names *names, struct error *err)
{
    const size_t count = regions_count(listing->regions);
    for (size_t i = 0; i < count; i++) {
        if (listing->answers[i].said >= 0)
            append(names, &listing->found[i]);
        else if (note_unlisted(listing, i, names, err) < 0)
            return -1;
    }
    return names->unlisted == (1u << count) - 1 ? -1 : 0;
}

static void listing_done(struct listing *listing)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        repo_names_done(&listing->found[i]);
}

int repo_names_list(struct repo_names *ret_names, struct regions *regions,
                    const struct repo_names_below *below, struct error *err)
{
    CLEANUP(listing_done) struct listing listing = {.regions = regions, .below = below};
    CLEANUP(repo_names_done) struct repo_names names = {0};
    if (ask_all(&listing, err) < 0 || join(&listing, &names, err) < 0)
        return -1;
    merge(&names);
    *ret_names = names;
    names = (struct repo_names){0};
    return 0;
}
