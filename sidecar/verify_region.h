// SPDX-License-Identifier: Apache-2.0
/*
 * One region under verification, with what all of its checks share: the repository as this region
 * alone has it, its objects, the state of its packs, and where findings go.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "sidecar/piece_hash.h"
#include "sidecar/repo.h"
#include "sidecar/verify_pack.h"

struct cancel;
struct finding;
struct findings;
struct manifest;
struct progress;

struct verify_sample {
    unsigned percent; /* 1 to 100 */
    uint64_t seed;
};

/* Whether an object is in the sample: the same answer for the same seed. Pure. */
bool verify_sample_takes(const struct verify_sample *sample, const char *name);

struct verify_names { /* some of the region's names, in a row; lent */
    const struct repo_name *names;
    size_t count;
};

struct verify_region {
    const char *name;
    struct repo *repo; /* of this region alone */
    const char *only;  /* the one backup to verify; NULL: all */
    struct verify_sample sample;
    size_t workers;
    struct findings *findings;
    struct cancel *cancel;
    struct progress *progress; /* may be NULL */
    struct piece_hash hash;
    struct repo_names names;
    struct verify_names pack_names;
    struct verify_pack *packs;  /* one for each of pack_names */
    struct manifest *manifests; /* those that could be read, oldest first */
    size_t manifest_count;
    atomic_size_t objects; /* read so far */
    _Atomic uint64_t bytes;
};

/* The region's names that start with prefix. */
struct verify_names verify_region_names(const struct verify_region *region, const char *prefix);
/* NULL: there is no such pack. Gives its state. */
const struct repo_name *verify_region_pack(const struct verify_region *region, const char *backup,
                                           uint32_t number, struct verify_pack **ret_pack);
/* Adds a finding. One of an object that could not be fetched makes sure that the region still
 * answers; if not, it is given up: that is told once, and of what is left unread nothing more. */
void verify_region_tell(struct verify_region *region, const struct finding *finding,
                        const char *text);
/* Whether it was given up, and why. */
bool verify_region_given_up(const struct verify_region *region, struct error *ret_why);
void verify_region_count(struct verify_region *region, uint64_t bytes); /* an object was read */
void verify_region_done(struct verify_region *region);                  /* all but what is lent */
